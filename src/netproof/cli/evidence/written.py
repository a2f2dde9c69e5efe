"""The evidence of a verdict about a sample, written where it can be, and what is said of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from netproof.errors import NoEvidenceError

if TYPE_CHECKING:
    from netproof.network import Network
    from netproof.query import Query, Result
    from netproof.settings import Settings


@dataclass(frozen=True)
class Written:
    """A certificate that was written, or why there is none.

    Attributes
    ----------
    path, network : the files
    property_ : of a certificate about a float network, the file of what was asked, which was written beside it
    without : why there is no certificate; empty where there is one
    """

    path: Path
    network: Path
    property_: Path | None = None
    without: str = ""

    @property
    def text(self) -> str:
        """One line on it."""
        if self.without:
            return f"no certificate: {self.without}"
        size = self.path.stat().st_size
        command = f"netproof check {self.path} --network {self.network}"
        asked = "" if self.property_ is None else f" --property {self.property_}"
        return f"certificate written to {self.path} ({size} bytes): {command}{asked}"

    @property
    def document(self) -> dict[str, object]:
        """The same in JSON."""
        if self.without:
            return {"certificate": None, "no_certificate": self.without}
        document: dict[str, object] = {"certificate": str(self.path)}
        return document | ({} if self.property_ is None else {"property": str(self.property_)})


def evidence_about(path: Path, network: Path, query: Query, result: Result, seconds: float) -> Written:
    """Write the certificate of a decided query; raises :class:`InputError` where a file cannot be written.

    Evidence about a float network may take so many ``seconds``.
    """
    from netproof.graph.graph import Arithmetic
    from netproof.runs.certify import write_certificate, write_stated_evidence

    if query.network.graph.arithmetic is not Arithmetic.REAL:
        write_certificate(path, query, result)
        return Written(path, network)
    deadline = time.monotonic() + seconds
    try:
        return Written(path, network, write_stated_evidence(path, network, query, result, deadline=deadline))
    except NoEvidenceError as error:
        return Written(path, network, without=error.problem)


def settings_with_evidence(settings: Settings, network: Network, file: Path) -> Settings:
    """Settings to search with where a certificate is wanted: without a record, and with one line that says why before anything is
    searched, where none can be made of the network's file."""
    from netproof.certificate.certifiable import why_unread

    reason = why_unread(network, file)
    if not reason:
        return settings
    typer.echo(f"netproof: there will be no certificate, whatever is found: {reason}", err=True)
    return replace(settings, proofs=False)
