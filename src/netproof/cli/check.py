"""``netproof check``: does a certificate prove what it claims, and what is that?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.cli.arguments.help import WIDTHS
from netproof.cli.arguments.unwanted import refuse
from netproof.cli.terminal.evidence import RealCheck, check_float
from netproof.errors import CertificateError, InputError, ProofError

if TYPE_CHECKING:
    from netproof.certificate.bundle import Bundle
    from netproof.certificate.checker.check import Checked
    from netproof.certificate.contents import Certificate
    from netproof.certificate.witness import WitnessDocument
    from netproof.formats.fixed_point import FixedPoint
    from netproof.formats.images.samples import Samples
    from netproof.query import Query

CertificatePath = Annotated[
    Path, typer.Argument(metavar="CERTIFICATE", help="A certificate, or a witness in JSON, that netproof wrote.")
]
Network = Annotated[Path, typer.Option("--network", metavar="NETWORK", help="The network it is about.")]
Images = Annotated[
    Path | None, typer.Option("--images", metavar="FILE", help="Images (IDX), to confirm which sample it is about.")
]
Labels = Annotated[Path | None, typer.Option("--labels", metavar="FILE", help="Their labels (IDX).")]
Index = Annotated[int | None, typer.Option("--index", metavar="I", help="Which sample, from 0 (default: any).")]
Property_ = Annotated[
    Path | None,
    typer.Option("--property", metavar="FILE", help="Which property, in VNN-LIB (default: any)."),
]
Eps = Annotated[int | None, typer.Option("--eps", metavar="E", help="Which radius, in grey levels (default: any).")]
_ASKED = "width it has to read the network with (default: any)."
Bits = Annotated[int | None, typer.Option("--bits", metavar="N", help=f"Which {_ASKED}", rich_help_panel=WIDTHS)]
InputBits = Annotated[
    int | None, typer.Option("--input-bits", metavar="N", help=f"Which input {_ASKED}", rich_help_panel=WIDTHS)
]
WeightIntegerBits = Annotated[
    int | None, typer.Option("--weight-integer-bits", metavar="N", help="As --bits.", rich_help_panel=WIDTHS)
]
BiasIntegerBits = Annotated[
    int | None, typer.Option("--bias-integer-bits", metavar="N", help="As --bits.", rich_help_panel=WIDTHS)
]
Arithmetic = Annotated[
    str | None,
    typer.Option(
        "--arithmetic",
        metavar="NAME",
        help="Of float networks: float64 (default: with an error term), arb (extra 'arb') or rational.",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", help="Write what was proved, how, and what has to be trusted: .html or .json."
    ),
]
Requirement = Annotated[
    str, typer.Option("--requirement", metavar="ID", help="What the report is evidence for, by its identifier.")
]
CheckTimeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", help="Of float networks and of sets: seconds (default: no limit)."),
]
Every = Annotated[
    bool,
    typer.Option(
        "--every", help="Of sets: evaluate every input by the network's own operators as well, in forty times the time."
    ),
]
ActivationIntegerBits = Annotated[
    int | None, typer.Option("--activation-integer-bits", metavar="N", help="As --bits.", rich_help_panel=WIDTHS)
]


def check(
    certificate: CertificatePath,
    *,
    network: Network,
    property_: Property_ = None,
    images: Images = None,
    labels: Labels = None,
    index: Index = None,
    eps: Eps = None,
    bits: Bits = None,
    input_bits: InputBits = None,
    weight_integer_bits: WeightIntegerBits = None,
    bias_integer_bits: BiasIntegerBits = None,
    activation_integer_bits: ActivationIntegerBits = None,
    arithmetic: Arithmetic = None,
    timeout: CheckTimeout = None,
    every: Every = False,
    report: Report = None,
    requirement: Requirement = "",
    as_json: o.Json = False,
) -> int:
    """Check a certificate with exact integer arithmetic, or replay a witness; of a float network, with bounds that account
    for every rounding.

    The network's file is read twice, by two readers that share nothing, which have to agree. Prints what was proved. Exits
    with 0 where the claim is proved, 1 where it is not, 2 where the certificate cannot be used: damaged, or about another
    network. Sample, radius and bit widths are those that the certificate states; the
    options say which they have to be.
    """
    # PyTorch comes in here (use_threads says why).
    o.use_threads(None)
    from netproof.certificate.real.contents import RealCertificate
    from netproof.certificate.real.witness import RealWitness
    from netproof.certificate.sets import SetCertificate
    from netproof.certificate.witness import read_evidence

    evidence = read_evidence(certificate)
    if every and not isinstance(evidence, SetCertificate):
        raise InputError("--every", f"is for certificates of sets, and {certificate} is none", "leave it out")
    widths = {
        "bits": bits,
        "input_bits": input_bits,
        "weight_integer_bits": weight_integer_bits,
        "bias_integer_bits": bias_integer_bits,
        "activation_integer_bits": activation_integer_bits,
    }
    if isinstance(evidence, RealCertificate | RealWitness):
        if any(option is not None for option in (images, labels, index, eps, *widths.values())):
            raise InputError(
                "check", f"{certificate} is about a float network, and takes no images or widths", "leave them out"
            )
        if isinstance(evidence, RealWitness):
            from netproof.cli.evidence.replayed import check_witness

            unwanted = {"--property": property_, "--arithmetic": arithmetic, "--report": report, "--timeout": timeout}
            refuse(unwanted, f"is for certificates, and {certificate} is a witness, which is evaluated again")
            return check_witness(evidence, certificate, network, as_json=as_json)
        wanted = RealCheck(
            certificate,
            network,
            property_,
            "float64" if arithmetic is None else arithmetic,
            timeout,
            report,
            requirement,
            as_json,
        )
        return check_float(evidence, wanted)
    finite = isinstance(evidence, SetCertificate)
    refuse(
        {"--arithmetic": arithmetic, "--report": report} | ({} if finite else {"--timeout": timeout}),
        f"is for float networks, and {certificate} is about one of integers, which is checked exactly",
    )
    samples = _samples(images, labels, index)
    if isinstance(evidence, SetCertificate):
        from netproof.cli.sets.check import check_one

        unfit = {"--property": property_, "--eps": eps} | {f"--{name}": width for name, width in widths.items()}
        refuse(unfit, "is not what a certificate of a set states")
        return check_one(evidence, certificate, network, samples, index, timeout=timeout, every=every, as_json=as_json)
    return _check_integers(evidence, _Asked(certificate, network, property_, samples, index, eps, widths), as_json)


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a certificate about a network of integers has to be about; None for whatever it says."""

    certificate: Path
    network: Path
    property: Path | None
    samples: Samples | None
    index: int | None
    eps: int | None
    widths: Mapping[str, int | None]


