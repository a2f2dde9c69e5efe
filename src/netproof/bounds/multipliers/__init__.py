"""Multipliers of the bound, and ways to make them better."""
