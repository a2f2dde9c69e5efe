"""Residual networks to ONNX, with batch norm as it is or folded into the convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from netproof.files.opened import write_bytes
from netproof.formats.onnx.writing.float import OnnxWriter
from netproof.training.architectures import ResidualBlock, ResidualNetwork


def onnx_model(network: ResidualNetwork, *, fold: bool = False) -> bytes:
    """The ONNX model of a network in evaluation mode, for a batch of one; the same numbers give the same bytes.

    With ``fold``, every batch norm is folded into the convolution before it: its factor is computed in float64
    and each product rounded to float32 once, so the folded network is another one, equal to the accuracy of float32.
    """
    return _Export(network, fold).model()


def write_onnx(path: str | Path, network: ResidualNetwork, *, fold: bool = False) -> None:
    """Write :func:`onnx_model` whole or not at all; raises :class:`netproof.errors.InputError` where that fails."""
    write_bytes(path, onnx_model(network, fold=fold))


class _Export:
    def __init__(self, network: ResidualNetwork, fold: bool) -> None:
        self._network = network
        self._fold = fold
        self._onnx = OnnxWriter(network.architecture.name, network.architecture.input_shape)

    def model(self) -> bytes:
        network, onnx = self._network, self._onnx
        value = self._normalized("stem", onnx.input, network.stem, network.stem_norm)
        value = onnx.relu("stem.relu", value)
        for number, block in enumerate(network.blocks, start=1):
            assert isinstance(block, ResidualBlock)
            value = self._block(f"block{number}", value, block)
        value = onnx.flatten("flatten", value)
        value = onnx.linear("hidden", value, *_linear(network.hidden))
        value = onnx.relu("hidden.relu", value)
        value = onnx.linear("output", value, *_linear(network.output))
        return onnx.model(value, network.architecture.classes)

    def _block(self, name: str, x: str, block: ResidualBlock) -> str:
        onnx = self._onnx
        y = self._normalized(f"{name}.convolution1", x, block.convolution1, block.norm1)
        y = onnx.relu(f"{name}.relu1", y)
        y = self._normalized(f"{name}.convolution2", y, block.convolution2, block.norm2)
        if block.shortcut is not None and block.shortcut_norm is not None:
            x = self._normalized(f"{name}.shortcut", x, block.shortcut, block.shortcut_norm)
        y = onnx.add(f"{name}.sum", y, x)
        return onnx.relu(f"{name}.relu2", y) if block.relu_after_sum else y

    def _normalized(self, name: str, x: str, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> str:
        weight = _array(convolution.weight)
        scale, shift, mean, variance = _statistics(norm)
        stride, padding = convolution.stride[0], convolution.padding[0]
        assert isinstance(padding, int)
        if not self._fold:
            y = self._onnx.convolution(name, x, weight, stride=stride, padding=padding)
            return self._onnx.batch_normalization(f"{name}.norm", y, scale, shift, mean, variance, norm.eps)
        factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + norm.eps)
        folded = weight * factor[:, None, None, None]
        bias = shift - mean * factor
        return self._onnx.convolution(name, x, folded, bias, stride=stride, padding=padding)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().cpu().float().numpy()
    return array


def _linear(layer: nn.Linear) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return _array(layer.weight), _array(layer.bias)


def _statistics(norm: nn.BatchNorm2d) -> tuple[NDArray[np.float32], ...]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    return _array(norm.weight), _array(norm.bias), _array(mean), _array(variance)