def _samples(images: Path | None, labels: Path | None, index: int | None) -> Samples | None:
    """The images of the options, of which there are all or none."""
    given = [option is not None for option in (images, labels, index)]
    if any(given) and not all(given):
        raise InputError("--images, --labels, --index", "only some of them are given", "give all three, or none")
    if images is None or labels is None or index is None:
        return None
    from netproof.formats.images.samples import Samples

    samples = Samples.read(images, labels)
    samples.check(index)
    return samples


def _check_integers(evidence: Certificate | Bundle | WitnessDocument, asked: _Asked, as_json: bool) -> int:
    """Check evidence about a network of integers, and print what it proves; the exit code."""
    from netproof.certificate.bundle import Bundle
    from netproof.certificate.contents import Certificate
    from netproof.cli.terminal.output import not_proved, print_json

    certificate = asked.certificate
    if isinstance(evidence, Certificate):
        content = evidence
    else:
        content = evidence.parts[0] if isinstance(evidence, Bundle) else evidence.certificate
    try:
        checked = _checked(evidence, content, asked)
    except ProofError as error:
        return not_proved(certificate, error, as_json=as_json)
    except CertificateError as error:
        # The checker was given the content, not the file's name.
        source = str(asked.network) if error.source == str(asked.network) else certificate
        raise CertificateError(source, error.problem, error.hint) from None
    if as_json:
        print_json(_to_json(checked, certificate, asked.index, asked.property))
    else:
        typer.echo(_render_text(checked, certificate, asked.index, asked.property))
    return 0


def _checked(evidence: Certificate | Bundle | WitnessDocument, content: Certificate, asked: _Asked) -> Checked:
    """What the checker says of evidence that is about what is asked; raises as it does."""
    from netproof.certificate.checker.check import check as check_certificate
    from netproof.cli.arguments.networks import read_network

    certificate, index = asked.certificate, asked.index
    stated = None
    if asked.property is not None:
        from netproof.formats.vnnlib.read import read_vnnlib

        stated = read_vnnlib(asked.property)
    check_file(asked.network, content.network_sha256, certificate)
    # Before all else: a proof of something else than what is asked is of no use.
    _check_question(content, asked.eps, asked.widths, certificate)
    model = read_network(asked.network, widths_stated(content.scheme, certificate), content.runtime or None)
    if asked.samples is not None and index is not None:
        asked.samples.check_size(model)
        image = asked.samples.image(index, model).long().reshape(-1).tolist()
        _check_sample(content, image, asked.samples.label(index), index, certificate)
    checked = check_certificate(evidence, model, asked=stated)
    if not checked.second_reading:
        problem = "was not kept by its reader, so that it cannot be read twice"
        raise CertificateError(asked.network, problem, "report it")
    return checked


