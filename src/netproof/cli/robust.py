"""``netproof robust``: images of one network at one radius."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import asked as a
from netproof.cli.arguments import options as o
from netproof.cli.sets import options as sets
from netproof.errors import InputError, QueryError, TimeLimitError

if TYPE_CHECKING:
    from netproof.asking.reach import Reach
    from netproof.cli.arguments.asked import Asked
    from netproof.query import Query, Result
    from netproof.settings import Settings

Eps = Annotated[str | None, typer.Option("--eps", metavar="E", help="Radius: grey levels (2, 2grey), 2/255 or 0.01.")]
Target = Annotated[
    int | None, typer.Option("--target", metavar="K", help="Can the class become K? (default: any other)")
]
Top = Annotated[int, typer.Option("--top", metavar="N", help="Can the label leave the first N?")]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", help="Worker processes, of several images.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Keep the results, and go on with them ('report')."),
]
WitnessPath = Annotated[
    Path | None, typer.Option("--witness", metavar="FILE", help="Write the witness, if there is one, as JSON.")
]
Picture = Annotated[
    Path | None, typer.Option("--picture", metavar="FILE", help="Draw image, difference and witness there (PNG).")
]
CertificatePath = Annotated[
    Path | None, typer.Option("--certificate", metavar="FILE", help="Write the evidence for 'netproof check'.")
]
FailOn = Annotated[
    str | None,
    typer.Option("--fail-on", metavar="VERDICT,...", help="Exit with 1 at any of these: vulnerable,timeout."),
]
_NO_CERTIFICATE = "no certificate: only 'robust' and 'vulnerable' have evidence"
_SAY_HOW_MUCH = "say by how much values may move, or name a set: --brightness, --patch ..."


def robust(
    network: o.NetworkPath,
    *,
    images: a.ImagesPath,
    labels: a.LabelsPath = None,
    label: a.Label = None,
    index: a.Indices = None,
    every: a.Every = False,
    eps: Eps = None,
    brightness: sets.Brightness = None,
    contrast: sets.Contrast = None,
    shift: sets.Shift = None,
    pixels: sets.Pixels = None,
    stuck: sets.Stuck = False,
    patch: sets.Patch = None,
    cover: sets.Cover = None,
    at: sets.At = None,
    inputs: sets.Inputs = None,
    box: sets.Box = None,
    norm: a.Norm = "linf",
    target: Target = None,
    top: Top = 1,
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
    timeout: o.Timeout = None,
    seed: o.Seed = None,
    engine: o.Engine = None,
    threads: o.Threads = None,
    memory: o.Memory = None,
    device: o.Device = None,
    jobs: Jobs = 1,
    out: Out = None,
    witness: WitnessPath = None,
    picture: Picture = None,
    certificate: CertificatePath = None,
    fail_on: FailOn = None,
    trace: o.Trace = None,
    as_json: o.Json = False,
) -> None:
    """Is an image robust at one radius? Of several: a table.

    Can its class change when every pixel moves by at most E, or when something else happens to it (--brightness, --patch ...)?
    """
    from netproof.cli.arguments.fail_on import failing
    from netproof.cli.terminal.output import check_writable
    from netproof.cli.terminal.tracing import traced

    settings = o.settings_of(timeout, seed, engine, proofs=certificate is not None, memory=memory, device=device)
    o.check_threads(threads)
    a.check_goal(target, top)
    counted = norm == "l0"
    pixels = a.values_changed(norm, eps, pixels)
    if counted:
        # The ball is the set of --pixels, to anything.
        eps = None
    else:
        a.check_norm(norm)
    fails = failing(fail_on)
    named = sets.SetOptions(brightness, contrast, shift, pixels, stuck, patch, cover, at, inputs)
    named.check_place()
    by_set = bool(named.given) or box is not None
    if eps is None and not by_set:
        raise InputError("--eps", "is missing", _SAY_HOW_MUCH)
    a.check_ball(norm, None, "--certificate", by_set=by_set)
    evidence = ((witness, "--witness"), (picture, "--picture"), (certificate, "--certificate"), (trace, "--trace"))
    for file, option in evidence:
        if file is not None:
            check_writable(file, option)
    # PyTorch comes in here, and nothing before that may need it (use_threads says why).
    o.use_threads(threads)
    source = a.source_of(images, labels, label, split, crop, unchecked)
    prepared = a.prepared_by(layout, scale, mean, std, clip)
    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    limit = (begun := time.monotonic()) + settings.timeout
    try:
        asked = a.Asked.read((network, widths, runtime), source, prepared, index, every=every, deadline=limit)
    except TimeLimitError as late:
        raise _unread(network, late, settings, begun, certificate, fails, as_json=as_json) from None
    spent = time.monotonic() - begun

    # Of a float network the values that may change are those of boxes, not of a set.
    choices = counted and asked.network.graph.arithmetic.value == "real"
    if choices:
        _check_alone(named, box, certificate)
    if by_set and not choices:
        given = {"--target": target is not None, "--top": top != 1, "--witness": witness, "--picture": picture}
        _check_of_sets(given | {"--out": out, "--trace": trace, "--jobs": jobs != 1})
        from netproof.cli.sets.answer import AskedSets, answer_sets

        verdicts = answer_sets(asked, AskedSets(named, eps, box, certificate, settings, as_json, spent))
        if fails & set(verdicts):
            raise typer.Exit(1)
        return

    from netproof.asking.reach import reach_of, reach_of_values
    from netproof.device import check_device

    if certificate is not None:
        settings = _certifiable(asked, settings, network)
    check_device(settings.device, asked.network)
    assert eps is not None or pixels is not None
    reach = reach_of_values(pixels or 0) if eps is None else reach_of(eps, asked.images.unit, norm=norm)
    if len(asked.indices) == 1 and out is None and jobs == 1:
        with traced(trace):
            found = _one(asked, reach, (target, top), settings, (witness, picture, certificate), spent, as_json=as_json)
        verdicts = [found]
    else:
        for file, option in evidence:
            if file is not None:
                raise InputError(
                    option, "is for one image", "give one --index; of several, --out DIR keeps all evidence"
                )
        from netproof.cli.terminal.answers import answer_all

        verdicts = answer_all(asked, reach, (target, top), settings, jobs=jobs, out=out, as_json=as_json)
    # An image that could not be asked about has no verdict, whatever the others have.
    if (fails | {"error"}) & set(verdicts):
        raise typer.Exit(1)


def _check_alone(named: sets.SetOptions, box: tuple[Path, Path] | None, certificate: Path | None) -> None:
    """Refuse what does not go with a number of values of a float network; raises :class:`InputError`."""
    others = [option for option in named.given if option != "--pixels"] + ["--box"] * (box is not None)
    if others:
        raise InputError(others[0], "a set is named, and --norm l0 as well", "leave one of the two out")
    if certificate is not None:
        problem = "a certificate is about one box, and --norm l0 asks about one for every choice of values"
        raise InputError("--certificate", problem, "leave it out; a witness is replayed before it is reported")


def _check_of_sets(given: Mapping[str, object]) -> None:
    """Refuse what is for a radius alone, by the options that are given; raises :class:`InputError`."""
    for option, stated in given.items():
        if stated:
            raise InputError(option, "is for --eps alone", "leave it out; a --certificate has the witness")


def _unread(
    network: Path,
    late: TimeLimitError,
    settings: Settings,
    begun: float,
    certificate: Path | None,
    fails: Collection[str],
    *,
    as_json: bool,
) -> typer.Exit:
    """Print that there was no time to read the network; how the command ends."""
    from netproof.cli.terminal.unread import say_unread

    notes = "" if certificate is None else _NO_CERTIFICATE
    spent = time.monotonic() - begun
    verdict = say_unread(network, late, settings.timeout, spent, as_json=as_json, notes=notes)
    return typer.Exit(int(verdict in fails))


def _one(
    asked: Asked,
    reach: Reach,
    goal: tuple[int | None, int],
    settings: Settings,
    files: tuple[Path | None, Path | None, Path | None],
    spent: float,
    *,
    as_json: bool,
) -> str:
    """Answer one image, of whose time so many seconds are spent, print what was found, and give the verdict."""
    from netproof.certificate.certifiable import check_stated
    from netproof.cli.arguments.networks import network_document
    from netproof.cli.evidence.written import evidence_about
    from netproof.cli.terminal.output import print_json
    from netproof.report.answer import Answer
    from netproof.search.verify import verify

    (index,), (target, top) = asked.indices, goal
    witness, picture, certificate = files
    name = f"sample {index}, radius {reach.number}" + ("" if reach.norm == "linf" else f" in {reach.norm}")
    try:
        question = asked.images.question(index, reach.number, norm=reach.norm, target=target, top=top, name=name)
    except QueryError as error:
        raise QueryError(asked.images.named(index), error.problem, error.hint) from None
    if certificate is not None:
        check_stated(question, "--certificate")
    result = verify(question, asked.left(settings, spent))
    query = question.parts[result.part]
    answer = Answer(asked.images, index, reach, query, result, settings.timeout, target, top)
    notes = _written(answer.query, result, witness)
    if picture is not None and result.witness is not None:
        notes.append(_drawn(answer, picture))
    wanted = certificate is not None and answer.verdict in ("robust", "vulnerable")
    written = (
        evidence_about(certificate, asked.path, query, result, settings.timeout)
        if certificate is not None and wanted
        else None
    )
    if as_json:
        document = {**answer.document, "network": network_document(query.network)}
        print_json(document | (written.document if written is not None else {"certificate": None}))
        return answer.verdict
    typer.echo("\n".join([answer.text, *notes]))
    if certificate is not None:
        typer.echo(f"  {_NO_CERTIFICATE if written is None else written.text}")
    return answer.verdict


def _written(query: Query, result: Result, witness: Path | None) -> list[str]:
    if witness is None or result.witness is None:
        return []
    from netproof.certificate.make import witness_document
    from netproof.files.durable import write_json

    write_json(witness, witness_document(query, result.witness))
    return [f"  written to {witness}"]


def _drawn(answer: object, path: Path) -> str:
    from netproof.report.answer import Answer
    from netproof.report.picture import Captions, draw_before_after, write_picture

    assert isinstance(answer, Answer) and answer.result.witness is not None
    before = answer.images.shown(answer.images.input(answer.index).numpy())
    after = answer.images.shown(answer.result.witness.input.double().numpy())
    if before is None or after is None:
        return "  not drawn: the network's inputs are no image"
    captions = Captions(f"class {answer.label}", "difference", f"class {answer.rival}")
    write_picture(draw_before_after(before, after, captions), path)
    return f"  drawn in {path}"


def _certifiable(asked: a.Asked, settings: Settings, network: Path) -> Settings:
    """Settings to search with for a certificate; raises :class:`InputError` where none can be about the network."""
    from netproof.cli.evidence.written import settings_with_evidence

    asked.check_certifiable("--certificate")
    return settings_with_evidence(settings, asked.network, network)
