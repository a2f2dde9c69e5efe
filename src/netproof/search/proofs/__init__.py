"""Writing down what a search has proved."""
