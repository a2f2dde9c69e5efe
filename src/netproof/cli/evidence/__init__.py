"""Commands that make evidence."""
