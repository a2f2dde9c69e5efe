"""``netproof check`` of certificates about float networks: files in, a report out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from netproof.errors import CertificateError, InputError, ProofError

if TYPE_CHECKING:
    from netproof.certificate.real.contents import RealCertificate


@dataclass(frozen=True)
class RealCheck:
    """What is to be checked against what, how, and where the report goes."""

    certificate: Path
    network: Path
    property: Path | None
    arithmetic: str
    timeout: float | None
    report: Path | None
    requirement: str
    as_json: bool


def check_float(evidence: RealCertificate, wanted: RealCheck) -> int:
    """Check a certificate and print what was proved; 0 where that is its claim, 1 where it is not proved."""
    from netproof.certificate.checker.real.check import check_real
    from netproof.certificate.report import document_of, html_of, json_of, text_of
    from netproof.cli.terminal.output import check_writable, not_proved, print_json
    from netproof.files.opened import read_bytes, write_bytes

    source = str(wanted.certificate)
    if wanted.property is None:
        raise InputError("--property", f"{source} is about a float network and a property", "give the property")
    if wanted.timeout is not None and not wanted.timeout > 0:
        raise InputError("--timeout", f"{wanted.timeout} is no time", "give a positive number of seconds")
    if wanted.report is not None:
        if wanted.report.suffix not in (".html", ".json"):
            raise InputError("--report", f"{wanted.report} is neither .html nor .json", "name one of these")
        check_writable(wanted.report, "--report")
    elif wanted.requirement:
        raise InputError("--requirement", "belongs into a report", "give --report, too")
    try:
        checked = check_real(
            evidence,
            read_bytes(wanted.network, "network file"),
            read_bytes(wanted.property, "property file"),
            arithmetic=wanted.arithmetic,
            source=source,
            seconds=math.inf if wanted.timeout is None else wanted.timeout,
        )
    except ProofError as error:
        return not_proved(wanted.certificate, error, as_json=wanted.as_json)
    except CertificateError as error:
        raise CertificateError(source, error.problem, error.hint) from None
    files = {"certificate": source, "network": str(wanted.network), "property": str(wanted.property)}
    document = document_of(checked, files, wanted.requirement)
    if wanted.report is not None:
        write_bytes(wanted.report, html_of(document) if wanted.report.suffix == ".html" else json_of(document))
    if wanted.as_json:
        print_json(document)
    else:
        typer.echo(text_of(document))
    return 0