def check_file(network: Path, stated: str, certificate: Path) -> None:
    """Compare hashes before the file is read as a network, with bit widths that may not be its own."""
    import hashlib

    from netproof.files.opened import read_bytes

    sha256 = hashlib.sha256(read_bytes(network, "network file")).hexdigest()
    if sha256 != stated:
        raise CertificateError(
            certificate,
            f"is about the network with SHA-256 {stated[:64]}, {network} has {sha256}",
            "give the network it was made for",
        )


def widths_stated(scheme: Mapping[str, int], certificate: Path) -> FixedPoint | None:
    """The bit widths that the file is read with; None where its integers are its own."""
    from netproof.formats.fixed_point import FixedPoint

    if not scheme:
        return None
    if set(scheme) != set(FixedPoint().as_dict()):
        raise CertificateError(certificate, "reads the network in a way that is not known", "use a newer netproof")
    return FixedPoint(**scheme)


def _check_question(content: Certificate, eps: int | None, widths: Mapping[str, int | None], certificate: Path) -> None:
    from netproof.certificate.contents import RobustnessProperty

    for name, width in widths.items():
        if width is not None and content.scheme.get(name) != width:
            stated = content.scheme.get(name, "unknown")
            raise ProofError(certificate, f"it reads the network with {name.replace('_', ' ')} {stated}, not {width}")
    if eps is not None and not isinstance(content.property, RobustnessProperty):
        raise ProofError(certificate, "it is not about a radius")
    if isinstance(content.property, RobustnessProperty) and eps not in (None, content.property.radius):
        raise ProofError(certificate, f"it is about radius {content.property.radius}, not {eps}")


def _check_sample(content: Certificate, image: list[int], label: int, index: int, certificate: Path) -> None:
    from netproof.certificate.contents import BoxProperty

    if isinstance(content.property, BoxProperty):
        raise ProofError(certificate, "it is not about a sample")
    if content.arrays["image"].tolist() != image:
        raise ProofError(certificate, f"it is about another image than sample {index}")
    if content.property.label != label:
        raise ProofError(certificate, f"it is about label {content.property.label}, sample {index} has label {label}")


def _digest(checked: Checked) -> str:
    """SHA-256 of the image that a certificate is about, in the least type that holds the network's inputs."""
    import hashlib

    network = checked.query.network
    signed = int(network.lower.min()) < 0
    kind = "<i4" if signed else "<u1" if int(network.upper.max()) < 256 else "<u2"
    return hashlib.sha256(checked.certificate.arrays["image"].astype(kind).tobytes()).hexdigest()


def _to_json(checked: Checked, certificate: Path, index: int | None, property_: Path | None) -> dict[str, object]:
    import torch

    from netproof.cli.arguments.networks import network_document
    from netproof.version import netproof_version

    query, content = checked.query, checked.certificate
    queries = [part.query for part in checked.parts or (checked,)]
    cases = sum(len(q.condition) for q in queries)
    asked: dict[str, object] = {"kind": "box", "cases": cases}
    if checked.parts:
        asked = {"kind": "boxes", "boxes": len(checked.parts), "cases": cases}
    if property_ is not None:
        asked |= {"file": str(property_), "confirmed": True}
    sample = query.sample
    if sample is not None:
        asked = {"kind": "robustness" if sample.radius is not None else "class"}
        asked |= {"image_sha256": _digest(checked), "label": sample.label, "index": index}
        asked |= {"boxes": len(queries)} if sample.radius is None else {"radius": sample.radius}
        asked |= {} if checked.norm == "linf" else {"norm": checked.norm}
    return {
        "certificate": str(certificate),
        "proved": True,
        "claim": content.claim,
        "name": content.name,
        "producer": content.producer,
        "network": network_document(query.network),
        "property": asked,
        "inputs": query.network.inputs,
        "free_inputs": int(torch.stack([q.lower < q.upper for q in queries]).any(0).sum()),
        # Nobody counts the points of a ball.
        "points_log10": round(math.log10(sum(_points(q) for q in queries)), 3) if checked.norm == "linf" else None,
        "leaves": checked.leaves,
        "cuts": checked.cuts,
        "splits": checked.splits,
        "enumerated": checked.points,
        "nodes": checked.nodes,
        "witness": content.arrays["witness"].tolist() if content.claim == "sat" else None,
        "second_reading": checked.second_reading,
        "seconds": round(checked.seconds, 6),
        "netproof": netproof_version(),
    }


