"""Figures of a run as SVG: how many instances within which time, against another run, and by radius.

They are drawn here, because they have to take their colours from the page (light, dark and in print) and to be read by a
screen reader, which a drawing library's files do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape

from netproof.report.entries import Entry
from netproof.report.summary import type_of
from netproof.report.text import seconds_text
from netproof.runs.rows import Row

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 24, 14, 44
#: no time is drawn shorter: what is shorter is a matter of the clock
_SHORTEST = 1e-3
#: nor longer: what a damaged table says need not be a time
_LONGEST = 1e9
_STACKED = ("robust", "vulnerable", "misclassified", "timeout/undecided", "error")


@dataclass(frozen=True)
class _Axis:
    """From values to places, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.logarithmic else (self.low, self.high)
        here = math.log10(max(value, self.low)) if self.logarithmic else value
        return self.start + (self.end - self.start) * min(max((here - low) / ((high - low) or 1), 0), 1)

    @property
    def ticks(self) -> list[float]:
        if self.logarithmic:
            return [10.0**n for n in range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)]
        step = 10 ** math.floor(math.log10(max(self.high, 1)))
        step = next(s for s in (step / 5, step / 2, step, 2 * step) if self.high / s <= 8 or s == 2 * step)
        step = max(step, 1)
        return [step * n for n in range(int(self.high / step) + 1)]


def cactus(entries: Sequence[Entry], other: Mapping[str, Row] | None = None) -> str:
    """How many instances are decided within which time, each by itself; empty where none is."""
    own = sorted(e.seconds for e in entries if type_of(e.verdict) in ("robust", "vulnerable"))
    theirs = sorted(row.seconds for row in (other or {}).values() if type_of(row.verdict) in ("robust", "vulnerable"))
    if not own:
        return ""
    longest = max([*own, *theirs])
    x = _Axis(0, max(len(own), len(theirs)), _LEFT, _WIDTH - _RIGHT)
    y = _time_axis(longest, _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(x, y, "instances decided", "time of each")]
    for times, kind in ((theirs, "other"), (own, "own")):
        if times:
            points = " ".join(f"{x.at(n + 1):.1f},{y.at(seconds):.1f}" for n, seconds in enumerate(times))
            parts.append(f'<polyline class="line {kind}" points="{points}"/>')
    said = f"{len(own)} instances decided, half of them within {seconds_text(own[len(own) // 2])} each"
    title = "Decided instances by time" + ("; dashed: the other run" if theirs else "")
    return _svg("cactus", title, said, parts)


def scatter(entries: Sequence[Entry], other: Mapping[str, Row]) -> str:
    """Times of instances against those of another run, undecided ones at the edge; empty where both have none."""
    pairs = [(e, other[e.instance]) for e in entries if e.instance in other and e.verdict]
    pairs = [(e, r) for e, r in pairs if type_of(e.verdict) != "misclassified" or type_of(r.verdict) != "misclassified"]
    if not pairs:
        return ""
    longest = max(max(e.seconds, r.seconds) for e, r in pairs)
    x = _time_axis(longest, _LEFT, _LEFT + _HEIGHT - _TOP - _BOTTOM)
    y = _time_axis(longest, _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(x, y, "the other run", "this run")]
    parts.append(f'<line class="even" x1="{x.start:.1f}" y1="{y.start:.1f}" x2="{x.end:.1f}" y2="{y.end:.1f}"/>')
    faster = 0
    for entry, row in pairs:
        faster += entry.seconds < row.seconds
        kind = type_of(entry.verdict).partition("/")[0]
        title = f"{entry.instance}: {entry.verdict} in {seconds_text(entry.seconds)}, {row.verdict} in {seconds_text(row.seconds)}"
        parts.append(
            f'<circle class="point {kind}" cx="{x.at(row.seconds):.1f}" cy="{y.at(entry.seconds):.1f}" r="3">'
            f"<title>{escape(title)}</title></circle>"
        )
    said = f"{len(pairs)} instances, {faster} of them faster in this run"
    return _svg("scatter", "Times against the other run", said, parts, [type_of(entry.verdict) for entry, _ in pairs])


