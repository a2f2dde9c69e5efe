"""``netproof check`` of witness documents about float networks: the file is evaluated again, and every comparison is exact."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from netproof.errors import CertificateError, ProofError

if TYPE_CHECKING:
    from netproof.certificate.real.witness import RealWitness
    from netproof.network import Network

#: outputs of another processor may differ by so much, as a share of the largest of them
_ALIKE = 1e-4


def check_witness(found: RealWitness, certificate: Path, path: Path, *, as_json: bool) -> int:
    """Evaluate a witness again, and print what it shows; 0 where it is one, 1 where not. Raises :class:`CertificateError`."""
    from netproof.arguments.words import printable
    from netproof.cli.arguments.networks import network_document, read_network
    from netproof.cli.check import check_file
    from netproof.cli.terminal.output import not_proved, print_json

    check_file(path, found.network_sha256, certificate)
    network = read_network(path, None, None)
    try:
        rival, output = replayed(found, network, str(certificate))
    except ProofError as error:
        return not_proved(certificate, error, as_json=as_json)
    norm = "linf" if found.ball is None else found.ball.norm
    if as_json:
        print_json(
            {
                "certificate": str(certificate),
                "proved": True,
                "claim": "sat",
                "name": found.name,
                "producer": found.producer,
                "network": network_document(network),
                "property": {"kind": "robustness", "label": found.label, "norm": norm},
                "arithmetic": "what onnxruntime computes of the file; inputs, box, ball and outputs are compared exactly",
                "class": rival,
                "witness": list(found.point),
                "output": output,
            }
        )
        return 0
    far = max(abs(x - at) for x, at in zip(found.point, found.image, strict=True))
    where = "the box that the document states"
    if found.ball is not None:
        where += f", and its ball of radius {float(found.ball.radius):.6g} in {norm}"
    lines = [
        "REPLAYED: vulnerable",
        f"witness      {certificate} ({found.name or 'unnamed'}; by {found.producer or 'an unnamed program'})",
        f"network      {network.path}, SHA-256 {network.sha256}",
        f"input set    {where}; the witness lies in it, exactly",
        f"             an input of it is at most {far:.6g} from the image's, in the network's own unit",
        f"claim        class {rival} is as large as {found.label}, the image's own, at the witness",
        "arithmetic   what onnxruntime computes of the file; nothing was rounded in comparing",
    ]
    typer.echo("\n".join(printable(line) for line in lines))
    return 0


def replayed(found: RealWitness, network: Network, source: str) -> tuple[int, list[float]]:
    """The class at a witness other than its label, and the outputs there; raises :class:`ProofError` where it is no witness."""
    import torch

    from netproof.attack.replay import Replayer

    query = found.query(network, source)
    if query.misclassified:
        raise ProofError(source, f"the network takes the image itself for class {query.prediction}, not {found.label}")
    replayer = Replayer(query)
    if not replayer.possible:
        raise CertificateError(source, "is about numbers that no float32 holds", "evaluate it yourself")
    point = torch.tensor(found.point, dtype=torch.float64)
    x = point.float()
    if not torch.equal(x.double(), point) or not bool(((x >= replayer.lower) & (x <= replayer.upper)).all()):
        raise ProofError(source, "the witness is not in the input set")
    again = replayer.first(x[None])
    if again is None or not torch.equal(again.input, x):
        beyond = query.ball is not None and not query.ball.holds(replayer.exact(x))
        raise ProofError(
            source,
            "the witness is not in the input set: it is beyond the radius"
            if beyond
            else "no other output is as large as the label's at the witness",
        )
    output = [float(value) for value in again.output.tolist()]
    size = max(1.0, *(abs(value) for value in output))
    if not all(math.isclose(a, b, rel_tol=0, abs_tol=_ALIKE * size) for a, b in zip(output, found.output, strict=True)):
        raise ProofError(source, "the witness is one, but its output is not the one stated")
    rival = max((k for k in range(len(output)) if k != found.label), key=lambda k: (output[k], -k))
    return rival, output
