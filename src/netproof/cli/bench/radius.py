"""``netproof bench radius``: exact radii of many images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.cli.bench.follow import Followed
from netproof.errors import InputError, TimeLimitError

if TYPE_CHECKING:
    from netproof.benchmarks.data import DataFolders
    from netproof.benchmarks.image_radii import ImageRadii
    from netproof.formats.fixed_point import FixedPoint
    from netproof.network import Network
    from netproof.report.radii import Distribution
    from netproof.runs.certify import Certified, Certifying

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME|NETWORK", help="A benchmark of a quantized perceptron (its network), or a network file."
    ),
]
Images = Annotated[
    Path | None, typer.Option("--images", metavar="FILE", help="Images, IDX (plain or .gz) or .npy (default: NAME's).")
]
Labels = Annotated[
    Path | None, typer.Option("--labels", metavar="FILE", help="Their labels, IDX (plain or .gz) or .npy.")
]
Chosen = Annotated[
    str | None, typer.Option("--samples", metavar="LIST", help="Which images, from 0: 0-99,200 (default: all of them).")
]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", help="Worker processes.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", help="Seconds of processor time for one image (default: 600)."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder of the results (default: results/radii-NAME).")
]
Certificates = Annotated[
    Path | None,
    typer.Option(
        "--certificates", metavar="DIR", help="Write the certificates there: a proof and a witness per image."
    ),
]
Check = Annotated[
    bool, typer.Option("--check", help="Check every certificate when it is written (default DIR: OUT/certificates).")
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the distribution: .png, .svg, .pdf (extra 'report')."),
]

#: beside the results
_DISTRIBUTION = "distribution.csv"


def radius(
    name: Name,
    *,
    images: Images = None,
    labels: Labels = None,
    samples: Chosen = None,
    data: o.DataFolder = None,
    bits: o.Bits = None,
    input_bits: o.InputBits = None,
    weight_integer_bits: o.WeightIntegerBits = None,
    bias_integer_bits: o.BiasIntegerBits = None,
    activation_integer_bits: o.ActivationIntegerBits = None,
    runtime: o.Runtime = None,
    timeout: Timeout = None,
    seed: o.Seed = None,
    memory: o.Memory = None,
    jobs: Jobs = 1,
    out: Out = None,
    certificates: Certificates = None,
    check: Check = False,
    plot: Plot = None,
    as_json: o.Json = False,
) -> None:
    """Find the largest radius at which each of many images is robust, and how these are distributed.

    The same command again goes on where it was stopped. Radii go to DIR/results.csv as they come, each with a proof at it and a
    witness one further, or an interval where the time did not suffice. Exits with 1 where an image failed.
    """
    from netproof.benchmarks.data import DataFolders
    from netproof.cli.terminal.stop import stoppable
    from netproof.report.radii import check_plottable

    settings = o.settings_of(timeout, seed, memory=memory)
    folder = out or Path("results") / f"radii-{Path(name).name}"
    if plot is not None:
        from netproof.cli.terminal.output import check_writable

        check_plottable(plot)
        if plot.parent != folder:  # which the run makes
            check_writable(plot, "--plot")
    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    given = any(
        width is not None
        for width in (bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    )
    followed = Followed(folder, "images")
    # Before the signals get another meaning: nothing is under way yet that would have to be put in order.
    o.use_threads(1)
    deadline = time.monotonic() + settings.timeout
    try:
        asked, model = _asked(
            name, images, labels, widths if given else None, runtime, DataFolders.locate(data), deadline
        )
    except TimeLimitError as late:
        raise InputError(
            late.source, late.reason, f"--timeout {settings.timeout:g} is for reading, too: give more"
        ) from None

    from netproof.runs.certify import Certifying
    from netproof.runs.radii.job import RadiusJob
    from netproof.runs.run import run_benchmark

    certifying = None
    if certificates is not None or check:
        from netproof.certificate.certifiable import check_certifiable

        check_certifiable(model, "--certificates" if certificates is not None else "--check")
        certifying = Certifying((certificates or folder / "certificates").absolute(), check)
    with stoppable(followed.standing):
        job = RadiusJob(asked, DataFolders(()), settings, certifying)
        events = run_benchmark(job, folder, jobs=jobs, only=samples)
        followed.through(events, "radii")
    if certifying is not None:
        typer.echo(_certified(followed.certified, certifying), err=True)
    _present(asked, folder, samples, plot, as_json=as_json)


def _asked(
    name: str,
    images: Path | None,
    labels: Path | None,
    widths: FixedPoint | None,
    runtime: str | None,
    folders: DataFolders,
    deadline: float,
) -> tuple[ImageRadii, Network]:
    """What is asked about, and the network; raises :class:`InputError`, and :class:`TimeLimitError` where the deadline is over."""
    from netproof.benchmarks.image_radii import ImageRadii, reading_of
    from netproof.benchmarks.perceptron import BENCHMARKS
    from netproof.formats.fixed_point import FixedPoint
    from netproof.formats.images.samples import Samples
    from netproof.formats.load import load

    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    if (images is None) != (labels is None):
        missing, there = ("--labels", "--images") if labels is None else ("--images", "--labels")
        raise InputError(missing, f"is missing, where {there} is given", "give both, or none with a benchmark's name")
    if name in known:
        benchmark = known[name]
        if widths is not None or runtime is not None:
            raise InputError(
                name, "is read as its authors read it", "leave bit widths and --runtime out, or give its file"
            )
        files = benchmark.files(folders)
        network, widths = files["network"], FixedPoint(bits=benchmark.bits)
        images, labels = images or files["images"], labels or files["labels"]
    else:
        network = Path(name)
        if not network.is_file():
            hint = f"give a network file, or one of {', '.join(known)}"
            raise InputError(name, "is neither a file nor a benchmark whose images have radii", hint)
        if images is None or labels is None:
            raise InputError(
                "--images", f"is missing: {name} is a file, which has no images", "give --images and --labels"
            )
    model = load(network, widths=widths, runtime=runtime, deadline=deadline)
    Samples.read(images, labels).check_network(model)
    # Absolute, because worker processes read them again.
    network, images, labels = network.absolute(), images.absolute(), labels.absolute()
    return ImageRadii(network, images, labels, reading_of(model), widths, runtime), model


def _certified(written: list[Certified], wanted: Certifying) -> str:
    """One line on the certificates that were written."""
    if not written:
        return f"no new certificates in {wanted.folder}"
    line = f"{len(written)} certificates in {wanted.folder}, {sum(one.size for one in written) / 1e6:.3g} MB together"
    checked = [one.seconds for one in written if one.seconds is not None]
    return line + (f"; all of them checked, in {sum(checked):.1f} s" if len(checked) == len(written) else "")


def _present(asked: ImageRadii, folder: Path, samples: str | None, plot: Path | None, *, as_json: bool) -> None:
    """Print the distribution of the images asked for, write it beside the results, and raise ``Exit(1)`` where one failed."""
    from netproof.benchmarks.data import DataFolders
    from netproof.files.durable import write_text
    from netproof.report.radii import distribution, distribution_csv, plot_distribution
    from netproof.runs.radii.rows import RadiusRow
    from netproof.runs.table import FILE, read_rows

    instances = asked.instances(DataFolders(()))
    rows = read_rows(folder / FILE, RadiusRow, {instance.name for instance in instances}).rows
    chosen = asked.select(instances, samples)
    found = distribution([rows[instance.name] for instance in chosen if instance.name in rows])
    write_text(folder / _DISTRIBUTION, [distribution_csv(found)])
    if plot is not None:
        plot_distribution(found, asked.network.name, plot)
    _print(found, len(chosen), folder, as_json=as_json)
    if not as_json:
        typer.echo(f"the radii: {folder / FILE}; their distribution: {folder / _DISTRIBUTION}", err=True)
    _fail_where_one_did(found)


def show_radii(folder: Path, *, as_json: bool) -> None:
    """Print the distribution of all radii in a folder, and raise ``Exit(1)`` where an image failed."""
    from netproof.report.radii import distribution
    from netproof.runs.radii.rows import RadiusRow
    from netproof.runs.table import FILE, read_rows

    rows = read_rows(folder / FILE, RadiusRow).rows
    found = distribution(list(rows.values()))
    _print(found, len(rows), folder, as_json=as_json)
    _fail_where_one_did(found)


def _print(found: Distribution, total: int, folder: Path, *, as_json: bool) -> None:
    from netproof.cli.terminal.output import print_json
    from netproof.report.radii import distribution_document, render_distribution
    from netproof.runs.record import RunRecord

    if as_json:
        wall = RunRecord.read(folder).wall_seconds
        print_json({"folder": str(folder), "images": total, **distribution_document(found), "wall": wall})
    else:
        typer.echo(render_distribution(found, total), nl=False)


def _fail_where_one_did(found: Distribution) -> None:
    if found.errors:
        first = next(iter(found.errors))
        typer.echo(f"CHECK FAILED: {len(found.errors)} image(s) failed, {first} first: {found.errors[first]}", err=True)
        raise typer.Exit(1)
