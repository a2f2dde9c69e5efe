"""A run's folder as a report tells it: every instance with its answer, evidence, and what it is required for."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from netproof.benchmarks.base import Benchmark, Instance
from netproof.benchmarks.data import DataFolders
from netproof.errors import FormatError, InputError
from netproof.files.lock import is_held
from netproof.files.opened import open_file, read_bytes
from netproof.report.summary import Summary, contradicts, summarize
from netproof.runs.certify import SUFFIX
from netproof.runs.radii.rows import EXACT, OPEN, RadiusRow
from netproof.runs.record import RunRecord
from netproof.runs.rows import CERTIFICATE, Row, seconds_of
from netproof.runs.table import FILE, header_line, read_rows, read_table
from netproof.runs.traces import FOLDER
from netproof.runs.traces import SUFFIX as TRACE

_RADIUS = re.compile(r"eps[-_=](\d+(?:\.\d+)?(?:e-?\d+)?)|radius[-_= ](\d+(?:\.\d+)?(?:/\d+)?)")
_NUMBER = re.compile(r"\d{1,400}(/0*[1-9]\d{0,399})?", re.ASCII)
_FIELD = re.compile(r"(?:^|; )(limit|bound|reason)=(.*?)(?=; (?:limit|bound|reason)=|$)")
#: no table of requirements is longer
_LONGEST = 1 << 24


@dataclass(frozen=True)
class Entry:
    """One instance of a run.

    Attributes
    ----------
    instance : and the network it asks about, and the group of the benchmark it is in
    verdict : empty where it was not run
    seconds : the query's own time
    bound, reason : where undecided: the best upper bound, and why it ended
    published : the authors' verdict, empty where there is none
    requirements : what the instance is there for, as a table says
    radius : as the run's record or the instance's name has it, of a run about radii the largest that was proved; empty where
        there is none
    witness, certificate, trace : files, None where there are none
    label, norm : of a run on images, the class, and what the radius is one in; empty elsewhere
    """

    instance: str
    network: str
    group: str
    verdict: str
    seconds: float
    method: str
    evidence: str
    bound: float | None
    reason: str
    published: str
    requirements: tuple[str, ...]
    radius: str
    witness: Path | None
    certificate: Path | None
    trace: Path | None = None
    label: str = ""
    norm: str = ""

    @property
    def contradicts(self) -> bool:
        """Whether this verdict and the published one cannot both be right."""
        return bool(self.published) and contradicts(self.verdict, self.published)


@dataclass(frozen=True, eq=False)
class RunReport:
    """What a folder of a run holds.

    Attributes
    ----------
    description : of the benchmark, empty where it is not known here
    asked : how many instances were to be answered; None where the folder does not say
    missing : the names of those that have no answer
    running : whether a process still writes answers
    """

    folder: Path
    record: RunRecord
    description: str
    summary: Summary
    entries: tuple[Entry, ...]
    asked: int | None = None
    missing: tuple[str, ...] = ()
    running: bool = False

    @property
    def answered(self) -> int:
        """How many instances have an answer of whatever kind."""
        return sum(bool(entry.verdict) for entry in self.entries)

    @property
    def complete(self) -> bool:
        """Whether all is answered that was asked for, as far as the folder says."""
        return self.asked is not None and not self.missing

    @property
    def standing(self) -> str:
        """In words, how much of what was asked for is answered."""
        state = "the run goes on" if self.running else "the run was stopped"
        if self.asked is None:
            return f"{self.answered} answered, of how many is unknown: an earlier netproof kept no record of it"
        said = f"{self.asked - len(self.missing)} of {self.asked} answered"
        return f"{said}, {state}" if self.missing else said

    @classmethod
    def read(cls, folder: Path, data: DataFolders, requirements: Sequence[tuple[str, str]] = ()) -> RunReport:
        """Read a folder; where the benchmark or its data is not here, what the folder itself says is all there is.

        Raises :class:`InputError` for what is no folder of a run, or one of other instances than the benchmark has now.
        """
        record = RunRecord.read(folder)
        radii = _radii(folder / FILE)
        rows = read_table(folder / FILE).rows if radii is None else {name: _as_row(row) for name, row in radii.items()}
        benchmark = _known(record.benchmark)
        published: Mapping[str, str] = {}
        instances: tuple[Instance, ...] = ()
        if benchmark is not None:
            try:
                instances = benchmark.instances(data)
                listed = RunRecord(record.benchmark, {}, (), benchmark.listed(data), benchmark.doubtful(data))
            except InputError:
                instances = ()  # its data is not here
            else:
                record.check_same_instances(folder, listed)
                if radii is None:
                    read_table(folder / FILE, {instance.name for instance in instances})
                published = _published(benchmark, data)
        listed_names = [instance.name for instance in instances] or list(record.instances)
        if not instances:
            names = dict.fromkeys((*record.instances, *(record.asked or ()), *rows))
            instances = tuple(
                Instance(name, words.get("network", ""), words.get("group", ""), name)
                for name, words in ((name, record.about.get(name, {})) for name in names)
            )
        asked = record.asked_of(listed_names)
        authors = benchmark.authors if benchmark is not None and published else ""
        summary = summarize(record.benchmark, authors, instances, rows, published)
        entries = tuple(_entry(folder, i, rows.get(i.name), published.get(i.name, ""), requirements) for i in instances)
        entries = tuple(_with_words(entry, record.about.get(entry.instance, {})) for entry in entries)
        if radii is not None:
            entries = tuple(_with_radius(folder, entry, radii.get(entry.instance)) for entry in entries)
        return cls(
            folder,
            record,
            "" if benchmark is None else benchmark.description,
            summary,
            entries,
            None if asked is None else len(asked),
            tuple(name for name in asked or () if name not in rows),
            is_held(folder),
        )


def read_requirements(path: Path) -> tuple[tuple[str, str], ...]:
    """Pairs of an instance, or a pattern of several, and a requirement: ``instance,requirement`` on every line of a CSV file.

    Raises :class:`FormatError`.
    """
    data = read_bytes(path, "table of requirements", limit=_LONGEST)
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(path, f"is no table ({error})", "write 'instance,requirement' on every line") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line or line == ["instance", "requirement"]:
            continue
        if len(line) != 2 or not all(part.strip() for part in line):
            raise FormatError(path, f"line {number} has no instance and requirement", "write 'instance,requirement'")
        found.append((line[0].strip(), line[1].strip()))
    return tuple(found)


def read_times(path: Path) -> dict[str, Row]:
    """Rows of another run to compare with: a folder of one, or a table ``instance,verdict,seconds``.

    Raises :class:`InputError`.
    """
    if path.is_dir():
        RunRecord.read(path)
        return read_table(path / FILE).rows
    data = read_bytes(path, "table of verdicts", limit=_LONGEST)
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        missing = [name for name in ("instance", "verdict", "seconds") if name not in (reader.fieldnames or ())]
        if missing:
            raise KeyError(missing[0])
        return {
            row["instance"]: Row(row["instance"], row["verdict"], seconds_of(row["seconds"]), row.get("method") or "")
            for row in reader
        }
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        problem = f"is no table of verdicts ({type(error).__name__}: {str(error)[:60]})"
        raise FormatError(path, problem, "give a folder of a run, or a table with instance,verdict,seconds") from None


def _radii(path: Path) -> dict[str, RadiusRow] | None:
    """The rows of a run about radii; None where it is about verdicts."""
    try:
        with open_file(path) as stream:
            first = stream.readline(1 << 12)
    except OSError:
        return None
    return read_rows(path, RadiusRow).rows if first == header_line(RadiusRow).encode() else None


def _as_row(row: RadiusRow) -> Row:
    """A radius as a verdict: robust at it, open where what lies beyond is not decided."""
    verdict = {EXACT: "robust", OPEN: "unknown"}.get(row.verdict, row.verdict)
    evidence = f"reason={row.reason}" if row.verdict == OPEN else row.reason
    return Row(row.name, verdict, row.seconds, f"{row.queries} queries", evidence)


def _with_words(entry: Entry, words: Mapping[str, str]) -> Entry:
    """The entry with what the run's record says of its instance."""
    if not words:
        return entry
    radius = words.get("radius", "")
    said = radius if _NUMBER.fullmatch(radius) else entry.radius
    return replace(entry, radius=said, label=words.get("label", ""), norm=words.get("norm", ""))


