"""The model files that a VNN-LIB 2.0 query is asked of, and whether they are what it declares."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes
from netproof.formats.clock import Clock
from netproof.formats.instances import networks_by_name
from netproof.formats.onnx.container.file import Given, model_of
from netproof.formats.onnx.container.inner import every_node
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.forms import STANDARD
from netproof.formats.onnx.read import Values, network_of, values_of
from netproof.formats.onnx.tensors import type_name
from netproof.formats.vnnlib.second.declarations import ELEMENT_TYPES, Declaration, Kind, Statement, Variable
from netproof.network import Network

_OPTION = "--network"


@dataclass(frozen=True, eq=False)
class Model:
    """A declared network with the file that it is.

    Attributes
    ----------
    declared : the declaration
    path : the file
    values : its hidden values and outputs, in the order of the declaration, as a graph
    inputs : the declared variable for each input of the file, in the file's order
    """

    declared: Declaration
    path: Path
    values: Values
    inputs: tuple[Variable, ...]

    @property
    def results(self) -> tuple[Variable, ...]:
        """The declared hidden values and outputs."""
        return (*self.declared.of(Kind.HIDDEN), *self.declared.of(Kind.OUTPUT))


def read_models(statement: Statement, files: Mapping[str, Path], clock: Clock | None = None) -> list[Model]:
    """The models of all networks of a query; one that equals another shares the operators of its graph.

    Raises
    ------
    InputError : a network without a file, a file for no network
    FormatError : as :func:`netproof.formats.onnx.read.values_of`; inputs, outputs, shapes or types that are not the declared
        ones; a file that has not the architecture that the query says it has
    """
    _check_names(statement, files)
    read: dict[tuple[str, str], Values] = {}
    models: dict[str, Model] = {}
    contents: dict[str, bytes] = {}
    for declared in statement.networks:
        path = files[declared.equal_to or declared.name]
        if str(path) not in contents:
            contents[str(path)] = read_bytes(path, "network file")
        data = contents[str(path)]
        names, inputs = _names(path, data, declared)
        key = str(path), "\0".join(names)
        if key not in read:
            read[key] = values_of(path, data, names, clock=clock)
        model = Model(declared, path, read[key], inputs)
        _check_inputs(model)
        _check_results(model)
        models[declared.name] = model
        if declared.isomorphic_to is not None:
            other = models[declared.isomorphic_to]
            _check_architecture(model, data, other, contents[str(other.path)])
    return list(models.values())


def files_of(statement: Statement, given: str | Path | Mapping[str, Path]) -> dict[str, Path]:
    """The files that a query needs, as lists of instances give them: one, or one by name, networks that equal others included.

    Raises :class:`InputError` for one file where the query needs several, and for a network that equals another with
    another file.
    """
    free = [declared.name for declared in statement.networks if declared.equal_to is None]
    if isinstance(given, str):
        named = {name: Path(path) for name, path in networks_by_name(given)}
        given = named or Path(given)
    if isinstance(given, Path):
        if len(free) > 1:
            problem = f"is one file for networks {', '.join(free)} of {statement.path}"
            raise InputError(given, problem, "give [('NAME', 'FILE'), ...]")
        return {free[0]: given}
    files = dict(given)
    for declared in statement.networks:
        other = declared.equal_to
        if other is not None and declared.name in files:
            path = files.pop(declared.name)
            if os.path.realpath(path) != os.path.realpath(given.get(other, path)):
                problem = f"is given for {declared.name}, which equals {other} with another file"
                raise InputError(path, problem, "give one file for both")
    return files


def read_integers(statement: Statement, files: Mapping[str, Path], clock: Clock | None = None) -> Network:
    """The one network of a query about integers of 8 bits.

    Raises :class:`InputError` and :class:`FormatError` as :func:`read_models`; for what such a query cannot have: several networks, inputs
    or outputs, hidden values.
    """
    _check_names(statement, files)
    declared = statement.networks[0]
    if len(statement.networks) > 1 or len(declared.variables) > 2:
        raise FormatError(
            statement.path,
            "is about integers, and about more than one input and one output of one network",
            "ask about one network of integers at a time, or declare the variables as real",
        )
    path = files[declared.name]
    data = read_bytes(path, "network file")
    model = model_of(path, data)
    network = network_of(path, data, clock=clock)
    held = {tensor.name for tensor in model.graph.initializer}
    (given,) = [value for value in model.graph.input if value.name not in held]
    shapes = (network.input_shape, network.graph.output.shape)
    for variable, value, shape in zip(declared.variables, (given, model.graph.output[0]), shapes, strict=True):
        kind = value.type.tensor_type.elem_type
        if kind != ELEMENT_TYPES[variable.type]:
            raise _other_type(path, variable, value.name, kind)
        if _without_ones(shape) != _without_ones(variable.shape):
            raise _other_shape(path, variable, value.name, shape)
    return network


def _check_names(statement: Statement, files: Mapping[str, Path]) -> None:
    wanted = {declared.name: declared for declared in statement.networks}
    for name in files:
        if name not in wanted:
            known = ", ".join(n for n, declared in wanted.items() if declared.equal_to is None)
            raise InputError(_OPTION, f"'{printable(name)}' is no network of {statement.path}", f"it declares {known}")
        if wanted[name].equal_to is not None:
            problem = f"{name} equals {wanted[name].equal_to}, whose file it shares"
            raise InputError(_OPTION, problem, "leave this one out")
    for name, declared in wanted.items():
        if declared.equal_to is None and name not in files:
            raise InputError(_OPTION, f"no file is given for network {name} of {statement.path}", f"add {name}=FILE")


def _names(path: Path, data: bytes, declared: Declaration) -> tuple[list[str], tuple[Variable, ...]]:
    """Names of hidden values and outputs in the file, and the variables of its inputs in the file's order."""
    graph = model_of(path, data).graph
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in held]
    outputs = [value.name for value in graph.output]
    takes = _matched(path, declared, Kind.INPUT, inputs)
    gives = _matched(path, declared, Kind.OUTPUT, outputs)
    known = {name for node in graph.node for name in node.output} | set(inputs) | held
    # A query may call a value by its own name, or by that of the node that gives it.
    by_node = {node.name: node.output[0] for node in graph.node if node.name and node.output}
    hidden = []
    for variable in declared.of(Kind.HIDDEN):
        name = variable.onnx_name or ""
        name = name if name in known else by_node.get(name, name)
        if name not in known:
            raise FormatError(
                path, f"has no value or node '{printable(name)}', which is {variable.name}", "name another"
            )
        hidden.append(name)
    return (
        [*hidden, *(gives[variable.name] for variable in declared.of(Kind.OUTPUT))],
        tuple(next(v for v in declared.of(Kind.INPUT) if takes[v.name] == name) for name in inputs),
    )


