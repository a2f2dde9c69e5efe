"""Sums of products and the levels of a staircase that follow, in one pass of oneDNN's 8-bit kernels.

The kernel adds products of 8-bit integers in 32 bits and gives the sum as float32, which is exact below 2**24. A proved
:class:`~netproof.inference.lines.Line` brings it to levels: in the kernel itself where float32 is enough for that, in float64
behind it elsewhere. Processors without the instruction for it
add pairs of products in 16 bits, which saturates. Whether this one does is found out with the inputs that drive such pairs
furthest: the largest operand wherever a weight of one sign is, 0 elsewhere, for each output. Kernels that fail, or are
not there, are not used. Which kernel runs depends on the size of an image and on how many there are, and some are wrong on
small ones alone, or where there are a hundred: kernels are given no other numbers of images than those that were tried, and
parts of an image are tried again, for every size.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from netproof.inference.compiled import Worked
from netproof.inference.lines import Factor, Line, Rest, factor_of, levels_of, line_of
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear

#: sums below this are whole numbers in float32
_SINGLE = float(2**24)
#: images that a kernel is given at a time, of the most that it is right on
_COUNTS = (512, 64, 8, 1)
#: where an image begins in memory, in bytes: as where PyTorch allocates one
_ALIGNED = 64
#: inputs that are made at a time for a kernel to be tried on
_PROBES = 64
_RANDOM = 8
#: of the channels have to be on a line
_LEAST_PART = 0.5


@dataclass(frozen=True, eq=False)
class Product:
    """An affine map of 8-bit codes and a staircase.

    Attributes
    ----------
    shape : ``(channels, rows, columns)`` of one input
    result : of its levels
    low : the number that code 0 stands for
    levels : the largest level
    base : the number that level 0 stands for
    line : computes levels, of sums with their offset where it is a factor
    rest : the channels that it does not compute
    stride, padding, dilation : by row and column
    """

    shape: tuple[int, ...]
    result: tuple[int, ...]
    low: int
    levels: int
    base: int
    line: Line | Factor
    rest: Rest | None
    _weight: Tensor
    _packed: Tensor
    _bias: Tensor
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    _groups: int
    _offset: Tensor
    _staircase: Staircase
    _width: int
    _right: dict[tuple[int, ...], dict[int, bool]] = field(default_factory=dict)
    _held: dict[tuple[int, int], bool] = field(default_factory=dict)
    _worked: Worked = field(default_factory=Worked)

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns from the first place that a result depends on to the last one."""
        rows, columns = (
            (size - 1) * spread + 1 for size, spread in zip(self._weight.shape[2:], self.dilation, strict=True)
        )
        return rows, columns

    @property
    def in_codes(self) -> bool:
        """Whether the kernel itself gives levels, as bytes."""
        return isinstance(self.line, Line) and self.line.half is None and self.line.slope.dtype == torch.float32

    def __call__(self, x: Tensor) -> Tensor:
        """Levels ``[B, channels, rows, columns]`` of bytes ``[B, channels, rows, columns]``, uint8."""
        return self._levels(*self._padded(x))

    def counts(self, x: Tensor) -> list[int]:
        """The numbers of whole images on which a kernel is right, the most first, up to as many as ``x`` has."""
        return self._counts(*self._padded(x))

    def _padded(self, x: Tensor) -> tuple[Tensor, list[int]]:
        """Images, and the padding by rows and columns that is left to the kernel: it knows none that differs from side to side."""
        rows, columns = self.padding
        if rows[0] == rows[1] and columns[0] == columns[1]:
            return x, [rows[0], columns[0]]
        return functional.pad(x, [*columns, *rows], value=-self.low), [0, 0]

    def holds_on(self, x: Tensor) -> bool:
        """Whether a kernel is right on images of this size, padding included; tried once for each size, on some of ``x`` as well."""
        size = x.shape[2], x.shape[3]
        if size not in self._held:
            try:
                every = max(1, len(x) // _PROBES)
                wanted = self._by_definition(x[::every], [0, 0])
                found = self.without_padding(x)[::every] if self._counts(x, [0, 0]) else None
                self._held[size] = found is not None and torch.equal(found, wanted)
            except (RuntimeError, NotImplementedError):
                self._held[size] = False
        return self._held[size]

    def without_padding(self, x: Tensor) -> Tensor:
        """The same of a part of an image that brings what is around it along."""
        return self._levels(x, [0, 0])

    def _levels(self, x: Tensor, padding: list[int]) -> Tensor:
        """Levels of any number of images, so many at a time as a kernel is right on."""
        counts = self._counts(x, padding)
        if not counts:
            return self._by_definition(x, padding)
        found, start = [], 0
        while start < len(x):
            left = len(x) - start
            count = next((some for some in counts if _nearly(left, some)), counts[-1])
            piece = x[start : start + count]
            if len(piece) < count:
                piece = functional.pad(piece, [0, 0, 0, 0, 0, 0, 0, count - len(piece)])
            found.append(self._at_once(piece, padding)[:left])
            start += count
        return found[0] if len(found) == 1 else torch.cat(found) if found else self._by_definition(x, padding)

    def _counts(self, x: Tensor, padding: list[int]) -> list[int]:
        """The numbers of images like ``x`` on which a kernel is right, the most first, of those that are wanted."""
        key = (x.shape[2], x.shape[3], *padding, torch.get_num_threads())
        tried = self._right.setdefault(key, {})
        wanted = [count for count in _COUNTS if _nearly(max(len(x), _PROBES), count)]
        new = [count for count in wanted if count not in tried]
        if new:
            shape = (x.shape[1], x.shape[2], x.shape[3])
            tried |= _tried(replace(self, shape=shape, padding=_both_sides(padding)), padding, new)
        return [count for count in wanted if tried[count]]

    def _by_definition(self, x: Tensor, padding: list[int]) -> Tensor:
        """The levels that the operators themselves give."""
        shape = (x.shape[1], x.shape[2], x.shape[3])
        stride, dilation = (self.stride[0], self.stride[1]), (self.dilation[0], self.dilation[1])
        map_ = Convolution(self._weight, self._offset, shape, stride, _both_sides(padding), dilation, self._groups)
        values = self._staircase.evaluate(map_.forward((x.double() + self.low).flatten(1)))
        return (values - self.base).to(torch.uint8).reshape(len(x), *map_.sample_shape)

    def _at_once(self, x: Tensor, padding: list[int]) -> Tensor:
        """Levels by one kernel, of images that lie in memory as those that it was tried on."""
        x = _laid_out(x)
        line = self.line
        if self.in_codes:
            assert isinstance(line, Line)
            levels = self._convolved(x, line.slope, self._bias, padding, torch.uint8)
            return levels if self.levels == 255 else levels.clamp_(max=self.levels)
        sums = self._convolved(x, torch.ones_like(self._bias), self._bias, padding, torch.float32)
        return levels_of(sums, line, self.rest, self.levels, self.base, self._worked.kernels(sums.numel()))

    def _convolved(self, x: Tensor, slope: Tensor, bias: Tensor, padding: list[int], kind: torch.dtype) -> Tensor:
        none = torch.zeros(len(slope), dtype=torch.int32)
        found: Tensor = torch.ops.onednn.qconv2d_pointwise(
            x, 1.0, -self.low, self._packed, slope, none, bias, list(self.stride), padding, list(self.dilation),
            self._groups, 1.0, 0, kind, "none", [], "",
        )  # fmt: skip
        return found


def _nearly(left: int, count: int) -> bool:
    """Whether so many images are given to a kernel for ``count``, filled up: a few more cost less than many small calls."""
    return 4 * left >= 3 * count


def _both_sides(padding: list[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    return (padding[0], padding[0]), (padding[1], padding[1])


def _laid_out(x: Tensor) -> Tensor:
    """Bytes ``[B, C, rows, columns]`` with their channels last, in one way even where an axis has one entry only."""
    _, channels, rows, columns = x.shape
    strides = (channels * rows * columns, 1, columns * channels, channels)
    if x.stride() == strides and x.data_ptr() % _ALIGNED == 0:
        return x
    laid = torch.empty_strided(x.shape, strides, dtype=torch.uint8)
    return laid.copy_(x)


def whole_pieces(count: int) -> int:
    """The largest number of images up to ``count``, at least 1, that are given to kernels in pieces of one size."""
    return next(count // some * some for some in _COUNTS if some <= count)


def product_of(operator: object, staircase: Staircase, low: int, high: int) -> Product | None:
    """The kernel of a map of numbers from ``low`` to ``high`` and the staircase behind it; None where there is none.

    ``operator`` is a convolution of two axes, or a linear map.
    """
    if not low <= 0 <= high or high - low > 255 or staircase.levels > 255 or staircase.levels == 0:
        return None
    shape: tuple[int, ...]
    result: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    dilation: tuple[int, ...] = (1, 1)
    groups = 1
    if isinstance(operator, Linear):
        weight, bias = operator.weight[:, :, None, None], operator.bias
        shape, result = (weight.shape[1], 1, 1), (weight.shape[0], 1, 1)
    elif isinstance(operator, Convolution) and operator.weight.ndim == 4 and operator.samples == 1:
        weight, groups = operator.weight, operator.groups
        bias = operator.bias if operator.bias is not None else torch.zeros(len(weight), dtype=torch.float64)
        shape, result = operator.input_shape, operator.sample_shape
        stride, padding, dilation = operator.stride, operator.padding, operator.dilation
    else:
        return None
    outputs = len(weight)
    size = weight.reshape(outputs, -1)
    if float(weight.abs().max()) > 127 or bool((255 * size.abs().sum(1) >= _SINGLE).any()):
        return None
    if bool((staircase.base != staircase.base[0]).any()) or outputs % len(staircase.base):
        return None
    each = outputs // len(staircase.base)
    thresholds = staircase.thresholds.repeat_interleave(each, 0) - bias[:, None]
    channels_of = Staircase(thresholds, staircase.base.repeat_interleave(each))
    # The whole range of every operand, padding included.
    above = size.clamp(min=0).sum(1) * high + size.clamp(max=0).sum(1) * low
    below = size.clamp(min=0).sum(1) * low + size.clamp(max=0).sum(1) * high
    # Values may have a zero point in them, so that the level of a sum of 0 tells where signs change.
    levels = torch.searchsorted(
        staircase.thresholds.contiguous(), torch.zeros_like(staircase.base)[:, None], right=True
    )
    zero = int(levels.median())
    single = line_of(channels_of, below, above, torch.float32, zero)
    fused = single is not None and single.half is None and bool(single.fits.all())
    line = single if fused else _behind(channels_of, _factor(staircase, each, bias, below, above), below, above, zero)
    if line is None or float(line.fits.double().mean()) < _LEAST_PART:
        return None
    rest = None
    if not bool(line.fits.all()):
        left = (~line.fits).nonzero()[:, 0]
        rest = Rest(left, channels_of.thresholds[left].contiguous())
    try:
        packed = torch.ops.onednn.qconv_prepack(
            weight.to(torch.int8).contiguous(),
            _slope(line) if fused else torch.ones(outputs, dtype=torch.float32),
            1.0,
            -low,
            list(stride),
            [0, 0],
            list(dilation),
            groups,
            None,
        )
        # A byte is the nearest whole number, a level the one below.
        shift = torch.zeros(outputs, dtype=torch.float32)
        if isinstance(line, Factor):
            # Where the bias is so large that float32 does not hold it, the factor does not fit.
            shift = torch.where(line.fits, bias, 0.0).float()
        elif fused:
            shift = line.offset - 0.5
        found = Product(
            shape, (int(result[0]), int(result[1]), int(result[2])), low, staircase.levels, int(staircase.base[0]), line, rest,
            weight, packed, shift, tuple(stride), tuple(padding), tuple(dilation), groups, bias, staircase, high - low,
        )  # fmt: skip
        return found if _is_right(found, operator, staircase, high - low) else None
    except (RuntimeError, NotImplementedError, AttributeError, TypeError):
        return None  # another version of PyTorch, or another processor


def _behind(
    channels_of: Staircase, factor: Factor | None, below: Tensor, above: Tensor, zero: int
) -> Line | Factor | None:
    """How levels are found of sums that the kernel gives: by the factor, or by a line in float64 where it fits more channels."""
    if factor is not None and bool(factor.fits.all()):
        return factor
    double = line_of(channels_of, below, above, torch.float64, zero)
    if factor is None or (double is not None and int(double.fits.sum()) >= int(factor.fits.sum())):
        return double
    return factor


def _factor(staircase: Staircase, each: int, bias: Tensor, low: Tensor, high: Tensor) -> Factor | None:
    whole = Staircase(staircase.thresholds.repeat_interleave(each, 0), staircase.base.repeat_interleave(each))
    return factor_of(whole, low + bias, high + bias)


def _slope(line: Line | Factor) -> Tensor:
    assert isinstance(line, Line)
    return line.slope


def _is_right(product: Product, operator: Linear | Convolution, staircase: Staircase, width: int) -> bool:
    """Whether there is a kernel that gives what the operators themselves give, where its sums of pairs are largest and elsewhere."""
    *_, codes = _probes(product, width)
    x = codes.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    if not product.counts(x):
        return False
    mine = product(x).double().flatten(1) + product.base
    return torch.equal(mine, staircase.evaluate(operator.forward((codes + product.low).flatten(1))))


def _tried(product: Product, padding: list[int], counts: list[int]) -> dict[int, bool]:
    """On which numbers of images a kernel gives what the operators themselves give, each with every probe in a place of its own."""
    x = torch.cat([codes.to(torch.uint8) for codes in _probes(product, product._width)])
    wanted = torch.cat([product._by_definition(part, padding) for part in torch.split(x, _PROBES)])
    random = torch.Generator().manual_seed(len(x))
    right: dict[int, bool] = {}
    for count in counts:
        order = torch.randperm(-(-len(x) // count) * count, generator=random) % len(x)
        right[count] = all(
            torch.equal(product._at_once(x[some], padding), wanted[some]) for some in torch.split(order, count)
        )
    return right


def _probes(product: Product, width: int) -> list[Tensor]:
    """Images of codes, float64: for each output and sign its taps at the middle of an image, and some at random."""
    channels, rows, columns = product.shape
    outputs, _, height, columns_of_kernel = product._weight.shape
    reach = [
        (size - 1) * spread + 1 for size, spread in zip((height, columns_of_kernel), product.dilation, strict=True)
    ]
    across = channels // product._groups
    batches = []
    if rows >= reach[0] and columns >= reach[1]:
        # So that the taps are those of a place of the result: a multiple of the stride, from the padding on.
        at = [
            max(0, ((extent - size) // 2 + pair[0]) // step * step - pair[0])
            for extent, size, pair, step in zip((rows, columns), reach, product.padding, product.stride, strict=True)
        ]
        start = [
            first if (first + pair[0]) % step == 0 else min(-pair[0] % step, extent - size)
            for first, pair, step, extent, size in zip(
                at, product.padding, product.stride, (rows, columns), reach, strict=True
            )
        ]
        for first in range(0, outputs, _PROBES):
            chosen = range(first, min(first + _PROBES, outputs))
            for sign in (1, -1):
                codes = torch.full((len(chosen), channels, rows, columns), float(-product.low), dtype=torch.float64)
                for k, output in enumerate(chosen):
                    group = output // (outputs // product._groups)
                    window = codes[
                        k,
                        group * across : (group + 1) * across,
                        start[0] : start[0] + reach[0] : product.dilation[0],
                        start[1] : start[1] + reach[1] : product.dilation[1],
                    ]
                    window.copy_(torch.where(sign * product._weight[output] > 0, float(width), 0.0))
                batches.append(codes)
    random = torch.Generator().manual_seed(len(batches))
    shape = (_RANDOM, channels, rows, columns)
    batches.append(torch.randint(0, width + 1, shape, generator=random).double())
    batches.append(torch.randint(0, 2, shape, generator=random).double() * width)
    return batches
