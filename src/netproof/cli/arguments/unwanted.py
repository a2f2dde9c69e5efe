"""Options that have no place beside others."""

from __future__ import annotations

from collections.abc import Mapping

from netproof.errors import InputError


def refuse(options: Mapping[str, object], why: str, command: str = "") -> None:
    """Refuse (:class:`InputError`) the first of some options that is given, not None.

    The option itself is at fault, or, with a command, what it is given together with.
    """
    for name, value in options.items():
        if value is not None and command:
            raise InputError(command, f"{name} {why}", "leave one of them out")
        if value is not None:
            raise InputError(name.replace("_", "-"), why, "leave it out")
