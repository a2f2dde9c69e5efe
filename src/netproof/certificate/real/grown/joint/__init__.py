"""Sets of planes and pairs of a certificate, from those that a search had."""
