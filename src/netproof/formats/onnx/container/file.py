"""An ONNX file taken apart and checked, before any of its operators is looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.onnx.container.inner import check_scopes, every_node, inlined, inner_graphs, taken_names
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD, check_form
from netproof.formats.onnx.types import check_names, check_types

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET, NEWEST_OPSET = 7, 28
#: types of inputs, as ONNX numbers them: those of networks over the reals, and of networks of integers
FLOATS = {1: "float32", 10: "float16", 11: "float64"}
_INTEGERS = {2: "uint8", 3: "int8"}
_LARGEST_INPUT = 1 << 24
#: domains that QONNX's operators have had
QONNX = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
#: domains whose operators runtimes have kernels for, which they take in place of a function of that name in the model
_OF_RUNTIMES = ("ai.onnx", "com.microsoft", "com.ms.")


@dataclass(frozen=True)
class Given:
    """An input of a model.

    Attributes
    ----------
    name : of the value
    shape : with 1 in place of an open batch axis
    type : of its elements, as ONNX numbers types
    """

    name: str
    shape: tuple[int, ...]
    type: int


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """The parts of a model that what is wanted of it depends on.

    Attributes
    ----------
    opset : version of the standard operators
    inputs : in the order of the file
    outputs : names of the values that are wanted: the one output, unless others were asked for
    constants : the initializers, by name
    nodes : in an order in which operands come first
    metadata : what the model says about itself, by key
    types : of its values, as ONNX numbers them, as far as they are known
    declared : the types that outputs of the file are said to have, by name; 0 where nothing is said, -1 where one is said
        to be no tensor
    uses : how often each value is taken, by nodes that the output does not depend on as well, and as the output
    unused : how many nodes there are that the output does not depend on
    annotations : QONNX's data types of values, by name
    domains : the versions of operators that are not standard, by domain, as often as they are stated
    """

    opset: int
    inputs: tuple[Given, ...]
    outputs: tuple[str, ...]
    constants: dict[str, onnx.TensorProto]
    nodes: tuple[onnx.NodeProto, ...]
    metadata: dict[str, str]
    types: dict[str, int]
    declared: dict[str, int]
    uses: Counter[str]
    unused: int
    annotations: dict[str, str]
    domains: dict[str, tuple[int, ...]]

    @property
    def input(self) -> str:
        """The name of the first input, which is the only one of an ordinary network."""
        return self.inputs[0].name

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.inputs[0].shape

    @property
    def input_type(self) -> int:
        return self.inputs[0].type

    @property
    def output(self) -> str:
        """The name of the first value that is wanted."""
        return self.outputs[0]

    def check_output(self, path: Path) -> None:
        """Refuse (:class:`FormatError`) an output that is declared to be of another type than it is."""
        for name in self.outputs:
            declared = self.declared.get(name, 0)
            if declared < 0 or (declared and self.types.get(name, declared) != declared):
                raise FormatError(
                    path,
                    f"its output '{printable(name)}' is declared as another type than it is",
                    "export the network again",
                )

    @property
    def tensors(self) -> list[onnx.TensorProto]:
        """The tensors that it holds, in initializers and in the attributes of its nodes."""
        held = [attribute.t for node in self.nodes for attribute in node.attribute if attribute.HasField("t")]
        return [*self.constants.values(), *held]

    @property
    def integer(self) -> bool:
        """Whether the input holds integers."""
        return self.input_type in _INTEGERS


def model_of(path: Path, data: bytes) -> onnx.ModelProto:
    """The bytes of a model as protobuf has them; raises :class:`FormatError` where they are none."""
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError, MemoryError):
        raise FormatError(
            path, "is no ONNX model, or a truncated or damaged one", "download, copy or export it again"
        ) from None
    return model


def parse_onnx(
    path: Path,
    data: bytes,
    ledger: Ledger,
    *,
    integers: bool = False,
    wanted: Sequence[str] = (),
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> list[OnnxFile]:
    """Take the bytes of a model apart.

    ``integers`` says whether its input may be one of integers. Where values are ``wanted`` by name it may have several
    inputs and outputs, and what is looked at is what these values depend on. ``shapes`` are those of inputs with dynamic
    axes, by name.

    A model may state the opset of the standard operators several times. ONNX then goes by the highest, runtimes by the
    last, so there is one result for each that is stated; the caller sees to it that all of them mean the same.

    Raises
    ------
    FormatError : no ONNX model; an opset out of range; not one input and one output; dynamic shapes other than the
        batch; a cycle; values that nothing gives or that two nodes give; two nodes or two tensors of one name; operands
        of different types where ONNX has one; a node that has not the form of its operator; more nodes than can be
        handled; what changes the meaning of a graph and is not understood (functions, sparse tensors, quantization)
    """
    model, clock = model_of(path, data), ledger.clock
    opsets = _opsets(path, model, ledger)
    _check_parts(path, model)
    model = inlined(path, model, ledger)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    known = FLOATS | _INTEGERS if integers else FLOATS
    inputs = _inputs(path, graph, constants, known, shapes or {}, several=bool(wanted))
    check_names(path, graph.node)
    check_scopes(path, graph)
    clock.look()
    results = tuple(wanted) or (graph.output[0].name,)
    nodes, others = _order(path, graph, {one.name for one in inputs}, results, constants, clock)
    given = {name: tensor.data_type for name, tensor in constants.items()} | {one.name: one.type for one in inputs}
    files = []
    for opset in opsets:
        for node in clock.each(nodes):
            check_form(path, node, opset)
        for node in clock.each((*every_node(others), *_inside(nodes))):
            check_form(path, node, opset, read=False)
        types = check_types(path, clock.each((*nodes, *others)), given, opset)
        _check_stated(path, graph, types)
        files.append(
            OnnxFile(
                opset,
                inputs,
                results,
                constants,
                nodes,
                {entry.key: entry.value for entry in model.metadata_props},
                types,
                _declared(graph),
                _uses(graph),
                len(others),
                {
                    one.tensor_name: entry.value
                    for one in graph.quantization_annotation
                    for entry in one.quant_parameter_tensor_names
                },
                _domains(model),
            )
        )
    return files


def _opsets(path: Path, model: onnx.ModelProto, ledger: Ledger) -> list[int]:
    """The versions of the standard operators that a model states, all of them in range."""
    nodes = len(model.graph.node)
    if not nodes or not model.opset_import:
        raise FormatError(path, "is no ONNX model: it has no nodes or names no opset", "export it again")
    try:
        ledger.nodes(nodes)
    except ExhaustedError as no:
        raise FormatError(path, f"has {nodes} nodes, more than can be handled", no.hint) from None
    opsets = sorted({entry.version for entry in model.opset_import if entry.domain in STANDARD})
    for opset in opsets or [0]:
        if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
            raise FormatError(
                path,
                f"uses opset {opset}; netproof reads {OLDEST_OPSET} to {NEWEST_OPSET}",
                "export it for one of these, or convert it with onnx.version_converter",
            )
    return opsets


def _inputs(
    path: Path,
    graph: onnx.GraphProto,
    constants: Mapping[str, onnx.TensorProto],
    known: dict[int, str],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    several: bool,
) -> tuple[Given, ...]:
    """What a graph is given that is no constant; one input and one output, unless there may be several."""
    inputs = [value for value in graph.input if value.name not in constants]
    for what, values in (("input", inputs), ("output", list(graph.output))):
        if not values or (len(values) != 1 and not several):
            names = ", ".join(f"'{printable(value.name)}'" for value in values[:4])
            raise FormatError(
                path, f"has {len(values)} {what}s{': ' + names if names else ''}", f"export it with one {what}"
            )
    return tuple(
        Given(value.name, _input_shape(path, value, known, shapes.get(value.name)), value.type.tensor_type.elem_type)
        for value in inputs
    )


def _declared(graph: onnx.GraphProto) -> dict[str, int]:
    """The types that outputs are said to have, as :attr:`OnnxFile.declared` has them."""
    return {
        output.name: output.type.tensor_type.elem_type
        if output.type.WhichOneof("value") in (None, "tensor_type")
        else -1
        for output in graph.output
    }


def _check_stated(path: Path, graph: onnx.GraphProto, types: Mapping[str, int]) -> None:
    """Refuse a value inside that is said to be of another type than it is, as runtimes do."""
    outputs = {value.name for value in graph.output}  # these say so themselves
    for value in graph.value_info:
        stated = value.type.tensor_type.elem_type
        if stated and value.name not in outputs and types.get(value.name, stated) not in (0, stated):
            raise FormatError(
                path,
                f"its value '{printable(value.name)}' is declared as another type than it is",
                "export the network again",
            )


def _domains(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The versions of operators that are not standard, by domain."""
    domains: dict[str, tuple[int, ...]] = {}
    for entry in model.opset_import:
        if entry.domain not in STANDARD:
            domains[entry.domain] = (*domains.get(entry.domain, ()), int(entry.version))
    return domains


