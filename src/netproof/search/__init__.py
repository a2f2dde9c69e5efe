"""The search: from a question to an answer."""
