"""Networks from PyTorch modules and exported programs, by way of PyTorch's own exporters to ONNX."""

from __future__ import annotations

import importlib.util
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netproof.arguments.numbers import counted
from netproof.arguments.words import described, shown
from netproof.errors import InputError
from netproof.files.opened import as_path, write_bytes
from netproof.formats.faithful import INEXACT, disagreement, values_read
from netproof.formats.onnx.read import network_of
from netproof.host import on_own_terms
from netproof.network import Network

_OPSET = 17
#: what exporters raise where they cannot do something
_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
)
_NEWER = "onnxscript"


@on_own_terms
def from_torch(
    module: torch.nn.Module | torch.export.ExportedProgram,
    input_shape: Sequence[int] | Sequence[Sequence[int]] | None = None,
    *,
    path: str | Path | None = None,
) -> Network:
    """The network that a module computes in evaluation mode, or an exported program.

    A module is traced on zeros by the older of PyTorch's exporters. Where that cannot export it, or would take for fixed what depends on
    the input's values (``if x.sum() > 0``), the newer one is tried, if the package ``onnxscript`` is installed, which it needs; a
    program is always exported by the newer one. What comes of a module is compared with it at random inputs, so that one which counts its
    calls or draws numbers is refused.

    Parameters
    ----------
    module : a module of float32 (or float64) parameters with tensors for arguments and results, or what
        :func:`torch.export.export` makes of one
    input_shape : of a module: shape of the argument for one sample, the batch axis of 1 included, ``(1, 3, 32, 32)``; of
        several arguments a sequence of such shapes
    path : where to keep the ONNX file as well

    Raises
    ------
    InputError : what is no module, or no shape; a module that PyTorch cannot export for that shape; a program without the package that exports it
    FormatError : an operator in it that netproof does not know
    """
    if path is not None:
        path = as_path(path, "path")
    if isinstance(module, torch.export.ExportedProgram):
        if input_shape is not None:
            raise InputError("input_shape", "is given for a program, which has its own", "leave it out")
        name, data = "ExportedProgram", onnx_of_program(module, "ExportedProgram")
    else:
        _check_module(module)
        name = type(module).__name__
        arguments, data = _of_module(module, name, _shapes(name, input_shape))
    if path is not None:
        write_bytes(path, data)
    network = network_of(Path(name if path is None else path), data)
    # After the reading, which names what it does not know, noise among it.
    if not isinstance(module, torch.export.ExportedProgram):
        _check_same(module, name, arguments, data)
    return network


def _check_same(module: torch.nn.Module, name: str, arguments: tuple[Tensor, ...], data: bytes) -> None:
    different = disagreement(module, arguments, data)
    if different:
        hint = "let forward depend on its arguments alone: no state that changes, no random numbers, no .data"
        raise InputError(name, different, hint)


def _check_module(given: object) -> None:
    if isinstance(given, torch.nn.Module):
        return
    hint = "give a torch.nn.Module, or what torch.export.export makes of one"
    if isinstance(given, type) and issubclass(given, torch.nn.Module):
        hint = "make an object of it, with its weights"
    elif isinstance(given, Mapping):
        hint = "load these weights into their module: module.load_state_dict(weights)"
    elif isinstance(given, str | PathLike):
        hint = "read files with netproof.load"
    raise InputError("module", f"is {described(given)}", hint)


def _shapes(name: str, given: object) -> list[tuple[int, ...]]:
    hint = "give the extents of one sample, (1, 3, 32, 32) for instance"
    if isinstance(given, Tensor | np.ndarray):
        raise InputError(name, "the input shape is an array", f"give its shape: {(*given.shape,)}")
    if given is not None and (isinstance(given, str) or not isinstance(given, Sequence)):
        raise InputError(name, f"the input shape is {shown(given)}", f"give whole numbers: {hint[5:]}")
    shape = list(given or ())
    several = bool(shape) and all(isinstance(one, Sequence) and not isinstance(one, str) for one in shape)
    found = []
    for one in shape if several else [shape]:
        extents = [counted(extent) for extent in one]
        if any(extent is None for extent in extents):
            raise InputError(name, f"the input shape is {shown((*one,))}", f"give whole numbers: {hint[5:]}")
        found.append(tuple(extent for extent in extents if extent is not None))
        if not found[-1] or min(found[-1]) < 1:
            raise InputError(name, f"the input shape is {found[-1]}", hint)
    return found


