"""Reader for networks in ONNX, plain or gzip.

Every node of the file is a call of one function (``formats/onnx/``), which either computes a constant or
appends operators to the graph. What only gives a value another shape appends nothing.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.onnx.call import Call, Constant, NodeError, Translation, Value, Variable
from netproof.formats.onnx.container.external import Surroundings, embedded, locations
from netproof.formats.onnx.container.file import Given, OnnxFile, model_of, parse_onnx
from netproof.formats.onnx.container.inner import check_branch, inner_graphs
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD, form_of
from netproof.formats.onnx.integer import read_integer_onnx
from netproof.formats.onnx.nodes.table import OPERATORS
from netproof.formats.onnx.nodes.wholes import as_numbers, check_sizes
from netproof.formats.onnx.qonnx.read import is_qonnx, read_qonnx
from netproof.formats.onnx.quantized.deployed import Deployed
from netproof.formats.onnx.quantized.read import is_quantized, read_quantized
from netproof.formats.onnx.several import as_network, check_shapes, is_several, wanted_outputs
from netproof.formats.onnx.tabulated.find import Tabulated, find_tabulated
from netproof.formats.onnx.tabulated.rows import looked_up
from netproof.formats.onnx.tensors import read_tensor, type_name, type_range
from netproof.formats.onnx.types import check_types
from netproof.graph.equality import same_graph
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.simplify import simplify
from netproof.network import Network
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select

if TYPE_CHECKING:
    import onnx

#: operators that hand on all of their operand's values in the same order
_RENAMING = ("Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze")

#: branches of nodes If that are translated
_MOST_BRANCHES = 256
#: operators that are networks of their own, step by step
_UNROLLED = ("GRU", "LSTM", "Loop", "RNN", "Scan")


def read_onnx(
    path: str | Path,
    *,
    simplified: bool = True,
    runtime: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Network:
    """Read a network: of float32 (or float64) numbers, whose claims are about the real numbers, or, where its input
    is one of integers, of integers, whose claims are about these (:mod:`netproof.formats.onnx.integer`).

    Parameters
    ----------
    path : an ONNX model of opset 7 to 28. Several inputs, or several outputs of floats, are numbered one after the other
    simplified : merge neighbouring affine operators (:func:`netproof.graph.passes.simplify.simplify`)
    runtime : by whose rule a quantized network is read (:mod:`netproof.formats.onnx.quantized.read`)
    shapes : of inputs with dynamic axes, by name; without one the first axis is the batch, of 1, and no other may be open

    Raises
    ------
    FormatError : a file that is missing, damaged or foreign; an unknown operator or an unknown use of a known one;
        dynamic axes, and a shape that does not fit; NaN or infinite weights; more than can be handled
    InputError : a runtime of no known name, or for a network that is not quantized
    """
    path = Path(path)
    data = read_bytes(path, "network file")
    packed = path.stat().st_size
    return network_of(path, data, simplified=simplified, packed=packed, runtime=runtime, shapes=shapes)


def network_of(
    path: Path,
    data: bytes,
    *,
    simplified: bool = True,
    packed: int | None = None,
    runtime: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Network:
    """The network in the bytes of an ONNX model; ``path`` is where they came from, in a file of ``packed`` bytes.

    See :func:`read_onnx`.
    """
    model = model_of(path, data)
    check_shapes(path, model, shapes or {})
    if is_several(model):
        _no_runtime(path, runtime)
        numbers, others = wanted_outputs(path, model)
        return as_network(path, values_of(path, data, numbers, shapes, packed), others)
    del model
    around = Surroundings(path, Ledger(len(data) if packed is None else packed))
    files = parse_onnx(path, data, around.ledger, integers=True, shapes=shapes)
    if is_quantized(files):
        return read_quantized(path, data, files, around, runtime).network
    if is_qonnx(files):
        return read_qonnx(path, data, files, around, runtime)
    _no_runtime(path, runtime)
    if files[0].integer:
        network = read_integer_onnx(path, data, files, around)
        files[0].check_output(path)
        return network
    translation, graph = _agreed(path, files, around)
    files[0].check_output(path)
    if simplified:
        graph = simplify(graph)
    _check_finite(path, graph)
    unbounded = torch.full((graph.input.size,), torch.inf, dtype=torch.float64)
    tensors = files[0].tensors
    sha256 = around.sha256(data, tensors)
    try:
        content = embedded(path, data, around) if locations(tensors) else data
    except ExhaustedError as no:
        raise FormatError(path, f"its external data: {no.problem}", no.hint) from None
    return Network(
        graph=graph,
        path=str(path),
        sha256=sha256,
        lower=-unbounded,
        upper=unbounded,
        notes=tuple(translation.notes),
        kept=translation.kept,
        content=content,
        left_out=translation.left_out,
    )


def read_deployed(path: Path, runtime: str | None = None) -> Deployed | None:
    """A quantized network with all of its values, None where it is no quantized one; raises as :func:`read_onnx`."""
    data = read_bytes(path, "network file")
    if is_several(model_of(path, data)):
        return None
    around = Surroundings(path, Ledger(path.stat().st_size))
    files = parse_onnx(path, data, around.ledger, integers=True)
    return read_quantized(path, data, files, around, runtime) if is_quantized(files) else None


def _no_runtime(path: Path, runtime: str | None) -> None:
    if runtime is not None:
        raise InputError("runtime", f"none is known for {path}, which is not quantized", "leave it out")


def unsimplified_graph(path: Path, data: bytes) -> tuple[Graph, tuple[str, ...]]:
    """The graph as the file has it, and the ONNX operator that each of its nodes comes from (``""``: the input).

    Raises as :func:`read_onnx`.
    """
    around = Surroundings(path, Ledger(len(data)))
    translation, graph = _agreed(path, parse_onnx(path, data, around.ledger), around)
    _check_finite(path, graph)
    return graph, tuple(translation.made_by.get(id(node.operator), "") for node in graph.nodes)


def _agreed(path: Path, files: list[OnnxFile], around: Surroundings) -> tuple[Translation, Graph]:
    """The graph of a file, which has to be the same by every opset that it states."""
    translation, graph = _graph_of(path, files[-1], around)
    for other in files[:-1]:
        again, second = _graph_of(path, other, around)
        if not same_graph(graph, second) or again.kept != translation.kept:
            raise _ambiguous(path, files)
    return translation, graph


@dataclass(frozen=True, eq=False)
class Values:
    """Values of a model that were asked for by name, as one graph.

    Attributes
    ----------
    graph : its input has the model's inputs one after the other, flattened; its output the values asked for, likewise
    inputs : what the model takes, in the order of the file
    results : what was asked for, in the order of the question
    sha256, content, notes : as a :class:`netproof.network.Network` has them
    """

    graph: Graph
    inputs: tuple[Given, ...]
    results: tuple[Given, ...]
    sha256: str
    content: bytes
    notes: tuple[str, ...]


def values_of(
    path: Path,
    data: bytes,
    names: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    packed: int | None = None,
) -> Values:
    """Values inside a model of float32 or float64 numbers, with any number of inputs and outputs.

    A softmax is no special case here: nothing is left out of the graph, which is not simplified either.

    Raises
    ------
    FormatError : as :func:`read_onnx`; a name that no value has
    """
    around = Surroundings(path, Ledger(len(data) if packed is None else packed))
    files = parse_onnx(path, data, around.ledger, wanted=names, shapes=shapes)
    translation, graph, found = _values_graph(path, files[-1], around)
    for other in files[:-1]:
        if not same_graph(graph, _values_graph(path, other, around)[1]):
            raise _ambiguous(path, files)
    files[0].check_output(path)
    _check_finite(path, graph)
    tensors = files[0].tensors
    try:
        content = embedded(path, data, around) if locations(tensors) else data
    except ExhaustedError as no:
        raise FormatError(path, f"its external data: {no.problem}", no.hint) from None
    types = files[-1].types
    results = tuple(Given(name, shape, types.get(name, 0)) for name, shape in zip(names, found, strict=True))
    return Values(graph, files[0].inputs, results, around.sha256(data, tensors), content, tuple(translation.notes))


def _values_graph(path: Path, file: OnnxFile, around: Surroundings) -> tuple[Translation, Graph, list[tuple[int, ...]]]:
    """The graph of what is wanted of a file, and the shape of each value."""
    sizes = [math.prod(given.shape) for given in file.inputs]
    total = sum(sizes)
    around.ledger.value((total,))
    builder = GraphBuilder(Arithmetic.REAL, (total,))
    translation = Translation(path, builder, file.opset, around, file.types)
    # What is evaluated in floating point has to be what the file computes, operator by operator.
    translation.formulas.of_the_reals = False
    begin: dict[str, Value] = {}
    start = 0
    for given, size in zip(file.inputs, sizes, strict=True):
        node = 0
        if size < total:
            index = torch.arange(start, start + size)
            node = builder.add(printable(given.name), Select(index, total, given.shape), 0)
        begin[given.name] = Variable(node, given.shape)
        start += size
    values = _translated(path, file, translation, begin, set())
    nodes, shapes = [], []
    for name in file.outputs:
        value = values.get(name)
        if value is None and name in file.constants:
            value = Constant(read_tensor(path, file.constants[name], around))
        if value is None:
            raise FormatError(path, f"has no value '{printable(name)}' that is known", "ask for another one")
        shapes.append(value.shape)
        nodes.append(value.node if isinstance(value, Variable) else _add_constant(path, builder, name, value, total))
    if len(nodes) > 1 or nodes[0] == 0:
        nodes = [builder.add("values", Concatenate(tuple(math.prod(shape) for shape in shapes)), *nodes)]
    return translation, drop_dead(builder.build(), nodes[0]), shapes


def _add_constant(path: Path, builder: GraphBuilder, name: str, value: Constant, size: int) -> int:
    """A node that has the same numbers whatever the input is."""
    numbers = np.ascontiguousarray(value.array).reshape(-1)
    floats = numbers.astype(np.float64)
    if not bool((floats == numbers).all()):
        raise FormatError(path, f"value '{printable(name)}' holds NaN, or integers beyond 2^53", "ask for another one")
    nowhere = torch.full((floats.size,), -1, dtype=torch.int64)
    return builder.add(printable(name), Select(nowhere, size, value.shape, torch.from_numpy(floats)), 0)


def _ambiguous(path: Path, files: list[OnnxFile]) -> FormatError:
    opsets = ", ".join(str(file.opset) for file in files)
    return FormatError(path, f"states opsets {opsets}, by which its nodes mean different things", "export it for one")


def _graph_of(path: Path, file: OnnxFile, around: Surroundings) -> tuple[Translation, Graph]:
    builder = GraphBuilder(Arithmetic.REAL, file.input_shape)
    translation = Translation(path, builder, file.opset, around, file.types)
    begin: dict[str, Value] = {file.input: Variable(0, file.input_shape)}
    output = _translated(path, file, translation, begin, _last_names(file)).get(file.output)
    if not isinstance(output, Variable):
        raise FormatError(path, "its output does not depend on its input", "export the network again")
    return translation, drop_dead(translation.builder.build(), output.node)


def _translated(
    path: Path, file: OnnxFile, translation: Translation, begin: dict[str, Value], last: set[str]
) -> dict[str, Value]:
    """Translate every node; all values by name. ``last`` are the names of what is the output but for its shape."""
    values = dict(begin)
    part = find_tabulated(file.nodes, list(begin), file.outputs, translation.types)
    _translate_nodes(path, file.nodes, file.constants, translation, values, last, part=part)
    return values


def _translate_nodes(
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
        _translate_nodes(path, some, constants, own, into, set())

    inside = set() if part is None else {name for one in part.nodes for name in one.output} | set(part.sources)
    #: what stands behind a branch, and has a type only when that of the branch's results is known
    late: set[str] = set()
    for node in nodes:
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
    _translate_nodes(path, branch.node, known, translation, inner, set(), depth + 1)
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


def _last_names(file: OnnxFile) -> set[str]:
    """The output and the values that are only renamed or reshaped to become it."""
    makers = {name: node for node in file.nodes for name in node.output}
    name = file.output
    names = {name}
    while True:
        node = makers.get(name)
        if node is None or node.op_type not in _RENAMING or node.domain not in STANDARD or node.output[0] != name:
            return names
        name = node.input[0] if node.input else ""
        names.add(name)


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
        operands = as_numbers(node, operands, translation)
        results = translate(Call(translation, node, name, operands, final))
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


def _check_finite(path: Path, graph: Graph) -> None:
    """Refuse numbers that are NaN or infinite, in whichever way they came to be."""
    for node in graph.nodes:
        for name, parameter in node.operator.parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise FormatError(
                    path,
                    f"the {name} of node '{printable(node.name)}' holds NaN or infinity",
                    "retrain or repair the network",
                )
