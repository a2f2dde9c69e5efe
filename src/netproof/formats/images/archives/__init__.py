"""Data sets as their authors packed them."""
