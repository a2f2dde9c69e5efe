"""netproof bench."""
