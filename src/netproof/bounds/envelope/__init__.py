"""The bound with a multiplier per neuron and input of the first layer: envelopes over the box instead of hulls over ranges."""
