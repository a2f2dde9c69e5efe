"""Simulated annealing over single input values, as a compiled loop: millions of proposals a second."""