def _with_radius(folder: Path, entry: Entry, row: RadiusRow | None) -> Entry:
    if row is None or row.proved < 0:
        return entry
    said = f"robust at {row.proved}" + ("" if row.refuted < 0 else f", vulnerable at {row.refuted}")
    witness = folder / "witnesses" / Path(row.witness).name
    proofs = [folder / "certificates" / Path(name).name for name in row.certificates]
    return replace(
        entry,
        radius=str(row.proved),
        reason=f"{said}; {row.reason}" if row.reason else said,
        witness=witness if row.witness and witness.is_file() else None,
        certificate=next((path for path in proofs if path.is_file()), None),
    )


def _known(name: str) -> Benchmark | None:
    from netproof.benchmarks.registry import benchmark

    try:
        return benchmark(name)
    except InputError:
        return None


def _published(benchmark: Benchmark, data: DataFolders) -> Mapping[str, str]:
    try:
        return benchmark.published(data)
    except FormatError:
        raise
    except InputError:
        return {}


def _entry(
    folder: Path, instance: Instance, row: Row | None, published: str, requirements: Sequence[tuple[str, str]]
) -> Entry:
    name = instance.name
    matched = tuple(word for pattern, word in requirements if pattern == name or fnmatchcase(name, pattern))
    radius = _RADIUS.search(name)
    said = "" if radius is None else radius[1] or radius[2]
    if row is None:
        return Entry(
            name, instance.network, instance.group, "", 0.0, "", "", None, "", published, matched, said, None, None
        )
    fields = dict(_FIELD.findall(row.evidence)) if not row.decided else {}
    # A name is that of a file, and of none elsewhere.
    witness = folder / "witnesses" / f"{Path(name).name}.json"
    trace = folder / FOLDER / f"{Path(name).name}{TRACE}"
    return Entry(
        name, instance.network, instance.group, row.verdict, row.seconds, row.method, row.evidence,
        _number(fields.get("bound")), fields.get("reason", "") if row.verdict != "error" else row.evidence,
        published, matched, said,
        witness if row.evidence.startswith("witnesses/") and witness.is_file() else None,
        _certificate(folder, name, row),
        trace if trace.is_file() else None,
    )  # fmt: skip


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _certificate(folder: Path, name: str, row: Row) -> Path | None:
    """Where a certificate lies: beside the results, or where the row says that it was written."""
    places = [folder / "certificates" / f"{Path(name).name}{SUFFIX}"]
    if row.evidence.startswith(CERTIFICATE):
        places.append(Path(row.evidence.removeprefix(CERTIFICATE)))
    return next((place for place in places if place.is_file()), None)
