"""ONNX operators beyond the linear ones: products of values, curves, maxima, comparisons, normalizations, resizing."""
