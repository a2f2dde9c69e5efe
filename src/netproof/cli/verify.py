"""``netproof verify``: a network and a property in VNN-LIB."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.cli.arguments.help import SEARCH
from netproof.cli.arguments.unwanted import refuse
from netproof.errors import InputError, NoEvidenceError, TimeLimitError

if TYPE_CHECKING:
    from netproof.network import Network
    from netproof.query import Question, Result
    from netproof.settings import Settings

FirstPath = Annotated[
    Path,
    typer.Argument(
        metavar="NETWORK", help="The network: ONNX, TensorFlow Lite, or Keras HDF5 weights; with --network, the query."
    ),
]
PropertyPath = Annotated[
    Path | None, typer.Argument(metavar="[PROPERTY]", help="The property: VNN-LIB, plain or gzip.")
]
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--network", metavar="NAME=FILE", help="A network of a VNN-LIB 2.0 query, which is the only other argument."
    ),
]
AssignmentFolder = Annotated[
    Path | None,
    typer.Option(
        "--serialise-assignments", metavar="DIR", help="Write the values of a sat query there, one ONNX tensor each."
    ),
]
WitnessPath = Annotated[
    Path | None,
    typer.Option("--witness", metavar="FILE", help="Write the witness, if there is one, in the form of VNN-COMP."),
]

ResultPath = Annotated[
    Path | None,
    typer.Option("--competition", metavar="FILE", help="Write the result file of VNN-COMP: verdict, and witness."),
]

CertificatePath = Annotated[
    Path | None,
    typer.Option("--certificate", "--proof", metavar="FILE", help="Write the certificate of the verdict."),
]


FailOn = Annotated[
    str | None, typer.Option("--fail-on", metavar="VERDICT,...", help="Exit with 1 at any of these: sat,timeout.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Hand pieces to a Dask scheduler's workers: dask://HOST:PORT.",
        rich_help_panel=SEARCH,
    ),
]


def verify(
    network: FirstPath,
    property_: PropertyPath = None,
    *,
    networks: Networks = None,
    folder: AssignmentFolder = None,
    runtime: o.Runtime = None,
    shapes: o.Shapes = None,
    timeout: o.Timeout = None,
    seed: o.Seed = None,
    engine: o.Engine = None,
    threads: o.Threads = None,
    memory: o.Memory = None,
    device: o.Device = None,
    witness: WitnessPath = None,
    certificate: CertificatePath = None,
    competition: ResultPath = None,
    fail_on: FailOn = None,
    scheduler: Scheduler = None,
    trace: o.Trace = None,
    as_json: o.Json = False,
) -> None:
    """Does a network have an input that a property describes?

    Prints sat (there is one, and it was replayed), unsat (there is none, over the real numbers), timeout or unknown. Exits with 0 whatever the answer is, 2 where there is none because of the input. With --network, QUERY is a VNN-LIB 2.0 query, and what is printed is what its standard says: sat, unsat, unknown or timed-out, and behind sat the values of all variables.
    """
    begun = time.monotonic()
    if networks:
        elsewhere = {
            "a second file": property_,
            "--runtime": runtime,
            "--shape": shapes,
            "--witness": witness,
            "--certificate": certificate,
            "--competition": competition,
            "--trace": trace,
            "--fail-on": fail_on,
            "--scheduler": scheduler,
            "--json": as_json or None,
        }
        refuse(elsewhere, "is given together with --network", "verify")
        from netproof.cli.contract.ask import answer, networks_of

        files = networks_of(networks)
        settings = o.settings_of(timeout, seed, engine, memory=memory, device=device)
        o.use_threads(threads)
        answer(network, files, settings, folder, begun)
        return
    if folder is not None:
        raise InputError("--serialise-assignments", "is given without --network", "name the query's networks")
    if property_ is None:
        raise InputError("verify", "no property is given", "give NETWORK PROPERTY, or QUERY --network NAME=FILE")

    from netproof.cli.arguments.fail_on import failing
    from netproof.formats.vnnlib.text import is_later

    fails = failing(fail_on)
    settings = o.settings_of(timeout, seed, engine, memory=memory, device=device, proofs=certificate is not None)
    o.use_threads(threads)
    _check_writable(
        {"--witness": witness, "--competition": competition, "--certificate": certificate, "--trace": trace}
    )
    if is_later(property_):
        elsewhere = {
            "--certificate": certificate,
            "--runtime": runtime,
            "--shape": shapes,
            "--trace": trace,
            "--fail-on": fail_on,
            "--scheduler": scheduler,
            "--json": as_json or None,
        }
        refuse(elsewhere, f"is given for {property_}, a query in VNN-LIB 2.0", "verify")
        from netproof.cli.contract.ask import answer_to

        answer_to(network, property_, settings, witness, competition, begun)
        return
    if scheduler is not None:
        from netproof.runs.scheduler.connection import check_scheduler

        check_scheduler(scheduler)
        if certificate is not None:
            raise InputError("--scheduler", "pieces of a question leave no certificate", "leave --certificate out")
    asked = _Asked(network, property_, runtime, o.shapes_of(shapes), settings, certificate, trace, scheduler)
    model, question, result = _answered(asked)
    _write(result, witness, competition)
    without = _certified(asked, question, result)
    if as_json:
        _print_json(asked, model, result, without)
    else:
        computed_by = "" if model is None else model.computed_by
        typer.echo(_render_text(result, settings.timeout, witness, computed_by))
        if certificate is not None:
            typer.echo(f"  {_on_evidence(asked, certificate, without)}")
    if result.verdict.value in fails:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Asked:
    """A network and a property, and what is wanted of the answer."""

    network: Path
    property: Path
    runtime: str | None
    shapes: dict[str, tuple[int, ...]] | None
    settings: Settings
    certificate: Path | None
    trace: Path | None
    scheduler: str | None


def _answered(asked: _Asked) -> tuple[Network | None, Question | None, Result]:
    """The network, the question, and its answer; none of the first two where all of the time went into reading them."""
    from netproof.certificate.certifiable import check_certifiable
    from netproof.cli.evidence.written import settings_with_evidence
    from netproof.cli.terminal.tracing import traced
    from netproof.device import check_device
    from netproof.formats.load import load
    from netproof.formats.vnnlib.read import read_vnnlib
    from netproof.result import Result, Verdict
    from netproof.search.verify import verify as verify_question

    settings, begun = asked.settings, time.monotonic()
    deadline = begun + settings.timeout
    model = None
    try:
        # The time that reading takes is part of the limit.
        model = load(asked.network, runtime=asked.runtime, shapes=asked.shapes, deadline=deadline)
        check_device(settings.device, model)
        if asked.certificate is not None:
            check_certifiable(model, "--certificate")
            settings = settings_with_evidence(settings, model, asked.network)
        question = read_vnnlib(asked.property, deadline=deadline).question(model)
    except TimeLimitError:
        reason = "the limit was reached while reading"
        return model, None, Result(Verdict.TIMEOUT, time.monotonic() - begun, "reading", reason=reason)
    settings = settings.after(time.monotonic() - begun)
    with traced(asked.trace):
        if asked.scheduler is not None:
            from netproof.runs.scheduler.question import Sources, decide_on_scheduler

            sources = Sources.of(asked.network, asked.property, asked.runtime, asked.shapes, model.sha256)
            return model, question, decide_on_scheduler(sources, question, asked.scheduler, settings)
        return model, question, verify_question(question, settings)


def _certified(asked: _Asked, question: Question | None, result: Result) -> str:
    """Write the evidence that is wanted; why there is none, empty where there is or none is wanted."""
    from netproof.graph.graph import Arithmetic
    from netproof.result import Verdict
    from netproof.runs.certify import write_certificate, write_evidence

    if asked.certificate is None:
        return ""
    if question is not None and not question.parts[0].condition:
        # There is nothing that a proof could say.
        return "the property is false whatever a network computes"
    if question is None or result.verdict not in (Verdict.SAT, Verdict.UNSAT):
        return "only 'sat' and 'unsat' have evidence"
    if question.parts[0].network.graph.arithmetic is not Arithmetic.REAL:
        write_certificate(asked.certificate, question, result)
        return ""
    try:
        # As much time again as the search has.
        deadline = time.monotonic() + asked.settings.timeout
        write_evidence(asked.certificate, asked.network, asked.property, question, result, deadline=deadline)
    except NoEvidenceError as error:
        return error.problem
    return ""


def _on_evidence(asked: _Asked, certificate: Path, without: str) -> str:
    """One line on the certificate that is wanted."""
    if without:
        return f"no certificate: {without}"
    return (
        f"certificate written to {certificate} ({certificate.stat().st_size} bytes): "
        f"netproof check {certificate} --network {asked.network} --property {asked.property}"
    )


def _print_json(asked: _Asked, model: Network | None, result: Result, without: str) -> None:
    from netproof.cli.terminal.output import print_json

    written = None if without or asked.certificate is None else str(asked.certificate)
    document = _to_json(asked, model, result) | {"certificate": written}
    print_json(document | ({"no_certificate": without} if without else {}))


def _check_writable(files: Mapping[str, Path | None]) -> None:
    """Make sure, before anything is computed, that files can be written; by the options that name them."""
    from netproof.cli.terminal.output import check_writable

    for option, file in files.items():
        if file is not None:
            check_writable(file, option)


def _write(result: Result, witness: Path | None, competition: Path | None) -> None:
    from netproof.files.opened import write_bytes

    found = "" if result.witness is None else _counterexample(result)
    if witness is not None and found:
        write_bytes(witness, found.encode())
    if competition is not None:
        write_bytes(competition, f"{result.verdict.value}\n{found}".encode())


def _counterexample(result: Result) -> str:
    from netproof.formats.counterexample import counterexample

    assert result.witness is not None
    return counterexample(result.witness.numbers, result.witness.output_numbers)


def _to_json(asked: _Asked, network: Network | None, result: Result) -> dict[str, object]:
    from netproof.cli.arguments.networks import network_document, unread_document
    from netproof.cli.terminal.output import finite
    from netproof.formats.counterexample import decimal

    document: dict[str, object] = {
        "verdict": result.verdict.value,
        "network": unread_document(asked.network) if network is None else network_document(network),
        "property": str(asked.property),
        "seconds": round(result.seconds, 6),
        "method": result.method,
        "subproblems": result.subproblems,
        "bound": finite(result.bound),
        "reason": result.reason,
        "witness": None,
    }
    if result.witness is not None:
        # As text, because a number in JSON need not survive its reader exactly.
        document["witness"] = {
            "input": [decimal(value) for value in result.witness.numbers],
            "output": [decimal(value) for value in result.witness.output_numbers],
        }
    return document


def _render_text(result: Result, limit: float, witness: Path | None, computed_by: str) -> str:
    from netproof.report.text import seconds_text

    verdict = result.verdict.value
    meanings = {
        "sat": "there is an input that the property describes; it was replayed",
        "unsat": "proved: no input meets the property",
        "timeout": f"not decided within the time limit of {limit:g} s; a larger --timeout may decide it",
        "unknown": f"not decided: {result.reason or 'the engine stopped without an answer'}",
    }
    lines = [verdict, f"  {meanings.get(verdict, result.reason)}"]
    if result.witness is not None and witness is not None:
        lines.append(f"  witness written to {witness}")
    if not result.verdict.decided and result.bound is not None:
        lines.append(f"  best upper bound so far: {result.bound:g} (below 0 would prove unsat)")
    lines.append(
        f"  time {seconds_text(result.seconds)}, method {result.method or 'none'}, subproblems {result.subproblems}"
    )
    if computed_by:
        lines.append(f"  {computed_by}")
    return "\n".join(lines)
