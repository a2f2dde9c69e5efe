"""Copies whose steps are compiled, where numba is there to do it.

Of a step's time nine tenths are passes over the prices, which tensors need some twenty of and loops two. Compiling takes a few seconds, once on a
machine, and loading what was compiled half a second, once in a process; so that is for searches that grow long.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.envelope import kernels
from netproof.bounds.envelope.copies import Copies
from netproof.bounds.envelope.layer import LayerBox
from netproof.bounds.region import Region
from netproof.effort.envelope import ENVELOPE
from netproof.operators.hulls.hull import Conjugate
from netproof.processes.loops import Loop, compiled


class Kernels(NamedTuple):
    """The functions of :mod:`netproof.bounds.envelope.kernels`, compiled."""

    locate: Loop
    move: Loop
    value_levels: Loop


@functools.cache
def compiled_kernels() -> Kernels | None:
    """What :class:`CompiledCopies` runs; None where numba is missing or has no place to keep what it compiles."""
    found = compiled([kernels.locate, kernels.move, kernels.value_levels])
    return None if found is None else Kernels(*found)


class CompiledCopies(Copies):
    """As :class:`Copies`, in float32.

    Parameters
    ----------
    kernels : by :func:`compiled_kernels`
    """

    def __init__(self, prices: Tensor, box: LayerBox, region: Region, kernels: Kernels) -> None:
        super().__init__(prices, box, region)
        self._kernels = kernels
        layer = box.layer
        own = (box.least, layer.before[:, 1], layer.step, layer.images[:, 0], self._total)
        self._layer = tuple(_array(part) for part in own)
        self._shared = tuple(_array(part) for part in (box.reach, box.swing, self._sign))
        levels = (box.least, self._total, layer.before, layer.after, layer.images)
        self._level_layer = tuple(_array(part) for part in levels)
        self._levels = np.float32(layer.images.shape[1] - 1)

    def level_values(self, prices: Tensor, order: Tensor, received: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values, argument, price = np.empty((3, *received.shape, self._box.layer.images.shape[1]), dtype=np.float32)
        sized = (_array(part.expand_as(self._low)) for part in (received, self._low, self._high))
        arrays = (_array(order), _array(prices), self._shared[0], self._level_layer, *sized)
        self._kernels.value_levels(*arrays, values, argument, price)
        return torch.from_numpy(values), torch.from_numpy(argument), torch.from_numpy(price)

    def step(self, received: Tensor, direct: Tensor, width: float) -> Conjugate:
        reach, swing, sign = self._shared
        prices, last, unit = (_array(part) for part in (self.prices, self._last, self._unit))
        found = tuple(np.empty_like(unit) for _ in range(6))
        pull, middle = np.empty((2, len(prices), prices.shape[-1]), dtype=np.float32)
        stay, rise = _array(self._stay.clone()), _array(self._rise.clone())
        wide = np.float32(width)
        self._kernels.locate(
            prices,
            reach,
            swing,
            (*self._layer, unit),
            *(_array(part.expand_as(self._low)) for part in (received, self._low, self._high)),
            (self._levels, wide, np.float32(ENVELOPE.softness)),
            stay,
            rise,
            found,
            pull,
        )
        past = (direct * self._width).expand(pull.shape)
        numbers = (wide, np.float32(ENVELOPE.step), np.float32(1 + ENVELOPE.momentum))
        self._kernels.move(
            prices, last, sign, unit, found[:3], (pull, _array(past), _array(self._weight)), numbers, middle
        )
        self._stay, self._rise, self.middle = (torch.from_numpy(part) for part in (stay, rise, middle))
        return Conjugate(*(torch.from_numpy(part) for part in found[3:]))


def _array(values: Tensor) -> Any:
    """The tensor's own memory, where its numbers lie in a row."""
    return values.contiguous().numpy()
