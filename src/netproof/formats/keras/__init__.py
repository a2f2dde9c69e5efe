"""Keras networks in HDF5."""
