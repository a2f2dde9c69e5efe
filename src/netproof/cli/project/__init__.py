"""Commands about a whole project."""
