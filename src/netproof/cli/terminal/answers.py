"""Answers about several images of one network, as a table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from netproof.asking.benchmark import ImageQuestions
    from netproof.asking.reach import Reach
    from netproof.cli.arguments.asked import Asked
    from netproof.runs.rows import Row
    from netproof.settings import Settings


def answer_all(
    asked: Asked,
    reach: Reach,
    goal: tuple[int | None, int],
    settings: Settings,
    *,
    jobs: int,
    out: Path | None,
    as_json: bool,
) -> list[str]:
    """Answer every image, print a line for each as they come and the sums; gives the verdicts.

    Raises :class:`InputError` as a run of a benchmark does.
    """
    from netproof.asking.benchmark import ImageQuestions
    from netproof.cli.terminal.stop import stoppable
    from netproof.graph.graph import Arithmetic
    from netproof.report.text import seconds_text
    from netproof.runs.run import check_jobs

    check_jobs(jobs)
    integer = asked.network.graph.arithmetic is Arithmetic.INTEGER and not asked.network.runtime
    images = asked.images
    labels = {index: images.label(index) for index in asked.indices}
    benchmark = ImageQuestions(
        asked.path.absolute(), asked.widths, asked.runtime, asked.source, asked.prepared, images.pictures.digest,
        asked.indices, reach.number, reach.words, goal[0], goal[1], integer, reach.norm, tuple(labels.values()), len(images),
    )  # fmt: skip
    said = f"; {images.words}" if images.words else ""
    head = f"{len(asked.indices)} images of {images.pictures.source}, radius {reach.words}{said}"
    rows: dict[int, Row] = {}

    def standing() -> str:
        kept = "" if out is None else f" in {out}; run the same command again to go on"
        return f": {len(rows)} of {len(asked.indices)} images are answered{kept}"

    with stoppable(standing):
        for row in _rows(benchmark, asked, settings, jobs, out):
            index = int(row.instance.rpartition("-")[2])
            if not as_json and not rows:
                typer.echo(f"{head}\n{'sample':>8}  {'label':>5}  {'verdict':<13}  {'time':>9}  how")
            rows[index] = row
            if not as_json:
                how = row.method or row.evidence[:60]
                typer.echo(f"{index:>8}  {labels[index]:>5}  {row.verdict:<13}  {seconds_text(row.seconds):>9}  {how}")
    if as_json:
        _print_json(asked, reach, rows, labels)
    else:
        _print_sums(reach, rows, out)
    return [row.verdict for row in rows.values()]


def _print_json(asked: Asked, reach: Reach, rows: Mapping[int, Row], labels: Mapping[int, int]) -> None:
    from netproof.cli.arguments.networks import network_document
    from netproof.cli.terminal.output import print_json

    found = [
        {
            "index": index, "label": labels[index], "verdict": rows[index].verdict,
            "seconds": round(rows[index].seconds, 6), "method": rows[index].method, "evidence": rows[index].evidence,
        }
        for index in asked.indices
    ]  # fmt: skip
    counts = Counter(row.verdict for row in rows.values())
    network = network_document(asked.network)
    print_json({"network": network, "radius_in_words": reach.words, "counts": dict(counts), "samples": found})


def _print_sums(reach: Reach, rows: Mapping[int, Row], out: Path | None) -> None:
    from netproof.report.text import seconds_text

    counts = Counter(row.verdict for row in rows.values())
    tally = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    spent = seconds_text(sum(row.seconds for row in rows.values()))
    typer.echo(f"{len(rows)} images, radius {reach.words}: {tally}; sum of times {spent}")
    if out is not None:
        typer.echo(f"kept in {out}; a page of it: netproof report {out}", err=True)


def _rows(benchmark: ImageQuestions, asked: Asked, settings: Settings, jobs: int, out: Path | None) -> Iterator[Row]:
    from netproof.benchmarks.data import DataFolders
    from netproof.runs.job import Job
    from netproof.runs.rows import Row

    job = Job(benchmark, DataFolders(()), settings)
    if out is not None:
        from netproof.runs.run import RunStep, Start, run_benchmark
        from netproof.runs.table import FILE, read_table

        events = run_benchmark(job, out, jobs=jobs)
        start = next(events)
        assert isinstance(start, Start)
        names = {instance.name for instance in benchmark.instances(job.data)}
        before = read_table(out / FILE).rows
        done = {name: row for name, row in before.items() if name in names}
        new = set()
        for event in events:
            assert isinstance(event, RunStep) and isinstance(event.row, Row)
            new.add(event.row.instance)
            yield event.row
        yield from (row for name, row in done.items() if name not in new)
        return
    from netproof.runs.solve import solve
    from netproof.runs.workers.deal import solve_in_workers

    instances = benchmark.instances(job.data)
    if jobs == 1:
        outcomes = solve(benchmark.opened(asked.images), instances, job)
    else:
        outcomes = solve_in_workers(job, instances, jobs)
    for outcome in outcomes:
        assert isinstance(outcome.row, Row)
        yield outcome.row
