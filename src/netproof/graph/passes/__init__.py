"""Passes: graphs that compute the same with fewer nodes."""
