"""``netproof check`` of a certificate of a finite set."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from netproof.errors import CertificateError, InputError, ProofError

if TYPE_CHECKING:
    from netproof.certificate.checker.sets import CheckedSet
    from netproof.certificate.sets import SetCertificate
    from netproof.formats.images.samples import Samples


def check_one(
    content: SetCertificate,
    path: Path,
    network: Path,
    samples: Samples | None,
    index: int | None,
    *,
    timeout: float | None,
    every: bool,
    as_json: bool,
) -> int:
    """Replay a certificate, and say what it proves; the exit code."""
    if timeout is not None and not 0 < timeout < math.inf:
        raise InputError("--timeout", f"is {timeout:g}", "give a number of seconds")
    from netproof.arguments.words import printable
    from netproof.certificate.checker.sets import check_set
    from netproof.cli.arguments import options as o
    from netproof.cli.arguments.networks import read_network
    from netproof.cli.check import check_file, widths_stated
    from netproof.cli.terminal.output import not_proved, print_json

    check_file(network, content.network_sha256, path)
    o.use_threads(None)
    try:
        model = read_network(network, widths_stated(content.scheme, path), content.runtime or None)
        if samples is not None and index is not None:
            samples.check_size(model)
            _check_sample(content, samples.image(index, model).long().reshape(-1).tolist(), samples.label(index), index)
        checked = check_set(content, model, timeout=timeout, every=every)
        if not checked.second_reading:
            raise CertificateError(network, "was not kept by its reader, so that it cannot be read twice", "report it")
    except ProofError as error:
        return not_proved(path, error, as_json=as_json)
    except CertificateError as error:
        source = str(network) if error.source == str(network) else path
        raise CertificateError(source, error.problem, error.hint) from None
    document = _document(checked, path, index)
    if as_json:
        print_json(document)
    else:
        typer.echo("\n".join(printable(line) for line in _lines(checked, document)))
    return 0


def _check_sample(content: SetCertificate, image: list[int], label: int, index: int) -> None:
    if list(content.image) != image:
        raise ProofError("certificate", f"it is about another image than sample {index}")
    if content.label != label:
        raise ProofError("certificate", f"it is about label {content.label}, sample {index} has label {label}")


def _document(checked: CheckedSet, path: Path, index: int | None) -> dict[str, object]:
    from netproof.cli.arguments.networks import network_document
    from netproof.perturbations.documents import set_document
    from netproof.version import netproof_version

    content, image = checked.certificate, checked.query.image.values
    return {
        "certificate": str(path),
        "proved": True,
        "claim": content.claim,
        "name": content.name,
        "producer": content.producer,
        "network": network_document(checked.query.network),
        "property": {
            "kind": "set",
            "set": set_document(content.perturbation),
            "count": content.count,
            "image_sha256": hashlib.sha256(image.astype("<i4").tobytes()).hexdigest(),
            "label": content.label,
            "index": index,
        },
        "evaluated": checked.evaluated,
        "compared": checked.compared,
        "witness": list(content.witness) or None,
        "second_reading": checked.second_reading,
        "seconds": round(checked.seconds, 6),
        "netproof": netproof_version(),
    }


def _lines(checked: CheckedSet, document: dict[str, object]) -> list[str]:
    from netproof.report.text import seconds_text

    content, network = checked.certificate, checked.query.network
    asked = document["property"]
    assert isinstance(asked, dict)
    image = "the image" if asked["index"] is None else f"image {asked['index']} (confirmed)"
    if content.claim == "unsat":
        claim = f"class {content.label} at every input of the set"
        proof = f"all {checked.evaluated} inputs made and evaluated again, {checked.compared} of them in two ways"
    else:
        claim = f"the witness is one of the set and has another class than {content.label}"
        proof = "the witness, evaluated again"
    reading = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in network.scheme.items())
    return [
        f"PROVED: {'robust' if content.claim == 'unsat' else 'vulnerable'}",
        f"certificate  {document['certificate']} ({content.name or 'unnamed'}; by {content.producer or 'an unnamed program'})",
        f"network      {network.path}, SHA-256 {network.sha256}",
        f"reading      {reading or 'the integers in the file, as they are'}"
        + (f", as '{network.runtime}' computes them" if network.runtime else ""),
        f"             read again by a second reader, and found the same: {checked.second_reading}",
        f"input set    {checked.query.perturbation.words()}, of {image}: {content.count} inputs",
        f"             the image has SHA-256 {asked['image_sha256']} as 32-bit integers",
        f"claim        {claim}",
        "arithmetic   integer: what the quantized network computes, bit for bit",
        f"proof        {proof}",
        f"checked by   netproof {document['netproof']}, {seconds_text(checked.seconds)}",
    ]
