"""``netproof bench table``: clean, attacked and verified accuracy of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netproof.cli.arguments import image_options as i
from netproof.cli.arguments import options as o
from netproof.errors import InputError

Networks = Annotated[list[Path], typer.Argument(metavar="NETWORK...", help="Networks in ONNX.")]
Split = Annotated[str, typer.Option("--split", metavar="PART", help="Which part of an archive: test or train.")]
Count = Annotated[
    int | None, typer.Option("--count", metavar="N", help="So many images, drawn by the seed (default: all of them).")
]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", help="Worker processes.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="S", help="Seconds of complete search for one image.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the results.")]


def table(
    networks: Networks,
    *,
    images: i.Images,
    labels: i.Labels = None,
    split: Split = "test",
    crop: i.Crop = None,
    unchecked: i.Unchecked = False,
    radius: i.Radius = "1/255",
    mean: i.Mean = None,
    std: i.Std = None,
    count: Count = None,
    timeout: Timeout = 60.0,
    seed: o.Seed = None,
    jobs: Jobs = 1,
    out: Out = Path("results/table"),
    as_json: o.Json = False,
) -> None:
    """Tabulate clean accuracy, accuracy under PGD, and accuracy verified by CROWN and by the complete search.

    The same command again goes on where it was stopped. Exits with 1 where an image failed.
    """
    from netproof.benchmarks.data import DataFolders
    from netproof.cli.terminal.stop import stoppable
    from netproof.making.image_table import ImageTable, TableImages, check_readable, image_digest, sample

    eps = i.radius_of(radius)
    settings = o.settings_of(timeout, seed)
    paths = {i.network_name(path): path.absolute() for path in networks}
    if len(paths) != len(networks):
        raise InputError(networks[0], "two networks have one name", "rename one of them")
    check_readable(paths)
    source = TableImages(images, labels, split, crop, not unchecked)
    found = source.read()
    channels = found.images.shape[1]
    normalizations = {name: i.normalization_of(name, channels, mean, std) for name in paths}
    chosen = sample(found, count, settings.seed)
    benchmark = ImageTable(paths, normalizations, source, settings.seed, chosen, image_digest(found), eps)
    nowhere = DataFolders(())
    recorded = 0

    def standing() -> str:
        return f": {recorded} more images are on record in {out}; run the same command again to go on"

    # Before the signals get another meaning: nothing is under way yet that would have to be put in order.
    o.use_threads(1)

    from netproof.cli.terminal.progress import counted
    from netproof.making.stages import decide_in_stages
    from netproof.runs.job import Job
    from netproof.runs.run import RunStep, Start, run_benchmark

    with stoppable(standing):
        events = run_benchmark(Job(benchmark, nowhere, settings, decide=decide_in_stages), out, jobs=jobs)
        start = next(events)
        assert isinstance(start, Start)
        if start.pending:
            with counted("table", start.pending) as record:
                for event in events:
                    assert isinstance(event, RunStep)
                    record(event.row.verdict)
                    recorded += 1
        events.close()
    _present(benchmark, out, len(found), settings.timeout, settings.seed, as_json=as_json)


def _present(benchmark: object, folder: Path, available: int, limit: float, seed: int, *, as_json: bool) -> None:
    from netproof.benchmarks.data import DataFolders
    from netproof.cli.terminal.output import print_json
    from netproof.making.image_table import ImageTable
    from netproof.report.accuracies import accuracies, accuracies_document, render_accuracies
    from netproof.runs.table import FILE, read_table

    assert isinstance(benchmark, ImageTable)
    instances = benchmark.instances(DataFolders(()))
    rows = read_table(folder / FILE, {instance.name for instance in instances}).rows
    sampled = len(benchmark.indices) < available
    found = accuracies(instances, rows, sampled=sampled)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "radius": benchmark.radius,
                "timeout": limit,
                "seed": seed,
                "images": {"chosen": len(benchmark.indices), "available": available},
                "networks": [
                    {
                        **document,
                        "mean": list(benchmark.normalizations[each.network].mean),
                        "std": list(benchmark.normalizations[each.network].std),
                    }
                    for each, document in zip(found, accuracies_document(found), strict=True)
                ],
            }
        )
    else:
        which = f"{len(benchmark.indices)} of {available} images" if sampled else f"all {available} images"
        chosen = f", drawn by seed {seed}; 95 % intervals" if sampled else ""
        typer.echo(
            f"radius {benchmark.radius:.6g} of pixels in [0, 1], {which} of {benchmark.source.path}{chosen}; search up to "
            f"{limit:g} s an image"
        )
        for name, normalization in benchmark.normalizations.items():
            typer.echo(f"{name}: inputs of {i.normalization_text(normalization)}")
        typer.echo(render_accuracies(found), nl=False)
    failed = sum(each.failed for each in found)
    if failed:
        typer.echo(f"CHECK FAILED: {failed} image(s) failed; {folder / FILE} says why", err=True)
        raise typer.Exit(1)
