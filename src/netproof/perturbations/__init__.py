"""What may happen to an input: sets of inputs around one, each a small class with its parameters."""
