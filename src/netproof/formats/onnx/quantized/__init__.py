"""Quantized ONNX networks: QOperator and QDQ files as onnxruntime computes them, bit for bit."""
