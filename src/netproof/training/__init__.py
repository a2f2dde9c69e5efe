"""Training networks that can be verified."""
