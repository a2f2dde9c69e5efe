"""The search on networks of integers."""
