"""Certificates as files: a header in JSON, arrays of integers, a checksum. docs/certificates.md specifies them.

Nothing in a file is executed, and nothing is allocated before the file was found long enough to fill it.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import numpy as np

from netproof.certificate import varint
from netproof.certificate.contents import (
    NAMES,
    BoxProperty,
    Certificate,
    Integers,
    RobustnessProperty,
    arrays_of,
    fault_of,
)
from netproof.certificate.header import LONGEST, Header, decode_header, encode_header, version_of
from netproof.errors import CertificateError
from netproof.files.opened import read_bytes, write_bytes

__all__ = [
    "BoxProperty",
    "Certificate",
    "RobustnessProperty",
    "arrays_of",
    "decode",
    "encode",
    "read",
    "write",
]

SIGNATURE = b"\x89NPCERT\n"
#: without and with prices (docs/certificates.md)
VERSIONS = (1, 2)
#: signature, version, and the lengths of header, compressed body and body
_START = 8 + 4 + 4 + 8 + 8
_CHECKSUM = 32
_LARGEST_BODY = 1 << 31
#: what reading a certificate may allocate
MEMORY = 2 << 30
#: of zlib's levels, the one at which nothing is lost that the next one would win (docs/certificates.md)
_LEVEL = 6
_PIECE = 1 << 16
_AGAIN = "download or copy it again, or make it anew"


def encode(certificate: Certificate) -> bytes:
    """The bytes of a certificate: the same certificate gives the same bytes (with the same zlib).

    Raises ``ValueError`` for entries of 2**53 or more and for a header beyond 1 MiB. Whether the arrays fit together is left to
    :func:`decode`.
    """
    arrays = [certificate.arrays[name] for name in NAMES]
    body = varint.encode(np.concatenate(arrays))
    if len(body) > _LARGEST_BODY:
        raise ValueError("a certificate's body is at most 2^31 bytes")
    of = Header.of(certificate)
    header = encode_header(of)
    packed = zlib.compress(body, _LEVEL)
    start = (
        SIGNATURE
        + version_of(of).to_bytes(4, "little")
        + len(header).to_bytes(4, "little")
        + len(packed).to_bytes(8, "little")
        + len(body).to_bytes(8, "little")
    )
    content = b"".join((start, header, packed))
    return content + hashlib.sha256(content).digest()


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
    if not data.startswith(SIGNATURE):
        raise CertificateError(source, "is not a certificate", "give a file that netproof wrote with --certificate")
    if len(data) < _START:
        raise CertificateError(source, "is a certificate cut short", _AGAIN)
    version, header_length = (int.from_bytes(data[i : i + 4], "little") for i in (8, 12))
    packed_length, body_length = (int.from_bytes(data[i : i + 8], "little") for i in (16, 24))
    if version not in VERSIONS:
        raise CertificateError(
            source,
            f"is a certificate of format version {version}",
            f"this netproof reads versions {VERSIONS[0]} and {VERSIONS[-1]}: use the one that wrote it",
        )
    if header_length > LONGEST or body_length > _LARGEST_BODY:
        raise CertificateError(source, "states lengths that no certificate has", _AGAIN)
    length = _START + header_length + packed_length + _CHECKSUM
    if len(data) != length:
        raise CertificateError(source, f"has {len(data)} bytes where it states {length}", _AGAIN)
    view = memoryview(data)
    if hashlib.sha256(view[:-_CHECKSUM]).digest() != data[-_CHECKSUM:]:
        raise CertificateError(source, "is damaged (its checksum is wrong)", _AGAIN)
    header = decode_header(bytes(view[_START : _START + header_length]), source, version)
    if version_of(header) != version:
        raise CertificateError(source, f"is of format version {version} without need", "make it anew")
    entries = sum(header.sizes)
    if not entries <= body_length <= varint.LONGEST * entries:
        raise CertificateError(source, f"states {entries} entries in {body_length} bytes", _AGAIN)
    # The arrays, and what finding one's way in the tree and computing with constraints takes.
    needed = 8 * entries + 64 * sum(header.sizes[NAMES.index(name)] for name in ("coefficients", "row_mu", "kind"))
    if needed > memory:
        raise CertificateError(
            source,
            f"needs {needed} bytes to be read, more than are allowed",
            "allow more memory, if you trust its sender",
        )
    values = np.empty(entries, np.int64)
    fault = _inflate(view[_START + header_length : -_CHECKSUM], body_length, values)
    if fault:
        raise CertificateError(source, f"has a damaged body ({fault})", _AGAIN)
    values.flags.writeable = False
    ends = np.cumsum(header.sizes)[:-1]
    certificate = header.certificate(dict(zip(NAMES, np.split(values, ends), strict=True)))
    fault = fault_of(certificate)
    if fault:
        raise CertificateError(source, f"is inconsistent: {fault}", "make it anew")
    return certificate


def _inflate(packed: memoryview, length: int, values: Integers) -> str:
    """Decompress a body of ``length`` bytes into its entries; what is wrong with it, or the empty string."""
    decoder = varint.Decoder(values)
    inflater = zlib.decompressobj()
    left = length
    try:
        for start in range(0, len(packed), _PIECE):
            rest: bytes | memoryview = packed[start : start + _PIECE]
            while len(rest):
                if inflater.eof:
                    return "something follows it"
                piece = inflater.decompress(rest, max(1, min(left, _PIECE)))
                left -= len(piece)
                if left < 0:
                    return f"it is longer than the {length} bytes stated"
                decoder.feed(piece)
                if decoder.fault:
                    return decoder.fault
                rest = inflater.unconsumed_tail
    except zlib.error as error:
        return str(error)
    if not inflater.eof or inflater.unused_data or left:
        return "it ends early" if not inflater.eof or left else "something follows it"
    decoder.close()
    return decoder.fault


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
        data = Path(path).read_bytes()
    except OSError:
        return False
    return data[:3] == SIGNATURE[:3] and hashlib.sha256(data[:-_CHECKSUM]).digest() == data[-_CHECKSUM:]
