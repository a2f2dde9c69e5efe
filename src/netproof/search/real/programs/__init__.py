"""Linear programs about subproblems of real networks: of leaves, of straight pieces, and of all subproblems of small networks."""
