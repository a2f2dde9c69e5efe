"""``netproof radius``: how far a sample is robust, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.formats.images.samples import Samples
    from netproof.network import Network
    from netproof.search.radius import RadiusResult

Indices = Annotated[list[int], typer.Option("--index", metavar="I", help="Which image, from 0; repeat for several.")]
Certificates = Annotated[
    Path | None,
    typer.Option(
        "--certificates",
        metavar="DIR",
        help="Write the evidence for 'netproof check' there: the proof at the radius, the witness one further.",
    ),
]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="R", help="Do not look further than this radius (default: no limit).")
]


def radius(
    network: o.NetworkPath,
    *,
    images: o.ImagesPath,
    labels: o.LabelsPath,
    index: Indices,
    limit: Limit = None,
    bits: o.Bits = None,
    input_bits: o.InputBits = None,
    weight_integer_bits: o.WeightIntegerBits = None,
    bias_integer_bits: o.BiasIntegerBits = None,
    activation_integer_bits: o.ActivationIntegerBits = None,
    runtime: o.Runtime = None,
    timeout: o.Timeout = None,
    seed: o.Seed = None,
    threads: o.Threads = None,
    memory: o.Memory = None,
    certificates: Certificates = None,
    as_json: o.Json = False,
) -> None:
    """Find the largest radius at which an image is robust.

    The answer is exact: a proof at that radius, a witness one grey level further.
    """
    from netproof.cli.arguments.networks import network_document, read_network
    from netproof.cli.terminal.output import check_folder, print_json
    from netproof.formats.images.samples import Samples

    settings = o.settings_of(timeout, seed, proofs=certificates is not None, memory=memory)
    o.check_threads(threads)
    if limit is not None and limit < 0:
        raise InputError("--limit", f"the largest radius to look at is {limit}", "give 0 or more grey levels")
    if certificates is not None:
        check_folder(certificates, "--certificates")
    samples = Samples.read(images, labels)
    for one in index:
        samples.check(one)
    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    o.use_threads(threads)
    model = read_network(network, widths, runtime)
    samples.check_network(model)

    from netproof.certificate.make import check_certifiable
    from netproof.search.radius import largest_radius

    if certificates is not None:
        check_certifiable(model, "--certificates")

    documents = []
    for one in index:
        label = samples.label(one)
        found = largest_radius(model, samples.image(one, model), label, settings, limit=limit)
        written = [] if certificates is None else _certify(model, samples, one, found, certificates)
        if as_json:
            documents.append(_to_json(one, label, found) | {"certificates": [str(path) for path in written]})
        else:
            # as they come: several samples can take minutes
            typer.echo(_render_text(one, label, found))
            if model.runtime:
                typer.echo(f"  integers as '{model.runtime}' computes them")
            for path in written:
                typer.echo(f"  certificate: {path}")
    if as_json:
        print_json({"network": network_document(model), "limit": limit, "samples": documents})


def _certify(model: Network, samples: Samples, index: int, found: RadiusResult, folder: Path) -> list[Path]:
    """Write the proof at the radius and the witness beyond; the files written."""
    from netproof.query import Sample
    from netproof.runs.certify import SUFFIX, write_certificate
    from netproof.runs.radii.evidence import evidence_of

    written = []
    sample = Sample(samples.image(index, model), samples.label(index))
    for one in evidence_of(model, sample, found, f"sample {index}"):
        path = folder / f"sample-{index}-radius-{one.radius}{SUFFIX}"
        write_certificate(path, one.query, one.result)
        written.append(path)
    return written


def _to_json(index: int, label: int, found: RadiusResult) -> dict[str, object]:
    return {
        "index": index,
        "label": label,
        "radius": found.radius,
        "exact": found.exact,
        "witness_radius": found.witness_radius,
        "witness": None if found.witness is None else [int(x) for x in found.witness.input.reshape(-1).tolist()],
        "seconds": round(found.seconds, 6),
        "queries": found.queries,
        "reason": found.reason,
    }


def _render_text(index: int, label: int, found: RadiusResult) -> str:
    from netproof.report.text import seconds_text

    cost = f"{seconds_text(found.seconds)}, {found.queries} quer{'y' if found.queries == 1 else 'ies'}"
    head = f"sample {index} (label {label}): "
    if found.radius < 0:
        return f"{head}misclassified; {cost}"
    answer = f"robust at radius {found.radius}"
    if found.witness_radius is not None:
        answer += f", vulnerable at {found.witness_radius}"
        between = "in between"
    else:
        between = "beyond"
    if not found.exact:
        answer += f", not decided {between} ({found.reason or 'no answer in time'})"
    elif found.witness_radius is None:
        answer += " and at every larger one"
    return f"{head}{answer}; {cost}"
