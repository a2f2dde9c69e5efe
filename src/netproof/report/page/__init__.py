"""A run as one page of HTML that needs nothing else: no server, no network, and to be read no JavaScript."""
