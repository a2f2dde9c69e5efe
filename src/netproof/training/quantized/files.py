"""The files of a trained network, each of which is read back and compared with the training's own arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.errors import ExactnessError
from netproof.formats.load import load
from netproof.formats.onnx.quantized.rules.rule import RULES
from netproof.formats.tflite.rules.runtime import RUNTIMES
from netproof.training.quantized.deployed import DeployedNetwork
from netproof.training.quantized.networks import QuantizedNetwork
from netproof.training.quantized.train import integer_outputs

_ONNX, _KERAS, _TFLITE, _QDQ = "network.onnx", "network.h5", "network.tflite", "network-qdq.onnx"
#: images compared at once
_BATCH = 500
#: what level 0 is as a code of int8, and an output of 0 as one of uint8
_ZERO, _MIDDLE = -128, 128


@dataclass(frozen=True)
class _Written:
    """A file, the rule that it is read by (empty where there is one only), and how its numbers are those of the training.

    Attributes
    ----------
    channels_last : whether an image lies in it with its channels last
    input_zero, output_zero : what is added to grey levels, and to outputs
    """

    path: Path
    rule: str = ""
    channels_last: bool = False
    input_zero: int = 0
    output_zero: int = 0

    def inputs(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """``[N, n]``, images as the network that is read takes them."""
        placed = images.transpose(0, 2, 3, 1) if self.channels_last else images
        return torch.from_numpy(placed.reshape(len(images), -1).astype(np.float64) + self.input_zero)


def write_files(network: QuantizedNetwork, out: Path) -> list[Path]:
    """Write a network in every format that it has, into a folder that is there, and the paths.

    ``network.onnx`` always; of a :class:`DeployedNetwork` ``network.tflite`` and ``network-qdq.onnx``, of another perceptron
    ``network.h5``.

    Raises
    ------
    InputError : where a file cannot be written
    ExactnessError : sums of a network for deployment that runtimes need not round alike
    """
    network.write_onnx(out / _ONNX)
    written = [out / _ONNX]
    if isinstance(network, DeployedNetwork):
        network.write_tflite(out / _TFLITE)
        network.write_qdq(out / _QDQ)
        written += [out / _TFLITE, out / _QDQ]
    elif network.is_perceptron:
        network.write_keras_h5(out / _KERAS)
        written.append(out / _KERAS)
    return written


def compare_files(network: QuantizedNetwork, out: Path, images: Sequence[NDArray[np.uint8]]) -> None:
    """Raise :class:`ExactnessError` where a file gives other integers than the training does, by any rule it can be read by.

    ``images`` has arrays ``[N, channels, rows, columns]`` of grey levels. (Keras files are compared in tests: their integers
    follow from bit widths that are stated elsewhere.)
    """
    files = [_Written(out / _ONNX)]
    if isinstance(network, DeployedNetwork):
        files += [_Written(out / _TFLITE, name, channels_last=True, input_zero=_ZERO) for name in RUNTIMES]
        files += [_Written(out / _QDQ, name, output_zero=_MIDDLE) for name in RULES]
    for file in files:
        graph = load(file.path, runtime=file.rule or None).graph
        for array in images:
            for start in range(0, len(array), _BATCH):
                part = array[start : start + _BATCH]
                found = graph.evaluate(file.inputs(part)).to(torch.int64).numpy() - file.output_zero
                if not np.array_equal(found, integer_outputs(network, part)):
                    rule = f" by the rule '{file.rule}'" if file.rule else ""
                    raise ExactnessError(
                        file.path, f"computes other integers than the training{rule}", "report this defect"
                    )
