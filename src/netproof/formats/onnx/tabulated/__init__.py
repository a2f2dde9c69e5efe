"""Parts of a network that compute places from its values."""