def _uses(graph: onnx.GraphProto) -> Counter[str]:
    """How often each value is taken, in graphs inside of nodes, too."""
    uses = Counter(value.name for value in graph.output)
    graphs = [graph]
    while graphs:
        for node in graphs.pop().node:
            uses.update(node.input)
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else attribute.graphs
    return uses


def _check_parts(path: Path, model: onnx.ModelProto) -> None:
    """Refuse parts of a model that would change what its nodes compute."""
    graph = model.graph
    if graph.sparse_initializer:
        raise FormatError(path, "holds sparse tensors", "store them as dense ones")
    stated = {entry.key for one in graph.quantization_annotation for entry in one.quant_parameter_tensor_names}
    # QONNX notes data types there, which change nothing of what its operators compute.
    qonnx = any(node.domain in QONNX for node in graph.node) and stated <= {"finn_datatype"}
    if graph.quantization_annotation and not qonnx:
        raise FormatError(path, "holds quantization annotations", "export the network without them")
    for function in model.functions:
        if function.domain in (*STANDARD, *QONNX) or function.domain.startswith(_OF_RUNTIMES):
            raise FormatError(
                path,
                f"defines the operator '{printable(function.name)}' by itself",
                "inline its functions before export",
            )
    keys = [entry.key for entry in model.metadata_props]
    if len(set(keys)) < len(keys):
        raise FormatError(path, "has two metadata entries of one name", "export the network again")
    seen: set[str] = set()
    for tensor in graph.initializer:
        if tensor.name in seen or not tensor.name:
            raise FormatError(path, f"two tensors have the name '{printable(tensor.name)}'", "export the network again")
        seen.add(tensor.name)
    dims = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    listed: set[str] = set()
    for value in graph.input:
        if value.name in listed:
            raise FormatError(path, f"two inputs have the name '{printable(value.name)}'", "export the network again")
        listed.add(value.name)
        if value.name in dims and not _is_of(value.type.tensor_type, *dims[value.name]):
            raise FormatError(
                path,
                f"its input '{printable(value.name)}' has a tensor of another type or shape as its default",
                "export the network again",
            )


