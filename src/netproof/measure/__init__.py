"""Measuring what bounds cost."""
