"""Which networks and questions certificates can be about."""

from __future__ import annotations

from pathlib import Path

from netproof.certificate.second_reading.compare import check_known
from netproof.errors import CertificateError, FormatError, InputError
from netproof.graph.graph import Arithmetic
from netproof.network import Kept, Network
from netproof.query import Query, Question


def check_certifiable(network: Network, source: str) -> None:
    """Raise :class:`InputError` for a network that no certificate can be about: one whose file is not read a second time.

    Asked of networks as deployed alone; other files are compared when a certificate is checked.
    """
    if not network.runtime:
        return
    try:
        check_known(network)
    except CertificateError as error:
        raise InputError(
            source,
            f"{network.path} {error.problem}, so that no certificate can be about it",
            "leave it out; a witness is replayed before it is reported",
        ) from None


def why_unread(network: Network, file: str | Path) -> str:
    """Why the checker of float networks does not read a network's file, which is known before a search; empty where it does."""
    import numpy as np

    from netproof.certificate.checker.real.network import read_network
    from netproof.certificate.checker.real.numbers import Float64
    from netproof.files.opened import read_bytes

    if network.graph.arithmetic is not Arithmetic.REAL:
        return ""
    try:
        with np.errstate(all="ignore"):
            read_network(read_bytes(file, "network file"), network.inputs, Float64(), str(file))
    except FormatError as error:
        return f"{error.source} {error.problem}"
    return ""


def check_stated(asked: Query | Question, source: str) -> None:
    """Raise :class:`InputError` for a question that no certificate can state: of outputs that are not the file's, or of no case.

    Where a final softmax of codes was left out, only the class is the file's, and of the class a certificate states that it
    does not change, within a radius or in a box. Targets it states as conditions on outputs, and balls in other norms than the
    maximum's not at all.
    """
    parts = Question.of(asked).parts
    for one in parts:
        if one.ball is not None:
            problem = f"a certificate states boxes of inputs, and a ball in {one.ball.norm} is none"
            raise InputError(
                source, problem, "leave it out, or ask for --norm linf; a witness is replayed before it is reported"
            )
    part = parts[0]
    of_radius = part.sample is not None and part.sample.radius is not None
    if not part.condition and part.part is None and not of_radius:
        problem = f"{part.network.path} has one output, whose class nothing can change, and a certificate of a box states cases"
        raise InputError(source, problem, "leave it out, or ask for a radius")
    if part.network.kept is not Kept.CLASS or of_radius:
        return
    if all(asks_any_other(one) for one in parts):
        return
    problem = f"the final softmax of {part.network.path} was left out, and a certificate of this question would be about its operands"
    raise InputError(source, problem, "cut the softmax off the network, or ask for any other class")


def asks_any_other(query: Query) -> bool:
    """Whether a query about a sample asks for any class but its label: one case of one constraint for every other output."""
    single = all(len(c.threshold) == 1 for c in query.condition)
    return (
        query.sample is not None
        and query.sample.top == 1
        and single
        and len(query.condition) == query.network.outputs - 1
    )
