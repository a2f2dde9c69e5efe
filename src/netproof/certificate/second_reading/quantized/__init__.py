"""Second reader of quantized ONNX networks."""
