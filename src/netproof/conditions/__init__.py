"""Conditions on outputs, stacked as tensors."""
