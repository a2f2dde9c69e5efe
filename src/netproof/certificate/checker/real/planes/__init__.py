"""Smooth functions and products in the checker of float networks: what they are in a file, and what bounds need of them."""
