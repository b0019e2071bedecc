"""ONNX files and graphs: reading, rewiring, and what each operator is."""
