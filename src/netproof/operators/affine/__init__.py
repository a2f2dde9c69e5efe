"""Affine operators."""