def _matched(path: Path, declared: Declaration, kind: Kind, names: Sequence[str]) -> dict[str, str]:
    """The name in the file of every declared input, or output: by its ONNX name, or else by its place."""
    variables = declared.of(kind)
    if variables[0].onnx_name is None:
        if len(variables) != len(names):
            raise FormatError(
                path,
                f"has {len(names)} {kind.value}s, the query declares {len(variables)} for {declared.name}",
                "give the network that the query is about",
            )
        return {variable.name: name for variable, name in zip(variables, names, strict=True)}
    matched = {variable.name: variable.onnx_name or "" for variable in variables}
    for variable in variables:
        if variable.onnx_name not in names:
            raise FormatError(
                path, f"has no {kind.value} '{printable(variable.onnx_name or '')}', which is {variable.name}",
                f"it has {', '.join(printable(name) for name in names)}",
            )  # fmt: skip
    if len(set(matched.values())) < len(matched) or (kind is Kind.INPUT and len(matched) < len(names)):
        raise FormatError(
            path, f"has {len(names)} {kind.value}s, not all of which are one variable of {declared.name} each",
            "declare each of them once",
        )  # fmt: skip
    return matched


def _check_inputs(model: Model) -> None:
    for variable, given in zip(model.inputs, model.values.inputs, strict=True):
        _check_fits(model, variable, given)


def _check_results(model: Model) -> None:
    for variable, given in zip(model.results, model.values.results, strict=True):
        _check_fits(model, variable, given)


