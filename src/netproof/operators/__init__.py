"""Operators: what stands at the nodes of a graph."""
