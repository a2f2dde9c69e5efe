"""Smooth functions, and such that are smooth but for a few kinks."""
