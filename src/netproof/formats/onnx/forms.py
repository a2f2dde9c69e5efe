"""The form of an ONNX node: attributes, operands and results that its operator has at an opset, and no others.

Runtimes refuse a node with an attribute that they do not know. What it means they could not say, and neither can a
verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import FormatError
from netproof.formats.onnx.container.text import printable

if TYPE_CHECKING:
    import onnx

#: domains of the standard operators
STANDARD = ("", "ai.onnx")
#: fields of an attribute that hold its value, by the number ONNX gives the type
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings", 9: "tensors", 10: "graphs"}
_OTHERS = {11: "sparse_tensor", 12: "sparse_tensors", 13: "tp", 14: "type_protos"}


@dataclass(frozen=True)
class Form:
    """An operator at an opset.

    Attributes
    ----------
    fewest : the smallest number of operands
    inputs, outputs : the largest numbers of operands and results
    takes, gives : of each its type, or the letter that stands for one, and whether all of a variadic one have one type
    types : what each letter can stand for, as ONNX numbers types; a type that is named stands for itself
    attributes, required : names
    """

    fewest: int
    inputs: int
    outputs: int
    takes: tuple[tuple[str, bool], ...]
    gives: tuple[tuple[str, bool], ...]
    types: dict[str, frozenset[int]]
    attributes: frozenset[str]
    required: frozenset[str]


@cache
def form_of(operator: str, opset: int) -> Form | None:
    """The form of a standard operator; None where ONNX has none of this name at this opset."""
    import onnx

    try:
        schema = onnx.defs.get_schema(operator, opset)
    except (onnx.defs.SchemaError, TypeError, ValueError):  # protobuf hands over as bytes what is no text
        return None
    words = {f"tensor({name.lower()})": number for name, number in onnx.TensorProto.DataType.items()}
    fixed = {formal.type_str for formal in (*schema.inputs, *schema.outputs)} & words.keys()
    return Form(
        schema.min_input,
        schema.max_input,
        schema.max_output,
        tuple((formal.type_str, formal.is_homogeneous) for formal in schema.inputs),
        tuple((formal.type_str, formal.is_homogeneous) for formal in schema.outputs),
        {word: frozenset({words[word]}) for word in fixed}
        | {
            one.type_param_str: frozenset(words[word] for word in one.allowed_type_strs if word in words)
            for one in schema.type_constraints
        },
        frozenset(schema.attributes),
        frozenset(name for name, attribute in schema.attributes.items() if attribute.required),
    )


def check_form(path: Path, node: onnx.NodeProto, opset: int, *, read: bool = True) -> None:
    """Check that a node has the form of its operator; those of other domains are left alone.

    So are unknown ones of a node that is ``read`` after that, where more can be said about them.

    Raises
    ------
    FormatError : an attribute that the operator does not have, has twice or in several types at once, or that it
        needs and is missing; more operands or results than it has, or fewer operands; no operator of this opset
    """
    if node.domain not in STANDARD:
        return
    form = form_of(node.op_type, opset)
    label = f"node '{printable(node.name or (node.output[0] if node.output else ''))}' ({printable(node.op_type)})"
    if form is None:
        if not read:
            raise FormatError(path, f"{label} is no operator of opset {opset}", "export the network again")
        return
    if getattr(node, "overload", ""):
        raise FormatError(path, f"{label} is an overload of a function", "inline its functions before export")
    seen: set[str] = set()
    for attribute in node.attribute:
        name = printable(attribute.name)
        if attribute.name in seen:
            raise FormatError(path, f"{label} has the attribute '{name}' twice", "export the network again")
        seen.add(attribute.name)
        if attribute.name not in form.attributes:
            raise FormatError(
                path, f"{label} has the attribute '{name}', which it does not have at opset {opset}", "export it again"
            )
        if not _is_single(attribute):
            raise FormatError(path, f"{label} has several values for the attribute '{name}'", "export it again")
    missing = sorted(form.required - seen)
    if missing:
        raise FormatError(path, f"{label} has no attribute '{missing[0]}', which it needs", "export it again")
    for what, names, most in (("operands", node.input, form.inputs), ("results", node.output, form.outputs)):
        if len(names) > most:
            raise FormatError(
                path,
                f"{label} has {len(names)} {what}; at opset {opset} it has {most} at most",
                "export the network again",
            )
    if len(node.input) < form.fewest:
        raise FormatError(
            path,
            f"{label} has {len(node.input)} operands; at opset {opset} it has {form.fewest} at least",
            "export the network again",
        )


def _is_single(attribute: onnx.AttributeProto) -> bool:
    """Whether an attribute has one value, of the type that it states (an old file may state none)."""
    fields = _FIELDS | _OTHERS
    given = [kind for kind, name in fields.items() if _has(attribute, name)]
    return not attribute.ref_attr_name and len(given) <= 1 and attribute.type in (0, *(given or fields))


def _has(attribute: onnx.AttributeProto, name: str) -> bool:
    value = getattr(attribute, name)
    return bool(attribute.HasField(name) if not hasattr(value, "__len__") or isinstance(value, bytes) else len(value))
