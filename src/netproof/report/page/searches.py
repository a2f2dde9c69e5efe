"""How searches went on: the bound of one over time, and where the time of all went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from netproof.errors import FormatError
from netproof.report.entries import Entry
from netproof.report.text import seconds_text
from netproof.runs.traces import Trace

_WIDTH, _HEIGHT = 120, 30
#: no line has more points
_POINTS = 40


def traces_of(entries: Iterable[Entry]) -> tuple[dict[str, Trace], dict[str, str]]:
    """The traces that are there, by their instances, and what is wrong with those that cannot be read."""
    found: dict[str, Trace] = {}
    damaged: dict[str, str] = {}
    for entry in entries:
        if entry.trace is None:
            continue
        try:
            found[entry.instance] = Trace.read(entry.trace)
        except FormatError as error:
            damaged[entry.instance] = str(error)
    return found, damaged


def bound_over_time(trace: Trace | None) -> str:
    """A small figure: the largest bound of any open subproblem, and where 0 is; empty where there are not two."""
    if trace is None or len(trace.bounds) < 2:
        return ""
    points = trace.bounds[:: -(-len(trace.bounds) // _POINTS)]
    if points[-1] != trace.bounds[-1]:
        points = (*points, trace.bounds[-1])
    first, last = points[0][0], points[-1][0]
    low, high = min(0.0, *(bound for _, bound in points)), max(0.0, *(bound for _, bound in points))

    def height(bound: float) -> float:
        return _HEIGHT - 2 - (_HEIGHT - 4) * (bound - low) / ((high - low) or 1)

    line = " ".join(f"{_WIDTH * (at - first) / ((last - first) or 1):.0f},{height(bound):.0f}" for at, bound in points)
    said = (
        f"largest bound {points[0][1]:.4g} at {seconds_text(first)}, {points[-1][1]:.4g} at {seconds_text(last)}; "
        f"{trace.subproblems} subproblems"
    )
    return (
        f'<svg class="spark" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"><title>{escape(said)}</title>'
        f'<line class="even" x1="0" y1="{height(0):.0f}" x2="{_WIDTH}" y2="{height(0):.0f}"/>'
        f'<polyline class="line" points="{line}"/></svg>'
    )


def phases(entries: Iterable[Entry], traces: Mapping[str, Trace]) -> str:
    """A table: the time of every group by phase; empty where nothing was traced."""
    if not traces:
        return ""
    rows: dict[str, list[float]] = {}
    for entry in entries:
        trace = traces.get(entry.instance)
        if trace is not None:
            sums = rows.setdefault(entry.group or "all", [0.0, 0.0, 0.0, 0.0])
            rest = max(entry.seconds - trace.root - trace.search, 0.0)
            for place, value in enumerate((rest, trace.root, trace.search, trace.subproblems)):
                sums[place] += value
    head = "".join(
        f'<th scope="col" class="number">{name}</th>'
        for name in ("reading", "root: bounds and attacks", "search", "subproblems")
    )
    body = "".join(
        f'<tr><th scope="row">{escape(group)}</th>'
        + "".join(f'<td class="number">{seconds_text(seconds)}</td>' for seconds in sums[:3])
        + f'<td class="number">{int(sums[3])}</td></tr>'
        for group, sums in rows.items()
    )
    return (
        f'<h2>Time by phase</h2><div class="wide"><table id="phases"><caption>Of the {len(traces)} instances whose searches were traced.'
        f'</caption><thead><tr><th scope="col">group</th>{head}</tr></thead><tbody>{body}</tbody></table></div>\n'
    )
