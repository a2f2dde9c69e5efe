"""Witness documents in JSON (docs/commands.md, *A witness file*), read with the suspicion a stranger's file deserves."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netproof.certificate import bundle
from netproof.certificate.bundle import Bundle, decode_bundle
from netproof.certificate.container import SIGNATURE, version_of
from netproof.certificate.contents import Certificate, RobustnessProperty, arrays_of
from netproof.certificate.format import MEMORY, decode
from netproof.certificate.real.contents import RealCertificate
from netproof.certificate.real.format import VERSIONS
from netproof.certificate.real.format import decode as decode_real
from netproof.certificate.real.witness import RealWitness
from netproof.certificate.sets import SetCertificate, is_set_document, set_certificate_from
from netproof.errors import CertificateError
from netproof.files.opened import read_bytes

#: what a document says it is; :func:`netproof.certificate.make.witness_document` writes it
FORMAT = "netproof-witness-1"
#: no witness document is longer
_LONGEST = 1 << 26
_LARGEST = 1 << 53
_DIGITS = 16
_HINT = "give a witness that netproof wrote"
_OF_REALS = re.compile(rb'"arithmetic"\s*:\s*"real"')


@dataclass(frozen=True, eq=False)
class WitnessDocument:
    """A witness document of a robustness query.

    Attributes
    ----------
    certificate : the same as a certificate of claim ``sat``, about the box of the radius
    norm : what the radius is one in, ``linf``, ``l1`` or ``l2``
    output : what the document says the network computes
    predicted : the class it says that is
    changed, largest_change : how many inputs it says moved, and by how much at most
    """

    certificate: Certificate
    output: tuple[int, ...]
    predicted: int
    changed: int
    largest_change: int
    norm: str = "linf"


def read_evidence(
    path: str | Path, *, memory: int = MEMORY
) -> Certificate | Bundle | WitnessDocument | SetCertificate | RealCertificate | RealWitness:
    """Read a certificate, one of several parts or of a finite set, or a witness document; raises :class:`CertificateError` and :class:`FormatError`."""
    data = read_bytes(path, "certificate")
    if data.startswith(SIGNATURE) and version_of(data) in VERSIONS:
        return decode_real(data, str(path), memory=memory)
    if data[:64].lstrip().startswith(b"{"):
        document = _parsed(data, str(path))
        if isinstance(document, dict) and document.get("arithmetic") == "real" and document.get("format") == FORMAT:
            return RealWitness.of(document, str(path))
        if is_set_document(document):
            return set_certificate_from(document, str(path))
        return _witness(document, str(path))
    if data.startswith(bundle.SIGNATURE):
        return decode_bundle(data, str(path), memory=memory)
    return decode(data, str(path), memory=memory)


def decode_witness(data: bytes, source: str = "witness") -> WitnessDocument:
    """The document in ``data``; raises :class:`CertificateError` where it is none, or incomplete."""
    return _witness(_parsed(data, source), source)


def _parsed(data: bytes, source: str) -> Any:
    if len(data) > _LONGEST:
        raise CertificateError(source, f"is longer than {_LONGEST} bytes", _HINT)
    try:
        return json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=float if _OF_REALS.search(data) else _refuse,
            parse_constant=_refuse,
        )
    except _UnfitError as error:
        raise CertificateError(source, f"is no usable witness: {error}", _HINT) from None
    except (ValueError, RecursionError):
        raise CertificateError(source, "is neither a certificate nor a JSON document", _HINT) from None


def _witness(document: object, source: str) -> WitnessDocument:
    try:
        return _document(document)
    except _UnfitError as error:
        raise CertificateError(source, f"is no usable witness: {error}", _HINT) from None


class _UnfitError(Exception):
    """Says what is wrong with a document."""


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _UnfitError("a field is there twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS + 1:
        raise _UnfitError("a number is too large")
    return int(digits)


def _refuse(text: str) -> int:
    raise _UnfitError(f"'{text[:20]}' is no integer")


def _document(document: object) -> WitnessDocument:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _UnfitError(f"its format is not {FORMAT}")
    if document.get("arithmetic") != "integer":
        raise _UnfitError("its arithmetic is not 'integer'")
    if "image" not in document:
        raise _UnfitError("it states no robustness property, so nothing says what the output has to meet")
    norm = document.get("norm", "linf")
    if norm not in ("linf", "l1", "l2"):
        raise _UnfitError(f"its norm is '{str(norm)[:20]}'")
    network = document.get("network")
    if not isinstance(network, dict) or not isinstance(network.get("sha256"), str):
        raise _UnfitError("it names no network")
    scheme = network.get("scheme")
    if not isinstance(scheme, dict):
        raise _UnfitError("it does not say how the network is read")
    image, moved, output = (_numbers(document, name) for name in ("image", "input", "output"))
    certificate = Certificate(
        network_sha256=network["sha256"],
        scheme={name: _number(scheme, name) for name in scheme},
        inputs=len(moved),
        outputs=len(output),
        claim="sat",
        property=RobustnessProperty(_number(document, "label"), _number(document, "radius")),
        arrays=arrays_of(image=image, witness=moved),
        name=document["query"] if isinstance(document.get("query"), str) else "",
        producer=f"netproof {document['netproof']}" if isinstance(document.get("netproof"), str) else "",
        runtime=document["runtime"] if isinstance(document.get("runtime"), str) else "",
    )
    if len(image) != len(moved):
        raise _UnfitError("'image' and 'input' are of different lengths")
    return WitnessDocument(
        certificate,
        tuple(output),
        _number(document, "class"),
        _number(document, "changed"),
        _number(document, "largest_change"),
        norm,
    )


def _number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LARGEST:
        raise _UnfitError(f"'{name[:40]}' is no whole number")
    return value


def _numbers(fields: dict[str, Any], name: str) -> list[int]:
    values = fields.get(name)
    if not isinstance(values, list) or not values:
        raise _UnfitError(f"'{name}' is no list of integers")
    if not all(isinstance(v, int) and not isinstance(v, bool) and abs(v) < _LARGEST for v in values):
        raise _UnfitError(f"'{name}' is no list of integers")
    return values
