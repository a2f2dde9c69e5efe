"""The runtimes themselves, where they are installed: LiteRT and TensorFlow Lite Micro as Python packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.errors import InputError
from netproof.formats.tflite.evaluate import dtype_of, shape_of_one
from netproof.formats.tflite.read import Deployed
from netproof.formats.tflite.translation import scale_of, zero_of

_Array = NDArray[Any]

#: what TensorFlow Lite Micro gets to put its tensors in
_ARENA = 64 << 20


def outputs_of_installed(deployed: Deployed, inputs: _Array) -> _Array:
    """The outputs ``[batch, ...]`` that the runtime itself computes of inputs ``[batch, ...]``.

    Raises
    ------
    InputError : it is not installed, or does not take the file
    """
    name = deployed.runtime.name
    run = {"xnnpack": _litert, "litert-ref": _litert_reference, "tflm": _micro}.get(name)
    if run is None:
        raise InputError("--compare", f"there is no package of '{name}'", "compare with another rule")
    given = inputs
    if deployed.float_input:
        # The floats that the codes stand for, which the file's own QUANTIZE takes to the codes again.
        scale, zero = scale_of(deployed.input), zero_of(deployed.input)
        given = ((inputs.astype(np.int64) - zero) * scale).astype(np.float32)
    try:
        found = run(deployed.network.content, given)
    except ImportError as error:
        raise InputError(
            "--compare", f"'{name}' is not installed ({error})", "pip install 'netproof[litert]'"
        ) from None
    except (ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())[:120]
        raise InputError(deployed.network.path, f"'{name}' itself refuses it ({detail})", "convert it again") from None

    tensor = deployed.result if deployed.softmax is None else deployed.softmax[1]
    found = found.reshape(len(inputs), *shape_of_one(tensor))
    if not deployed.float_output:
        return found
    codes = np.rint(found.astype(np.float64) / float(scale_of(tensor))) + zero_of(tensor)
    return codes.astype(dtype_of(tensor))


def _litert(content: bytes, inputs: _Array) -> _Array:
    from ai_edge_litert.interpreter import OpResolverType

    return _interpreted(content, inputs, OpResolverType.AUTO)


def _litert_reference(content: bytes, inputs: _Array) -> _Array:
    from ai_edge_litert.interpreter import OpResolverType

    return _interpreted(content, inputs, OpResolverType.BUILTIN_REF)


def _interpreted(content: bytes, inputs: _Array, resolver: object) -> _Array:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    place, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def one(x: _Array) -> _Array:
        interpreter.set_tensor(place, x[None])
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(result))

    return _each(one, inputs)


def _micro(content: bytes, inputs: _Array) -> _Array:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=_ARENA)

    def one(x: _Array) -> _Array:
        interpreter.set_input(x[None], 0)
        interpreter.invoke()
        return np.asarray(interpreter.get_output(0))

    return _each(one, inputs)


def _each(one: Callable[[_Array], _Array], inputs: _Array) -> _Array:
    return np.stack([one(x).copy() for x in inputs])
