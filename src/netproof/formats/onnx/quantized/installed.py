"""onnxruntime itself, where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import InputError
from netproof.formats.onnx.quantized.deployed import Deployed
from netproof.formats.onnx.quantized.rules.arithmetic import dequantized
from netproof.formats.onnx.quantized.rules.rule import ONNXRUNTIME
from netproof.formats.onnx.quantized.values import ENDS, UINT8, Quantization

_Array = NDArray[Any]


def outputs_of_installed(deployed: Deployed, inputs: _Array) -> _Array:
    """The outputs ``[batch, ...]`` in codes that onnxruntime computes of inputs ``[batch, ...]`` in codes.

    Raises
    ------
    InputError : it does not take the file, or the file was read by another rule
    """
    if deployed.rule is not ONNXRUNTIME:
        raise InputError("--compare", f"there is no package of '{deployed.rule.name}'", "compare with another rule")
    (found,) = values_of_installed(deployed, inputs, [deployed.source])
    return found if deployed.dequantized is None else codes_of(found, deployed.dequantized)


def codes_of(values: _Array, how: Quantization) -> _Array:
    """The codes that dequantized numbers stand for."""
    kind = np.uint8 if how.kind == UINT8 else np.int8
    codes = np.rint(values.astype(np.float64) / float(how.scale)) + how.zero
    low, high = ENDS[how.kind]
    return np.asarray(np.clip(codes, low, high), kind)


def values_of_installed(deployed: Deployed, inputs: _Array, names: Sequence[str]) -> list[_Array]:
    """Values of the file by name, ``[batch, ...]`` each, on inputs ``[batch, ...]`` in codes.

    What is asked for becomes outputs of a copy of the file. Of QDQ files only the last value should be: more outputs
    change what onnxruntime fuses.
    """
    import onnx
    import onnxruntime

    model = onnx.ModelProto()
    model.ParseFromString(deployed.network.content)
    known = {value.name for value in model.graph.output}
    if known != set(names):
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        shape = deployed.network.input_shape
        how = deployed.input
        found: list[list[_Array]] = [[] for _ in names]
        for x in inputs:
            codes = x.reshape(shape)
            fed = codes if how is None else dequantized(codes.astype(np.int64), how.scale, how.zero)
            for values, value in zip(found, session.run(list(names), {given.name: fed}), strict=True):
                values.append(np.asarray(value))
    except Exception as error:  # noqa: BLE001 - onnxruntime has no exception type of its own
        detail = " ".join(str(error).split())[-160:]
        raise InputError(
            deployed.network.path, f"onnxruntime itself refuses it ({detail})", "quantize it again"
        ) from None
    # A sample has no batch axis of its own.
    return [np.stack([v[0] if v.shape[:1] == (1,) else v for v in values]) for values in found]
