"""The checker of certificates, which shares nothing with the search."""
