"""The demo: a small quantized network and held-out digits, shipped with the package, verified."""
