"""The table of a network on images: clean, attacked, and verified accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netproof.benchmarks.base import Instance
from netproof.making.stages import CROWN, PGD
from netproof.runs.rows import Row

#: two-sided 95 %
_QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class Proportion:
    """A number of images out of a total, with a confidence interval where these are a sample."""

    count: int
    total: int
    interval: tuple[float, float] | None

    @property
    def value(self) -> float:
        return self.count / self.total if self.total else math.nan


@dataclass(frozen=True)
class Accuracies:
    """What is known of one network.

    Attributes
    ----------
    network : its name
    clean : classified correctly
    pgd : of these, withstanding projected gradient ascent
    crown : proved robust by plain CROWN
    verified : proved robust by whatever means within the time limit
    vulnerable, open, failed, missing : how many images are refuted, undecided, failed, not run yet
    seconds : of all its queries
    """

    network: str
    clean: Proportion
    pgd: Proportion
    crown: Proportion
    verified: Proportion
    vulnerable: int
    open: int
    failed: int
    missing: int
    seconds: float


def accuracies(instances: Sequence[Instance], rows: Mapping[str, Row], *, sampled: bool) -> tuple[Accuracies, ...]:
    """One entry per network, in the order of the instances; of images that were answered, failed ones left out."""
    groups: dict[str, list[Row | None]] = {}
    for instance in instances:
        groups.setdefault(instance.network, []).append(rows.get(instance.name))
    return tuple(_of(network, found, sampled) for network, found in groups.items())


def _of(network: str, found: Sequence[Row | None], sampled: bool) -> Accuracies:
    rows = [row for row in found if row is not None]
    answered = [row for row in rows if row.verdict != "error"]
    total = len(answered)

    def share(count: int) -> Proportion:
        return Proportion(count, total, wilson(count, total) if sampled and total else None)

    wrong = sum(row.verdict == "misclassified" for row in answered)
    attacked = sum(row.verdict == "vulnerable" and row.method == PGD for row in answered)
    robust = [row for row in answered if row.verdict == "robust"]
    return Accuracies(
        network,
        clean=share(total - wrong),
        pgd=share(total - wrong - attacked),
        crown=share(sum(row.method == CROWN for row in robust)),
        verified=share(len(robust)),
        vulnerable=sum(row.verdict == "vulnerable" for row in answered),
        open=sum(row.verdict in ("timeout", "unknown") for row in answered),
        failed=len(rows) - total,
        missing=len(found) - len(rows),
        seconds=sum(row.seconds for row in rows),
    )


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (E. B. Wilson, *J. Amer. Statist. Assoc.* 22, 1927)."""
    z = _QUANTILE
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low = 0.0 if count == 0 else max(0.0, middle - half)
    high = 1.0 if count == total else min(1.0, middle + half)
    return low, high


def render_accuracies(table: Sequence[Accuracies]) -> str:
    """The table as text."""
    head = ("network", "images", "clean", "PGD", "CROWN", "verified", "open")
    lines: list[tuple[str, ...]] = [head]
    for each in table:
        shares = (_text(share) for share in (each.clean, each.pgd, each.crown, each.verified))
        lines.append((each.network, str(each.clean.total), *shares, str(each.open)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join(text) + "\n"


def _text(share: Proportion) -> str:
    if not share.total:
        return "-"
    interval = "" if share.interval is None else f" ({share.interval[0] * 100:.1f} to {share.interval[1] * 100:.1f})"
    return f"{share.value * 100:.1f} %{interval}"


def accuracies_document(table: Sequence[Accuracies]) -> list[dict[str, object]]:
    """The table for JSON."""
    return [
        {
            "network": each.network,
            "images": each.clean.total,
            **{name: _document(getattr(each, name)) for name in ("clean", "pgd", "crown", "verified")},
            "vulnerable": each.vulnerable,
            "open": each.open,
            "failed": each.failed,
            "missing": each.missing,
            "seconds": round(each.seconds, 3),
        }
        for each in table
    ]


def _document(share: Proportion) -> dict[str, object]:
    return {
        "count": share.count,
        "share": share.value if share.total else None,
        "interval": None if share.interval is None else list(share.interval),
    }
