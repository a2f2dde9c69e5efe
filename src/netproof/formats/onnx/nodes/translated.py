"""Nodes of a file, one after the other: each becomes constants or a part of the graph; an If is the branch that is taken."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netproof.errors import FormatError
from netproof.formats.ledger import ExhaustedError
from netproof.formats.onnx.call import OF_MASKED, Call, Constant, Masked, NodeError, Translation, Value
from netproof.formats.onnx.container.inner import check_branch, inner_graphs
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD, form_of
from netproof.formats.onnx.nodes.table import OPERATORS
from netproof.formats.onnx.nodes.wholes import as_numbers, check_sizes
from netproof.formats.onnx.tabulated.find import Tabulated
from netproof.formats.onnx.tabulated.rows import looked_up
from netproof.formats.onnx.tensors import read_tensor, type_name, type_range
from netproof.formats.onnx.types import check_types

if TYPE_CHECKING:
    import onnx

#: branches of nodes If that are translated
_MOST_BRANCHES = 256
#: operators that are networks of their own, step by step
_UNROLLED = ("GRU", "LSTM", "Loop", "RNN", "Scan")


def translate_nodes(
    path: Path,
    nodes: Iterable[onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
    translation: Translation,
    values: dict[str, Value],
    last: set[str],
    depth: int = 0,
    part: Tabulated | None = None,
) -> None:
    """Translate nodes, operands first, into ``values``, but for a part whose values are looked up."""

    def value(name: str, node: onnx.NodeProto) -> Value:
        if name not in values:
            if name not in constants:
                raise _not_given(path, node, name)
            values[name] = Constant(read_tensor(path, constants[name], translation.around))
        return values[name]

    def again(some: Iterable[onnx.NodeProto], own: Translation, into: dict[str, Value]) -> None:
        translate_nodes(path, some, constants, own, into, set())

    inside = set() if part is None else {name for one in part.nodes for name in one.output} | set(part.sources)
    #: what stands behind a branch, and has a type only when that of the branch's results is known
    late: set[str] = set()
    for node in translation.ledger.clock.each(nodes):
        if part is not None and not inside.isdisjoint(node.output):
            for name in node.input:
                if name in constants:
                    value(name, node)
            for name in part.wanted.intersection(node.output):
                values[name] = looked_up(part, node, name, values, translation, again)
            continue
        if node.op_type == "If" and node.domain in STANDARD:
            branch = _branch(path, node, value(node.input[0], node), depth)
            _count_branch(path, branch, translation)
            _translate_branch(path, node, branch, constants, translation, values, depth)
            late.update(node.output)
            continue
        if not late.isdisjoint(node.input):
            types = {name: translation.types[name] for name in node.input if name in translation.types}
            translation.types.update(check_types(path, [node], types, translation.opset))
            late.update(node.output)
        operands = [value(name, node) if name else None for name in node.input]
        results = _call(path, node, operands, translation, not last.isdisjoint(node.output[:1]))
        values.update(zip(node.output, results, strict=False))


def _translate_branch(
    path: Path,
    node: onnx.NodeProto,
    branch: onnx.GraphProto,
    constants: Mapping[str, onnx.TensorProto],
    translation: Translation,
    values: dict[str, Value],
    depth: int,
) -> None:
    """Translate the branch of an If that is taken; its results go into ``values``, and nothing else that it gives."""
    types = translation.types
    around, inner = dict(types), dict(values)
    known = dict(constants) | {tensor.name: tensor for tensor in branch.initializer}
    # Another branch may have had other values of these names; runtimes look at the one that is not taken, too.
    for other in inner_graphs(node):
        own = {tensor.name: tensor.data_type for tensor in other.initializer}
        check_types(path, other.node, types | own, translation.opset)
    types.update({tensor.name: tensor.data_type for tensor in branch.initializer})
    types.update(check_types(path, branch.node, types, translation.opset))
    translate_nodes(path, branch.node, known, translation, inner, set(), depth + 1)
    kinds = [types.get(result.name, 0) for result in branch.output]
    types.clear()
    types.update(around)
    for name, result, kind in zip(node.output, branch.output, kinds, strict=True):
        if result.name not in inner and result.name in known:
            inner[result.name] = Constant(read_tensor(path, known[result.name], translation.around))
        if result.name not in inner:
            raise _not_given(path, node, result.name)
        values[name], types[name] = inner[result.name], kind
        if result.name in translation.sizes:
            translation.sizes[name] = translation.sizes[result.name]


def _count_branch(path: Path, branch: onnx.GraphProto, translation: Translation) -> None:
    """Account for a branch; each costs as much as there are values around it."""
    translation.branches += 1
    try:
        if translation.branches > _MOST_BRANCHES:
            raise ExhaustedError(f"more than {_MOST_BRANCHES} branches are taken", "export it without branches")
        translation.ledger.nodes(len(branch.node))
    except ExhaustedError as no:
        raise FormatError(path, no.problem, no.hint) from None


def _branch(path: Path, node: onnx.NodeProto, condition: Value, depth: int) -> onnx.GraphProto:
    """The branch of an If that is taken."""
    label = f"node '{printable(node.name or (node.output[0] if node.output else ''))}' (If)"
    if not isinstance(condition, Constant) or condition.array.size != 1:
        raise FormatError(path, f"{label}: its condition is not known without the input", "export it without branches")
    wanted = "then_branch" if bool(condition.array.reshape(())) else "else_branch"
    branches = {attribute.name: attribute.g for attribute in node.attribute if attribute.HasField("g")}
    if set(branches) != {"then_branch", "else_branch"}:
        raise FormatError(path, f"{label}: it has not both of its branches", "export the network again")
    for branch in branches.values():
        check_branch(path, label, branch, len(node.output), depth)
    return branches[wanted]


def _not_given(path: Path, node: onnx.NodeProto, name: str) -> FormatError:
    label = printable(node.name or (node.output[0] if node.output else node.op_type))
    return FormatError(
        path,
        f"node '{label}' ({printable(node.op_type)}) takes '{printable(name)}', a second result that is not known "
        "(the mask of a dropout, the positions of maxima)",
        "export the network without it",
    )


def _call(
    path: Path, node: onnx.NodeProto, operands: list[Value | None], translation: Translation, final: bool
) -> tuple[Value, ...]:
    name = printable(node.name or (node.output[0] if node.output else node.op_type))
    shapes = ", ".join("none" if o is None else "x".join(map(str, o.shape)) or "scalar" for o in operands[:8])
    shapes += ", ..." if len(operands) > 8 else ""
    where = f"node '{name}' ({printable(node.op_type)} of {shapes or 'nothing'})"
    translate = OPERATORS.get(node.op_type) if node.domain in STANDARD else None
    if translate is None:
        domain = f" of domain '{printable(node.domain)}'" if node.domain not in STANDARD else ""
        raise FormatError(path, f"{where} is an unknown operator{domain}", _known(node.op_type))
    if form_of(node.op_type, translation.opset) is None:
        raise FormatError(path, f"{where} is no operator of opset {translation.opset}", "export the network again")
    try:
        if node.op_type not in OF_MASKED and any(isinstance(operand, Masked) for operand in operands):
            raise NodeError(
                "an operand that is minus infinity at some places", "add such a mask right before a Softmax"
            )
        operands = as_numbers(node, operands, translation)
        call = Call(translation, node, name, operands, final)
        results = translate(call)
        call.check_attributes()
        results = results if isinstance(results, tuple) else (results,)
        check_sizes(node, operands, results, translation)
        for output, result in zip(node.output, results, strict=False):
            if isinstance(result, Constant):
                _check_constant(translation, translation.types.get(output, 0), result)
    except (NodeError, ExhaustedError) as refusal:
        raise FormatError(path, f"{where}: {refusal.problem}", refusal.hint) from None
    except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
        # Attributes and shapes that do not belong together, as NumPy and PyTorch put it.
        detail = printable(" ".join(str(error).split())) or type(error).__name__
        raise FormatError(path, f"{where} cannot be understood ({detail})", "export the network again") from None
    return results


def _known(name: str) -> str:
    """What is read instead of an operator that is not known."""
    if name in _UNROLLED:
        return "recurrent layers are not read: unroll it before export"
    similar = difflib.get_close_matches(name, OPERATORS, 4, 0.75)
    if similar:
        return f"known are {', '.join(similar)}, and others (docs/formats.md)"
    return f"{len(OPERATORS)} operators are known (docs/formats.md)"


def _check_constant(translation: Translation, kind: int, constant: Constant) -> None:
    """Refuse a constant that a runtime would wrap around, because its type does not hold it."""
    array = constant.array
    translation.ledger.allocate(array.nbytes)
    if array.dtype == np.int64 and array.size:
        name = type_name(kind)
        least, largest = type_range(name) if name else (0, 0)
        if not (least <= int(array.min()) and int(array.max()) <= largest):
            raise NodeError(
                f"its result leaves its type, {name or 'which is not known'}, where runtimes wrap around",
                "fold constants before export",
            )
