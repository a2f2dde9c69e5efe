"""``netproof export``: queries for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.cli.arguments.groups import command_group
from netproof.cli.terminal.encoding import Without, encoding_options
from netproof.errors import InputError

app = command_group("Write queries for other tools.")

Index = Annotated[int, typer.Option("--index", metavar="I", help="Which image, from 0.")]
Eps = Annotated[int, typer.Option("--eps", metavar="E", help="Radius: how many grey levels each pixel may move.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The file to write.")]


@app.command()
def smtlib(
    network: o.NetworkPath,
    *,
    images: o.ImagesPath,
    labels: o.LabelsPath,
    index: Index,
    eps: Eps,
    out: Out,
    bits: o.Bits = None,
    input_bits: o.InputBits = None,
    weight_integer_bits: o.WeightIntegerBits = None,
    bias_integer_bits: o.BiasIntegerBits = None,
    activation_integer_bits: o.ActivationIntegerBits = None,
    runtime: o.Runtime = None,
    without: Without = None,
) -> None:
    """Write one robustness query as an SMT-LIB 2 script.

    In logic QF_BV, for any solver: sat means vulnerable, unsat robust.
    """
    from netproof.cli.arguments.networks import read_network
    from netproof.cli.terminal.output import check_writable
    from netproof.formats.images.samples import Samples

    options = encoding_options(without)
    if eps < 0:
        raise InputError("--eps", f"the radius is {eps}", "give a whole number of grey levels, 0 or more")
    check_writable(out, "--out")
    samples = Samples.read(images, labels)
    samples.check(index)
    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    o.use_threads(1)
    model = read_network(network, widths, runtime)
    samples.check_network(model)

    from netproof.exact.smt.export import exported
    from netproof.files.durable import write_text
    from netproof.local_robustness import robustness
    from netproof.version import netproof_version

    query = robustness(
        model, samples.image(index, model), samples.label(index), eps, name=f"sample {index}, radius {eps}"
    )
    if query.misclassified:
        raise InputError(
            "--index",
            f"sample {index} (label {samples.label(index)}) is classified as {query.prediction}, so there is no class to keep",
            "choose a sample that the network classifies as labelled",
        )
    write_text(out, exported(query, options, writer=f"netproof {netproof_version()}"))
    typer.echo(f"written to {out}")


Certificate = Annotated[
    Path, typer.Argument(metavar="CERTIFICATE", help="A certificate of unsat about a small float network.")
]
Network = Annotated[Path, typer.Option("--network", metavar="NETWORK", help="The network it is about.")]
Property_ = Annotated[Path, typer.Option("--property", metavar="FILE", help="The property it is about.")]


@app.command()
def proof(certificate: Certificate, *, network: Network, property_: Property_, out: Out) -> None:
    """Write a certificate about a float network as questions for solvers.

    In logic QF_LRA, an SMT-LIB 2 script for any solver that works incrementally: every answer has to be unsat.
    """
    from netproof.certificate.checker.real.check import check_real
    from netproof.certificate.real.contents import RealCertificate
    from netproof.certificate.real.obligations import script_of
    from netproof.certificate.witness import read_evidence
    from netproof.cli.terminal.output import check_writable
    from netproof.files.durable import write_text
    from netproof.files.opened import read_bytes

    check_writable(out, "--out")
    evidence = read_evidence(certificate)
    if not isinstance(evidence, RealCertificate):
        problem = f"{certificate} is no certificate about a float network"
        raise InputError("export proof", problem, "give one; of networks of integers, use export smtlib")
    files = read_bytes(network, "network file"), read_bytes(property_, "property file")
    check_real(evidence, *files, source=str(certificate))
    text, questions = script_of(evidence, *files, source=certificate.name)
    write_text(out, text)
    typer.echo(f"written to {out}: {questions} questions, each of which has to be answered 'unsat'")
