"""Activations of pairs of neighbouring features: products and quotients of two values."""
