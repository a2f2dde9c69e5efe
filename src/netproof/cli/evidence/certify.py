"""``netproof certify``: a certificate of another verifier's leaves."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.errors import InputError, NoEvidenceError

_FAILED = 1
Leaves = Annotated[
    Path, typer.Argument(metavar="LEAVES", help="Leaves of a search, in JSON (docs/certificates.md says how).")
]
Network = Annotated[Path, typer.Option("--network", metavar="NETWORK", help="The float network (ONNX) it was about.")]
Property_ = Annotated[Path, typer.Option("--property", metavar="FILE", help="The property (VNN-LIB) it was about.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="Write the certificate there.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="S", help="Stop after S seconds (default: no limit).")
]


def certify(
    leaves: Leaves,
    *,
    network: Network,
    property_: Property_,
    out: Out,
    timeout: Timeout = None,
    as_json: o.Json = False,
) -> int:
    """Make a certificate of 'unsat' of the leaves that another verifier left: its splits, slopes and multipliers.

    Nothing of it is believed: every bound is evaluated again, and what stays open is split further. Exits with 0 where the
    certificate is written, 1 where the leaves do not lead to one, 2 where the files cannot be used.
    """
    from netproof.certificate.real.format import write
    from netproof.certificate.real.leaves import read_leaves
    from netproof.certificate.real.outside import certificate_of_leaves
    from netproof.cli.terminal.output import check_writable, print_json
    from netproof.files.opened import read_bytes
    from netproof.version import netproof_version

    begun = time.monotonic()
    if timeout is not None and not timeout > 0:
        raise InputError("--timeout", f"{timeout} is no time", "give a positive number of seconds")
    check_writable(out, "--out")
    found = read_leaves(leaves)
    try:
        made = certificate_of_leaves(
            read_bytes(network, "network file"),
            read_bytes(property_, "property file"),
            found,
            source=str(leaves),
            producer=f"netproof {netproof_version()} certify",
            deadline=math.inf if timeout is None else begun + timeout,
        )
    except NoEvidenceError as error:
        if as_json:
            print_json({"certificate": None, "reason": error.problem})
        else:
            typer.echo(f"no certificate: {error.problem}")
        return _FAILED
    size, count = write(out, made), len(made.arrays["leaf_row"])
    if as_json:
        print_json({"certificate": str(out), "bytes": size, "leaves_given": len(found), "leaves": count})
    else:
        typer.echo(f"{out}: {size} bytes, {count} leaves of the {len(found)} given")
    return 0
