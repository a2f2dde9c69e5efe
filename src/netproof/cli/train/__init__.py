"""netproof train."""
