"""What quantized ONNX operators compute: onnxruntime's arithmetic, and the standard's own in exact numbers."""
