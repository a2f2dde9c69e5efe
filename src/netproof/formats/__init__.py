"""File formats: a reader for each, and writers."""