def _of_module(module: torch.nn.Module, name: str, shapes: list[tuple[int, ...]]) -> tuple[tuple[Tensor, ...], bytes]:
    """The arguments that a module was exported with, and what came of it."""
    parameter = next(module.parameters(), None)
    kind = torch.float32 if parameter is None or not parameter.is_floating_point() else parameter.dtype
    device = None if parameter is None else parameter.device
    try:
        arguments = tuple(torch.zeros(shape, dtype=kind, device=device) for shape in shapes)
        data = _exported(module, arguments)
    except _FAILURES as error:
        shown = shapes[0] if len(shapes) == 1 else shapes
        problem = f"PyTorch cannot export it for input shape {shown} ({_reason(error)})"
        raise InputError(name, problem, "check the shape, or export it") from None
    return arguments, data


def _exported(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> bytes:
    """A module as ONNX by the first exporter that can; raises one of :data:`_FAILURES`."""
    read = values_read(module, arguments)
    try:
        if read in INEXACT:
            raise ValueError(f"its forward has {read}, which the older exporter writes down as something else")
        if read:
            raise ValueError(
                f"its forward takes numbers out of what is computed of its input, by '{read}', and goes by them"
            )
        return _by_older(module, arguments)
    except _FAILURES:
        newer = _by_newer(module, arguments) if importlib.util.find_spec(_NEWER) else None
        if newer is None:
            raise
        return newer


def _by_older(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> bytes:
    stream = io.BytesIO()
    export: Any = torch.onnx.export  # the older exporter writes to a stream, which its newer signature does not say
    options: dict[str, Any] = {"opset_version": _OPSET, "do_constant_folding": False}
    if "dynamo" in inspect.signature(export).parameters:
        options["dynamo"] = False
    if len(arguments) == 1:
        with _quiet():
            export(module, arguments, stream, **options)
        return stream.getvalue()
    names = [f"input_{i}" for i in range(len(arguments))]
    with _quiet():
        export(module, arguments, stream, input_names=names, **options)
    return _with_all_inputs(stream.getvalue(), names, arguments)


def _with_all_inputs(data: bytes, names: list[str], arguments: tuple[Tensor, ...]) -> bytes:
    """A model with every input in its place: the older exporter leaves out those that nothing reads."""
    import onnx

    model = onnx.load_from_string(data)
    there = {one.name: one for one in model.graph.input}
    if there.keys() == set(names):
        return data
    del model.graph.input[:]
    for name, argument in zip(names, arguments, strict=True):
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(str(argument.dtype).removeprefix("torch.")))
        made = onnx.helper.make_tensor_value_info(name, kind, argument.shape)
        model.graph.input.append(there.get(name, made))
    return bytes(model.SerializeToString())


def _by_newer(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> bytes | None:
    """By the newer exporter; None where it cannot either."""
    was_training = module.training
    try:
        with _quiet():
            return _proto(torch.onnx.export(module.eval(), arguments, dynamo=True, verbose=False))
    except Exception:  # noqa: BLE001 - it wraps what it runs into, and its own errors, in types of its own
        return None
    finally:
        module.train(was_training)


def onnx_of_program(program: torch.export.ExportedProgram, name: str) -> bytes:
    """A program as an ONNX model; ``name`` is what errors call it. Raises as :func:`from_torch`."""
    if not importlib.util.find_spec(_NEWER):
        raise InputError(
            name,
            f"is exported by way of the package {_NEWER}, which is not installed",
            f"pip install {_NEWER}",
        )
    try:
        with _quiet():
            return _proto(torch.onnx.export(program, dynamo=True, verbose=False))
    except Exception as error:  # noqa: BLE001 - as above
        raise InputError(name, f"PyTorch cannot export it to ONNX ({_reason(error)})", "export it yourself") from None


def _reason(error: BaseException) -> str:
    """What an exporter stumbled over, in one line: the newer one wraps it several times, with what to do next in colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return "".join(c if c.isprintable() else "?" for c in lines[0][:200])


def _proto(exported: Any) -> bytes:
    return bytes(exported.model_proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters warn, log and print what is of no use to whoever asked for a network."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
