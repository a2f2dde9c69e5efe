"""Ends of ranges by branch and bound, and what they are worth."""
