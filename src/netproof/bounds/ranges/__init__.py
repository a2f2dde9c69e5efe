"""Ranges of features, and ways to make them smaller."""
