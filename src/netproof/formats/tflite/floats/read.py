"""Reader for TensorFlow Lite files of float32: the network over the real numbers.

Every operator is written as the ONNX operators that mean the same, and the ONNX reader does the rest. So whatever works for ONNX
works for these files, the evaluation of witnesses in float32 included. The conversion is deterministic, and evidence names it by
its hash.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError
from netproof.formats.clock import Clock
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.onnx.read import network_of
from netproof.formats.onnx.writing.float import OnnxWriter
from netproof.formats.tflite.flatbuffer import DamagedError
from netproof.formats.tflite.floats.operators import OPERATORS, Call, real
from netproof.formats.tflite.schema import Model, damaged
from netproof.formats.tflite.translation import OperatorError, refusal
from netproof.network import Network

_NOTE = "a network of float32, read as the ONNX network that computes the same over the real numbers"


def is_of_floats(model: Model) -> bool:
    """Whether a file takes floats and does not quantize them at once."""
    return model.tensors[model.input].kind == "FLOAT32"


def read_floats(path: Path, data: bytes, model: Model, clock: Clock | None = None) -> Network:
    """The network of a file of floats.

    Raises
    ------
    FormatError : an operator, a type or a use of them that is not known; numbers that are NaN or infinite
    """
    try:
        content = _onnx(path, model, Ledger(len(data), clock=clock))
        network = network_of(path, content, packed=len(data), clock=clock)
    except ExhaustedError as exhausted:
        raise FormatError(path, exhausted.problem, exhausted.hint) from None
    except DamagedError as damage:  # options are read where they are needed
        raise damaged(path, damage) from None
    return replace(network, notes=(_NOTE, *network.notes))


def _onnx(path: Path, model: Model, ledger: Ledger) -> bytes:
    """The bytes of the ONNX model."""
    start = model.tensors[model.input]
    if len(model.outputs) != 1:
        raise FormatError(path, f"has {len(model.outputs)} outputs", "export it for one output")
    if not start.shape or start.shape[0] != 1:
        raise FormatError(path, f"input: it has shape {start.shape}", "convert it for batch size 1")
    writer = OnnxWriter("tflite", start.shape, batch=False)
    names: dict[int, str] = {model.input: writer.input}
    constants: dict[int, NDArray[np.float32]] = {}
    for info in model.operators:
        where = f"operator {info.number} ({info.name})"
        try:
            translate = OPERATORS.get(info.name)
            if translate is None:
                raise OperatorError(
                    "an operator that is not known on floats", f"known are {', '.join(sorted(OPERATORS))}"
                )
            call = Call(model, info, names, constants, writer, ledger)
            if {call.output.number} & {*names, *constants} or call.output.data is not None:
                raise OperatorError("its result is there already", "convert it again")
            ledger.value(call.output.shape)
            ledger.nodes(2)
            translate(call)
        except OperatorError as error:
            raise refusal(path, where, error) from None
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            detail = " ".join(str(error).split())[:120] or type(error).__name__
            raise FormatError(path, f"{where} cannot be understood ({detail})", "convert it again") from None
    end = model.tensors[model.outputs[0]]
    if end.number not in names or end.number == model.input:
        raise FormatError(path, "its output does not depend on its input", "export the network again")
    try:
        real(end)
    except OperatorError as error:
        raise refusal(path, "output", error) from None
    return writer.model_of(names[end.number], end.shape)
