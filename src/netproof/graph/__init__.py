"""The graph that readers make and everything else works on."""
