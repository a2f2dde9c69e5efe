"""``netproof robust``: one sample, one radius."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.query import Query, Result

Index = Annotated[int, typer.Option("--index", metavar="I", help="Which image, from 0.")]
Eps = Annotated[int, typer.Option("--eps", metavar="E", help="Radius: how many grey levels each pixel may move.")]
WitnessPath = Annotated[
    Path | None, typer.Option("--witness", metavar="FILE", help="Write the witness, if there is one, as JSON.")
]
CertificatePath = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="FILE", help="Write the evidence for 'netproof check', whatever the answer."),
]


def robust(
    network: o.NetworkPath,
    *,
    images: o.ImagesPath,
    labels: o.LabelsPath,
    index: Index,
    eps: Eps,
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
    witness: WitnessPath = None,
    certificate: CertificatePath = None,
    as_json: o.Json = False,
) -> None:
    """Is one image robust at one radius?

    Asks whether its class can change when every pixel moves by at most E grey levels. Exits with 0 whatever the answer is, 2 where there is none because of the input.
    """
    from netproof.cli.arguments.networks import read_network
    from netproof.cli.terminal.output import check_writable, print_json
    from netproof.formats.images.samples import Samples

    settings = o.settings_of(timeout, seed, engine, proofs=certificate is not None, memory=memory)
    o.check_threads(threads)
    if eps < 0:
        raise InputError("--eps", f"the radius is {eps}", "give a whole number of grey levels, 0 or more")
    if witness is not None:
        check_writable(witness, "--witness")
    if certificate is not None:
        check_writable(certificate, "--certificate")
    samples = Samples.read(images, labels)
    samples.check(index)
    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    o.use_threads(threads)
    model = read_network(network, widths, runtime)
    samples.check_network(model)

    from netproof.certificate.make import check_certifiable
    from netproof.local_robustness import robustness
    from netproof.search.verify import verify

    if certificate is not None:
        check_certifiable(model, "--certificate")

    query = robustness(
        model, samples.image(index, model), samples.label(index), eps, name=f"sample {index}, radius {eps}"
    )
    result = verify(query, settings)
    if witness is not None and result.witness is not None:
        from netproof.certificate.make import witness_document
        from netproof.files.durable import write_json

        write_json(witness, witness_document(query, result.witness))
    certified = certificate is not None and result.verdict.for_robustness in ("robust", "vulnerable")
    if certificate is not None and certified:
        from netproof.runs.certify import write_certificate

        write_certificate(certificate, query, result)
    if as_json:
        document = _to_json(query, index, result)
        print_json(document | {"certificate": str(certificate) if certified else None})
    else:
        typer.echo(_render_text(query, index, result, settings.timeout, witness))
        if certificate is not None:
            typer.echo(_certificate_text(certificate, certified, network))


def _to_json(query: Query, index: int, result: Result) -> dict[str, object]:
    from netproof.certificate.make import witness_document
    from netproof.cli.arguments.networks import network_document
    from netproof.cli.terminal.output import finite
    from netproof.query import sample_of

    sample = sample_of(query)
    document: dict[str, object] = {
        "verdict": result.verdict.for_robustness,
        "network": network_document(query.network),
        "index": index,
        "label": sample.label,
        "prediction": query.prediction,
        "radius": sample.radius,
        "seconds": round(result.seconds, 6),
        "method": result.method,
        "subproblems": result.subproblems,
        "bound": finite(result.bound),
        "reason": result.reason,
        "witness": None,
    }
    if result.witness is not None:
        found = witness_document(query, result.witness)
        document["witness"] = {name: found[name] for name in ("class", "changed", "largest_change", "input", "output")}
    return document


def _certificate_text(path: Path, written: bool, network: Path) -> str:
    if not written:
        return "  no certificate: only 'robust' and 'vulnerable' have evidence"
    return f"  certificate written to {path} ({path.stat().st_size} bytes): netproof check {path} --network {network}"


def _render_text(query: Query, index: int, result: Result, limit: float, witness: Path | None) -> str:
    from netproof.query import sample_of
    from netproof.report.text import seconds_text

    sample = sample_of(query)
    verdict = result.verdict.for_robustness
    reach = f"moving every pixel by at most {sample.radius} grey level{'' if sample.radius == 1 else 's'}"
    meanings = {
        "robust": f"proved: no way of {reach} changes the class from {sample.label}",
        "vulnerable": f"{reach} can change the class from {sample.label}",
        "misclassified": f"the network takes the image itself for class {query.prediction}, so there is no class to keep",
        "timeout": f"not decided within the time limit of {limit:g} s; a larger --timeout may decide it",
        "unknown": f"not decided: {result.reason or 'the engine stopped without an answer'}",
        "error": f"not answered: {result.reason}",
    }
    lines = [f"sample {index} (label {sample.label}), radius {sample.radius}: {verdict}", f"  {meanings[verdict]}"]
    if result.witness is not None:
        from netproof.certificate.make import witness_document

        found = witness_document(query, result.witness)
        lines.append(
            f"  witness: class {found['class']} instead of {sample.label}; {found['changed']} of {query.network.inputs} "
            f"pixels changed, by at most {found['largest_change']}"
        )
        if witness is not None:
            lines.append(f"  written to {witness}")
    if verdict in ("timeout", "unknown") and result.bound is not None:
        lines.append(f"  best upper bound on the margin so far: {result.bound:g} (below 0 would prove robustness)")
    lines.append(
        f"  time {seconds_text(result.seconds)}, method {result.method or 'none'}, subproblems {result.subproblems}"
    )
    if query.network.runtime:
        lines.append(f"  integers as '{query.network.runtime}' computes them")
    return "\n".join(lines)
