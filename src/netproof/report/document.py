"""A summary as a JSON document."""

from __future__ import annotations

from netproof.report.summary import Block, Summary


def summary_document(summary: Summary, *, wall_seconds: float | None = None) -> dict[str, object]:
    """The summary's content as plain values; ``published`` is None where nothing was published."""
    return {
        "benchmark": summary.benchmark,
        "authors": summary.authors,
        "instances": summary.total,
        "decided": summary.decided,
        "counts": dict(summary.counts),
        "blocks": [_block(block) for block in summary.blocks],
        "undecided": list(summary.undecided),
        "errors": [{"instance": name, "reason": reason} for name, reason in summary.errors.items()],
        "compared": summary.compared,
        "disagreements": [
            {"instance": d.instance, "netproof": d.ours, "published": d.theirs} for d in summary.disagreements
        ],
        "seconds": {
            "sum": round(summary.seconds_sum, 6),
            "median": round(summary.seconds_median, 6),
            "max": round(summary.seconds_max, 6),
            "slowest": summary.slowest,
            "wall": wall_seconds,
        },
    }


def _block(block: Block) -> dict[str, object]:
    return {
        "name": block.name,
        "netproof": {name: list(samples) for name, samples in block.ours.items()},
        "published": None if block.theirs is None else {name: list(samples) for name, samples in block.theirs.items()},
    }
