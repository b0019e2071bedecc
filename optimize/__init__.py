"""More variants of a package: INT8 per target, FP16, TensorRT engines; lint; search."""
