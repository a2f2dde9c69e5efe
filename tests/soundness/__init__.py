"""Whether netproof is right: small networks, tried out on every input."""
