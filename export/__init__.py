"""A trained model becomes a package with ONNX inside, parity proven."""
