"""Operators of codes: what each of them becomes in the graph."""
