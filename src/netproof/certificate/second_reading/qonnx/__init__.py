"""QONNX files, read a second time."""
