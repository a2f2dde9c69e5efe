"""Which images a benchmark asks about: those that no cheap method settles.

Every image goes through filters one after the other, and the first that takes it says why. What was judged is on
record as it comes, so that hours of attacking are not lost: the same command goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes, unwritable
from netproof.making.boxes import Normalization, image_box, normalized_image
from netproof.making.generate import Shuffled

_COLUMNS = ("position", "index", "label", "judgement")
_HINT = "free some space and run the same command again: what was judged is on record"


class Judgement(str, Enum):
    """What became of an image."""

    SELECTED = "selected"
    MISCLASSIFIED = "misclassified"
    ATTACKED = "attacked"
    VERIFIED = "verified"


@dataclass(frozen=True, eq=False)
class Candidate:
    """An image to be judged.

    Attributes
    ----------
    position, index : its place in the shuffled order, and in the set of images
    label : its class
    centre, lower, upper : the normalized image and the ends of its box, float32 ``[C, H, W]``
    """

    position: int
    index: int
    label: int
    centre: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]


class Filter(Protocol):
    """Takes images out of the selection.

    Attributes
    ----------
    judgement : what the images it takes are
    description : all that its answers depend on, in words; records of other filters are not gone on with
    """

    judgement: Judgement
    description: str

    def takes(self, candidates: Sequence[Candidate]) -> Sequence[bool]:
        """Which candidates it takes. An answer depends on its candidate alone, not on the others beside it."""
        ...


def candidate(images: Shuffled, position: int, radius: float, normalization: Normalization) -> Candidate:
    """The image at a position, to be judged."""
    image = images.image(position)
    lower, upper = image_box(image, radius, normalization)
    centre = normalized_image(image, normalization)
    return Candidate(position, int(images.order[position]), images.label(position), centre, lower, upper)


def judge(candidates: Sequence[Candidate], filters: Sequence[Filter]) -> list[Judgement]:
    """What becomes of candidates; each filter sees those that the ones before it left."""
    judgements = [Judgement.SELECTED] * len(candidates)
    for each in filters:
        left = [n for n, judgement in enumerate(judgements) if judgement is Judgement.SELECTED]
        if not left:
            break
        for n, taken in zip(left, each.takes([candidates[n] for n in left]), strict=True):
            if taken:
                judgements[n] = each.judgement
    return judgements


def select(
    images: Shuffled,
    radius: float,
    normalization: Normalization,
    filters: Sequence[Filter],
    record: SelectionRecord,
    *,
    limit: int | None = None,
    batch: int = 16,
) -> Iterator[tuple[Candidate, Judgement]]:
    """Judge the first ``limit`` positions that are not on record yet, and put them there; yields them as they come."""
    count = len(images.images) if limit is None else min(limit, len(images.images))
    pending = [position for position in range(count) if position not in record.judgements]
    for start in range(0, len(pending), batch):
        candidates = [candidate(images, p, radius, normalization) for p in pending[start : start + batch]]
        judged = list(zip(candidates, judge(candidates, filters), strict=True))
        record.add(judged)
        yield from judged


def conditions(
    images: Shuffled, radius: float, normalization: Normalization, filters: Sequence[Filter], network: str
) -> dict[str, object]:
    """All that judgements depend on, as a record states it; ``network`` is the SHA-256 of its file."""
    content = hashlib.sha256(np.ascontiguousarray(images.images.images).tobytes())
    content.update(images.images.labels.tobytes())
    return {
        "network": network,
        "images": content.hexdigest(),
        "shuffle": images.seed,
        "radius": radius,
        "mean": list(normalization.mean),
        "std": list(normalization.std),
        "filters": [each.description for each in filters],
    }


class SelectionRecord:
    """A CSV file of judgements that grows: conditions in a first line of comment, then one row per image.

    Attributes
    ----------
    judgements : of every position on record

    Raises :class:`FormatError` for a file that is none, :class:`InputError` for one made under other conditions or
    one that cannot be written.
    """

    def __init__(self, path: Path, stated: Mapping[str, object]) -> None:
        self._path = path
        self.judgements: dict[int, Judgement] = {}
        head = f"# {json.dumps(stated)}\n{','.join(_COLUMNS)}\n"
        if path.exists():
            self._read(head)
        else:
            self._append(head)

    def add(self, judged: Sequence[tuple[Candidate, Judgement]]) -> None:
        """Put judgements on record; they are on the disk when this returns."""
        rows = [f"{each.position},{each.index},{each.label},{judgement.value}\n" for each, judgement in judged]
        self._append("".join(rows))
        self.judgements.update((each.position, judgement) for each, judgement in judged)

    def selected(self, limit: int | None = None) -> list[int]:
        """The selected positions below ``limit``, in order."""
        return sorted(
            position
            for position, judgement in self.judgements.items()
            if judgement is Judgement.SELECTED and (limit is None or position < limit)
        )

    def _append(self, text: str) -> None:
        try:
            with self._path.open("a", encoding="ascii", newline="") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise unwritable(self._path, error, _HINT) from None

    def _read(self, head: str) -> None:
        text = read_bytes(self._path, "record of a selection", limit=1 << 26).decode("ascii", "replace")
        if text.startswith(head):
            body, ending, torn = text[len(head) :].rpartition("\n")
            self._take(body)
            if torn:
                self._cut(len(head + body + ending))
        elif head.startswith(text):  # it ended while its head was written
            self._cut(0)
            self._append(head)
        else:
            changed = _difference(text, head)
            if changed is None:
                raise FormatError(self._path, "is no record of a selection", "move it away")
            raise InputError(
                self._path,
                f"was made under other conditions ({changed})",
                "give the same options to go on, or another folder with --out",
            )

    def _take(self, body: str) -> None:
        rows = [line.split(",") for line in body.splitlines()]
        try:
            self.judgements.update((int(position), Judgement(judgement)) for position, _, _, judgement in rows)
        except ValueError:
            raise FormatError(
                self._path, f"has a line that is not '{','.join(_COLUMNS)}'", "correct it, or move the file away"
            ) from None

    def _cut(self, length: int) -> None:
        """Drop a last line that was not written to its end."""
        try:
            with self._path.open("r+b") as stream:
                stream.truncate(length)
        except OSError as error:
            raise unwritable(self._path, error, _HINT) from None


def _difference(text: str, head: str) -> str | None:
    """The first condition that differs, or None where the text states none."""
    try:
        theirs, mine = (json.loads(part.partition("\n")[0].removeprefix("#")) for part in (text, head))
    except ValueError:
        return None
    if not isinstance(theirs, dict) or not isinstance(mine, dict):
        return None
    return next((name for name in mine if theirs.get(name) != mine[name]), "their list")
