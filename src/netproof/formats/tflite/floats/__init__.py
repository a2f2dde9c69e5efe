"""Networks of floats in TensorFlow Lite files, read by way of ONNX."""
