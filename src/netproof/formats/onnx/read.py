"""Reader for networks in ONNX, plain or gzip.

Every node of the file is a call of one function (``formats/onnx/``), which either computes a constant or
appends operators to the graph. What only gives a value another shape appends nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes
from netproof.formats.clock import Clock
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.onnx.call import Constant, Masked, Translation, Value, Variable
from netproof.formats.onnx.container.external import Surroundings, embedded, locations
from netproof.formats.onnx.container.file import Given, OnnxFile, model_of, parse_onnx
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD
from netproof.formats.onnx.integer import read_integer_onnx
from netproof.formats.onnx.nodes.translated import translate_nodes
from netproof.formats.onnx.qonnx.read import is_qonnx, read_qonnx
from netproof.formats.onnx.quantized.deployed import Deployed
from netproof.formats.onnx.quantized.read import is_quantized, read_quantized
from netproof.formats.onnx.several import as_network, check_shapes, is_several, wanted_outputs
from netproof.formats.onnx.tabulated.find import find_tabulated
from netproof.formats.onnx.tensors import read_tensor
from netproof.graph.equality import same_graph
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.passes.drop_dead import drop_dead
from netproof.graph.passes.simplify import simplify
from netproof.network import Network
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.select import Select

#: operators that hand on all of their operand's values in the same order
_RENAMING = ("Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze")


def read_onnx(
    path: str | Path,
    *,
    simplified: bool = True,
    runtime: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    clock: Clock | None = None,
) -> Network:
    """Read a network: of float32 (or float64) numbers, whose claims are about the real numbers, or, where its input
    is one of integers, of integers, whose claims are about these (:mod:`netproof.formats.onnx.integer`).

    Parameters
    ----------
    path : an ONNX model of opset 7 to 28. Several inputs, or several outputs of floats, are numbered one after the other
    simplified : merge neighbouring affine operators (:func:`netproof.graph.passes.simplify.simplify`)
    runtime : by whose rule a quantized network is read (:mod:`netproof.formats.onnx.quantized.read`)
    shapes : of inputs with dynamic axes, by name; without one the first axis is the batch, of 1, and no other may be open
    clock : looked at between nodes; None stands for no deadline

    Raises
    ------
    FormatError : a file that is missing, damaged or foreign; an unknown operator or an unknown use of a known one;
        dynamic axes, and a shape that does not fit; NaN or infinite weights; more than can be handled
    InputError : a runtime of no known name, or for a network that is not quantized
    TimeLimitError : the clock's deadline is over
    """
    path = Path(path)
    data = read_bytes(path, "network file")
    packed = path.stat().st_size
    return network_of(path, data, simplified=simplified, packed=packed, runtime=runtime, shapes=shapes, clock=clock)


def network_of(
    path: Path,
    data: bytes,
    *,
    simplified: bool = True,
    packed: int | None = None,
    runtime: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    clock: Clock | None = None,
) -> Network:
    """The network in the bytes of an ONNX model; ``path`` is where they came from, in a file of ``packed`` bytes.

    See :func:`read_onnx`.
    """
    model = model_of(path, data)
    check_shapes(path, model, shapes or {})
    if is_several(model):
        _no_runtime(path, runtime)
        numbers, others = wanted_outputs(path, model)
        return as_network(path, values_of(path, data, numbers, shapes, packed, clock), others, clock)
    del model
    around = Surroundings(path, Ledger(len(data) if packed is None else packed, clock=clock))
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
        graph = simplify(graph, around.ledger.clock.look)
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
    clock: Clock | None = None,
) -> Values:
    """Values inside a model of float32 or float64 numbers, with any number of inputs and outputs.

    A softmax is no special case here: nothing is left out of the graph, which is not simplified either.

    Raises
    ------
    FormatError : as :func:`read_onnx`; a name that no value has
    """
    around = Surroundings(path, Ledger(len(data) if packed is None else packed, clock=clock))
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
        _check_not_masked(path, name, value)
        shapes.append(value.shape)
        nodes.append(value.node if isinstance(value, Variable) else _add_constant(path, builder, name, value, total))
    if len(nodes) > 1 or nodes[0] == 0:
        nodes = [builder.add("values", Concatenate(tuple(math.prod(shape) for shape in shapes)), *nodes)]
    return translation, drop_dead(builder.build(), nodes[0]), shapes


def _check_not_masked(path: Path, name: str, value: Value) -> None:
    if isinstance(value, Masked):
        raise FormatError(path, f"value '{printable(name)}' is minus infinity at some places", "ask for another one")


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
    _check_not_masked(path, file.output, output)
    return translation, drop_dead(translation.builder.build(), output.node)


def _translated(
    path: Path, file: OnnxFile, translation: Translation, begin: dict[str, Value], last: set[str]
) -> dict[str, Value]:
    """Translate every node; all values by name. ``last`` are the names of what is the output but for its shape."""
    values = dict(begin)
    part = find_tabulated(file.nodes, list(begin), file.outputs, translation.types)
    translate_nodes(path, file.nodes, file.constants, translation, values, last, part=part)
    return values


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
