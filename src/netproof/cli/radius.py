"""``netproof radius``: how far images of one network are robust."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import asked as a
from netproof.cli.arguments import options as o
from netproof.errors import TimeLimitError

if TYPE_CHECKING:
    from fractions import Fraction

    from netproof.asking.images import Images, ImageSource, Preparation
    from netproof.cli.evidence.written import Written
    from netproof.formats.fixed_point import FixedPoint
    from netproof.search.radius import RadiusResult
    from netproof.settings import Settings

Certificates = Annotated[
    Path | None,
    typer.Option("--certificates", metavar="DIR", help="Write proof and witness there, for 'netproof check'."),
]
Limit = Annotated[
    str | None, typer.Option("--limit", metavar="R", help="Look no further, in units as --eps (default: all inputs).")
]
Accuracy = Annotated[
    str | None,
    typer.Option(
        "--accuracy", metavar="A", help="Float networks: between proof and witness (default: 0.1 grey levels)."
    ),
]
Norm = Annotated[str, typer.Option("--norm", metavar="NAME", help="Norm: linf, l1, l2.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="S", help="Seconds for an image (default: 600; 60 of float networks and in l1 and l2)."
    ),
]
Jobs = Annotated[
    int, typer.Option("--jobs", metavar="N", help="Worker processes, of several images; each has one thread.")
]


def radius(
    network: o.NetworkPath,
    *,
    images: a.ImagesPath,
    labels: a.LabelsPath = None,
    label: a.Label = None,
    index: a.Indices = None,
    every: a.Every = False,
    limit: Limit = None,
    accuracy: Accuracy = None,
    norm: Norm = "linf",
    scale: a.Scale = None,
    mean: a.Mean = None,
    std: a.Std = None,
    clip: a.Clip = None,
    layout: a.Layout = None,
    split: a.Split = "test",
    crop: a.Crop = None,
    unchecked: a.Unchecked = False,
    bits: o.Bits = None,
    input_bits: o.InputBits = None,
    weight_integer_bits: o.WeightIntegerBits = None,
    bias_integer_bits: o.BiasIntegerBits = None,
    activation_integer_bits: o.ActivationIntegerBits = None,
    runtime: o.Runtime = None,
    timeout: Timeout = None,
    seed: o.Seed = None,
    threads: o.Threads = None,
    memory: o.Memory = None,
    device: o.Device = None,
    jobs: Jobs = 1,
    certificates: Certificates = None,
    as_json: o.Json = False,
) -> None:
    """Find the largest radius at which an image is robust.

    Of a network of integers exactly: a proof at that radius, a witness one grey level further. Of a float network to an accuracy. An image that cannot be asked about is a line of its own, and the code is 1; where it is the only one, it is 2.
    """
    from netproof.cli.arguments.networks import network_document
    from netproof.cli.terminal.output import check_folder, print_json
    from netproof.errors import InputError

    settings = o.settings_of(timeout, seed, proofs=certificates is not None, memory=memory, device=device)
    o.check_threads(threads)
    a.check_norm(norm)
    a.check_ball(norm, certificates, "--certificates")
    if certificates is not None:
        check_folder(certificates, "--certificates")
    # PyTorch comes in here, and nothing before that may need it (use_threads says why).
    o.use_threads(threads)
    source = a.source_of(images, labels, label, split, crop, unchecked)
    prepared = a.prepared_by(layout, scale, mean, std, clip)
    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    begun = time.monotonic()
    deadline = begun + settings.timeout
    try:
        asked = a.Asked.read((network, widths, runtime), source, prepared, index, every=every, deadline=deadline)
    except TimeLimitError as late:
        _say_unread(network, index or [], late, time.monotonic() - begun, as_json=as_json)
        return
    spent = time.monotonic() - begun
    found_images, model = asked.images, asked.network

    from netproof.asking.reach import reach_of
    from netproof.device import check_device
    from netproof.graph.graph import Arithmetic
    from netproof.runs.run import check_jobs
    from netproof.search.radius import REAL_TIMEOUT

    check_jobs(jobs)
    integer = model.graph.arithmetic is Arithmetic.INTEGER
    if timeout is None and not (integer and norm == "linf"):
        settings = replace(settings, timeout=REAL_TIMEOUT)
    check_device(settings.device, model)
    if certificates is not None:
        from netproof.cli.evidence.written import settings_with_evidence

        asked.check_certifiable("--certificates")
        settings = settings_with_evidence(settings, model, network)
    if integer and accuracy is not None:
        raise InputError("--accuracy", f"{network} is an integer network, whose radii are exact", "leave it out")
    reach = None if limit is None else reach_of(limit, found_images.unit, "--limit").number
    step = None if accuracy is None else reach_of(accuracy, found_images.unit, "--accuracy").number
    task = _Radii(
        (network, widths, runtime), source, prepared, settings, reach, step, certificates, norm, len(asked.indices) == 1,
        spent,
    )  # fmt: skip
    documents = []
    failed = False
    for answer in _answers(task, asked, jobs):
        failed |= answer.failed
        if as_json:
            documents.append(answer.document)
        else:
            # as they come: several samples can take minutes
            for line in answer.lines:
                typer.echo(line)
    if as_json:
        unit = found_images.unit.words
        stated = reach if reach is None or integer else str(reach)
        measured = {} if norm == "linf" else {"norm": norm}
        print_json(
            {"network": network_document(model), "unit": unit, "limit": stated, **measured, "samples": documents}
        )
    elif found_images.words:
        typer.echo(f"radii {found_images.unit.words}; {found_images.words}")
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Answer:
    """What is said of one image, as text and as JSON; ``failed`` where it could not be asked about."""

    lines: tuple[str, ...]
    document: dict[str, object]
    failed: bool = False


@dataclass(frozen=True)
class _Radii:
    """What is asked about every image, in this process or in others.

    Attributes
    ----------
    reading, source, prepared : as :meth:`netproof.cli.arguments.asked.Asked.read` takes them
    reach, step : the limit and the accuracy, in the unit of radii
    certificates : the folder for them, if they are wanted
    norm : what radii are measured in
    alone : whether there is one image, which the command is refused with
    spent : seconds that reading took, which are part of a single image's time
    """

    reading: tuple[Path, FixedPoint | None, str | None]
    source: ImageSource
    prepared: Preparation
    settings: Settings
    reach: int | Fraction | None
    step: int | Fraction | None
    certificates: Path | None
    norm: str
    alone: bool
    spent: float = 0.0

    def begin(self) -> Callable[[int], _Answer]:
        """For another process: read everything again, and answer there."""
        from netproof.processes.inside import start_pytorch

        start_pytorch(1)
        begun = time.monotonic()
        deadline = begun + self.settings.timeout
        try:
            return self.about(
                a.Asked.read(self.reading, self.source, self.prepared, [0], every=False, deadline=deadline)
            )
        except TimeLimitError as error:
            late, spent = error, time.monotonic() - begun
            return lambda index: _undecided(index, late, spent)

    def about(self, asked: a.Asked) -> Callable[[int], _Answer]:
        def answer(index: int) -> _Answer:
            return self._answer(asked, index)

        return answer

    def _answer(self, asked: a.Asked, index: int) -> _Answer:
        from netproof.errors import QueryError
        from netproof.search.radius import largest_radius

        images, model = asked.images, asked.network
        try:
            found = largest_radius(
                model, images.image(index), images.label(index), asked.left(self.settings, self.spent), limit=self.reach, accuracy=self.step,
                norm=self.norm, **images.arguments,
            )  # fmt: skip
        except QueryError as error:
            named = QueryError(images.named(index), error.problem, error.hint)
            if self.alone:
                raise named from None
            return _Answer((f"error: {named}",), {"index": index, "error": str(named)}, failed=True)
        folder = self.certificates
        limits = self.reading[0], self.settings.timeout
        written = [] if folder is None else _certify(images, index, found, folder, *limits)
        files = [str(one.path) for one in written if not one.without]
        lines = [_render_text(images, index, found, self.norm)]
        if model.computed_by:
            lines.append(f"  {model.computed_by}")
        for one in written:
            said = one.property_ is not None or one.without
            lines.append(f"  {one.text}" if said else f"  certificate: {one.path}")
        return _Answer(tuple(lines), _to_json(images, index, found) | {"certificates": files})


def _undecided(index: int, late: TimeLimitError, seconds: float) -> _Answer:
    """What is said of an image whose network there was no time to read."""
    document: dict[str, object] = {
        "index": index, "label": None, "radius": -1, "exact": False, "witness_radius": None, "witness": None,
        "seconds": round(seconds, 6), "queries": 0, "reason": late.reason, "certificates": [],
    }  # fmt: skip
    return _Answer((f"sample {index}: not decided ({late.reason})",), document)


def _say_unread(network: Path, indices: list[int], late: TimeLimitError, seconds: float, *, as_json: bool) -> None:
    """Print that nothing was decided, of the images that are named or of whichever there are."""
    from netproof.cli.arguments.networks import unread_document
    from netproof.cli.terminal.output import print_json

    answers = [_undecided(index, late, seconds) for index in dict.fromkeys(indices)]
    if as_json:
        samples = [answer.document for answer in answers]
        document = {"network": unread_document(network), "unit": None, "limit": None, "samples": samples}
        print_json(document | {"reason": late.reason})
        return
    for line in [line for answer in answers for line in answer.lines] or [f"not decided ({late.reason})"]:
        typer.echo(line)


def _answers(task: _Radii, asked: a.Asked, jobs: int) -> Iterator[_Answer]:
    """In the order of the images, as they come."""
    from netproof.processes.spread import spread

    if jobs == 1 or len(asked.indices) == 1:
        yield from map(task.about(asked), asked.indices)
    else:
        for _, answer in spread(task.begin, asked.indices, jobs):
            yield answer


def _certify(
    images: Images, index: int, found: RadiusResult, folder: Path, network: Path, seconds: float
) -> list[Written]:
    """Write the proof at the radius and the witness beyond, in so many seconds each."""
    from netproof.cli.evidence.written import evidence_about
    from netproof.runs.certify import SUFFIX
    from netproof.runs.radii.evidence import evidence_of

    def path(radius: int | Fraction) -> Path:
        return folder / f"sample-{index}-radius-{str(radius).replace('/', '-')}{SUFFIX}"

    evidence = evidence_of(found, lambda radius: images.query(index, radius, name=f"sample {index}, radius {radius}"))
    return [evidence_about(path(one.radius), network, one.query, one.result, seconds) for one in evidence]


def _to_json(images: Images, index: int, found: RadiusResult) -> dict[str, object]:
    integer = images.unit.scale is None

    def number(radius: int | Fraction | None) -> int | str | None:
        return None if radius is None else int(radius) if integer or radius == -1 else str(radius)

    return {
        "index": index,
        "label": images.label(index),
        "radius": number(found.radius),
        "exact": found.exact,
        "witness_radius": number(found.witness_radius),
        "witness": None if found.witness is None else _values(found.witness.numbers, integer=integer),
        "seconds": round(found.seconds, 6),
        "queries": found.queries,
        "reason": found.reason,
    }


def _values(numbers: tuple[Fraction, ...], *, integer: bool) -> list[int] | list[str]:
    from netproof.formats.counterexample import decimal

    return [int(value) for value in numbers] if integer else [decimal(value) for value in numbers]


def _render_text(images: Images, index: int, found: RadiusResult, norm: str) -> str:
    from netproof.report.answer import number_text
    from netproof.report.text import seconds_text

    cost = f"{seconds_text(found.seconds)}, {found.queries} quer{'y' if found.queries == 1 else 'ies'}"
    said = "" if images.labels is not None else ", the network's own class"
    head = f"sample {index} (label {images.label(index)}{said}): "
    if found.radius < 0:
        if found.witness is not None:
            return f"{head}robust at no radius, another output is as large; {cost}"
        return f"{head}{'misclassified' if found.exact else f'not decided ({found.reason})'}; {cost}"
    # The radii of integers are whole grey levels; the unit of others stands below all of them, with how values become inputs.
    unit = (" grey level" if found.radius == 1 else " grey levels") if images.unit.scale is None else ""
    answer = f"robust at radius {number_text(found.radius)}{unit}{'' if norm == 'linf' else f' in {norm}'}"
    if found.witness_radius is not None:
        answer += f", vulnerable at {number_text(found.witness_radius)}"
        between = "in between"
    else:
        between = "beyond"
    if not found.exact:
        answer += f", not decided {between} ({found.reason or 'no answer in time'})"
    elif found.witness_radius is None:
        answer += " and at every larger one"
    return f"{head}{answer}; {cost}"
