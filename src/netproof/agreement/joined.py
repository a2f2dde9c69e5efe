"""Two networks as one: what agreement means, and the queries that ask for it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.errors import InputError, QueryError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.graph.passes.merge_equal import merge_equal
from netproof.network import Kept, Meaning, Network, check_network
from netproof.operators.affine.concatenate import Concatenate
from netproof.pictures.form import fits
from netproof.query import Conjunction, Query


@dataclass(frozen=True)
class Agreement:
    """What two networks have to have in common at an input.

    Attributes
    ----------
    within : by how much each output may differ; None where only the class, the first largest output, has to be the same
    """

    within: int | None = None

    def __post_init__(self) -> None:
        if self.within is not None and not 0 <= self.within <= 1 << 40:
            raise QueryError("agreement", f"outputs within {self.within}", "give a whole number, 0 or more")

    def broken(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
        """For which of the inputs with these outputs, ``[N, n]`` each, it does not hold."""
        if self.within is None:
            return np.asarray(first.argmax(1) != second.argmax(1))
        return np.asarray((np.abs(first - second) > self.within).any(1))

    @property
    def words(self) -> str:
        return "the same class" if self.within is None else f"all outputs within {self.within}"


def check_comparable(first: Network, second: Network, agreement: Agreement) -> None:
    """Raise :class:`InputError` for networks of which agreement cannot be asked."""
    for network in (first, second):
        check_network(network)
        if network.graph.arithmetic is not Arithmetic.INTEGER:
            raise InputError(
                network.path, "computes with floats, and only networks of integers are compared", "quantize it"
            )
        if agreement.within is None and network.kept is Kept.NOTHING:
            raise InputError(
                network.path,
                "its final softmax was left out, and can give one code to different operands",
                "cut the softmax off, or give --within",
            )
    for what, one, other in (
        ("inputs", first.inputs, second.inputs),
        ("outputs", first.outputs, second.outputs),
    ):
        if one != other:
            raise InputError(second.path, f"has {other} {what}, {first.path} has {one}", "give networks of one task")
    if not fits(*(tuple(network.input_shape) for network in (first, second))):
        problem = f"takes inputs {second.input_shape}, {first.path} takes {first.input_shape}"
        raise InputError(second.path, problem, "give networks of one layout")
    if not (torch.equal(first.lower, second.lower) and torch.equal(first.upper, second.upper)):
        raise InputError(second.path, f"takes other inputs than {first.path}", "give networks of one task")
    _check_meaning("inputs", second, first.input_meaning, second.input_meaning)
    if agreement.within is not None:
        _check_meaning("outputs", second, first.output_meaning, second.output_meaning)


def _check_meaning(what: str, second: Network, one: Meaning | None, other: Meaning | None) -> None:
    """Refuse codes that stand for one number here and for another one there: equal codes are no agreement then."""
    if one is None or other is None or one == other:
        return
    shown = [f"{float(m.scale):.6g} * code {float(m.shift):+.6g}" for m in (other, one)]
    hint = "give networks that are quantized alike there" + ("" if what == "inputs" else ", or leave --within out")
    raise InputError(second.path, f"has {what} that stand for {shown[0]}, and not for {shown[1]}", hint)


def joined(first: Network, second: Network) -> Network:
    """One network with the outputs of both, one after the other. What they have in common is computed once."""
    builder = GraphBuilder(Arithmetic.INTEGER, first.input_shape)
    ends = []
    for network in (first, second):
        at = {0: builder.input}
        for index, node in enumerate(network.graph.nodes[1:], 1):
            name = f"{node.name} ({'first' if network is first else 'second'})"
            at[index] = builder.add(name, node.operator, *(at[i] for i in node.operands))
        ends.append(at[len(network.graph.nodes) - 1])
    builder.add("both", Concatenate((first.outputs, second.outputs)), *ends)
    both = f"{first.sha256} {first.runtime} {second.sha256} {second.runtime}"
    return Network(
        graph=merge_equal(builder.build()),
        path=first.path if first.path == second.path else f"{first.path} and {second.path}",
        sha256=hashlib.sha256(both.encode()).hexdigest(),
        lower=first.lower,
        upper=first.upper,
        runtime=" and ".join(dict.fromkeys(part for part in (first.runtime, second.runtime) if part)),
    )


def disagreement(both: Network, lower: Tensor, upper: Tensor, agreement: Agreement, name: str) -> Query:
    """Is there an input in a box at which two networks, joined, do not agree?"""
    size = both.outputs // 2
    eye = torch.eye(size, dtype=both.lower.dtype)
    nothing = torch.zeros_like(eye)
    if agreement.within is not None:
        rows = torch.cat([torch.cat([sign * eye, -sign * eye], 1) for sign in (1, -1)])
        least = torch.full((1,), float(agreement.within + 1), dtype=both.lower.dtype)
        cases = tuple(Conjunction(row[None], least) for row in rows)
        return Query(both, lower, upper, cases, name)
    # Class i beats k where its output is larger, or as large and comes first.
    leads = [eye[i][None] - eye[[k for k in range(size) if k != i]] for i in range(size)]
    margins = [torch.tensor([float(k < i) for k in range(size) if k != i], dtype=both.lower.dtype) for i in range(size)]
    found = []
    for i in range(size):
        for j in range(size):
            if i != j:
                rows = torch.cat(
                    [torch.cat([leads[i], nothing[: size - 1]], 1), torch.cat([nothing[: size - 1], leads[j]], 1)]
                )
                found.append(Conjunction(rows, torch.cat([margins[i], margins[j]])))
    if not found:
        raise QueryError(name, "a network of one output has one class", "give --within")
    return Query(both, lower, upper, tuple(found), name)
