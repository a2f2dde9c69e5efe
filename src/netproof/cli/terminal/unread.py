"""What is said where all of the time went into reading a network: a verdict, as after a search that came to no end."""

from __future__ import annotations

from pathlib import Path

import typer

from netproof.errors import TimeLimitError

#: how JSON names it where a search would be named
METHOD = "reading"


def say_unread(
    path: Path, late: TimeLimitError, limit: float, seconds: float, *, as_json: bool, notes: str = ""
) -> str:
    """Print that images were not asked about within ``limit`` seconds; the verdict.

    Parameters
    ----------
    path : of the network
    seconds : spent
    notes : more to say, in text
    """
    from netproof.cli.arguments.networks import unread_document
    from netproof.cli.terminal.output import print_json
    from netproof.report.text import seconds_text
    from netproof.result import Verdict

    verdict = Verdict.TIMEOUT.value
    if as_json:
        print_json(
            {
                "verdict": verdict,
                "network": unread_document(path),
                "seconds": round(seconds, 6),
                "method": METHOD,
                "subproblems": 0,
                "bound": None,
                "reason": late.reason,
                "witness": None,
                "certificate": None,
            }
        )
        return verdict
    typer.echo(verdict)
    typer.echo(f"  not decided within the time limit of {limit:g} s; a larger --timeout may decide it")
    typer.echo(f"  {late.reason}; time {seconds_text(seconds)}, method {METHOD}, subproblems 0")
    if notes:
        typer.echo(f"  {notes}")
    return verdict
