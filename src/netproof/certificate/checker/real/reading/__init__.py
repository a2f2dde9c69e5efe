"""What operators of ONNX are to the checker of float networks: maps, bends, and numbers that are moved."""
