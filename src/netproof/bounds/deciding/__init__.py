"""Bounds that decide: exact ones over the integers, safe ones over the real numbers."""
