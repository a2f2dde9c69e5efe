"""One line of a table of radii.

The columns are ``image,label,verdict,proved,refuted,seconds,queries,limit,witness,certificates,reason``. The class of an
image is kept at radius ``proved``, and is not at ``refuted``; verdicts are

* ``exact``: nothing lies in between; ``refuted`` is empty where the class is kept at every radius,
* ``open``: what lies in between was not decided within ``limit`` seconds, for the ``reason`` given,
* ``misclassified``: the network takes the image itself for another class,
* ``error``, with the reason.

``witness`` and ``certificates`` (several with a space in between) are file names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from netproof.runs.rows import ERROR, Recorded, csv_fields, csv_line, seconds_of

if TYPE_CHECKING:
    from netproof.runs.certify import Certifying

EXACT, OPEN, MISCLASSIFIED = "exact", "open", "misclassified"
#: of images that have a radius, known or not
ANSWERED = frozenset({EXACT, OPEN})

_NAME = re.compile(r"image-(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True)
class RadiusRow(Recorded):
    """What is recorded of one image.

    Attributes
    ----------
    image : its index
    label : -1 where it is not known
    verdict : see above
    proved, refuted : radii in grey levels; -1 where there is none
    seconds, queries : effort
    limit : seconds that an image without an exact answer was given; 0 where they were not what ended it
    witness : its file, relative to the run's folder
    certificates : names of the files
    reason : why the answer is not exact, or none
    """

    image: int
    label: int
    verdict: str
    proved: int = -1
    refuted: int = -1
    seconds: float = 0.0
    queries: int = 0
    limit: float = 0.0
    witness: str = ""
    certificates: tuple[str, ...] = ()
    reason: str = ""

    HEADER: ClassVar[tuple[str, ...]] = (
        "image",
        "label",
        "verdict",
        "proved",
        "refuted",
        "seconds",
        "queries",
        "limit",
        "witness",
        "certificates",
        "reason",
    )

    @property
    def name(self) -> str:
        return name_of(self.image)

    def line(self) -> str:
        def number(value: int) -> str:
            return "" if value < 0 else str(value)

        return csv_line(
            (
                str(self.image),
                number(self.label),
                self.verdict,
                number(self.proved),
                number(self.refuted),
                f"{self.seconds:.6f}",
                str(self.queries),
                f"{self.limit:.12g}" if self.limit else "",
                self.witness,
                " ".join(self.certificates),
                self.reason,
            )
        )

    @classmethod
    def parse(cls, line: str) -> RadiusRow:
        fields = dict(zip(cls.HEADER, csv_fields(line, cls.HEADER), strict=True))

        def number(column: str) -> int:
            text = fields[column]
            if not text:
                return -1
            if not text.isascii() or not text.isdigit():
                raise ValueError(f"its {column} is '{text}'")
            return int(text)

        verdict, image, proved, refuted = fields["verdict"], number("image"), number("proved"), number("refuted")
        if verdict not in {EXACT, OPEN, MISCLASSIFIED, ERROR}:
            raise ValueError(f"no verdict is called '{verdict}'")
        if image < 0:
            raise ValueError("names no image")
        if (verdict in ANSWERED) != (proved >= 0) or 0 <= refuted <= proved:
            raise ValueError(f"is {verdict}, proved at radius '{proved}' and refuted at '{refuted}'")
        if verdict == EXACT and refuted >= 0 and refuted != proved + 1:
            raise ValueError(f"is exact, with radii between {proved} and {refuted}")
        return cls(
            image,
            number("label"),
            verdict,
            proved,
            refuted,
            seconds_of(fields["seconds"]),
            max(number("queries"), 0),
            seconds_of(fields["limit"] or "0"),
            fields["witness"],
            tuple(fields["certificates"].split()),
            fields["reason"],
        )

    @classmethod
    def failed(cls, name: str, reason: str) -> RadiusRow:
        return cls(image_of(name), -1, ERROR, reason=reason)

    def with_witness(self, path: str) -> RadiusRow:
        return replace(self, witness=path)

    def is_settled(self, limit: float, folder: Path) -> bool:
        if self.verdict == ERROR or (self.witness and not (folder / self.witness).is_file()):
            return False
        return self.verdict != OPEN or limit <= self.limit

    def is_certified(self, certifying: Certifying | None) -> bool:
        if certifying is None or self.verdict not in ANSWERED:
            return True
        from netproof.certificate.format import is_intact

        return all(is_intact(certifying.path(certificate_of(self.image, radius))) for radius in self.evident)

    @property
    def evident(self) -> tuple[int, ...]:
        """The radii that something is known of: one with a proof, one with a witness."""
        return tuple(radius for radius in (self.proved, self.refuted) if radius >= 0)


def name_of(image: int) -> str:
    """The instance of an image."""
    return f"image-{image}"


def image_of(name: str) -> int:
    """The image of an instance."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"'{name}' is no instance of an image")
    return int(found.group(1))


def certificate_of(image: int, radius: int) -> str:
    """What a certificate is called, without its suffix."""
    return f"{name_of(image)}-radius-{radius}"
