"""From two affine neighbours one: the rules of :mod:`netproof.graph.passes.merge`."""
