"""Whether certificates are about a property, part by part, as the property itself states it.

The parts of the property are derived here anew, from its exact numbers: nothing is taken from the certificate, and nothing
from how a search was asked, but for :meth:`netproof.Property.over_integers`, which makes bounds of inputs ends of boxes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from netproof.certificate.contents import BoxProperty, Certificate
from netproof.errors import ProofError
from netproof.network import Network
from netproof.property import LinearConstraint, Property, PropertyPart

#: a box (lower and upper ends), and for each case its constraints: coefficients of all outputs, threshold
Statement = tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[tuple[tuple[int, ...], int], ...], ...]]


def check_statement(asked: Property, parts: Sequence[Certificate], network: Network, source: str) -> None:
    """Raise :class:`ProofError` unless certificates that were checked answer a property.

    Those of claim ``unsat`` have to state every part of it, in its order; the witness of one of claim ``sat`` has to be an
    answer of the property itself, with the outputs that the network computes.

    Parameters
    ----------
    parts : one certificate, or those of a bundle, about the network
    """
    sizes = (asked.inputs, asked.outputs)
    if sizes != (network.inputs, network.outputs):
        raise ProofError(
            source, f"the property is about {sizes[0]} inputs and {sizes[1]} outputs, the network has others"
        )
    if parts[0].claim == "sat":
        x = parts[0].arrays["witness"].tolist()
        y = network.graph.evaluate(network.lower.new_tensor(x)).tolist()
        if not asked.holds(x, y):
            raise ProofError(source, "the witness is no answer of the property")
        return
    # A part without a case is met by nothing, whatever the network does, and one without a whole number in it has no input.
    meant = [
        part
        for part in asked.over_integers().parts
        if part.condition
        and all(math.ceil(low) <= high for low, high in zip(part.box.lower, part.box.upper, strict=True))
    ]
    # Left out of a row, a term of an input would leave a constraint that can be false where the property's is true.
    if any(constraint.inputs for part in meant for case in part.condition for constraint in case):
        raise ProofError(source, "the property constrains inputs by more than a box, which no certificate states")
    if len(parts) != len(meant):
        raise ProofError(source, f"it proves {len(parts)} parts, the property has {len(meant)}")
    for number, (stated, part) in enumerate(zip(parts, meant, strict=True)):
        if _stated(stated) != _derived(part, asked.outputs):
            what = "it is about another box or condition than the property"
            raise ProofError(source, what if len(parts) == 1 else f"{what}, in part {number}")


def _stated(certificate: Certificate) -> Statement | None:
    """What a certificate states; None where it states a sample."""
    about, arrays = certificate.property, certificate.arrays
    if not isinstance(about, BoxProperty):
        return None
    rows = [tuple(row) for row in arrays["coefficients"].reshape(-1, certificate.outputs).tolist()]
    constraints = list(zip(rows, arrays["threshold"].tolist(), strict=True))
    cases, at = [], 0
    for height in about.constraints:
        cases.append(tuple(constraints[at : at + height]))
        at += height
    return tuple(arrays["lower"].tolist()), tuple(arrays["upper"].tolist()), tuple(cases)


def _derived(part: PropertyPart, outputs: int) -> Statement:
    """What a part of a property asks of whole numbers: ends and thresholds are the next whole numbers inside."""
    lower = tuple(math.ceil(end) for end in part.box.lower)
    upper = tuple(math.floor(end) for end in part.box.upper)
    # A conjunction of nothing holds everywhere: 0 >= 0.
    nothing = ((0,) * outputs, 0)
    return lower, upper, tuple(tuple(_whole(c, outputs) for c in case) or (nothing,) for case in part.condition)


def _whole(constraint: LinearConstraint, outputs: int) -> tuple[tuple[int, ...], int]:
    """A constraint on whole outputs, and on no input, with whole coefficients, as ``row . y >= threshold``."""
    scale = math.lcm(*(c.denominator for _, c in constraint.outputs))
    row = [0] * outputs
    for j, c in constraint.outputs:
        row[j] = int(c * scale)
    threshold = constraint.threshold * scale
    return tuple(row), math.floor(threshold) + 1 if constraint.strict else math.ceil(threshold)
