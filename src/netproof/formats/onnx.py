"""Reader for networks in ONNX, plain or gzip.

Every node of the file is a call of one function (``formats/onnx_*.py``), which either computes a constant or
appends operators to the graph. What only gives a value another shape appends nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from netproof.errors import FormatError
from netproof.formats import onnx_activations, onnx_arithmetic, onnx_linear, onnx_shapes, onnx_windows
from netproof.formats.files import read_bytes
from netproof.formats.onnx_call import Call, Constant, NodeError, Translate, Translation, Value, Variable
from netproof.formats.onnx_file import OnnxFile, parse_onnx
from netproof.formats.onnx_integer import read_integer_onnx
from netproof.formats.onnx_tensors import embedded, external_files, printable, read_tensor
from netproof.graph.drop_dead import drop_dead
from netproof.graph.graph import Arithmetic, Graph, GraphBuilder
from netproof.graph.simplify import simplify
from netproof.network import Network

if TYPE_CHECKING:
    import onnx

#: operators of ONNX that are known, by name
OPERATORS: dict[str, Translate] = {
    **onnx_activations.OPERATORS,
    **onnx_arithmetic.OPERATORS,
    **onnx_linear.OPERATORS,
    **onnx_shapes.OPERATORS,
    **onnx_windows.OPERATORS,
}


def read_onnx(path: str | Path, *, simplified: bool = True) -> Network:
    """Read a network: of float32 (or float64) numbers, whose claims are about the real numbers, or, where its input
    is one of integers, of integers, whose claims are about these (:mod:`netproof.formats.onnx_integer`).

    Parameters
    ----------
    path : an ONNX model of opset 8 to 21 with one input and one output
    simplified : merge neighbouring affine operators (:func:`netproof.graph.simplify.simplify`)

    Raises
    ------
    FormatError : a file that is missing, damaged or foreign; an unknown operator or an unknown use of a known one;
        dynamic shapes other than the batch; NaN or infinite weights; more than can be handled
    """
    path = Path(path)
    return network_of(path, read_bytes(path, "network file"), simplified=simplified)


def network_of(path: Path, data: bytes, *, simplified: bool = True) -> Network:
    """The network in the bytes of an ONNX model; ``path`` is where they came from. See :func:`read_onnx`."""
    file = parse_onnx(path, data, integers=True)
    if file.integer:
        return read_integer_onnx(path, data, file)
    translation, graph = _graph_of(path, file)
    if simplified:
        graph = simplify(graph)
    _check_finite(path, graph)
    digest = hashlib.sha256(data)
    tensors = [attribute.t for node in file.nodes for attribute in node.attribute if attribute.HasField("t")]
    outside = external_files(path, [*file.constants.values(), *tensors])
    for beside in outside:
        digest.update(read_bytes(beside, "external data of the network"))
    unbounded = torch.full((graph.input.size,), torch.inf, dtype=torch.float64)
    return Network(
        graph=graph,
        path=str(path),
        sha256=digest.hexdigest(),
        lower=-unbounded,
        upper=unbounded,
        notes=tuple(translation.notes),
        order_only=translation.order_only,
        content=embedded(path, data) if outside else data,
    )


def unsimplified_graph(path: Path, data: bytes) -> tuple[Graph, tuple[str, ...]]:
    """The graph as the file has it, and the ONNX operator that each of its nodes comes from (``""``: the input).

    Raises as :func:`read_onnx`.
    """
    translation, graph = _graph_of(path, parse_onnx(path, data))
    _check_finite(path, graph)
    return graph, tuple(translation.made_by.get(id(node.operator), "") for node in graph.nodes)


def _graph_of(path: Path, file: OnnxFile) -> tuple[Translation, Graph]:
    translation = Translation(path, GraphBuilder(Arithmetic.REAL, file.input_shape), file.opset)
    output = _translate(path, file, translation)
    return translation, drop_dead(translation.builder.build(), output.node)


def _translate(path: Path, file: OnnxFile, translation: Translation) -> Variable:
    """Translate every node; the network's output."""
    values: dict[str, Value] = {file.input: Variable(0, file.input_shape)}
    for node in file.nodes:
        operands: list[Value | None] = []
        for name in node.input:
            if name and name not in values:
                values[name] = Constant(read_tensor(path, file.constants[name]))
            operands.append(values[name] if name else None)
        results = _call(path, node, operands, translation, file.output in node.output)
        values.update(zip(node.output, results, strict=False))
    output = values.get(file.output)
    if not isinstance(output, Variable):
        raise FormatError(path, "its output does not depend on its input", "export the network again")
    return output


def _call(
    path: Path, node: onnx.NodeProto, operands: list[Value | None], translation: Translation, final: bool
) -> tuple[Value, ...]:
    name = printable(node.name or (node.output[0] if node.output else node.op_type))
    shapes = ", ".join("none" if o is None else "x".join(map(str, o.shape)) or "scalar" for o in operands)
    where = f"node '{name}' ({printable(node.op_type)} of {shapes or 'nothing'})"
    translate = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if translate is None:
        domain = f" of domain '{printable(node.domain)}'" if node.domain not in ("", "ai.onnx") else ""
        raise FormatError(path, f"{where} is an unknown operator{domain}", f"known are {', '.join(sorted(OPERATORS))}")
    try:
        results = translate(Call(translation, node, name, operands, final))
    except NodeError as refusal:
        raise FormatError(path, f"{where}: {refusal.problem}", refusal.mend) from None
    except (ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, MemoryError) as error:
        # Attributes and shapes that do not belong together, as NumPy and PyTorch put it.
        detail = printable(" ".join(str(error).split())) or type(error).__name__
        raise FormatError(path, f"{where} cannot be understood ({detail})", "export the network again") from None
    return results if isinstance(results, tuple) else (results,)


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
