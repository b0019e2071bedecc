"""TensorRT engines: built, verified, explained. Needs numpy and tensorrt only, on Python 3.8 and later."""
