"""The command line: parse, call, print. Heavy imports stay inside functions, so that ``--help`` is instant."""
