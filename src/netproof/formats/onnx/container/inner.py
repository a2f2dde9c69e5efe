"""Graphs inside an ONNX model: functions that it defines, and the branches of an If."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import FormatError
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.onnx.container.text import printable

if TYPE_CHECKING:
    import onnx

#: how deep functions may call functions, and branches lie in branches
_DEEPEST = 32
#: domain, name and overload of a function
_Key = tuple[str, str, str]


def inlined(path: Path, model: onnx.ModelProto, ledger: Ledger) -> onnx.ModelProto:
    """The model with the nodes of its functions in place of their calls.

    Raises
    ------
    FormatError : functions that call themselves, two of one name, more nodes than can be handled, calls that stay
    """
    if not model.functions:
        return model
    import onnx.inliner

    functions: dict[_Key, onnx.FunctionProto] = {}
    for function in model.functions:
        key = _key(function, function.name)
        if key in functions:
            raise FormatError(path, f"defines the function '{printable(function.name)}' twice", "export it again")
        functions[key] = function
    sizes: dict[_Key, int] = {}

    def size(key: _Key, depth: int) -> int:
        """How many nodes a call becomes."""
        if depth > _DEEPEST:
            raise FormatError(
                path, f"its function '{printable(key[1])}' calls itself, or is nested too deeply", "export it again"
            )
        if key not in sizes:
            nodes = functions[key].node
            sizes[key] = sum(
                size(k, depth + 1) if (k := _key(n, n.op_type)) in functions else 1 for n in every_node(nodes)
            )
        return sizes[key]

    called = [_key(node, node.op_type) for node in every_node(model.graph.node)]
    try:
        ledger.nodes(sum(size(key, 0) for key in called if key in functions))
        stated = _with_defaults(path, model, functions, ledger)
    except ExhaustedError as no:
        raise FormatError(path, "its functions become more nodes than can be handled", no.hint) from None
    try:
        whole = onnx.inliner.inline_local_functions(stated)
    except Exception as error:  # noqa: BLE001 - of the C++ code behind it, without a type of its own
        detail = printable(" ".join(str(error).split())[:120])
        raise FormatError(
            path, f"its functions cannot be put in place of their calls ({detail})", "export it again"
        ) from None
    left = next((node for node in every_node(whole.graph.node) if _key(node, node.op_type) in functions), None)
    if left is not None:
        problem = f"its function '{printable(left.op_type)}' is for another opset than the model"
        raise FormatError(path, problem, "inline its functions before export")
    return whole


def _key(owner: onnx.NodeProto | onnx.FunctionProto, name: str) -> _Key:
    """What a call and the function that it calls have in common."""
    return owner.domain, name, getattr(owner, "overload", "")


def _with_defaults(
    path: Path, model: onnx.ModelProto, functions: dict[_Key, onnx.FunctionProto], ledger: Ledger
) -> onnx.ModelProto:
    """The model with every attribute that a call leaves out, and its function has a default for, stated at the call.

    The inliner of the package ``onnx`` knows nothing of these defaults, and leaves the attribute out.
    """
    import onnx

    if not any(function.attribute_proto for function in functions.values()):
        return model
    stated = onnx.ModelProto()
    stated.CopyFrom(model)
    callers = [(stated.graph.node, set()), *((one.node, set(one.attribute)) for one in stated.functions)]
    for nodes, needless in callers:
        for node in every_node(nodes):
            function = functions.get(_key(node, node.op_type))
            given = {attribute.name: attribute for attribute in node.attribute}
            for default in function.attribute_proto if function is not None else ():
                own = given.get(default.name)
                if own is None:
                    ledger.allocate(default.ByteSize())
                    node.attribute.append(default)
                elif own.ref_attr_name in needless:
                    raise FormatError(
                        path,
                        f"a call of its function '{printable(node.op_type)}' hands on the attribute "
                        f"'{printable(own.ref_attr_name)}', which need not be there, in place of a default",
                        "inline its functions before export",
                    )
    return stated


def every_node(nodes: Iterable[onnx.NodeProto], depth: int = 0) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of graphs inside them."""
    for node in nodes:
        yield node
        if depth < _DEEPEST:
            for graph in inner_graphs(node):
                yield from every_node(graph.node, depth + 1)


def inner_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def taken_names(node: onnx.NodeProto, depth: int = 0) -> list[str]:
    """The names of all values that a node takes, those that graphs inside it take from outside among them."""
    names = [name for name in node.input if name]
    if depth >= _DEEPEST:
        return names
    for graph in inner_graphs(node):
        own = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
        for inner in graph.node:
            names += [name for name in taken_names(inner, depth + 1) if name not in own]
            own.update(inner.output)
        names += [value.name for value in graph.output if value.name not in own]
    return names


def check_scopes(path: Path, graph: onnx.GraphProto) -> None:
    """Refuse graphs inside of nodes that give a value twice, or one of the name of a value around them.

    ONNX has one name for one value, whichever graph it is in. What a name means that has two, and from where on, readers need not agree
    on. (Graphs beside one another may have the same names.)
    """
    names = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    _check_inside(path, graph, names.union(*(node.output for node in graph.node)), 0)


def _check_inside(path: Path, graph: onnx.GraphProto, names: set[str], depth: int) -> None:
    """The same for what lies in a graph; ``names`` are those known there, and are left as they were."""
    if depth >= _DEEPEST:
        return  # a branch that lies as deep is refused where it is taken
    for node in graph.node:
        for inner in inner_graphs(node):
            made = [name for one in inner.node for name in one.output if name]
            made += [tensor.name for tensor in inner.initializer]
            for number, name in enumerate(made):
                if name in names:
                    label = printable(node.name or (node.output[0] if node.output else ""))
                    where = "there again" if name in made[:number] else "around it"
                    raise FormatError(
                        path,
                        f"value '{printable(name)}' is given twice, inside of node '{label}' ({printable(node.op_type)}) "
                        f"and {where}",
                        "export the network again",
                    )
                names.add(name)
            _check_inside(path, inner, names, depth + 1)
            names.difference_update(made)


def check_branch(path: Path, label: str, graph: onnx.GraphProto, outputs: int, depth: int) -> None:
    """Refuse (:class:`FormatError`) a branch that is none of a graph of nodes that give as many values as are wanted."""
    problem = ""
    if depth > _DEEPEST:
        problem = "is nested too deeply"
    elif graph.input or graph.sparse_initializer or graph.quantization_annotation:
        problem = "has inputs, sparse tensors or quantization annotations"
    elif len(graph.output) != outputs:
        problem = f"gives {len(graph.output)} values, not {outputs}"
    elif any(len(tensor.external_data) for tensor in graph.initializer):
        problem = "has numbers outside of the file"
    if problem:
        raise FormatError(path, f"{label}: a branch of it {problem}", "export the network again")
