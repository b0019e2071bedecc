"""FP16: models in half precision, and the package variants that hold them."""
