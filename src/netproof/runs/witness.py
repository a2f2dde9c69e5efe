"""A witness as a JSON document that another program can replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netproof.version import netproof_version

if TYPE_CHECKING:
    from netproof.query import Query, Witness

FORMAT = "netproof-witness-1"


def witness_document(query: Query, witness: Witness) -> dict[str, object]:
    """Everything needed to check the witness: network, arithmetic, box, input, output.

    For a robustness query also the sample, its label, the radius and the class it turns into.
    The box is given by the sample and the radius there, and by its ends otherwise.
    """
    network = query.network
    document: dict[str, object] = {
        "format": FORMAT,
        "netproof": netproof_version(),
        "query": query.name,
        "network": {"file": network.path, "sha256": network.sha256, "scheme": network.scheme},
        "arithmetic": network.graph.arithmetic.value,
    }
    if network.runtime:
        document["runtime"] = network.runtime
    sample = query.sample
    if sample is not None and sample.radius is not None:
        change = (witness.input.double() - sample.image.double()).abs()
        document |= {
            "label": sample.label,
            "radius": sample.radius,
            "class": int(network.classify(witness.input.to(query.lower.dtype))),
            "changed": int((change > 0).sum()),
            "largest_change": int(change.max()),
            "image": _numbers(sample.image),
        }
    else:
        document |= {"lower": _numbers(query.lower), "upper": _numbers(query.upper)}
    if witness.exact:
        from netproof.formats.counterexample import decimal

        # As text, because the box may hold no float there and the exact number is what counts.
        document["exact_input"] = [decimal(value) for value in witness.exact]
    return document | {"input": _numbers(witness.input), "output": _numbers(witness.output)}


def _numbers(values: object) -> list[int] | list[float]:
    from torch import Tensor

    assert isinstance(values, Tensor)
    numbers: list[float] = values.reshape(-1).tolist()
    return [int(x) for x in numbers] if all(float(x).is_integer() for x in numbers) else numbers
