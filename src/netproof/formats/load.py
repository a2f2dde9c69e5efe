"""One door for every network file: the format is told by the content, or else by the file's name.

ONNX has no signature, so its files are known by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from netproof.arguments.numbers import counted
from netproof.arguments.words import described, shown
from netproof.errors import FormatError, InputError
from netproof.files.opened import as_path, read_start
from netproof.formats.clock import Clock
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.tflite.codes import IDENTIFIER
from netproof.host import on_own_terms
from netproof.network import Network

#: of inputs, by name
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Format:
    """A kind of network file.

    Attributes
    ----------
    title : as errors call it
    signature : bytes by which it is known, or None where it has none
    offset : where in a file they lie
    suffixes : of file names, ``.gz`` taken off
    read : the reader, with the bit widths to quantize to, the runtime to read for, shapes of inputs (None: the reader's
        defaults), and the clock that reading ends by
    """

    title: str
    signature: bytes | None
    offset: int
    suffixes: tuple[str, ...]
    read: Callable[[Path, FixedPoint | None, str | None, Shapes | None, Clock], Network]


def _no_shapes(path: Path, shapes: Shapes | None) -> None:
    if shapes:
        raise InputError("shapes", f"{path} has no dynamic axes", "leave them out: they are for ONNX files")


def _no_widths(path: Path, widths: FixedPoint | None, why: str) -> None:
    if widths is not None and widths != FixedPoint():
        raise InputError("bit widths", f"{path} {why}: its numbers are taken as they are", "leave them out")


def _no_runtime(path: Path, runtime: str | None) -> None:
    if runtime is not None:
        raise InputError("runtime", f"none is known for {path}", "leave it out: it is for quantized files")


def _read_keras(
    path: Path, widths: FixedPoint | None, runtime: str | None, shapes: Shapes | None, clock: Clock
) -> Network:
    from netproof.formats.keras.read import read_keras_h5

    _no_runtime(path, runtime)
    _no_shapes(path, shapes)
    return read_keras_h5(path, widths, clock)


def _read_onnx(
    path: Path, widths: FixedPoint | None, runtime: str | None, shapes: Shapes | None, clock: Clock
) -> Network:
    from netproof.formats.onnx.read import read_onnx

    _no_widths(path, widths, "is not quantized by these")
    return read_onnx(path, runtime=runtime, shapes=shapes, clock=clock)


def _read_tflite(
    path: Path, widths: FixedPoint | None, runtime: str | None, shapes: Shapes | None, clock: Clock
) -> Network:
    from netproof.formats.tflite.read import read_tflite

    _no_widths(path, widths, "is quantized already")
    _no_shapes(path, shapes)
    return read_tflite(path, runtime, clock)


def _read_pt2(
    path: Path, widths: FixedPoint | None, runtime: str | None, shapes: Shapes | None, clock: Clock
) -> Network:
    from netproof.formats.pt2 import read_pt2

    _no_runtime(path, runtime)
    _no_widths(path, widths, "is not quantized by these")
    _no_shapes(path, shapes)
    return read_pt2(path, clock)


_FORMATS = (
    _Format("Keras weights in HDF5 (.h5)", b"\x89HDF\r\n\x1a\n", 0, (".h5", ".hdf5"), _read_keras),
    _Format("TensorFlow Lite (.tflite)", IDENTIFIER, 4, (".tflite",), _read_tflite),
    _Format("exported programs of PyTorch (.pt2)", None, 0, (".pt2",), _read_pt2),
    _Format("ONNX (.onnx)", None, 0, (".onnx",), _read_onnx),
)


@on_own_terms
def load(
    path: str | PathLike[str],
    *,
    widths: FixedPoint | None = None,
    bits: int | None = None,
    input_bits: int | None = None,
    weight_integer_bits: int | None = None,
    bias_integer_bits: int | None = None,
    activation_integer_bits: int | None = None,
    runtime: str | None = None,
    shapes: Shapes | None = None,
    deadline: float | None = None,
) -> Network:
    """Read a network, plain or gzip.

    ONNX networks are read as they are, of floats or of integers. TensorFlow Lite networks and quantized ONNX networks are read
    as one runtime computes them (docs/deployed.md). Weights in HDF5 are quantized as :class:`netproof.FixedPoint` says. Its
    fields can be given one by one, or all in one as ``widths``; what is not given is the AAAI 2021 benchmark's.

    Parameters
    ----------
    path : a network in ONNX, a program of PyTorch (``.pt2``), quantized TensorFlow Lite, or Keras HDF5 weights of a
        multi-layer perceptron
    widths : bit widths, instead of the single ones
    bits : width of weights, biases and activations
    input_bits : width of an input value
    weight_integer_bits, bias_integer_bits, activation_integer_bits : how many of ``bits`` are integer bits
    shapes : of inputs of an ONNX file with dynamic axes, by name: ``{"x": (1, 3, 32, 32)}``
    runtime : whose integers a quantized file stands for: 'tflm' (the default), 'xnnpack', 'litert-ref', ... of TensorFlow Lite;
        'onnxruntime' (the default), 'integer-ideal' of ONNX
    deadline : by :func:`time.monotonic`, looked at between nodes; None stands for none

    Raises
    ------
    FormatError : a file that is missing, damaged, or in no format netproof reads
    ExactnessError : bit widths with which integers leave float64's exact range
    InputError : what is no path; bit widths that are none, are given in both ways, or for a network that is not quantized; a runtime that is
        none, or for a file that all runtimes compute alike
    TimeLimitError : the deadline is over
    """
    single = {
        "bits": bits,
        "input_bits": input_bits,
        "weight_integer_bits": weight_integer_bits,
        "bias_integer_bits": bias_integer_bits,
        "activation_integer_bits": activation_integer_bits,
    }
    given = {name: width for name, width in single.items() if width is not None}
    if widths is not None and given:
        raise InputError("bit widths", f"'widths' and '{next(iter(given))}' are both given", "give one of them")
    if given:
        widths = FixedPoint(**given)
    if widths is not None and not isinstance(widths, FixedPoint):
        raise InputError("widths", f"is {described(widths)}", "give a netproof.FixedPoint: FixedPoint(bits=6)")
    if runtime is not None and not isinstance(runtime, str):
        raise InputError("runtime", f"is {described(runtime)}", "give its name: 'tflm'")
    hint = "make a network of it: netproof.from_torch(module, (1, 3, 32, 32))" if _is_module(path) else ""
    path = as_path(path, "network file", hint)
    extents = _extents(shapes)
    return _format_of(path).read(path, widths, runtime, extents, Clock(path, deadline, "network"))


def _is_module(given: object) -> bool:
    """Whether something is a module of PyTorch, which is not loaded to find out."""
    return any(kind.__module__.startswith("torch.") and kind.__name__ == "Module" for kind in type(given).__mro__)


def _extents(shapes: object) -> Shapes | None:
    """Shapes of inputs by name; raises :class:`InputError` for what is none."""
    if shapes is None:
        return None
    hint = 'give extents by the names of inputs: {"x": (1, 3, 32, 32)}'
    if not isinstance(shapes, Mapping):
        raise InputError("shapes", f"is {described(shapes)}", hint)
    found = {}
    for name, extents in shapes.items():
        whole = [counted(extent) for extent in extents] if isinstance(extents, Sequence) else [None]
        if not isinstance(name, str) or isinstance(extents, str) or any(one is None or one < 1 for one in whole):
            raise InputError("shapes", f"of {shown(name)} there is {described(extents)}", hint)
        found[name] = tuple(one for one in whole if one is not None)
    return found


def is_tflite(path: str | PathLike[str]) -> bool:
    """Whether a file is one of TensorFlow Lite; raises :class:`FormatError` for one that cannot be read."""
    return _format_of(Path(path)).read is _read_tflite


def is_onnx(path: str | PathLike[str]) -> bool:
    """Whether a file is one of ONNX; raises :class:`FormatError` for one that cannot be read."""
    return _format_of(Path(path)).read is _read_onnx


def _format_of(path: Path) -> _Format:
    start = read_start(path, "network file", 64)
    for known in _FORMATS:
        if known.signature is not None and start[known.offset :].startswith(known.signature):
            return known
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    for known in _FORMATS:
        if suffix in known.suffixes:
            return known  # whose reader says what is wrong with it
    titles = ", ".join(known.title for known in _FORMATS)
    raise FormatError(path, "is in no format that netproof reads", f"give one of {titles}")
