"""Functions that jump."""