def _is_of(declared: onnx.TypeProto.Tensor, kind: int, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is what is declared, as far as that says anything."""
    if declared.elem_type not in (0, kind):
        return False
    if not declared.HasField("shape"):
        return True
    extents = [dimension.dim_value for dimension in declared.shape.dim]
    return len(extents) == len(shape) and all(e in (0, s) for e, s in zip(extents, shape, strict=True))


def _input_shape(
    path: Path, value: onnx.ValueInfoProto, types: dict[int, str], asked: tuple[int, ...] | None
) -> tuple[int, ...]:
    name = f"input '{printable(value.name)}'"
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or kind.elem_type not in types:
        known = list(types.values())
        raise FormatError(
            path, f"its {name} is no tensor of {', '.join(known[:-1])} or {known[-1]}", "export it as such"
        )
    if not kind.HasField("shape"):
        raise FormatError(path, f"its {name} has no shape", "export it with a fixed input shape")
    if asked is not None:
        fixed = [dimension.dim_value for dimension in kind.shape.dim]
        if len(asked) != len(fixed) or any(e not in (0, s) or s < 1 for e, s in zip(fixed, asked, strict=False)):
            there = "x".join(str(extent) if extent > 0 else "?" for extent in fixed)
            raise FormatError(
                path,
                f"its {name} of shape {there} was given the shape {'x'.join(map(str, asked))}",
                "give one that fits",
            )
    shape = []
    for axis, dimension in enumerate(kind.shape.dim):
        extent = dimension.dim_value if asked is None else asked[axis]
        if extent <= 0:
            if axis:
                label = f" ('{printable(dimension.dim_param)}')" if dimension.dim_param else ""
                raise FormatError(
                    path,
                    f"axis {axis} of its {name} is dynamic{label}",
                    f"give its shape (--shape {printable(value.name)}=1x3x32x32), or export it with a fixed one",
                )
            if dimension.HasField("dim_value") and extent == 0:
                raise FormatError(
                    path,
                    f"axis 0 of its {name} is stated as 0, where a runtime takes nothing but an empty batch",
                    f"give its shape (--shape {printable(value.name)}=1x3x32x32), or export it with a batch of 1",
                )
            extent = 1  # the batch: a property is about one sample
        shape.append(extent)
    size = 1
    for extent in shape:
        size *= extent
    if size > _LARGEST_INPUT:
        raise FormatError(path, f"its {name} claims shape {'x'.join(map(str, shape))}", "this is no usable network")
    return tuple(shape)


def _inside(nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes of graphs inside of nodes: one branch of an If is not taken."""
    for node in nodes:
        for graph in inner_graphs(node):
            yield from every_node(graph.node)


def _order(
    path: Path,
    graph: onnx.GraphProto,
    given: set[str],
    wanted: Sequence[str],
    constants: dict[str, onnx.TensorProto],
    clock: Clock,
) -> tuple[tuple[onnx.NodeProto, ...], tuple[onnx.NodeProto, ...]]:
    """The nodes that some values depend on, and all others, which runtimes check as well; operands first."""
    makers: dict[str, int] = {}
    for number, node in enumerate(graph.node):
        for output in node.output:
            if output and (output in makers or output in constants or output in given):
                raise FormatError(path, f"value '{printable(output)}' is given twice", "export the network again")
            if output:
                makers[output] = number
    done: dict[int, bool] = {}  # False: being visited
    order: list[onnx.NodeProto] = []
    # What nothing wanted depends on comes last, and what is wanted is done when it is begun.
    stack: list[tuple[str, str]] = [(value, "the network's output") for value in (*reversed(makers), *reversed(wanted))]
    leaving: list[tuple[int, int]] = []  # (height of the stack at which all operands are done, node)
    live: int | None = None
    while stack or leaving:
        if leaving and len(stack) == leaving[-1][0]:
            number = leaving.pop()[1]
            done[number] = True
            order.append(graph.node[number])
            continue
        if live is None and len(stack) == len(makers):
            live = len(order)
        value, reader = stack.pop()
        if value in constants or value in given:
            continue
        if value not in makers:
            raise FormatError(
                path, f"nothing gives the value '{printable(value)}' that {reader} takes", "export the network again"
            )
        clock.look()
        number = makers[value]
        if number in done:
            if not done[number]:
                raise FormatError(
                    path, f"its nodes form a cycle through the value '{printable(value)}'", "export the network again"
                )
            continue
        done[number] = False
        leaving.append((len(stack), number))
        node = graph.node[number]
        stack.extend((name, f"node '{printable(node.name or value)}'") for name in taken_names(node))
    idle = [node for node in graph.node if not any(node.output)]
    return tuple(order[:live]), (*order[live:], *idle)
