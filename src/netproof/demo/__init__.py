"""The demo: a small quantized network and a small residual one, and held-out digits, shipped with the package."""
