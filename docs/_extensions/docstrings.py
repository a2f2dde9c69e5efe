"""An extension of griffe: docstrings as this project writes them, made what its parser of NumPy's style expects.

Fields stand on one line, ``weight : `[n_out, n_in]` ``, which says what they are and not their type: types are in the
signature. References are written as Sphinx writes them, ``:class:`InputError` ``; on a page they are code, and a link
where the name is public.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import griffe

SECTIONS = "Parameters|Attributes|Returns|Yields|Raises"

_HEADING = re.compile(rf"^({SECTIONS})\n-+\n", re.MULTILINE)
_FIELD = re.compile(r"^(\S.*?) : (.*)$", re.MULTILINE)
_ROLE = re.compile(r":[a-z]+:`~?([^`]+)`")
_PACKAGE = Path(__file__).parents[2] / "src" / "netproof" / "__init__.py"


def public_names() -> frozenset[str]:
    """``netproof.__all__``, read from the source."""
    for node in ast.parse(_PACKAGE.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return frozenset(ast.literal_eval(node.value))
    raise LookupError(f"{_PACKAGE} has no __all__")


PUBLIC = public_names()


def fields_apart(text: str) -> str:
    """Put what ``name : description`` says of a field below its name, in every section."""
    parts = _HEADING.split(text)  # text, heading, section, heading, section, ...
    for at in range(2, len(parts), 2):
        section, gap, rest = parts[at].partition("\n\n")
        section = _FIELD.sub(r"\1\n    \2", section)
        parts[at] = f"{parts[at - 1]}\n{'-' * len(parts[at - 1])}\n{section}{gap}{rest}"
    return "".join([parts[0], *parts[2::2]])


def references_as_code(text: str) -> str:
    """``:class:`netproof.Settings` `` as code, with a link where the name is public."""

    def code(role: re.Match[str]) -> str:
        name = role[1]
        last = name.rpartition(".")[2]
        if name in (last, f"netproof.{last}") and last in PUBLIC:
            return f"[`{last}`][netproof.{last}]"
        return f"`{name}`"

    return _ROLE.sub(code, text)


class Docstrings(griffe.Extension):
    """Rewrites every docstring when it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = references_as_code(fields_apart(obj.docstring.value))