def _points(query: Query) -> int:
    """How many integer points the box has."""
    return math.prod(int(extent) for extent in (query.upper - query.lower + 1).tolist())


def _around(asked: Mapping[str, object], which: str, norm: str) -> str:
    """The input set of a certificate about an image, in words."""
    if asked["kind"] == "class":
        boxes = "the box" if asked["boxes"] == 1 else f"the {asked['boxes']} boxes"
        return f"{boxes} that the certificate states, and {which}"
    levels = f"{asked['radius']} grey level{'' if asked['radius'] == 1 else 's'}"
    if norm != "linf":
        return f"every change of {which} by at most {levels} in {norm}, all inputs together, within their range"
    return f"every change of {which} by at most {levels} per input, within the inputs' range"


def _render_text(checked: Checked, certificate: Path, index: int | None, property_: Path | None) -> str:
    from netproof.arguments.words import printable
    from netproof.certificate.contents import EMPTY
    from netproof.report.text import seconds_text

    document = _to_json(checked, certificate, index, property_)
    query, content = checked.query, checked.certificate
    network, asked = query.network, document["property"]
    assert isinstance(asked, dict)
    reading = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in network.scheme.items())
    reading = reading or "the integers in the file, as they are"
    if network.runtime:
        reading += f", as '{network.runtime}' computes them"
    count = sum(_points(part.query) for part in checked.parts or (checked,))
    points = f", {count if count < 10**6 else f'about 10^{math.log10(count):.1f}'} points"
    if asked["kind"] in ("robustness", "class"):
        which = "the image" if index is None else f"image {index} (confirmed)"
        where = _around(asked, which, checked.norm)
        points = points if checked.norm == "linf" else ""
        points += f"; the image has SHA-256 {asked['image_sha256']}"
        claim = f"class {asked['label']}: the first largest of all {network.outputs} outputs, at every input of the set"
        if content.claim == "sat":
            found = int(network.classify(query.lower.new_tensor(content.arrays["witness"].tolist())))
            claim = f"class {found} instead of {asked['label']} at the witness, which is in the set"
        verdict = "robust" if content.claim == "unsat" else "vulnerable"
    else:
        boxes = f"the {len(checked.parts)} boxes" if checked.parts else "the box"
        where = f"{boxes} that the certificate states"
        if property_ is not None:
            where = f"{boxes} of {property_} (confirmed)"
        claim = f"no input of the set has an output that meets one of {asked['cases']} cases of linear constraints"
        if checked.parts:
            claim = f"no input of a box has an output that meets one of its cases of linear constraints ({asked['cases']} in all)"
        if content.claim == "sat":
            claim = "the output at the witness, which is in the set, meets one of the cases"
        verdict = content.claim
    if content.claim == "unsat":
        parts = checked.parts or (checked,)
        empty = sum(int((part.certificate.arrays["kind"] == EMPTY).sum()) for part in parts)
        proof = (
            f"{empty} regions empty by intervals alone, {checked.leaves} leaves, "
            f"{checked.cuts} cuts, {checked.splits} splits, {checked.points} enumerated boxes; "
            f"{checked.nodes} nodes in all, every one recomputed"
        )
    else:
        proof = "the witness, evaluated again"
    lines = [
        f"PROVED: {verdict}",
        f"certificate  {certificate} ({content.name or 'unnamed'}; by {content.producer or 'an unnamed program'})",
        f"network      {network.path}, SHA-256 {network.sha256}",
        f"reading      {reading}",
        f"             read again by a second reader, and found the same: {checked.second_reading}",
        f"input set    {where}",
        f"             {document['free_inputs']} of {network.inputs} inputs can change{points}",
        f"claim        {claim}",
        "arithmetic   integer: what the quantized network computes, bit for bit; nothing was rounded in the proof",
        f"proof        {proof}",
        f"checked by   netproof {document['netproof']}, {seconds_text(checked.seconds)}",
    ]
    return "\n".join(printable(line) for line in lines)
