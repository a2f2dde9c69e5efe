"""Runs whose answers are exact radii: one row for each image."""
