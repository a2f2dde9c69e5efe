"""No damage to a file makes the checker accept what is not true, or fail otherwise than by its two exceptions."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter

import numpy as np
import pytest

from netproof.certificate.checker.check import check
from netproof.certificate.format import decode, encode
from netproof.errors import CertificateError, ProofError
from soundness.random_certificates import Draft, batches, random_draft
from soundness.reference_checker import Reference, accepts

_START = 32


def accepted_drafts(seed: int, count: int) -> list[tuple[Draft, np.random.Generator]]:
    found = []
    for random in batches(seed, 40 * count):
        draft = random_draft(random)
        if len(draft.rows) > 1 and accepts(draft.certificate(), draft.net):
            found.append((draft, random))
            if len(found) == count:
                break
    return found


def outcome(data: bytes, draft: Draft) -> str:
    try:
        certificate = decode(data, memory=1 << 24)
        check(certificate, draft.net.network())
    except CertificateError:
        return "unusable"
    except ProofError:
        return "rejected"
    assert certificate.claim == "unsat"
    assert Reference(certificate, draft.net).claim_is_true()
    return "accepted"


def sealed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def parts(data: bytes) -> tuple[bytes, bytes]:
    """Header and body of a file."""
    length = int.from_bytes(data[12:16], "little")
    return data[_START : _START + length], zlib.decompress(data[_START + length : -32])


def assembled(header: bytes, body: bytes) -> bytes:
    packed = zlib.compress(body)
    sizes = len(header).to_bytes(4, "little") + len(packed).to_bytes(8, "little") + len(body).to_bytes(8, "little")
    version = 2 if b"price_row" in header else 1
    return sealed(b"\x89NPCERT\n" + version.to_bytes(4, "little") + sizes + header + packed)


def flipped(random: np.random.Generator, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        damaged[int(random.integers(len(damaged)))] ^= 1 << int(random.integers(8))
    return bytes(damaged)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files(seed):
    seen: Counter[str] = Counter()
    for draft, random in accepted_drafts(100 + seed, 4):
        data = encode(draft.certificate())
        assert outcome(data, draft) == "accepted"
        header, body = parts(data)
        for _ in range(60):
            damaged = flipped(random, data)
            assert damaged == data or outcome(damaged, draft) == "unusable"
            seen["packed, " + outcome(sealed(flipped(random, data[:-32])), draft)] += 1
        for _ in range(150):
            seen["body, " + outcome(assembled(header, flipped(random, body)), draft)] += 1
            seen["header, " + outcome(assembled(flipped(random, header), body), draft)] += 1
            at = int(random.integers(len(body)))
            other = body[:at] + bytes([int(random.integers(256))]) + body[at + int(random.integers(2)) :]
            seen["body, " + outcome(assembled(header, other), draft)] += 1
    assert seen["body, rejected"] and seen["body, unusable"] and seen["body, accepted"]
    assert sum(count for what, count in seen.items() if what.startswith("header")) > 500


def test_every_truncation():
    (draft, _), *_ = accepted_drafts(110, 1)
    data = encode(draft.certificate())
    for length in range(len(data)):
        assert outcome(data[:length], draft) == "unusable"
        if _START <= length != len(data) - 32:
            assert outcome(sealed(data[:length]), draft) == "unusable"


def test_sizes_blown_up():
    (draft, random), *_ = accepted_drafts(111, 1)
    data = encode(draft.certificate())
    header, body = parts(data)
    for position, width in ((8, 4), (12, 4), (16, 8), (24, 8)):
        for size in (0, 1, 2**20, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**40, 2**62, 2**64 - 1):
            blown = data[:position] + (size % 2 ** (8 * width)).to_bytes(width, "little") + data[position + width : -32]
            assert blown == data[:-32] or outcome(sealed(blown), draft) == "unusable"
    text = header.decode()
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    for _ in range(300):
        at = digits[int(random.integers(len(digits)))]
        number = str(
            random.choice(["9", "99", "999999", "2147483648", "9007199254740991", "99999999999999999999999", "-1"])
        )
        blown_header = (text[:at] + number + text[at + 1 :]).encode()
        assert outcome(assembled(blown_header, body), draft) in ("unusable", "rejected", "accepted")
