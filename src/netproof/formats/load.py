"""One door for every network file: the format is told by the content, or else by the file's name.

ONNX has no signature, so its files are known by their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_start
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.keras.read import read_keras_h5
from netproof.formats.onnx.read import read_onnx
from netproof.host import on_own_terms
from netproof.network import Network


@dataclass(frozen=True)
class _Format:
    """A kind of network file.

    Attributes
    ----------
    title : as errors call it
    signature : its first bytes, or None where it has none
    suffixes : of file names, ``.gz`` taken off
    read : the reader, with the bit widths to quantize to (None: the reader's defaults)
    """

    title: str
    signature: bytes | None
    suffixes: tuple[str, ...]
    read: Callable[[Path, FixedPoint | None], Network]


def _read_onnx(path: Path, widths: FixedPoint | None) -> Network:
    if widths is not None and widths != FixedPoint():
        raise InputError("bit widths", f"{path} is not quantized: its numbers are taken as they are", "leave them out")
    return read_onnx(path)


_FORMATS = (
    _Format("Keras weights in HDF5 (.h5)", b"\x89HDF\r\n\x1a\n", (".h5", ".hdf5"), read_keras_h5),
    _Format("ONNX (.onnx)", None, (".onnx",), _read_onnx),
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
) -> Network:
    """Read a network, plain or gzip.

    ONNX networks are read as they are, of floats or of integers. Weights in HDF5 are quantized as :class:`netproof.FixedPoint` says. Its
    fields can be given one by one, or all in one as ``widths``; what is not given is the AAAI 2021 benchmark's.

    Parameters
    ----------
    path : a network in ONNX, or Keras HDF5 weights of a multi-layer perceptron
    widths : bit widths, instead of the single ones
    bits : width of weights, biases and activations
    input_bits : width of an input value
    weight_integer_bits, bias_integer_bits, activation_integer_bits : how many of ``bits`` are integer bits

    Raises
    ------
    FormatError : a file that is missing, damaged, or in no format netproof reads
    ExactnessError : bit widths with which integers leave float64's exact range
    InputError : bit widths that are none, are given in both ways, or for a network that is not quantized
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
    path = Path(path)
    return _format_of(path).read(path, widths)


def _format_of(path: Path) -> _Format:
    start = read_start(path, "network file", 64)
    for known in _FORMATS:
        if known.signature is not None and start.startswith(known.signature):
            return known
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    for known in _FORMATS:
        if suffix in known.suffixes:
            return known  # whose reader says what is wrong with it
    titles = " or ".join(known.title for known in _FORMATS)
    raise FormatError(path, "is in no format that netproof reads", f"give {titles}")
