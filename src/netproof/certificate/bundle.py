"""Certificates of questions with several parts: one certificate per part, in one file. See docs/certificates.md."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from netproof.arguments.words import described
from netproof.certificate.contents import Certificate, ClassProperty
from netproof.certificate.format import MEMORY, decode, encode
from netproof.errors import CertificateError, InputError
from netproof.files.opened import as_path, write_bytes

SIGNATURE = b"\x89NPPART\n"
VERSION = 1
#: signature, version, number of parts
_START = 8 + 4 + 8
_LENGTH, _CHECKSUM = 8, 32
_AGAIN = "download or copy it again, or make it anew"


@dataclass(frozen=True, eq=False)
class Bundle:
    """Proofs about several input sets of one network: that no input of any of them meets what is asked of it.

    Attributes
    ----------
    parts : at least two certificates of claim ``unsat``, about the same network, read in the same way
    """

    parts: tuple[Certificate, ...]


def fault_of_bundle(parts: Sequence[Certificate]) -> str:
    """What keeps certificates from being a bundle; empty where nothing does."""
    if len(parts) < 2:
        return "it has fewer than two parts"
    first = parts[0]
    network = (first.network_sha256, dict(first.scheme), first.runtime, first.inputs, first.outputs)
    for number, part in enumerate(parts):
        if part.claim != "unsat":
            return f"part {number} claims '{part.claim}'"
        if (part.network_sha256, dict(part.scheme), part.runtime, part.inputs, part.outputs) != network:
            return f"part {number} is about another network than part 0, or reads it in another way"
        # A class is one of an image, and what is said of the whole is said of both.
        if ClassProperty in (type(part.property), type(first.property)) and (
            part.property != first.property or not np.array_equal(part.arrays["image"], first.arrays["image"])
        ):
            return f"part {number} is about another image or class than part 0"
    return ""


def encode_bundle(bundle: Bundle) -> bytes:
    """The bytes of a bundle; raises ``ValueError`` for certificates that make none, and as :func:`encode`."""
    fault = fault_of_bundle(bundle.parts)
    if fault:
        raise ValueError(f"no bundle: {fault}")
    files = [encode(part) for part in bundle.parts]
    start = SIGNATURE + VERSION.to_bytes(4, "little") + len(files).to_bytes(8, "little")
    content = b"".join((start, *(len(file).to_bytes(_LENGTH, "little") + file for file in files)))
    return content + hashlib.sha256(content).digest()


def decode_bundle(data: bytes, source: str = "certificate", *, memory: int = MEMORY) -> Bundle:
    """The bundle in ``data``, which begins with :data:`SIGNATURE`; raises :class:`CertificateError`.

    ``memory`` bounds what the arrays of all parts together may take.
    """
    if len(data) < _START + _CHECKSUM:
        raise CertificateError(source, "is a certificate cut short", _AGAIN)
    version, count = int.from_bytes(data[8:12], "little"), int.from_bytes(data[12:20], "little")
    if version != VERSION:
        problem = f"is a certificate of several parts, format version {version}"
        raise CertificateError(source, problem, f"this netproof reads version {VERSION}: use the one that wrote it")
    view = memoryview(data)
    if hashlib.sha256(view[:-_CHECKSUM]).digest() != data[-_CHECKSUM:]:
        raise CertificateError(source, "is damaged (its checksum is wrong)", _AGAIN)
    parts: list[Certificate] = []
    at, end = _START, len(data) - _CHECKSUM
    while at < end:
        length = int.from_bytes(data[at : at + _LENGTH], "little")
        at += _LENGTH
        if length > end - at or len(parts) == count:
            raise CertificateError(source, "has parts of other lengths than it states", _AGAIN)
        part = decode(bytes(view[at : at + length]), f"{source}, part {len(parts)}", memory=memory)
        memory -= sum(array.nbytes for array in part.arrays.values())
        parts.append(part)
        at += length
    if len(parts) != count:
        raise CertificateError(source, f"states {count} parts and has {len(parts)}", _AGAIN)
    fault = fault_of_bundle(parts)
    if fault:
        raise CertificateError(source, f"is inconsistent: {fault}", "make it anew")
    return Bundle(tuple(parts))


def write(path: str | Path, certificate: Certificate | Bundle, *, durable: bool = True) -> None:
    """Write a certificate file whole or not at all, and (``durable``) onto the disk; raises :class:`InputError`
    where that fails."""
    given: object = certificate
    if not isinstance(given, Certificate | Bundle):
        raise InputError("certificate", f"is {described(given)}", "give write_certificate(path, certificate)")
    path = as_path(path, "path")
    data = encode_bundle(certificate) if isinstance(certificate, Bundle) else encode(certificate)
    write_bytes(path, data, durable=durable)
