"""The page of a run: summary, figures, and every instance with its evidence."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from netproof.errors import FormatError
from netproof.report.entries import Entry, RunReport
from netproof.report.page.figures import cactus, histogram, scatter
from netproof.report.page.searches import bound_over_time, phases, traces_of
from netproof.report.page.witnesses import Thumbnails, thumbnails
from netproof.report.summary import TYPES, type_of
from netproof.report.text import seconds_text
from netproof.runs.rows import Row
from netproof.runs.traces import Trace
from netproof.version import netproof_version

#: characters that the pictures of a page may take; what is beyond is left to the files
PICTURES = 1_200_000
#: how many failures and damaged files are named
_NAMED = 20
#: in the place of what such a file would show
_DAMAGED = '<span class="alarm">damaged</span>'
_COLUMNS = (
    ("instance", "text"), ("label", "number"), ("verdict", "text"), ("radius", "number"), ("seconds", "number"), ("method", "text"), ("published", "text"),
    ("requirement", "text"), ("bound, reason", "text"), ("bound over time", "none"), ("witness", "none"), ("evidence", "none"),
)  # fmt: skip


def page(report: RunReport, home: Path, other: Mapping[str, Row] | None = None, *, pictures: int = PICTURES) -> str:
    """The whole page, as one document in HTML 5.

    Parameters
    ----------
    report : the run
    home : the folder that the page will lie in, from which it links to evidence
    other : rows of another run, to compare times with
    pictures : how many characters the pictures of witnesses may take

    A witness or a trace whose file is damaged is named instead of drawn.
    """
    style, script = (
        files("netproof.report.page").joinpath(name).read_text("utf-8") for name in ("page.css", "page.js")
    )
    allowed = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    title = f"{report.summary.benchmark}: {report.summary.decided} of {report.summary.total} decided"
    traces, broken = traces_of(report.entries)
    drawn = "".join(
        part
        for part in (cactus(report.entries, other), scatter(report.entries, other or {}), histogram(report.entries))
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="netproof {escape(netproof_version())}">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        '<body><a class="skip" href="#instances">To the instances</a><main>\n'
        f"{_head(report)}"
        + (f'<h2>Figures</h2><div class="figures">{drawn}</div>\n' if drawn else "")
        + _groups(report)
        + phases(report.entries, traces)
        + _instances(report, home, pictures, traces, broken)
        + _conditions(report)
        + f"</main><script>{script}</script></body></html>\n"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _head(report: RunReport) -> str:
    summary = report.summary
    facts = [(name, str(count)) for name, count in summary.counts.items() if count or name in ("robust", "vulnerable")]
    facts.append(("sum of times", seconds_text(summary.seconds_sum)))
    facts.append(("median", seconds_text(summary.seconds_median)))
    facts.append(("longest", seconds_text(summary.seconds_max)))
    wall = report.record.wall_seconds
    if wall is not None:
        facts.append(("wall time", seconds_text(wall)))
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    lines = [f"<h1>{escape(summary.benchmark)}</h1>"]
    if report.description:
        lines.append(f"<p>{escape(report.description)}</p>")
    lines.append(f'<p class="quiet">{escape(report.record.conditions)}</p>')
    style = "alarm" if report.missing or report.asked is None else "quiet"
    lines.append(f'<p class="{style}">{escape(report.standing)}.</p>')
    if summary.published and not summary.disagreements:
        lines.append(
            f"<p>Agrees with the verdicts published ({escape(summary.authors)}) on all {summary.compared} that both sides decided.</p>"
        )
    for item in summary.disagreements:
        said = f"{item.instance}: netproof says {item.ours}, published is {item.theirs}. One side is wrong."
        lines.append(f'<p class="alarm">{escape(said)}</p>')
    for name, reason in list(summary.errors.items())[:_NAMED]:
        lines.append(f'<p class="alarm">{escape(f"{name} failed: {reason}")}</p>')
    return "\n".join([*lines, f'<dl class="facts">{cells}</dl>\n'])


def _groups(report: RunReport) -> str:
    """The counts of every group, as a table."""
    if len(report.summary.blocks) < 2:
        return ""
    kinds = [kind for kind in TYPES if report.summary.counts[kind]]
    head = "".join(f'<th scope="col" class="number">{escape(kind)}</th>' for kind in kinds)
    rows = "".join(
        f'<tr><th scope="row">{escape(block.name)}</th>'
        + "".join(f'<td class="number">{len(block.ours[kind])}</td>' for kind in kinds)
        + "</tr>"
        for block in report.summary.blocks
    )
    return (
        f'<h2>Groups</h2><div class="wide"><table><thead><tr><th scope="col">group</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>\n"
    )


def _instances(
    report: RunReport, home: Path, pictures: int, traces: Mapping[str, Trace], broken: Mapping[str, str]
) -> str:
    entries = report.entries
    over_time = {
        entry.instance: _DAMAGED if entry.instance in broken else bound_over_time(traces.get(entry.instance))
        for entry in entries
    }
    used = [
        place
        for place, (name, _) in enumerate(_COLUMNS)
        if (any(over_time.values()) if name == "bound over time" else _is_used(name, entries))
    ]
    head = "".join(f'<th scope="col" data-kind="{_COLUMNS[n][1]}">{_COLUMNS[n][0]}</th>' for n in used)
    shown = _Pictures(pictures)
    body = []
    for entry in entries:
        cells = list(_cells(entry, home, shown, over_time[entry.instance]))
        body.append(
            f'<tr data-verdict="{_kind(entry)}" data-group="{escape(entry.group)}">{"".join(cells[n] for n in used)}</tr>'
        )
    left = (
        f" Pictures of {shown.left_out} more witnesses are left out to keep the page small." if shown.left_out else ""
    )
    verdicts = "".join(f'<option value="{kind}">{kind}</option>' for kind in dict.fromkeys(_kind(e) for e in entries))
    groups = "".join(
        f'<option value="{escape(g)}">{escape(g)}</option>' for g in dict.fromkeys(e.group for e in entries) if g
    )
    tools = (
        '<div class="tools" id="tools" hidden>'
        '<label>Find<input id="word" type="search" autocomplete="off"></label>'
        f'<label>Verdict<select id="verdict"><option value="">all</option>{verdicts}</select></label>'
        f'<label{"" if groups else " hidden"}>Group<select id="group"><option value="">all</option>{groups}</select></label>'
        '<span id="shown" role="status"></span></div>'
    )
    damaged = _named(shown.damaged, "witnesses") + _named(list(broken.values()), "traces")
    return (
        f'<h2>Instances</h2>{damaged}{tools}<div class="wide"><table id="instances"><caption>{len(entries)} instances.{left} '
        "A vulnerable or sat one has a witness, which was replayed; of a robust or unsat one all inputs are covered by a "
        f"proof.</caption><thead><tr>{head}</tr></thead>\n<tbody>{chr(10).join(body)}</tbody></table></div>\n"
    )


def _named(damaged: Sequence[str], files: str) -> str:
    """What is said of damaged files above the table."""
    said = "".join(f'<p class="alarm">{escape(one)}</p>' for one in damaged[:_NAMED])
    if damaged[_NAMED:]:
        said += f'<p class="alarm">and {len(damaged) - _NAMED} more {files} that are damaged</p>'
    return said


def _is_used(column: str, entries: tuple[Entry, ...]) -> bool:
    return {
        "label": any(e.label for e in entries),
        "radius": any(e.radius for e in entries),
        "published": any(e.published for e in entries),
        "requirement": any(e.requirements for e in entries),
        "bound, reason": any(e.reason or e.bound is not None for e in entries),
        "witness": any(e.witness for e in entries),
        "evidence": any(e.witness or e.certificate or e.trace for e in entries),
    }.get(column, True)


def _kind(entry: Entry) -> str:
    """The verdict as a word of a class: one for each colour."""
    return type_of(entry.verdict).partition("/")[0].replace(" ", "-")


class _Pictures:
    """What is left of the room for pictures."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.left_out = 0
        self.damaged: list[str] = []

    def of(self, entry: Entry) -> str:
        if entry.witness is None:
            return ""
        if self._room <= 0:
            self.left_out += 1
            return ""
        try:
            found = thumbnails(entry.witness)
        except FormatError as error:
            self.damaged.append(str(error))
            return _DAMAGED
        if found is None:
            return ""
        if found.size > self._room:
            self._room = 0
            self.left_out += 1
            return ""
        self._room -= found.size
        return _images(found)


