"""Evaluating a network of integers on many inputs, fast and exactly."""
