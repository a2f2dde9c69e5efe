"""VNN-LIB properties."""
