"""FP16: a float model in half precision, and the variant of a package that holds it."""
