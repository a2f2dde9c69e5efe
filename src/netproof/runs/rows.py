"""One line of ``results.csv``: what every run records (:class:`Recorded`), and the verdict of one instance (:class:`Row`).

The columns of a verdict are ``instance,verdict,seconds,method,evidence``. Verdicts are in the words of local
robustness where the query is one. Evidence is

* ``witnesses/<instance>.json`` (relative to the run's folder) where a witness was found,
* ``certificate=<file>`` where a certificate of a proof was written,
* ``predicted=<class>`` for a misclassified sample,
* ``limit=<seconds>; bound=<value>; reason=<words>`` where undecided (what is not known is left out),
* the reason for an ``error``.
"""

from __future__ import annotations

import csv
import io
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from netproof.runs.certify import Certifying

_Self = TypeVar("_Self", bound="Recorded")

HEADER = ("instance", "verdict", "seconds", "method", "evidence")

#: verdicts that a longer run cannot change
DECIDED = frozenset({"robust", "vulnerable", "misclassified", "sat", "unsat"})
#: verdicts that a certificate can prove
CERTIFIABLE = frozenset({"robust", "vulnerable", "sat", "unsat"})
#: stopped without an answer
UNDECIDED = frozenset({"unknown", "timeout"})
#: no answer because something failed
ERROR = "error"

#: verdicts that a witness shows, the folder of which its evidence names
_OF_A_WITNESS = frozenset({"vulnerable", "sat"})
WITNESSES = "witnesses/"
#: how the evidence that names a certificate begins
CERTIFICATE = "certificate="

_LIMIT = re.compile(r"(?:^|; )limit=([0-9.e+-]+)(?:;|$)")


class Recorded(ABC):
    """What a run records of one instance: a line of its table, from which it can go on.

    Attributes
    ----------
    HEADER : the columns
    verdict : what came of it, in one word
    seconds : that were spent on it
    """

    HEADER: ClassVar[tuple[str, ...]]
    verdict: str
    seconds: float

    @property
    @abstractmethod
    def name(self) -> str:
        """The instance's name."""

    @abstractmethod
    def line(self) -> str:
        """The CSV line, with its newline and no other."""

    @classmethod
    @abstractmethod
    def parse(cls: type[_Self], line: str) -> _Self:
        """The row of a CSV line; raises ``ValueError`` saying what is wrong with it."""

    @classmethod
    @abstractmethod
    def failed(cls: type[_Self], name: str, reason: str) -> _Self:
        """The row of an instance that could not be answered."""

    @abstractmethod
    def with_witness(self: _Self, path: str) -> _Self:
        """This row, its witness written to a path relative to the run's folder."""

    @abstractmethod
    def is_settled(self, limit: float, folder: Path) -> bool:
        """Whether trying again, for ``limit`` seconds, could not say more, and the witness that it names is there."""

    @abstractmethod
    def is_certified(self, certifying: Certifying | None) -> bool:
        """Whether all certificates are there that are wanted of it."""


@dataclass(frozen=True)
class Row(Recorded):
    """What is recorded of one instance; ``seconds`` is the query's own (share of) time."""

    instance: str
    verdict: str
    seconds: float
    method: str
    evidence: str = ""

    HEADER: ClassVar[tuple[str, ...]] = HEADER

    @property
    def name(self) -> str:
        return self.instance

    @property
    def decided(self) -> bool:
        return self.verdict in DECIDED

    @property
    def limit(self) -> float:
        """The time limit under which an undecided instance was tried; 0 where none is recorded."""
        found = _LIMIT.search(self.evidence)
        try:
            return float(found.group(1)) if found else 0.0
        except ValueError:
            return 0.0

    def line(self) -> str:
        return csv_line((self.instance, self.verdict, f"{self.seconds:.6f}", self.method, self.evidence))

    @classmethod
    def parse(cls, line: str) -> Row:
        instance, verdict, seconds, method, evidence = csv_fields(line, HEADER)
        if verdict not in DECIDED | UNDECIDED | {ERROR}:
            raise ValueError(f"no verdict is called '{verdict}'")
        # What two columns say of an answer has to be one answer; a row that was changed by hand mostly says two.
        found, told = verdict in _OF_A_WITNESS, evidence.startswith(WITNESSES)
        if found != told or (method == "attack" and verdict in CERTIFIABLE and not found):
            raise ValueError(f"'{verdict}' {'without' if found else 'with'} the witness that it is about")
        return cls(instance, verdict, seconds_of(seconds), method, evidence)

    @classmethod
    def failed(cls, name: str, reason: str) -> Row:
        return cls(name, ERROR, 0.0, "", reason)

    def with_witness(self, path: str) -> Row:
        return replace(self, evidence=path)

    def is_settled(self, limit: float, folder: Path) -> bool:
        if self.verdict in UNDECIDED:
            return limit <= self.limit
        if self.evidence.startswith(WITNESSES):
            return (folder / self.evidence).is_file()
        return self.decided

    def is_certified(self, certifying: Certifying | None) -> bool:
        if certifying is None or self.verdict not in CERTIFIABLE:
            return True
        from netproof.certificate.format import is_intact

        return is_intact(certifying.path(self.instance)) or certifying.without(self.instance).is_file()


def csv_line(fields: Sequence[str]) -> str:
    """One line of CSV, with its newline and no other."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([_one_line(field) for field in fields])
    return stream.getvalue()


def csv_fields(line: str, header: Sequence[str]) -> list[str]:
    """As many fields of a line as there are columns; raises ``ValueError`` (or ``csv.Error``) where it has others."""
    fields = next(csv.reader([line], strict=True), [])
    if len(fields) != len(header):
        raise ValueError(f"has {len(fields)} columns, not {len(header)}")
    return fields


def seconds_of(field: str) -> float:
    """A duration; raises ``ValueError`` where it is none."""
    seconds = float(field)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"took '{field}' seconds")
    return seconds


def _one_line(text: str) -> str:
    """A text that leaves a table of lines in UTF-8 whole: file names in reasons can hold anything."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def undecided_evidence(limit: float | None, bound: float | None, reason: str) -> str:
    """The evidence of an instance that was left open at a time limit (None where the limit is not to blame)."""
    parts = [] if limit is None else [f"limit={limit:.12g}"]
    if bound is not None:
        parts.append(f"bound={bound:.12g}")
    if reason:
        parts.append(f"reason={reason}")
    return "; ".join(parts)
