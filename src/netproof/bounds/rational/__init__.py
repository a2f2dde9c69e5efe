"""Bounds in rational arithmetic."""
