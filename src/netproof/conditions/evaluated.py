"""Queries about what a network computes in floating point, as queries about the function over the real numbers.

Every constraint is made weaker by what the evaluation may be off by (:mod:`netproof.bounds.deciding.evaluated`), and every
box wider by what a decimal may be off by that is rounded to the type. What is ``unsat`` then is so for every order of
evaluation; a witness is held to the query as it was stated.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import torch
from torch import Tensor

from netproof.bounds.deciding.evaluated import FLOAT_TYPES, FloatType, deviations
from netproof.property import LinearConstraint, Property, PropertyPart
from netproof.query import Query

#: of what is added to a threshold: beyond it float64 has no number
_LARGEST = Fraction(2) ** 1023


def as_evaluated(query: Query) -> Query:
    """The query itself where it is about the real numbers; else one that is ``unsat`` only if it is, in its float type."""
    part = query.part
    if part is None or part.arithmetic == "real" or not part.condition:
        return query
    kind = FLOAT_TYPES[part.arithmetic]
    network = query.network
    lower, upper = _wider(query.lower, query.upper, kind)
    off, size = deviations(network.as_stored or network.graph, lower, upper, kind)
    reach = torch.maximum(lower.abs(), upper.abs()).tolist()
    condition = tuple(
        tuple(
            weaker
            for constraint in conjunction
            if (weaker := _weaker(constraint, reach, size.tolist(), off.tolist(), kind)) is not None
        )
        for conjunction in part.condition
    )
    # The box is left as it is for whoever looks for witnesses.
    weaker_part = PropertyPart(part.box, condition, part.stated or part)
    (asked,) = Property(query.name, network.inputs, network.outputs, (weaker_part,)).queries(network)
    return replace(asked, lower=lower, upper=upper, name=query.name)


def _wider(lower: Tensor, upper: Tensor, kind: FloatType) -> tuple[Tensor, Tensor]:
    most = torch.finfo(lower.dtype).max
    # No number of the type is beyond the largest of float64, where adding would end in infinity.
    return (lower - _rounded_by(lower, kind)).clamp(min=-most), (upper + _rounded_by(upper, kind)).clamp(max=most)


def _rounded_by(end: Tensor, kind: FloatType) -> Tensor:
    """More than what rounding to the type moves an end by; 0 is a number of every type."""
    subnormal = ((end != 0) & (end.abs() < kind.smallest)).to(end.dtype)
    return 4 * kind.unit * end.abs() + subnormal * (2 * kind.unit * kind.smallest)


def _weaker(
    constraint: LinearConstraint, reach: list[float], size: list[float], off: list[float], kind: FloatType
) -> LinearConstraint | None:
    """A constraint on real values that holds wherever this one holds for computed ones; None where none is known.

    Comparisons are exact; what is added covers a decimal that is rounded to the type, and is generous where there is more
    than one term.
    """
    total = Fraction(abs(constraint.threshold))
    slack = Fraction(0)
    for terms, sizes, errors in (
        (constraint.inputs, reach, None),
        (constraint.outputs, size, off),
    ):
        for i, coefficient in terms:
            error = 0.0 if errors is None else errors[i]
            if not math.isfinite(sizes[i] + error):
                return None
            total += abs(coefficient) * Fraction(sizes[i] + error)
            slack += abs(coefficient) * Fraction(error)
    single = len(constraint.inputs) + len(constraint.outputs) == 1 and all(
        abs(c) == 1 for _, c in (*constraint.inputs, *constraint.outputs)
    )
    # A value that is compared with a decimal: nothing but the decimal is rounded.
    if single:
        slack += Fraction(2 * kind.unit) * abs(constraint.threshold)
    else:
        count = 2 * (len(constraint.inputs) + len(constraint.outputs)) + 4
        slack += Fraction(count * 2 * kind.unit) * total
    slack += Fraction(4 * kind.smallest)
    if slack >= _LARGEST:
        return None
    # Upwards to few digits: thresholds are multiplied by denominators of coefficients later on.
    rounded = Fraction(math.nextafter(float(slack), math.inf)) if slack else slack
    return replace(constraint, threshold=constraint.threshold - rounded, strict=False)
