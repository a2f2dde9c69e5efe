"""Certificates of finite sets: what the set is, and the witness where there is one, as a JSON document (docs/certificates.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from netproof.arguments.words import described
from netproof.certificate.certifiable import check_certifiable
from netproof.errors import CertificateError, InputError, QueryError
from netproof.perturbations.asked import SetQuery
from netproof.perturbations.base import Perturbation
from netproof.perturbations.documents import set_document, set_of
from netproof.query import Result, Verdict

FORMAT = "netproof-set-1"
_FIELDS = {
    "arithmetic", "claim", "count", "format", "image", "label", "name", "network", "producer", "set", "witness"
}  # fmt: skip
_LARGEST = 1 << 53
_HINT = "give a certificate that netproof wrote"


@dataclass(frozen=True, eq=False)
class SetCertificate:
    """The content of a certificate of a finite set.

    Attributes
    ----------
    network_sha256, scheme, runtime : the network, and how its file is read
    image, label, perturbation, count : the set, the class that is claimed of it, and how many inputs it has
    claim : ``"unsat"``, all inputs of the set have the class, or ``"sat"``, :attr:`witness` is one that has another
    name, producer : free text
    """

    network_sha256: str
    scheme: Mapping[str, int]
    runtime: str
    image: tuple[int, ...]
    label: int
    perturbation: Perturbation
    count: int
    claim: Literal["unsat", "sat"]
    witness: tuple[int, ...]
    name: str = ""
    producer: str = ""

    def encoded(self) -> bytes:
        """The file's bytes."""
        document = {
            "arithmetic": "integer",
            "claim": self.claim,
            "count": self.count,
            "format": FORMAT,
            "image": list(self.image),
            "label": self.label,
            "name": self.name,
            "network": {"runtime": self.runtime, "scheme": dict(self.scheme), "sha256": self.network_sha256},
            "producer": self.producer,
            "set": set_document(self.perturbation),
            "witness": list(self.witness),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def set_certificate_of(query: SetQuery, result: Result, *, producer: str = "") -> SetCertificate:
    """The certificate of a verdict about a finite set.

    Raises
    ------
    QueryError : there is nothing to certify
    InputError : of a network that no certificate can be about: one whose file has no second reader
    """
    for word, given, kind in (("query", query, SetQuery), ("result", result, Result)):
        if not isinstance(given, kind):
            raise InputError(word, f"is {described(given)}", "give a SetQuery, and what netproof.verify found of it")
    if result.verdict not in (Verdict.SAT, Verdict.UNSAT):
        raise QueryError(
            query.name, f"there is nothing to certify: the result is {result.verdict.value}", "allow more time"
        )
    network = query.network
    check_certifiable(network, query.name)
    return SetCertificate(
        network_sha256=network.sha256,
        scheme=network.scheme,
        runtime=network.runtime,
        image=tuple(query.image.values.tolist()),
        label=query.label,
        perturbation=query.perturbation,
        count=query.count,
        claim="sat" if result.witness is not None else "unsat",
        witness=() if result.witness is None else tuple(result.witness.input.tolist()),
        name=query.name,
        producer=producer,
    )


class _UnfitError(Exception):
    """Says what is wrong with a document."""


def is_set_document(document: object) -> bool:
    """Whether a JSON document says that it is a certificate of a finite set."""
    return isinstance(document, dict) and document.get("format") == FORMAT


def set_certificate_from(document: Mapping[str, Any], source: str) -> SetCertificate:
    """The certificate that a JSON document holds; raises :class:`CertificateError`."""
    try:
        return _certificate(document)
    except _UnfitError as error:
        raise CertificateError(source, f"is no usable certificate: {error}", _HINT) from None
    except QueryError as error:
        raise CertificateError(source, f"is no usable certificate: {error.problem}", _HINT) from None


def _certificate(document: Mapping[str, Any]) -> SetCertificate:
    if set(document) != _FIELDS:
        raise _UnfitError("its fields are not those of a certificate of a set")
    network = document["network"]
    if not isinstance(network, dict) or set(network) != {"runtime", "scheme", "sha256"}:
        raise _UnfitError("it does not say which network it is about")
    scheme = network["scheme"]
    if not isinstance(scheme, dict):
        raise _UnfitError("it does not say how the network is read")
    claim = document["claim"]
    if document["arithmetic"] != "integer" or claim not in ("unsat", "sat") or not isinstance(document["set"], dict):
        raise _UnfitError("its arithmetic, its claim or its set is none")
    image, witness = (_numbers(document[name]) for name in ("image", "witness"))
    if not image or len(witness) not in (0, len(image)) or (len(witness) > 0) != (claim == "sat"):
        raise _UnfitError("its image and its witness do not belong together")
    return SetCertificate(
        network_sha256=_text(network["sha256"]),
        scheme={_text(name): _number(width) for name, width in scheme.items()},
        runtime=_text(network["runtime"]),
        image=image,
        label=_number(document["label"]),
        perturbation=set_of(document["set"]),
        count=_number(document["count"]),
        claim="unsat" if claim == "unsat" else "sat",
        witness=witness,
        name=_text(document["name"]),
        producer=_text(document["producer"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 1 << 16:
        raise _UnfitError("a text is none")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _LARGEST:
        raise _UnfitError("a number is none")
    return value


def _numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise _UnfitError("a list of numbers is none")
    return tuple(_number(value) for value in values)
