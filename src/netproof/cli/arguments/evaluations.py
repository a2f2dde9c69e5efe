"""Inputs that a command reads for a network of integers, and what the network computes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError, InputError, QueryError
from netproof.pictures.form import fits

if TYPE_CHECKING:
    from netproof.network import Network

Whole = NDArray[np.integer[Any]]

#: inputs in codes to the outputs of the runtime itself
Installed = Callable[[Whole], Whole]

_IMAGES = (".png", ".bmp", ".jpg", ".jpeg", ".ppm", ".pgm")
#: of codes of 8 bits; those of 16 are no pixels
_LEAST_BYTE = -128
_WHOLE_NUMBERS = re.compile(r"\s*[+-]?[0-9]+\s*(,\s*[+-]?[0-9]+\s*)*", re.ASCII)
#: numbers of a text file, at the most
_MOST_NUMBERS = 1 << 24


class Tensor(Protocol):
    """What an operator gives: ``values`` ``[batch, ...]``, in the type that they have in the file."""

    @property
    def name(self) -> str: ...
    @property
    def operator(self) -> str: ...
    @property
    def values(self) -> Whole: ...


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A network on a batch of inputs.

    Attributes
    ----------
    inputs, outputs : ``[batch, ...]``, in the network's own types
    classes : ``[batch]``, the first largest output, before a final softmax
    layers : of every operator, where the format tells them
    installed : the runtime itself, where a file has one
    """

    network: Network
    inputs: Whole
    outputs: Whole
    classes: NDArray[np.int64]
    layers: Sequence[Tensor] = ()
    installed: Installed | None = field(default=None, repr=False)

    def by_installed(self) -> Evaluated:
        """The same by the runtime itself; raises :class:`InputError`."""
        if self.installed is None:
            raise InputError("--compare", f"{self.network.path} has no runtime of its own", "leave it out")
        outputs = self.installed(self.inputs)
        return replace(self, outputs=outputs, classes=outputs.reshape(len(outputs), -1).argmax(1), layers=())


def read_inputs(path: Path, channels: int) -> Whole:
    """Whole numbers from a file: ``.npy``, ``.npz``, ``.csv``, an image ``[1, rows, columns, channels]``, or IDX images."""
    from netproof.files.opened import read_bytes
    from netproof.formats.images.arrays import whole_numbers

    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _archived(path)
    data = read_bytes(path, "input file")
    if suffix == ".npy":
        return whole_numbers(path, data)
    if suffix == ".csv":
        return _listed(path, data)
    if suffix in _IMAGES:
        from netproof.formats.images.decode import decode_image

        pixels: Whole = decode_image(path, data, channels=channels).transpose(1, 2, 0)[None]
        return pixels
    from netproof.formats.images.idx import read_idx

    return read_idx(path)


def _archived(path: Path) -> Whole:
    """The array 'inputs' of an archive, or the only one."""
    from netproof.formats.images.arrays import archived

    found = archived(path, ("inputs",))
    if found is None:
        raise FormatError(path, "holds several arrays, none of them 'inputs'", "name the one to use 'inputs'")
    if found.dtype.kind not in "iu":
        raise FormatError(path, f"holds numbers of type {found.dtype}", "give integers, as the network takes them")
    return found


def _listed(path: Path, data: bytes) -> Whole:
    """One input on every line, its numbers with commas between them."""
    rows = []
    try:
        lines = [line for line in data.decode("ascii").splitlines() if line.strip()]
        if sum(line.count(",") + 1 for line in lines) > _MOST_NUMBERS:
            raise FormatError(path, "holds more numbers than can be handled", "give fewer inputs, or a .npy file")
        for number, line in enumerate(lines, start=1):
            if not _WHOLE_NUMBERS.fullmatch(line):
                raise ValueError(line)
            rows.append([int(part) for part in line.split(",")])
            if len(rows[-1]) != len(rows[0]):
                raise FormatError(
                    path, f"line {number} has {len(rows[-1])} numbers, the first {len(rows[0])}", "mend it"
                )
        return np.array(rows, np.int64)
    except (ValueError, UnicodeDecodeError, OverflowError):
        raise FormatError(
            path, f"line {len(rows) + 1} is no list of whole numbers", "write integers with commas"
        ) from None


