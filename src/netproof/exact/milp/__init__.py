"""Mixed-integer linear programming by HiGHS: an encoding, an adapter, and a proof of its own."""
