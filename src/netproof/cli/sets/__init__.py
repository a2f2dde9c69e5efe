"""``netproof robust`` about sets of inputs: brightness, shifts, few pixels, patches, boxes."""
