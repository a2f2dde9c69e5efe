"""What an ONNX file is made of: the message, tensors beside it, its text."""
