"""Processes that work for this one: how they are started, talk, are stopped at a deadline and end with their parent."""
