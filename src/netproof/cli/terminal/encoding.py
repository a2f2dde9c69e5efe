"""The option that switches improvements of the bit-vector encoding off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.exact.smt.options import EncodingOptions

Without = Annotated[
    list[str] | None,
    typer.Option("--without", metavar="NAME", help="Switch an improvement of the encoding off; repeat for several."),
]


def encoding_options(without: list[str] | None) -> EncodingOptions:
    """All improvements but those named; raises :class:`InputError` listing the names."""
    from dataclasses import fields

    from netproof.exact.smt.options import EncodingOptions

    known = {field.name.replace("_", "-"): field.name for field in fields(EncodingOptions)}
    for name in without or []:
        if name not in known:
            raise InputError("--without", f"no improvement is called '{name}'", f"known: {', '.join(known)}")
    return EncodingOptions(**{known[name]: False for name in without or []})
