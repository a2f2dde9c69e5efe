"""What a run amounts to: per block of the authors' table, against the authors' verdicts, in time."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netproof.benchmarks.base import Instance
from netproof.runs.rows import Row

#: rows of the authors' tables, and the verdicts that go into each
TYPES: Mapping[str, frozenset[str]] = {
    "robust": frozenset({"robust", "unsat"}),
    "vulnerable": frozenset({"vulnerable", "sat"}),
    "misclassified": frozenset({"misclassified"}),
    "timeout/undecided": frozenset({"timeout", "unknown"}),
    "error": frozenset({"error"}),
    "not run": frozenset({""}),
}
_DECIDED_TYPES = ("robust", "vulnerable", "misclassified")


def type_of(verdict: str) -> str:
    """The table row a verdict belongs to; an absent one is the empty string."""
    return next(name for name, verdicts in TYPES.items() if verdict in verdicts)


@dataclass(frozen=True)
class Block:
    """One block of the table: the samples of each type, ours and (where published) theirs."""

    name: str
    ours: Mapping[str, tuple[int | str, ...]]
    theirs: Mapping[str, tuple[int | str, ...]] | None


@dataclass(frozen=True)
class Disagreement:
    """An instance on which two verdicts cannot both be right."""

    instance: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Summary:
    """Everything ``netproof bench show`` prints.

    Attributes
    ----------
    blocks : in the benchmark's order
    counts : number of instances of each type of :data:`TYPES`
    decided : answered for good, misclassified ones included
    disagreements : contradictions with the published verdicts
    compared : instances on which both sides have a verdict other than timeout
    undecided : names
    errors : the reason of each instance that failed, by name
    seconds : sum, median and maximum over the queries asked (misclassified samples are none), and
        the instance of the maximum; zeros where there were none
    """

    benchmark: str
    authors: str
    total: int
    blocks: tuple[Block, ...]
    counts: Mapping[str, int]
    decided: int
    disagreements: tuple[Disagreement, ...]
    compared: int
    undecided: tuple[str, ...]
    errors: Mapping[str, str]
    seconds_sum: float
    seconds_median: float
    seconds_max: float
    slowest: str
    published: bool

    @property
    def failed(self) -> bool:
        """Whether something is wrong with the results, not merely open."""
        return bool(self.disagreements or self.errors)


def contradicts(ours: str, theirs: str) -> bool:
    """Whether two verdicts on one instance cannot both be right.

    A timeout agrees with robust and vulnerable, but not with misclassified: only correctly
    classified samples are asked about at all.
    """
    our_type, their_type = type_of(ours), type_of(theirs)
    if "misclassified" in (our_type, their_type):
        return our_type != their_type and our_type not in ("error", "not run")
    return our_type in _DECIDED_TYPES and their_type in _DECIDED_TYPES and our_type != their_type


def summarize(
    benchmark: str,
    authors: str,
    instances: Sequence[Instance],
    rows: Mapping[str, Row],
    published: Mapping[str, str],
) -> Summary:
    """Sum up a run; instances without a row count as not run."""
    ours = {i.name: rows[i.name].verdict if i.name in rows else "" for i in instances}
    groups: dict[str, list[Instance]] = {}
    for instance in instances:
        groups.setdefault(instance.group, []).append(instance)
    blocks = tuple(
        Block(name, _by_type(members, ours), _by_type(members, published) if published else None)
        for name, members in groups.items()
    )
    asked = [rows[i.name] for i in instances if type_of(ours[i.name]) in ("robust", "vulnerable", "timeout/undecided")]
    times = [row.seconds for row in asked]
    slowest = max(asked, key=lambda row: row.seconds, default=None)
    types = {name: type_of(verdict) for name, verdict in ours.items()}
    return Summary(
        benchmark=benchmark,
        authors=authors,
        total=len(instances),
        blocks=blocks,
        counts={name: sum(t == name for t in types.values()) for name in TYPES},
        decided=sum(t in _DECIDED_TYPES for t in types.values()),
        disagreements=tuple(
            Disagreement(name, verdict, published[name])
            for name, verdict in ours.items()
            if name in published and contradicts(verdict, published[name])
        ),
        compared=sum(
            types[name] in _DECIDED_TYPES and type_of(verdict) in _DECIDED_TYPES
            for name, verdict in published.items()
            if name in types
        ),
        undecided=tuple(name for name, t in types.items() if t == "timeout/undecided"),
        errors={name: rows[name].evidence for name, t in types.items() if t == "error"},
        seconds_sum=float(sum(times)),
        seconds_median=statistics.median(times) if times else 0.0,
        seconds_max=slowest.seconds if slowest else 0.0,
        slowest=slowest.instance if slowest else "",
        published=bool(published),
    )


def _by_type(members: Sequence[Instance], verdicts: Mapping[str, str]) -> dict[str, tuple[int | str, ...]]:
    found: dict[str, list[int | str]] = {name: [] for name in TYPES}
    for member in members:
        found[type_of(verdicts.get(member.name, ""))].append(member.sample)
    return {name: tuple(samples) for name, samples in found.items()}
