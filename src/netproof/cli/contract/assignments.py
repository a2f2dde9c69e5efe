"""Witnesses as the VNN-LIB 2.0 standard wants them: in lines of text, or as one file of ONNX for each variable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import InputError
from netproof.formats.counterexample import decimal

if TYPE_CHECKING:
    from netproof.formats.vnnlib.second.ask import AskedQuery
    from netproof.result import Witness

#: of the longest finite decimal that a float64 has, and to spare
_DIGITS = 1200


@dataclass(frozen=True)
class Assignment:
    """The value of a variable.

    Attributes
    ----------
    name, type, shape : as declared
    stored : the element type in a file of ONNX, as ONNX numbers it: the declared one, that of the network where it is ``real``
    values : in C order
    """

    name: str
    type: str
    shape: tuple[int, ...]
    stored: int
    values: tuple[Fraction, ...]


def assignments(asked: AskedQuery, witness: Witness) -> list[Assignment]:
    """The values of all variables of a query, in the order of their declarations."""
    values = asked.stated.values(witness.numbers, witness.output_numbers)
    return [
        Assignment(
            variable.name,
            variable.type,
            variable.shape,
            asked.stored[variable.name],
            tuple(values[variable.first : variable.first + variable.size]),
        )
        for variable in asked.stated.statement.variables
    ]


def in_words(found: Sequence[Assignment]) -> str:
    """Each variable on a line with type and shape, then its values, one a line, every one in full."""
    lines = []
    for one in found:
        lines.append(f"{one.name} {one.type} [{','.join(map(str, one.shape))}]")
        lines += [_number(value, one.type) for value in one.values]
    return "\n".join(lines) + "\n"


def _number(value: Fraction, type_: str) -> str:
    """A value as queries have it: digits, a point in those that are no whole numbers by their type, no exponent."""
    text = decimal(value)
    if "e" in text:
        with localcontext(Context(prec=_DIGITS)):
            text = format(Decimal(text), "f")
    whole = type_.startswith(("int", "uint")) or type_ == "bool"
    return text if whole or "." in text else f"{text}.0"


def check_folder(folder: Path) -> None:
    """Make a folder for assignments before anything is computed; raises :class:`InputError` where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".netproof"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        problem = f"{folder} is no folder that can be written to ({getattr(error, 'strerror', None) or error})"
        raise InputError("--serialise-assignments", problem, "give another one") from None


def write_assignments(folder: Path, found: Sequence[Assignment]) -> None:
    """``NAME.pb`` for each variable: a tensor of ONNX; a number that its type does not have becomes the nearest that it has."""
    import onnx
    from onnx import helper

    from netproof.files.opened import write_bytes

    for one in found:
        whole = one.stored not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
        values = [int(value) if whole else float(value) for value in one.values]
        tensor = helper.make_tensor(one.name, one.stored, list(one.shape), values)
        write_bytes(folder / f"{one.name}.pb", tensor.SerializeToString())