def evaluated(path: Path, source: Path, runtime: str | None) -> Evaluated:
    """A network of integers on the inputs of a file; raises :class:`InputError`."""
    from netproof.formats.load import is_onnx, is_tflite

    if is_tflite(path):
        return _by_runtime(path, source, runtime)
    found = _by_rule(path, source, runtime) if is_onnx(path) else None
    return _by_graph(path, source, runtime) if found is None else found


def _by_graph(path: Path, source: Path, runtime: str | None) -> Evaluated:
    import torch

    from netproof.formats.load import load
    from netproof.graph.graph import Arithmetic

    network = load(path, runtime=runtime)
    if network.graph.arithmetic is not Arithmetic.INTEGER:
        raise InputError(path, "computes with floats, which differ from machine to machine", "run it by onnxruntime")
    codes = codes_of(source, network.input_shape, network)
    x = torch.from_numpy(codes.reshape(len(codes), -1).astype(np.float64))
    outputs = network.graph.evaluate(x).numpy().astype(np.int64)
    return Evaluated(network, codes, outputs, network.classify(x).numpy())


def _by_runtime(path: Path, source: Path, runtime: str | None) -> Evaluated:
    from netproof.formats.tflite.evaluate import dtype_of, evaluate
    from netproof.formats.tflite.installed import outputs_of_installed
    from netproof.formats.tflite.read import read_deployed

    deployed = read_deployed(path, runtime)
    kind = dtype_of(deployed.input)
    codes = codes_of(source, deployed.input.shape, deployed.network).astype(kind)
    found = evaluate(deployed, codes)

    def installed(inputs: Whole) -> Whole:
        return outputs_of_installed(deployed, inputs.astype(kind))

    return Evaluated(deployed.network, codes, found.outputs, found.classes, found.tensors, installed)


def _by_rule(path: Path, source: Path, runtime: str | None) -> Evaluated | None:
    """A quantized ONNX network; None where it is none."""
    from netproof.formats.onnx.quantized.evaluate import evaluate
    from netproof.formats.onnx.quantized.installed import outputs_of_installed
    from netproof.formats.onnx.read import read_deployed

    deployed = read_deployed(path, runtime)
    if deployed is None:
        return None
    network = deployed.network
    kind = np.uint8 if float(network.lower.min()) == 0 else np.int8
    codes = codes_of(source, network.input_shape, network).astype(kind)
    outputs, tensors = evaluate(deployed, codes)
    classes = outputs.reshape(len(outputs), -1).argmax(1)
    return Evaluated(network, codes, outputs, classes, tensors, lambda inputs: outputs_of_installed(deployed, inputs))


def codes_of(source: Path, shape: tuple[int, ...], network: Network) -> Whole:
    """The inputs in a file as the codes that a network takes, ``[batch, ...]``."""
    sample = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    inputs = read_inputs(source, 3 if sample[-1:] == (3,) else 1)
    if inputs.shape == sample:
        inputs = inputs[None]
    if not inputs.size or not inputs.ndim or inputs[0].size != network.inputs or not fits(inputs.shape[1:], sample):
        wanted = ", ".join(map(str, sample))
        raise QueryError(
            str(source), f"the inputs have shape {inputs.shape}, the network takes {network.inputs} values each",
            f"give [batch, {wanted}]",
        )  # fmt: skip
    least, largest = int(network.lower.min()), int(network.upper.max())
    shift = min(least, 0) if inputs.dtype == np.uint8 and least >= _LEAST_BYTE else 0
    if int(inputs.min()) + shift < least or int(inputs.max()) + shift > largest:
        raise QueryError(
            str(source),
            f"an input has a value that is not from {least} to {largest}",
            "give the network's own integers",
        )
    return inputs.reshape(len(inputs), *sample).astype(np.int64) + shift
