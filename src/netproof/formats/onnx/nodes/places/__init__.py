"""ONNX operators about the places of entries: taken from or put at known ones, resized images, where the largest is."""