def _check_fits(model: Model, variable: Variable, given: Given) -> None:
    """Refuse other shapes, up to axes of extent 1, and other types, unless the query leaves them open (``real``)."""
    if _without_ones(given.shape) != _without_ones(variable.shape):
        raise _other_shape(model.path, variable, given.name, given.shape)
    if variable.type != "real" and given.type and given.type != ELEMENT_TYPES[variable.type]:
        raise _other_type(model.path, variable, given.name, given.type)


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [extent for extent in shape if extent != 1]


def _other_shape(path: Path, variable: Variable, name: str, shape: Sequence[int]) -> FormatError:
    return FormatError(
        path,
        f"its {variable.kind.value} '{printable(name)}' has shape {list(shape)}, {variable.name} is declared with "
        f"{list(variable.shape)}",
        "give the network that the query is about",
    )


def _other_type(path: Path, variable: Variable, name: str, kind: int) -> FormatError:
    return FormatError(
        path,
        f"its {variable.kind.value} '{printable(name)}' is of {type_name(kind) or f'ONNX type {kind}'}, "
        f"{variable.name} is declared as {variable.type}",
        "declare it as it is, or as real",
    )


def _check_architecture(model: Model, data: bytes, other: Model, others: bytes) -> None:
    """Refuse a file that is not the other's but for its numbers: the same operators in the same order, tensors alike."""
    mine, theirs = (
        (
            [(node.op_type, node.domain, len(node.input), len(node.output)) for node in graph.node],
            [(tuple(tensor.dims), tensor.data_type) for tensor in graph.initializer],
        )
        for graph in (model_of(model.path, data).graph, model_of(other.path, others).graph)
    )
    if mine != theirs:
        raise FormatError(
            model.path,
            f"has not the architecture of {other.path}, to which {model.declared.name} is said to be isomorphic",
            "give the network that the query is about, or leave out (isomorphic-to ...)",
        )


#: operators that a runtime computes as the graph has them, up to the order of sums; of the others it may compute a formula of
#: its own (a variance as a difference of squares, one plus an error function), of which nothing is known in floating point
EVALUATED = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Conv",
        "ConvTranspose",
        "CumSum",
        "DepthToSpace",
        "Div",
        "Dropout",
        "Einsum",
        "Equal",
        "Exp",
        "Expand",
        "EyeLike",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "Identity",
        "If",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "MatMul",
        "Max",
        "MaxPool",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pad",
        "Pow",
        "PRelu",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Round",
        "Shape",
        "Sigmoid",
        "Sign",
        "Size",
        "Slice",
        "Softmax",
        "SpaceToDepth",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "ThresholdedRelu",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "Xor",
    ]
)


def check_types(models: Sequence[Model], arithmetic: str) -> None:
    """Refuse (:class:`FormatError`) an operator for which no answer about a float type is sound."""
    for model in models:
        whole = model_of(model.path, model.values.content)
        functions = {(function.domain, function.name) for function in whole.functions}
        inside = itertools.chain.from_iterable(function.node for function in whole.functions)
        # Those in the branches of an If and in functions among them, whether or not they come to be used.
        for node in every_node(itertools.chain(whole.graph.node, inside)):
            if (node.domain, node.op_type) in functions:
                continue
            if node.op_type not in EVALUATED or node.domain not in STANDARD:
                raise FormatError(
                    model.path,
                    f"has the operator {printable(node.op_type)}, of whose evaluation in {arithmetic} nothing is known",
                    "declare the variables of the query as real, if an answer over the real numbers will do",
                )


def with_outputs(path: Path, content: bytes, names: Sequence[str]) -> bytes:
    """The bytes of a model to whose outputs values were added, if it has them not all; nothing else in it is changed."""
    import onnx

    model = model_of(path, content)
    given = {value.name for value in model.graph.output}
    missing = [name for name in dict.fromkeys(names) if name not in given]
    if not missing:
        return content
    known = {value.name: value for value in (*model.graph.value_info, *model.graph.input)}
    for name in missing:
        # Without a type, which runtimes infer; a wrong one would be refused.
        model.graph.output.append(known.get(name) or onnx.ValueInfoProto(name=name))
    return bytes(model.SerializeToString())
