"""Affine maps of the checker, on arrays ``[rows, features]`` of floats, fractions or balls alike.

Each knows its linear part, its adjoint, both with absolute values, and what it adds. ``terms`` is how many roundings one
number of ``forward`` or ``adjoint`` can go through: products of a sum of that many terms, those of coefficients that are
not the file's own included. ``offset_size`` is at least the size of everything that was added up to make the offset.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
#: numbers of windows that are laid side by side at once
_WINDOWS = 1 << 20


class Affine:
    """An affine map of one value or several."""

    terms = 1
    size = 0
    #: what is added, ``[n]``, and more than the sizes of all that was added up to make it; None for 0, and for its own size
    offset: Array | None = None
    summed: Array | None = None
    #: the coefficients besides 1 and -1, if any; whether they are what is meant, and not rounded
    coefficients: Array | None = None
    stated = True

    def forward(self, *xs: Array) -> Array:
        """The linear part."""
        raise NotImplementedError

    def adjoint(self, v: Array) -> Sequence[Array]:
        """The transposed linear part, one array for each operand."""
        raise NotImplementedError

    def absolute(self) -> Affine:
        """The map whose coefficients are the absolute values of these, without an offset."""
        raise NotImplementedError

    @property
    def offset_size(self) -> Array | None:
        """``[n]`` of the offset; None for 0."""
        return abs(self.offset) if self.summed is None and self.offset is not None else self.summed


class Dense(Affine):
    """``x W + b`` on the last of the axes ``[lead, n]``."""

    def __init__(self, weight: Array, bias: Array | None, lead: int) -> None:
        self.weight, self.offset, self.lead = weight, bias, lead
        self.coefficients = weight
        self.terms = max(weight.shape) + 2
        self.size = lead * weight.shape[1]

    def forward(self, *xs: Array) -> Array:
        return (xs[0].reshape(-1, len(self.weight)) @ self.weight).reshape(len(xs[0]), self.size)

    def adjoint(self, v: Array) -> Sequence[Array]:
        return ((v.reshape(-1, self.weight.shape[1]) @ self.weight.T).reshape(len(v), self.lead * len(self.weight)),)

    def absolute(self) -> Affine:
        return Dense(abs(self.weight), None, self.lead)


class Windows(NamedTuple):
    """Where a convolution takes its windows; ``pads`` are top, left, bottom and right."""

    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    groups: int


class Convolution(Affine):
    """A convolution in two dimensions as a sum of shifted products.

    Parameters
    ----------
    weight : ``[out, in / groups, kh, kw]``
    bias : ``[out]`` or None
    shape : ``(in, height, width)`` of the operand
    """

    def __init__(self, weight: Array, bias: Array | None, shape: tuple[int, int, int], windows: Windows) -> None:
        self.weight, self.shape, self.windows = weight, shape, windows
        self.coefficients = weight
        self.strides, self.pads, self.dilations, self.groups = strides, pads, dilations, groups = windows
        out, _, kh, kw = weight.shape
        self.padded = shape[1] + pads[0] + pads[2], shape[2] + pads[1] + pads[3]
        self.out_shape = (
            out,
            (self.padded[0] - dilations[0] * (kh - 1) - 1) // strides[0] + 1,
            (self.padded[1] - dilations[1] * (kw - 1) - 1) // strides[1] + 1,
        )
        if min(self.out_shape) < 1 or out % groups or weight.shape[1] * groups != shape[0]:
            raise ValueError("the kernel does not fit")
        self.size = int(np.prod(self.out_shape))
        #: whether there are fewer windows than places of the kernel
        self._is_few = math.prod(self.out_shape[1:]) < kh * kw
        self.offset = None if bias is None else np.repeat(bias, self.size // out)
        # Of the adjoint every output channel of the group and every place of the kernel.
        self.terms = kh * kw * max(weight.shape[1], out // groups) + 2

    def _met(self, windows: Array, padded: Array) -> Iterator[tuple[Array, Array]]:
        """Parts of windows ``[rows, in, kh, kw, height, width]`` and of the padded operand that are the same: those of every place
        of the kernel, or of every window where these are fewer."""
        sides = [(self.weight.shape[2:], self.dilations), (self.out_shape[1:], self.strides)]
        (counts, steps), (others, moves) = reversed(sides) if self._is_few else sides
        spans = [move * (other - 1) + 1 for move, other in zip(moves, others, strict=True)]
        for i, j in itertools.product(*map(range, counts)):
            y, x = i * steps[0], j * steps[1]
            part = padded[..., y : y + spans[0] : moves[0], x : x + spans[1] : moves[1]]
            yield (windows[..., i, j] if self._is_few else windows[:, :, i, j]), part

    def _inside(self, padded: Array) -> Array:
        top, left, _, _ = self.pads
        return padded[..., top : top + self.shape[1], left : left + self.shape[2]]

    def forward(self, *xs: Array) -> Array:
        x, (channels, height, width), groups = xs[0], self.out_shape, self.groups
        kernel = self.weight.reshape(groups, channels // groups, -1)
        # The windows of few rows at a time, side by side.
        most, found = max(1, _WINDOWS // (kernel.shape[2] * groups * height * width)), []
        for at in range(0, max(len(x), 1), most):
            some = x[at : at + most]
            padded = np.zeros((len(some), self.shape[0], *self.padded), x.dtype)
            self._inside(padded)[...] = some.reshape(-1, *self.shape)
            windows = np.empty((len(some), self.shape[0], *self.weight.shape[2:], height, width), x.dtype)
            for mine, theirs in self._met(windows, padded):
                mine[...] = theirs
            products = kernel @ windows.reshape(len(some), groups, kernel.shape[2], height * width)
            found.append(products.reshape(len(some), -1))
        return np.concatenate(found)

    @cached_property
    def _back(self) -> Convolution | None:
        """The adjoint as a convolution by the kernel turned around, which it is where windows move one by one; none where the windows
        of that would be many times those of this one."""
        (out, into, *kernel), groups = self.weight.shape, self.groups
        turned = self.weight.reshape(groups, out // groups, into, *kernel)[..., ::-1, ::-1]
        reach = [d * (k - 1) for d, k in zip(self.dilations, kernel, strict=True)]
        top, left, bottom, right = (r - p for r, p in zip(reach * 2, self.pads, strict=True))
        if self.strides != (1, 1) or min(top, left, bottom, right) < 0 or self._is_few:
            return None
        weight = np.ascontiguousarray(np.swapaxes(turned, 1, 2)).reshape(self.shape[0], out // groups, *kernel)
        return Convolution(
            weight, None, self.out_shape, Windows((1, 1), (top, left, bottom, right), self.dilations, groups)
        )

    def adjoint(self, v: Array) -> Sequence[Array]:
        if self._back is not None:
            return (self._back.forward(v),)
        (channels, height, width), groups, rows = self.out_shape, self.groups, len(v)
        kernel = self.weight.reshape(groups, channels // groups, -1)
        parts = np.swapaxes(kernel, 1, 2) @ v.reshape(rows, groups, channels // groups, height * width)
        parts = parts.reshape(rows, self.shape[0], *self.weight.shape[2:], height, width)
        padded = np.zeros((rows, self.shape[0], *self.padded), v.dtype)
        for mine, theirs in self._met(parts, padded):
            theirs[...] += mine
        return (np.ascontiguousarray(self._inside(padded)).reshape(rows, -1),)

    def absolute(self) -> Affine:
        return Convolution(abs(self.weight), None, self.shape, self.windows)


class Scale(Affine):
    """``scale x + shift``, feature by feature, either of them None for none.

    ``roundings`` is by how many of them coefficients differ from what is meant, ``summed`` at least what was added up for the shift.
    """

    def __init__(
        self, size: int, scale: Array | None, shift: Array | None, roundings: int = 0, summed: Array | None = None
    ) -> None:
        self.size, self.scale, self.offset, self.summed = size, scale, shift, summed
        self.coefficients, self.stated = scale, not roundings
        self.terms = 2 + roundings

    def forward(self, *xs: Array) -> Array:
        return xs[0] if self.scale is None else xs[0] * self.scale

    def adjoint(self, v: Array) -> Sequence[Array]:
        return (self.forward(v),)

    def absolute(self) -> Affine:
        return Scale(self.size, None if self.scale is None else abs(self.scale), None)


class Sum(Affine):
    """``x_1 + x_2`` or, by ``sign`` -1, ``x_1 - x_2``, of values of one size."""

    def __init__(self, size: int, sign: int) -> None:
        self.size, self.sign = size, sign
        self.terms = 2

    def forward(self, *xs: Array) -> Array:
        return xs[0] + xs[1] if self.sign > 0 else xs[0] - xs[1]

    def adjoint(self, v: Array) -> Sequence[Array]:
        return v, v if self.sign > 0 else -v

    def absolute(self) -> Affine:
        return Sum(self.size, 1)


class Select(Affine):
    """Some features of the operand, in some order, by their index; 0 where that is -1; and an offset."""

    def __init__(self, index: NDArray[np.int64], size: int, offset: Array | None = None) -> None:
        self.index, self.before, self.size, self.offset = index, size, len(index), offset
        self._there = index >= 0
        self.terms = int(np.bincount(index[self._there]).max(initial=0)) + 2

    def forward(self, *xs: Array) -> Array:
        found = xs[0][:, self.index]
        return found if self._there.all() else np.where(self._there, found, 0 * found)

    def adjoint(self, v: Array) -> Sequence[Array]:
        back = np.zeros((len(v), self.before), v.dtype)
        np.add.at(back.T, self.index[self._there], v.T[self._there])
        return (back,)

    def absolute(self) -> Affine:
        return Select(self.index, self.before)


class Back(Affine):
    """The adjoint of a map of one value that has ``size`` numbers, and an offset."""

    def __init__(self, of: Affine, size: int, offset: Array | None) -> None:
        self.of, self.size, self.offset = of, size, offset
        self.coefficients, self.stated = of.coefficients, of.stated
        self.terms = of.terms + 1

    def forward(self, *xs: Array) -> Array:
        return self.of.adjoint(xs[0])[0]

    def adjoint(self, v: Array) -> Sequence[Array]:
        return (self.of.forward(v),)

    def absolute(self) -> Affine:
        return Back(self.of.absolute(), self.size, None)
