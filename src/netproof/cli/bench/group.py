"""``netproof bench list | run | show | export``: published benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.cli.arguments.groups import command_group
from netproof.cli.arguments.help import SEARCH
from netproof.cli.bench.export import export
from netproof.cli.bench.follow import Followed
from netproof.cli.bench.generate import generate
from netproof.cli.bench.radius import radius, show_radii
from netproof.cli.bench.scale import scale
from netproof.cli.bench.table import table
from netproof.cli.bench.watch import watch
from netproof.errors import FormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netproof.benchmarks.base import Benchmark
    from netproof.benchmarks.data import DataFolders
    from netproof.report.summary import Summary
    from netproof.runs.certify import Certified, Certifying
    from netproof.runs.record import RunRecord

app = command_group("Run published benchmarks, export them, and make new ones.")
app.command()(export)
app.command()(generate)
app.command()(radius)
app.command()(scale)
app.command()(table)
app.command()(watch)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The benchmark (see 'netproof bench list'), or vnncomp:DIR.")]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", help="Worker processes.")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="ADDRESS", help="Let the workers of a Dask scheduler answer: dask://HOST:PORT."
    ),
]
Only = Annotated[
    str | None,
    typer.Option("--only", metavar="PATTERN", help="Only instances whose name has this part or matches this glob."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the results (default: results/NAME).")
]
Certificates = Annotated[
    Path | None,
    typer.Option(
        "--certificates", "--proofs", metavar="DIR", help="Write a certificate of every verdict there, as they come."
    ),
]
Check = Annotated[
    bool, typer.Option("--check", help="Check every certificate when it is written (default DIR: OUT/certificates).")
]
Traces = Annotated[
    bool,
    typer.Option(
        "--traces",
        help="Keep how searches of float networks go on, in OUT/traces (default: no).",
        rich_help_panel=SEARCH,
    ),
]
RunFolderPath = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that 'bench run' wrote.")]


@app.command("list")
def list_(data: o.DataFolder = None, as_json: o.Json = False) -> None:
    """List the benchmarks and whether their data is there."""
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.registry import benchmarks
    from netproof.cli.terminal.output import print_json

    folders = DataFolders.locate(data)
    documents: list[dict[str, object]] = []
    for benchmark in benchmarks():
        missing, count = "", None
        try:
            count = len(benchmark.instances(folders))
            benchmark.files(folders)
        except InputError as error:
            missing = str(error)
        documents.append(
            {
                "name": benchmark.name,
                "description": benchmark.description,
                "instances": count,
                "published": benchmark.authors or None,
                "available": not missing,
                "missing": missing or None,
            }
        )
    if as_json:
        print_json(documents)
        return
    width = max(len(str(document["name"])) for document in documents)
    for document in documents:
        typer.echo(f"{document['name']:<{width}}  {document['description']}")
        if document["missing"]:
            typer.echo(f"{'':<{width}}  data missing: {document['missing']}")


@app.command()
def run(
    name: Name,
    *,
    data: o.DataFolder = None,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    timeout: o.Timeout = None,
    seed: o.Seed = None,
    engine: o.Engine = None,
    memory: o.Memory = None,
    device: o.Device = None,
    only: Only = None,
    out: Out = None,
    certificates: Certificates = None,
    check: Check = False,
    traces: Traces = False,
    as_json: o.Json = False,
) -> None:
    """Run a benchmark, or go on with one.

    The same command again resumes. Results go to DIR/results.csv as they come. Exits with 1 where a verdict contradicts the
    published one, a certificate fails, or an instance does.
    """
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.registry import benchmark as find_benchmark
    from netproof.cli.terminal.stop import stoppable

    settings = o.settings_of(timeout, seed, engine, memory=memory, device=device)
    if scheduler is not None and jobs != 1:
        raise InputError("--jobs", "--scheduler has workers of its own", "leave --jobs out")
    benchmark = find_benchmark(name)
    folders = DataFolders.locate(data)
    folder = out or Path("results") / Path(benchmark.name).name
    benchmark.check(folders)  # first things first: without its files there is no run
    published = _published(benchmark, folders)
    followed = Followed(folder, "instances")
    if (jobs == 1 and scheduler is None) or not benchmark.certifiable:
        # Before the signals get another meaning: nothing is under way yet that would have to be put in order. Where other
        # processes read the networks, this one has no use for PyTorch, which takes most of a start.
        o.use_threads(1)

    from netproof.runs.certify import Certifying
    from netproof.runs.job import Job
    from netproof.runs.run import run_benchmark
    from netproof.runs.traces import FOLDER

    with stoppable(followed.standing):
        certifying = None
        if certificates is not None or check:
            certifying = Certifying((certificates or folder / "certificates").absolute(), check)
        kept = (folder / FOLDER).absolute() if traces else None
        job = Job(benchmark, folders, settings, certifying, traces=kept)
        events = run_benchmark(job, folder, jobs=jobs, only=only, scheduler=scheduler)
        followed.through(events, benchmark.name)
    if certifying is not None:
        typer.echo(_certified(followed.certified, certifying), err=True)
    _present(benchmark, folders, folder, published, as_json=as_json, whole=False)


def _certified(written: Sequence[Certified], wanted: Certifying) -> str:
    """One line on the certificates that were written."""
    from netproof.runs.certify import SUFFIX

    line = f"no new certificates in {wanted.folder}"
    if written:
        sizes = sorted(c.size for c in written)
        line = (
            f"{len(sizes)} certificates in {wanted.folder}: median {sizes[len(sizes) // 2]} bytes, largest {sizes[-1]}"
        )
        checked = [c.seconds for c in written if c.seconds is not None]
        line += f"; all of them checked, in {sum(checked):.1f} s" if len(checked) == len(written) else ""
        making = [c.making for c in written if c.making is not None]
        line += f"; made in {sum(making):.1f} s beyond the searches" if making else ""
    without = len(list(wanted.folder.glob("*.none.txt")))
    line += f"; {without} decided instances without one (*.none.txt say why)" if without else ""
    earlier = len(list(wanted.folder.glob(f"*{SUFFIX}"))) - len(written)
    if wanted.check and earlier > 0:
        line += f"; {earlier} from before were not checked now ('netproof check' does that)"
    return line


@app.command()
def show(folder: RunFolderPath, data: o.DataFolder = None, as_json: o.Json = False) -> None:
    """Print the table of a run.

    It has the form the benchmark's authors use, theirs beside ours. Exits with 1 where a verdict contradicts the published one or an instance failed.
    """
    from netproof.asking.benchmark import PREFIX
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.image_radii import is_of_radii
    from netproof.benchmarks.registry import benchmark as find_benchmark
    from netproof.runs.record import RunRecord

    recorded = RunRecord.read(folder).benchmark
    if is_of_radii(recorded):
        show_radii(folder, as_json=as_json)
        return
    folders = DataFolders.locate(data)
    if recorded.startswith(f"{PREFIX}: "):
        _show_images(folder, folders, as_json=as_json)
        return
    benchmark = find_benchmark(recorded)
    published = _published(benchmark, folders)
    _present(benchmark, folders, folder, published, as_json=as_json, whole=True)


def _show_images(folder: Path, folders: DataFolders, *, as_json: bool) -> None:
    """The table of a run of ``robust --out``, which only its folder knows."""
    from netproof.report.entries import RunReport

    report = RunReport.read(folder, folders)
    _print(report.summary, report.record, folder, as_json=as_json, whole=True, description=report.standing)


def _published(benchmark: Benchmark, folders: DataFolders) -> Mapping[str, str]:
    """The published verdicts; where their file is missing the run goes on without, and says so."""
    try:
        return benchmark.published(folders)
    except FormatError:
        raise
    except InputError as error:
        typer.echo(f"note: nothing to compare with: {error}", err=True)
        return {}


def _present(
    benchmark: Benchmark,
    folders: DataFolders,
    folder: Path,
    published: Mapping[str, str],
    *,
    as_json: bool,
    whole: bool,
) -> None:
    """Print what a folder holds, all of it or the totals, and raise ``Exit(1)`` where it failed a check."""
    from netproof.report.summary import summarize
    from netproof.runs.record import RunRecord
    from netproof.runs.table import FILE, read_table

    record = RunRecord.read(folder)
    record.check_same_instances(
        folder, RunRecord(record.benchmark, {}, (), benchmark.listed(folders), benchmark.doubtful(folders))
    )
    instances = benchmark.instances(folders)
    rows = read_table(folder / FILE, {i.name for i in instances}).rows
    summary = summarize(benchmark.name, benchmark.authors, instances, rows, published)
    _print(summary, record, folder, as_json=as_json, whole=whole, description=benchmark.description)


def _print(summary: Summary, record: RunRecord, folder: Path, *, as_json: bool, whole: bool, description: str) -> None:
    """Print a summary, and raise ``Exit(1)`` where it failed a check."""
    from netproof.cli.terminal.output import print_json

    if as_json:
        from netproof.report.document import summary_document

        print_json({"folder": str(folder), **summary_document(summary, wall_seconds=record.wall_seconds)})
    else:
        from netproof.report.text import render, render_totals

        if whole:
            typer.echo(f"{description}\n{record.conditions}\n")
            typer.echo(render(summary, wall_seconds=record.wall_seconds), nl=False)
        else:
            typer.echo(render_totals(summary, wall_seconds=record.wall_seconds), nl=False)
            typer.echo(f"the whole table: netproof bench show {folder}", err=True)
    if summary.failed:
        typer.echo(_alarm(summary), err=True)
        raise typer.Exit(1)


def _alarm(summary: Summary) -> str:
    """One line on standard error, which a script that ignores the output still shows."""
    parts = []
    if summary.disagreements:
        parts.append(f"{len(summary.disagreements)} verdict(s) contradict those published ({summary.authors})")
    if summary.errors:
        parts.append(f"{len(summary.errors)} instance(s) failed, {next(iter(summary.errors))} first")
    return f"CHECK FAILED: {summary.benchmark}: " + "; ".join(parts)
