"""``netproof bench export``: a benchmark as SMT-LIB files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.cli.terminal.encoding import Without, encoding_options
from netproof.errors import FormatError, InputError

Name = Annotated[str, typer.Argument(metavar="NAME", help="The benchmark (see 'netproof bench list').")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into; made where it does not exist.")]
Only = Annotated[
    str | None,
    typer.Option("--only", metavar="PATTERN", help="Only instances whose name has this part or matches this glob."),
]
Results = Annotated[
    Path | None,
    typer.Option("--results", metavar="FILE", help="results.csv of an earlier run, for the status of each instance."),
]

_STATUS = {"robust": "unsat", "unsat": "unsat", "vulnerable": "sat", "sat": "sat"}


def export(
    name: Name,
    folder: Folder,
    *,
    data: o.DataFolder = None,
    only: Only = None,
    results: Results = None,
    without: Without = None,
) -> None:
    """Write a benchmark as SMT-LIB 2 scripts.

    One file per instance, misclassified ones left out, with its status where the published table or an earlier run knows it.
    """
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.registry import benchmark as find_benchmark

    options = encoding_options(without)
    benchmark = find_benchmark(name)
    folders = DataFolders.locate(data)
    benchmark.files(folders)
    chosen = benchmark.select(benchmark.instances(folders), only)
    try:
        published = benchmark.published(folders)
    except FormatError:
        raise
    except InputError as error:
        typer.echo(f"note: no published verdicts: {error}", err=True)
        published = {}
    status = _statuses(published, results)

    from netproof.exact.smt.export import exported
    from netproof.files.durable import write_text
    from netproof.files.opened import unwritable
    from netproof.version import netproof_version

    o.use_threads(1)
    opened = benchmark.open(folders)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error, "give another folder") from None
    written = known = 0
    for instance in chosen:
        query = opened.query(instance)
        if query.misclassified:
            continue
        expected = status.get(instance.name)
        lines = exported(query, options, status=expected, writer=f"netproof {netproof_version()}")
        write_text(folder / f"{instance.name}.smt2", lines)
        written += 1
        known += expected is not None
    typer.echo(
        f"{benchmark.name}: {written} files in {folder}, {known} with a known status; "
        f"{len(chosen) - written} misclassified samples left out"
    )


def _statuses(published: Mapping[str, str], results: Path | None) -> dict[str, str]:
    """The status of every instance that was decided; raises :class:`InputError` where two sources contradict each other."""
    status = {instance: _STATUS[verdict] for instance, verdict in published.items() if verdict in _STATUS}
    if results is None:
        return status

    from netproof.runs.table import read_table

    if not results.is_file():
        raise InputError(results, "no such file (--results)", "give the results.csv of a run")
    for instance, row in read_table(results).rows.items():
        found = _STATUS.get(row.verdict)
        if found is not None and status.setdefault(instance, found) != found:
            raise InputError(
                results,
                f"says {row.verdict} of {instance}, the published table says otherwise",
                "find out which is right before passing either on",
            )
    return status