def _images(found: Thumbnails) -> str:
    pictures = ((found.before, "the image"), (found.difference, "the difference"), (found.after, "the witness"))
    images = "".join(
        f'<img src="{address}" width="{found.width}" height="{found.height}" alt="{what}" title="{what}">'
        for address, what in pictures
    )
    return f'<div class="pictures">{images}</div><span class="quiet">{escape(found.said)}</span>'


def _cells(entry: Entry, home: Path, pictures: _Pictures, over_time: str) -> Iterator[str]:
    yield f'<td class="name">{escape(entry.instance)}</td>'
    yield f'<td class="number">{escape(entry.label)}</td>'
    yield f'<td><span class="verdict v-{_kind(entry)}">{escape(entry.verdict or "not run")}</span></td>'
    yield f'<td class="number">{escape(entry.radius)}</td>'
    seconds = seconds_text(entry.seconds) if entry.verdict else ""
    yield f'<td class="number" data-value="{entry.seconds if entry.verdict else ""}">{seconds}</td>'
    yield f"<td>{escape(entry.method)}</td>"
    mark = " (contradicts)" if entry.contradicts else ""
    yield f"<td>{escape(entry.published)}{mark}</td>"
    yield f"<td>{escape(', '.join(entry.requirements))}</td>"
    bound = "" if entry.bound is None else f"{entry.bound:.4g}; "
    yield f"<td>{escape(bound + entry.reason)}</td>"
    yield f"<td>{over_time}</td>"
    yield f"<td>{pictures.of(entry)}</td>"
    links = [(entry.witness, "witness"), (entry.certificate, "certificate"), (entry.trace, "trace")]
    yield "<td>" + ", ".join(f'<a href="{_link(path, home)}">{word}</a>' for path, word in links if path) + "</td>"


def _link(path: Path, home: Path) -> str:
    return escape(quote(os.path.relpath(path, home).replace(os.sep, "/")))


def _conditions(report: RunReport) -> str:
    """What the run was a run of: files with their hashes, and how often it was started."""
    rows = "".join(
        f"<tr><td>{escape(role)}</td><td><code>{escape(value)}</code></td></tr>"
        for role, value in report.record.files.items()
    )
    said = f"{len(report.record.invocations)} invocation(s); netproof {netproof_version()} wrote this page."
    return (
        f'<h2>Files</h2><p class="quiet">{escape(said)}</p><div class="wide"><table><thead><tr><th scope="col">file</th>'
        f'<th scope="col">SHA-256</th></tr></thead><tbody>{rows}</tbody></table></div>\n'
    )
