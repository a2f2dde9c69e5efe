"""Convex hulls of activations on ranges."""
