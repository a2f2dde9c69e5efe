"""netproof: a verifier for neural networks as they are deployed."""
