"""Activations, feature by feature."""
