"""Adjoints of convolutions over two axes, each for what it is faster at than PyTorch's."""
