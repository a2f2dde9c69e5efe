"""Sets as documents say them: a kind and its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from netproof.errors import QueryError
from netproof.perturbations.base import Perturbation
from netproof.perturbations.blocks import Cover, Patch
from netproof.perturbations.box import Inputs
from netproof.perturbations.levels import Brightness, Contrast
from netproof.perturbations.shift import Shift
from netproof.perturbations.single import Pixels

KINDS: dict[str, type[Perturbation]] = {
    part.kind: part for part in (Brightness, Contrast, Cover, Inputs, Patch, Pixels, Shift)
}


def set_document(perturbation: Perturbation) -> dict[str, object]:
    """A set as a JSON object."""
    given = {field.name: getattr(perturbation, field.name) for field in fields(perturbation)}
    return {"kind": perturbation.kind} | {
        name: list(value) if isinstance(value, tuple) else value for name, value in given.items()
    }


def set_of(document: Mapping[str, object]) -> Perturbation:
    """The set of a JSON object; raises :class:`QueryError`."""
    kind = document.get("kind")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise QueryError("the set", f"is of kind '{str(kind)[:40]}'", f"known are {', '.join(KINDS)}")
    names = {field.name for field in fields(known)}
    if set(document) != {"kind", *names}:
        raise QueryError(
            "the set", f"of kind '{kind}' has other parameters than {', '.join(sorted(names))}", "make it anew"
        )
    given: dict[str, object] = {}
    for name in names:
        value = document[name]
        given[name] = _number(name, value) if not isinstance(value, list) else tuple(_number(name, v) for v in value)
        if isinstance(value, list) != (name in ("at", "positions") and value is not None):
            raise QueryError("the set", f"has {name} in another form", "make it anew")
    at = given.get("at")
    if isinstance(at, tuple) and (len(at) != 2 or None in at):
        raise QueryError("the set", "has a place that is no pair", "make it anew")
    return known(**given)


def _number(name: str, value: object) -> int | None:
    if value is None and name in ("by", "at"):
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 1 << 40:
        raise QueryError("the set", f"has {name} {str(value)[:40]}", "make it anew")
    return value
