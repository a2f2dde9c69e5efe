"""One line of ``results.csv``.

The columns are ``instance,verdict,seconds,method,evidence``. Verdicts are in the words of local
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
from dataclasses import dataclass

HEADER = ("instance", "verdict", "seconds", "method", "evidence")

#: verdicts that a longer run cannot change
DECIDED = frozenset({"robust", "vulnerable", "misclassified", "sat", "unsat"})
#: verdicts that a certificate can prove
CERTIFIABLE = frozenset({"robust", "vulnerable", "sat", "unsat"})
#: stopped without an answer
UNDECIDED = frozenset({"unknown", "timeout"})
#: no answer because something failed
ERROR = "error"

#: how the evidence that names a certificate begins
CERTIFICATE = "certificate="

_LIMIT = re.compile(r"(?:^|; )limit=([0-9.e+-]+)(?:;|$)")


@dataclass(frozen=True)
class Row:
    """What is recorded of one instance; ``seconds`` is the query's own (share of) time."""

    instance: str
    verdict: str
    seconds: float
    method: str
    evidence: str = ""

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
        """The CSV line, with its newline and no other."""
        fields = (self.instance, self.verdict, f"{self.seconds:.6f}", self.method, self.evidence)
        stream = io.StringIO()
        csv.writer(stream, lineterminator="\n").writerow([_one_line(field) for field in fields])
        return stream.getvalue()

    @classmethod
    def parse(cls, line: str) -> Row:
        """The row of a CSV line; raises ``ValueError`` saying what is wrong with it."""
        fields = next(csv.reader([line], strict=True), [])
        if len(fields) != len(HEADER):
            raise ValueError(f"has {len(fields)} columns, not {len(HEADER)}")
        instance, verdict, seconds, method, evidence = fields
        if verdict not in DECIDED | UNDECIDED | {ERROR}:
            raise ValueError(f"no verdict is called '{verdict}'")
        if not math.isfinite(float(seconds)):
            raise ValueError(f"took '{seconds}' seconds")
        return cls(instance, verdict, float(seconds), method, evidence)


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
