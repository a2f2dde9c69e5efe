"""Training quantized networks."""
