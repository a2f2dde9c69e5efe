"""Bitwuzla: bit-vector formulas."""
