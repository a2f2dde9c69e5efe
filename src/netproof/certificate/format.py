"""Certificates of integer networks as files (:mod:`netproof.certificate.container`). docs/certificates.md specifies them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from netproof.certificate.container import MEMORY, SIGNATURE, entries_of, pack, unpack
from netproof.certificate.contents import (
    NAMES,
    BoxProperty,
    Certificate,
    ClassProperty,
    RobustnessProperty,
    arrays_of,
    fault_of,
)
from netproof.certificate.header import Header, decode_header, encode_header, version_of
from netproof.errors import CertificateError
from netproof.files.opened import open_file, read_bytes, write_bytes

__all__ = [
    "MEMORY",
    "SIGNATURE",
    "BoxProperty",
    "Certificate",
    "ClassProperty",
    "RobustnessProperty",
    "arrays_of",
    "decode",
    "encode",
    "read",
    "write",
]

#: without and with prices (docs/certificates.md)
VERSIONS = (1, 2)
_CHECKSUM = 32


def encode(certificate: Certificate) -> bytes:
    """The bytes of a certificate: the same certificate gives the same bytes (with the same zlib).

    Raises ``ValueError`` for entries of 2**53 or more and for a header beyond 1 MiB. Whether the arrays fit together is left to
    :func:`decode`.
    """
    of = Header.of(certificate)
    return pack(version_of(of), encode_header(of), np.concatenate([certificate.arrays[name] for name in NAMES]))


def decode(data: bytes, source: str = "certificate", *, memory: int = MEMORY) -> Certificate:
    """The certificate in ``data``.

    Parameters
    ----------
    data : a file's content
    source : how errors call it
    memory : the most bytes its arrays may take

    Raises
    ------
    CertificateError : no certificate, of another version, damaged, inconsistent in itself, or too large
    """
    container = unpack(data, source, VERSIONS)
    header = decode_header(container.header, source, container.version)
    if version_of(header) != container.version:
        raise CertificateError(source, f"is of format version {container.version} without need", "make it anew")
    entries = sum(header.sizes)
    # The arrays, and what finding one's way in the tree and computing with constraints takes.
    needed = 8 * entries + 64 * sum(header.sizes[NAMES.index(name)] for name in ("coefficients", "row_mu", "kind"))
    values = entries_of(container, entries, needed, source, memory)
    ends = np.cumsum(header.sizes)[:-1]
    certificate = header.certificate(dict(zip(NAMES, np.split(values, ends), strict=True)))
    fault = fault_of(certificate)
    if fault:
        raise CertificateError(source, f"is inconsistent: {fault}", "make it anew")
    return certificate


def read(path: str | Path, *, memory: int = MEMORY) -> Certificate:
    """Read a certificate file, plain or gzip; raises :class:`CertificateError` and :class:`FormatError`."""
    return decode(read_bytes(path, "certificate"), str(path), memory=memory)


def write(path: str | Path, certificate: Certificate, *, durable: bool = True) -> None:
    """Write a certificate file whole or not at all, and (``durable``) onto the disk; raises :class:`InputError`
    where that fails."""
    write_bytes(path, encode(certificate), durable=durable)


def is_intact(path: str | Path) -> bool:
    """Whether a file is there and ends with the checksum of what it holds, as every certificate does."""
    try:
        with open_file(Path(path)) as stream:
            data = stream.read()
    except OSError:
        return False
    return data[:3] == SIGNATURE[:3] and hashlib.sha256(data[:-_CHECKSUM]).digest() == data[-_CHECKSUM:]
