"""Which improvements the encoding uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodingOptions:
    """The improvements of the bit-vector encoding, each of which can be switched off to see what it is worth.

    They follow T. A. Henzinger, M. Lechner, D. Zikelic, *Scalable Verification of Quantized Neural
    Networks* (AAAI 2021), section "Scalable Verification". None of them changes what a formula
    says; docs/engines.md has the effect of each.

    Attributes
    ----------
    minimal_widths : every number has as many bits as its range over the query's box needs (and is
        counted from the lower end of that range where it is an input or a neuron); otherwise as many
        as its layer needs over all inputs of the network
    simplify_neurons : what ranges decide of a neuron is left out: a constant one is a constant, a
        saturation that cannot happen is not tested
    drop_cases : what ranges decide of the condition is left out: an output that cannot win is not compared
        (an addition to the paper's; where it drops every case, nothing is left for the solver)
    range_lemmas : the ranges are asserted too, though they follow
    balanced_sums : a sum is a balanced tree of additions, smallest weights first, not a chain
    prune_zeros : weights of zero are left out
    share_terms : what occurs twice (a shifted input, a sum of two products) is one term
    shift_constants : multiplication by a constant is a few shifts and additions, not ``bvmul``
    """

    minimal_widths: bool = True
    simplify_neurons: bool = True
    drop_cases: bool = True
    range_lemmas: bool = True
    balanced_sums: bool = True
    prune_zeros: bool = True
    share_terms: bool = True
    shift_constants: bool = True
