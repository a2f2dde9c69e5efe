"""QONNX networks: arbitrary-precision quantization between float operators, in exact numbers."""
