"""The search on networks of real numbers."""
