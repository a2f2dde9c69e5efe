"""What files of all certificates have in common: signature, version, a header, a body of integers, a checksum.

docs/certificates.md specifies them. Nothing in a file is executed, and nothing is allocated before the file was found long
enough to fill it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from netproof.certificate import varint
from netproof.certificate.header import LONGEST
from netproof.certificate.varint import Integers
from netproof.errors import CertificateError

SIGNATURE = b"\x89NPCERT\n"
#: what reading a certificate may allocate
MEMORY = 2 << 30
#: signature, version, and the lengths of header, compressed body and body
_START = 8 + 4 + 4 + 8 + 8
_CHECKSUM = 32
_LARGEST_BODY = 1 << 31
#: of zlib's levels, the one at which nothing is lost that the next one would win (docs/certificates.md)
_LEVEL = 6
_PIECE = 1 << 16
_AGAIN = "download or copy it again, or make it anew"


@dataclass(frozen=True, eq=False)
class Container:
    """A file that is what its start and its checksum say."""

    version: int
    header: bytes
    body: memoryview
    body_length: int


def version_of(data: bytes) -> int:
    """The version that a file states; 0 where it is too short to state one."""
    return int.from_bytes(data[8:12], "little") if len(data) >= _START else 0


def pack(version: int, header: bytes, values: Integers) -> bytes:
    """The bytes of a file; raises ``ValueError`` for entries of 2**53 or more, and for a body that is too long."""
    body = varint.encode(values)
    if len(body) > _LARGEST_BODY:
        raise ValueError("a certificate's body is at most 2^31 bytes")
    packed = zlib.compress(body, _LEVEL)
    start = (
        SIGNATURE
        + version.to_bytes(4, "little")
        + len(header).to_bytes(4, "little")
        + len(packed).to_bytes(8, "little")
        + len(body).to_bytes(8, "little")
    )
    content = b"".join((start, header, packed))
    return content + hashlib.sha256(content).digest()


def unpack(data: bytes, source: str, versions: Sequence[int]) -> Container:
    """What is in a file of one of several versions; raises :class:`CertificateError`."""
    if not data.startswith(SIGNATURE):
        raise CertificateError(source, "is not a certificate", "give a file that netproof wrote with --certificate")
    if len(data) < _START:
        raise CertificateError(source, "is a certificate cut short", _AGAIN)
    version, header_length = (int.from_bytes(data[i : i + 4], "little") for i in (8, 12))
    packed_length, body_length = (int.from_bytes(data[i : i + 8], "little") for i in (16, 24))
    if version not in versions:
        raise CertificateError(
            source,
            f"is a certificate of format version {version}",
            f"this netproof reads versions {versions[0]} and {versions[-1]}: use the one that wrote it",
        )
    if header_length > LONGEST or body_length > _LARGEST_BODY:
        raise CertificateError(source, "states lengths that no certificate has", _AGAIN)
    length = _START + header_length + packed_length + _CHECKSUM
    if len(data) != length:
        raise CertificateError(source, f"has {len(data)} bytes where it states {length}", _AGAIN)
    view = memoryview(data)
    if hashlib.sha256(view[:-_CHECKSUM]).digest() != data[-_CHECKSUM:]:
        raise CertificateError(source, "is damaged (its checksum is wrong)", _AGAIN)
    header = bytes(view[_START : _START + header_length])
    return Container(version, header, view[_START + header_length : -_CHECKSUM], body_length)


def entries_of(container: Container, entries: int, needed: int, source: str, memory: int) -> Integers:
    """The entries of a body, of which the header states the number; reading them takes ``needed`` bytes, which may be ``memory``."""
    if not entries <= container.body_length <= varint.LONGEST * entries:
        raise CertificateError(source, f"states {entries} entries in {container.body_length} bytes", _AGAIN)
    if needed > memory:
        raise CertificateError(
            source,
            f"needs {needed} bytes to be read, more than are allowed",
            "allow more memory, if you trust its sender",
        )
    values = np.empty(entries, np.int64)
    fault = _inflate(container.body, container.body_length, values)
    if fault:
        raise CertificateError(source, f"has a damaged body ({fault})", _AGAIN)
    values.flags.writeable = False
    return values


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
