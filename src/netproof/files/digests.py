"""Hashes by which published files are known: SHA-256, or the name git gives to a file's content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from netproof.files.opened import open_file

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Digest:
    """A published hash.

    Attributes
    ----------
    kind : ``sha256``, or ``git``: the SHA-1 of ``blob <size>``, a zero byte and the content (``git hash-object``)
    value : in lower case hexadecimal
    """

    kind: Literal["sha256", "git"]
    value: str

    def __str__(self) -> str:
        return f"{'SHA-256' if self.kind == 'sha256' else 'git blob SHA-1'} {self.value}"

    def of(self, path: Path) -> Digest:
        """The hash of the same kind of a file; raises ``OSError``."""
        size = path.stat().st_size
        # SHA-1 is what git has; against a chosen collision it is no proof, against a wrong file it is.
        hashing = (
            hashlib.sha256() if self.kind == "sha256" else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        )
        with open_file(path) as stream:
            while chunk := stream.read(_CHUNK):
                hashing.update(chunk)
        return Digest(self.kind, hashing.hexdigest())
