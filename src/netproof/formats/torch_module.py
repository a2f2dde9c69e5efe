"""Networks from PyTorch modules, by way of PyTorch's own exporter to ONNX."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from netproof.errors import InputError
from netproof.formats.onnx.read import network_of
from netproof.host import on_own_terms
from netproof.network import Network

_OPSET = 17


@on_own_terms
def from_torch(module: torch.nn.Module, input_shape: Sequence[int], *, path: str | Path | None = None) -> Network:
    """The network that a module computes in evaluation mode.

    The module is traced on zeros, so branches that depend on the input's values are taken as for zeros.

    Parameters
    ----------
    module : a module of float32 (or float64) parameters with one tensor for argument and one for result
    input_shape : shape of the argument for one sample, the batch axis of 1 included: ``(1, 3, 32, 32)``
    path : where to keep the ONNX file as well

    Raises
    ------
    InputError : a module that PyTorch cannot export for that shape
    FormatError : an operator in it that netproof does not know
    """
    name = type(module).__name__
    shape = tuple(int(extent) for extent in input_shape)
    if not shape or min(shape) < 1:
        raise InputError(
            name, f"the input shape is {shape}", "give the extents of one sample, (1, 3, 32, 32) for instance"
        )
    parameter = next(module.parameters(), None)
    kind = torch.float32 if parameter is None or not parameter.is_floating_point() else parameter.dtype
    device = None if parameter is None else parameter.device
    stream = io.BytesIO()
    export: Any = torch.onnx.export  # the older exporter writes to a stream, which its newer signature does not say
    options: dict[str, Any] = {"opset_version": _OPSET, "do_constant_folding": False}
    if "dynamo" in inspect.signature(export).parameters:
        # The newer exporter needs further packages; this one is self-contained, and deprecated for that.
        options["dynamo"] = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export(module, (torch.zeros(shape, dtype=kind, device=device),), stream, **options)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            name,
            f"PyTorch cannot export it for input shape {shape} ({lines[0][:200]})",
            "check the shape, or export it",
        ) from None
    data = stream.getvalue()
    if path is not None:
        Path(path).write_bytes(data)
    return network_of(Path(name if path is None else path), data)
