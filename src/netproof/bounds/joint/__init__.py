"""Unstable features of one activation bounded together, in pairs, and which activations have planes instead."""
