"""Queries in VNN-LIB 2.0: several networks, tensors with types, hidden values, polynomial constraints."""
