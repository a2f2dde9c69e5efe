"""Witness documents about the class of an image and a float network: what they state, and the query that this is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from netproof.errors import CertificateError, QueryError
from netproof.graph.graph import Arithmetic
from netproof.network import Network
from netproof.property import Ball, Box, LinearConstraint, PropertyPart
from netproof.query import Conjunction, Query, Sample

#: no number in such a document is written with more characters
_LONGEST_NUMBER = 2000


@dataclass(frozen=True, eq=False)
class RealWitness:
    """A witness of a float network, of the class of an image in a box and, where there is one, a ball.

    Attributes
    ----------
    network_sha256 : the file that it is about
    label : of the image
    image : ``[n]``, as the network's input
    box, ball : where the witness has to lie, exactly; no ball where the box is all there is
    point, output : ``[n]`` and ``[m]``: the witness, and what the network is said to give for it
    name, producer : free text
    """

    network_sha256: str
    label: int
    image: tuple[float, ...]
    box: Box
    ball: Ball | None
    point: tuple[float, ...]
    output: tuple[float, ...]
    name: str = ""
    producer: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any], source: str) -> RealWitness:
        """The witness of a document of JSON; raises :class:`CertificateError` where it is none, or incomplete."""
        try:
            return _witness(document)
        except _UnfitError as error:
            hint = "give a witness that this netproof wrote of an image"
            raise CertificateError(source, f"is no usable witness of a float network: {error}", hint) from None

    def query(self, network: Network, source: str) -> Query:
        """What it is said to be a witness of; raises :class:`CertificateError` where it does not fit the network."""
        if network.graph.arithmetic is not Arithmetic.REAL:
            raise CertificateError(source, "is about a float network", "give the network it was made for")
        if len(self.point) != network.inputs or not self.label < network.outputs == len(self.output):
            problem = f"is about {len(self.point)} inputs, {len(self.output)} outputs and class {self.label}"
            hint = f"{network.path} has {network.inputs} and {network.outputs}"
            raise CertificateError(source, problem, hint)
        rivals = [k for k in range(network.outputs) if k != self.label]
        unit = torch.eye(network.outputs, dtype=torch.float64)
        zero = torch.zeros(1, dtype=torch.float64)
        exact = tuple((_beats(k, self.label),) for k in rivals)
        lower, upper = (torch.from_numpy(end.copy()) for end in self.box.outer)
        image = torch.tensor(self.image, dtype=torch.float64)
        part = PropertyPart(self.box, exact, ball=self.ball)
        condition = tuple(Conjunction((unit[k] - unit[self.label])[None], zero) for k in rivals)
        try:
            return Query(network, lower, upper, condition, self.name or "witness", Sample(image, self.label, part=part))
        except QueryError as error:
            raise CertificateError(source, f"is no usable witness: {error.problem}", error.hint) from None


class _UnfitError(Exception):
    """Says what is wrong with a document."""


def _beats(rival: int, label: int) -> LinearConstraint:
    terms = ((rival, Fraction(1)), (label, Fraction(-1)))
    return LinearConstraint((), tuple(sorted(terms)), Fraction(0))


def _witness(document: Mapping[str, Any]) -> RealWitness:
    if "exact_lower" not in document or "label" not in document:
        raise _UnfitError("it states no robustness property, so nothing says what the output has to meet")
    network, label = document.get("network"), document.get("label")
    if not isinstance(network, dict) or not isinstance(network.get("sha256"), str):
        raise _UnfitError("it names no network")
    if not isinstance(label, int) or isinstance(label, bool) or label < 0:
        raise _UnfitError("'label' is no class")
    point, output, image = (_floats(document, name) for name in ("input", "output", "image"))
    lower, upper = (_fractions(document, name, len(point)) for name in ("exact_lower", "exact_upper"))
    if len(image) != len(point) or not all(low <= high for low, high in zip(lower, upper, strict=True)):
        raise _UnfitError("'image', 'input' and box do not belong together")
    words = (document.get(name) for name in ("query", "netproof"))
    name, producer = (word if isinstance(word, str) else "" for word in words)
    return RealWitness(
        network["sha256"], label, image, Box(lower, upper), _ball(document, len(point)), point, output, name,
        f"netproof {producer}" if producer else "",
    )  # fmt: skip


def _ball(document: Mapping[str, Any], size: int) -> Ball | None:
    norm = document.get("norm", "linf")
    if norm == "linf":
        return None
    if norm not in ("l1", "l2"):
        raise _UnfitError(f"its norm is '{str(norm)[:20]}'")
    center, weight = (_fractions(document, name, size) for name in ("center", "weight"))
    radius = _fraction(document.get("radius"), "radius")
    if radius < 0 or not all(w > 0 for w in weight):
        raise _UnfitError("its ball is none")
    return Ball(norm, center, weight, radius)


def _floats(document: Mapping[str, Any], name: str) -> tuple[float, ...]:
    values = document.get(name)
    if not isinstance(values, list) or not values:
        raise _UnfitError(f"'{name}' is no list of numbers")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise _UnfitError(f"'{name}' is no list of numbers")
    try:
        found = tuple(float(v) for v in values)
    except OverflowError:
        raise _UnfitError(f"'{name}' has a number that is too large") from None
    if not all(math.isfinite(v) for v in found):
        raise _UnfitError(f"'{name}' has a number that is too large")
    return found


def _fractions(document: Mapping[str, Any], name: str, size: int) -> tuple[Fraction, ...]:
    values = document.get(name)
    if not isinstance(values, list) or len(values) != size:
        raise _UnfitError(f"'{name}' is no list of {size} fractions")
    return tuple(_fraction(value, name) for value in values)


def _fraction(value: object, name: str) -> Fraction:
    above, slash, below = (value if isinstance(value, str) else "").partition("/")
    digits = above.removeprefix("-")
    whole = digits.isascii() and digits.isdigit() and (not slash or (below.isascii() and below.isdigit()))
    if not whole or len(str(value)) > _LONGEST_NUMBER or (slash and not int(below)):
        raise _UnfitError(f"'{name}' has '{str(value)[:20]}', which is no fraction in text")
    return Fraction(int(above), int(below) if slash else 1)
