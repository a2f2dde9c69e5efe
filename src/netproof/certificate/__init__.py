"""Certificates: the file, and the checker that recomputes what it claims (docs/certificates.md)."""
