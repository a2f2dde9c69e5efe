"""The commands of ``netproof train``."""
