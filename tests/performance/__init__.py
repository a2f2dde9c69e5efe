"""Twelve queries whose cost is counted: what a change does to the search."""
