"""The commands of ``netproof bench``."""
