"""ONNX networks."""