def histogram(entries: Sequence[Entry]) -> str:
    """What became of the instances of each radius; empty where instances have none."""
    groups: dict[Fraction, dict[str, int]] = {}
    for entry in entries:
        if entry.radius and entry.verdict:
            counts = groups.setdefault(Fraction(entry.radius), {})
            kind = type_of(entry.verdict)
            counts[kind] = counts.get(kind, 0) + 1
    if not groups:
        return ""
    order = sorted(groups)
    most = max(sum(counts.values()) for counts in groups.values())
    x = _Axis(0, len(order), _LEFT, _WIDTH - _RIGHT)
    y = _Axis(0, most, _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(x, y, "radius", "instances", ticks=False)]
    for place, radius in enumerate(order):
        left, right = x.at(place + 0.15), x.at(place + 0.85)
        base = 0
        for kind in _STACKED:
            count = groups[radius].get(kind, 0)
            if not count:
                continue
            top = y.at(base + count)
            parts.append(
                f'<rect class="bar {kind.partition("/")[0]}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{y.at(base) - top:.1f}"><title>radius {float(radius):g}: {count} {kind}</title></rect>'
            )
            base += count
        label = f"{float(radius):.4g}"
        parts.append(
            f'<text class="tick" x="{(left + right) / 2:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{label}</text>'
        )
    said = "; ".join(
        f"radius {float(radius):g}: " + ", ".join(f"{count} {kind}" for kind, count in groups[radius].items())
        for radius in order
    )
    return _svg("radii", "Verdicts by radius", said, parts, [kind for counts in groups.values() for kind in counts])


def _time_axis(longest: float, start: float, end: float) -> _Axis:
    high = 10 ** math.ceil(math.log10(min(max(longest, 10 * _SHORTEST), _LONGEST)))
    return _Axis(_SHORTEST, high, start, end, logarithmic=True)


def _frame(x: _Axis, y: _Axis, below: str, beside: str, *, ticks: bool = True) -> str:
    parts = []
    for value in x.ticks if ticks else []:
        words = seconds_text(value) if x.logarithmic else f"{value:g}"
        at = x.at(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{y.start:.1f}" x2="{at:.1f}" y2="{y.end:.1f}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{y.start + 16:.1f}" text-anchor="middle">{words}</text>')
    for value in y.ticks:
        words = seconds_text(value) if y.logarithmic else f"{value:g}"
        at = y.at(value)
        parts.append(f'<line class="grid" x1="{x.start:.1f}" y1="{at:.1f}" x2="{x.end:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{x.start - 6:.1f}" y="{at + 4:.1f}" text-anchor="end">{words}</text>')
    middle = (x.start + x.end) / 2
    parts.append(f'<text class="axis" x="{middle:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(below)}</text>')
    across = (y.start + y.end) / 2
    parts.append(
        f'<text class="axis" x="12" y="{across:.1f}" text-anchor="middle" transform="rotate(-90 12 {across:.1f})">'
        f"{escape(beside)}</text>"
    )
    return "".join(parts)


def _svg(name: str, title: str, said: str, parts: Sequence[str], kinds: Sequence[str] = ()) -> str:
    """A figure; ``kinds`` are the verdicts that have a colour in it."""
    legend = "".join(
        f' <span class="verdict v-{kind.partition("/")[0]}">{kind}</span>' for kind in _STACKED if kind in kinds
    )
    return (
        f'<figure><svg id="{name}" role="img" aria-labelledby="{name}-title {name}-said" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-said">{escape(said)}</desc>{"".join(parts)}</svg>'
        f"<figcaption>{escape(title)}{legend}</figcaption></figure>"
    )
