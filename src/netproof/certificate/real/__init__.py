"""Certificates about networks of real numbers: what a file holds, and how it is made."""
