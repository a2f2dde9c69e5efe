"""Certificates about networks of real numbers as files: versions 3 to 5 of the format (docs/certificates.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netproof.certificate.container import MEMORY, entries_of, pack, unpack
from netproof.certificate.header import LONGEST
from netproof.certificate.real.contents import (
    NAMES,
    WITHOUT_PAIRS,
    WITHOUT_PLANES,
    RealCertificate,
    arrays_of,
    fault_of,
)
from netproof.errors import CertificateError
from netproof.files.opened import write_bytes

#: the arrays of files without planes and pairs, without pairs, and with some
_NAMES = {3: WITHOUT_PLANES, 4: WITHOUT_PAIRS, 5: NAMES}
VERSIONS = tuple(_NAMES)
#: what a file of a version has to have
_NEEDED = {4: "planes", 5: "pairs"}
_AGAIN = "make it anew"
_MOST = 1 << 31


def encode(certificate: RealCertificate) -> bytes:
    """The bytes of a certificate; raises ``ValueError`` for entries of 2**53 or more and for a header beyond 1 MiB."""
    version = _version_of(certificate)
    names = _NAMES[version]
    header = _canonical(_document(certificate, [(name, len(certificate.arrays[name])) for name in names]))
    if len(header) > LONGEST:
        raise ValueError("a certificate's header is at most 1 MiB")
    return pack(version, header, np.concatenate([certificate.arrays[name] for name in names]))


def decode(data: bytes, source: str = "certificate", *, memory: int = MEMORY) -> RealCertificate:
    """The certificate in ``data``; raises :class:`CertificateError` for what is none, damaged, inconsistent, or too large."""
    container = unpack(data, source, VERSIONS)
    names = _NAMES[container.version]
    try:
        # Numbers are short: whatever int() makes of longer ones is refused below, by its canonical form or its range.
        document = json.loads(
            container.header.decode("utf-8"), parse_int=_integer, parse_float=_refuse, parse_constant=_refuse
        )
        sizes = [_count(size) for _, size in _pairs(document, names)]
        claim = document["claim"]
        if claim not in ("unsat", "sat"):
            raise ValueError("the claim")
        certificate = RealCertificate(
            _sha256(document["network"]["sha256"]),
            _sha256(document["property"]["sha256"]),
            _count(document["property"]["inputs"]),
            _count(document["property"]["outputs"]),
            claim,
            {},
            _text(document["name"]),
            _text(document["producer"]),
        )
        canonical = _canonical(_document(certificate, list(zip(names, sizes, strict=True))))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CertificateError(source, f"has a header that is none of version {container.version}", _AGAIN) from None
    if canonical != container.header:
        raise CertificateError(source, "has a header that is not in canonical form", _AGAIN)
    values = entries_of(container, sum(sizes), 128 * sum(sizes), source, memory)
    arrays = arrays_of(**dict(zip(names, np.split(values, np.cumsum(sizes)[:-1]), strict=True)))
    certificate = RealCertificate(
        certificate.network_sha256,
        certificate.property_sha256,
        certificate.inputs,
        certificate.outputs,
        certificate.claim,
        arrays,
        certificate.name,
        certificate.producer,
    )
    if container.version != _version_of(certificate):
        needed = _NEEDED[container.version]
        raise CertificateError(source, f"is of version {container.version} and has no {needed}", _AGAIN)
    fault = fault_of(certificate)
    if fault:
        raise CertificateError(source, f"is inconsistent: {fault}", _AGAIN)
    return certificate


def write(path: str | Path, certificate: RealCertificate, *, durable: bool = True) -> int:
    """Write a certificate file whole or not at all; its size. Raises :class:`InputError` where that fails."""
    data = encode(certificate)
    write_bytes(path, data, durable=durable)
    return len(data)


def _version_of(certificate: RealCertificate) -> int:
    """The first version that has all arrays that say something."""
    used = {name for name, values in certificate.arrays.items() if len(values)}
    used -= {name for name in ("row_planes", "row_pairs") if not certificate.arrays[name].any()}
    return next(version for version, names in _NAMES.items() if used <= set(names))


def _document(certificate: RealCertificate, sizes: list[tuple[str, int]]) -> dict[str, object]:
    return {
        "arithmetic": "real",
        "arrays": [[name, size] for name, size in sizes],
        "claim": certificate.claim,
        "name": certificate.name,
        "network": {"sha256": certificate.network_sha256},
        "producer": certificate.producer,
        "property": {
            "inputs": certificate.inputs,
            "kind": "vnnlib",
            "outputs": certificate.outputs,
            "sha256": certificate.property_sha256,
        },
    }


def _canonical(document: object) -> bytes:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def _pairs(document: Any, names: Sequence[str]) -> list[tuple[str, Any]]:
    pairs = [(name, size) for name, size in document["arrays"]]
    if [name for name, _ in pairs] != list(names):
        raise ValueError("the arrays")
    return pairs


def _integer(digits: str) -> int:
    if len(digits) > 16:
        raise ValueError("a number")
    return int(digits)


def _refuse(text: str) -> int:
    raise ValueError(text[:20])


def _count(value: object) -> int:
    # bool is a kind of int in Python, and no number in JSON.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError("a number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _sha256(value: object) -> str:
    text = _text(value)
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise ValueError("a SHA-256")
    return text
