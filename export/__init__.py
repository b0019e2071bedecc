"""Turn a trained model into a package with ONNX inside, and prove parity with torch."""
