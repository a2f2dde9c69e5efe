"""Operators that are affine maps of values."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from netproof.certificate.checker.real.operators import Array, Back, Convolution, Dense, Scale, Windows
from netproof.certificate.checker.real.reading.constants import UnknownError, check_size, folded
from netproof.certificate.checker.real.reading.moves import Moves
from netproof.certificate.checker.real.reading.values import Operand, Operator, Value, axes_of, shaped

#: factors below that could vanish in float64, which no error term accounts for
_LEAST_FACTOR = 2.0**-400


class Maps(Moves):
    """Values, and the operators that are affine maps of them."""

    def operators(self) -> dict[str, Operator]:
        """What is known, by name."""
        return {
            **super().operators(),
            "Add": self.add, "AveragePool": self.average, "BatchNormalization": self.normalize, "Conv": self.convolution,
            "ConvTranspose": self.transposed, "CumSum": self.running, "Gemm": self.gemm, "GlobalAveragePool": self.average_all,
            "MatMul": self.matmul, "Mean": self.mean, "Neg": self.negative, "ReduceMean": partial(self.reduce, mean=True),
            "ReduceSum": partial(self.reduce, mean=False), "Sub": self.subtract, "Sum": self.sum,
        }  # fmt: skip

    def add(self, operands: list[Any], _: dict[str, Any], sign: int = 1) -> Operand:
        first, second = operands
        if not isinstance(first, Value) and not isinstance(second, Value):
            known = folded("Add" if sign > 0 else "Sub", first, second)
            if known is not None:
                return known
            first = self._value([first])
        shape = np.broadcast_shapes(first.shape, second.shape)
        if isinstance(first, Value) and isinstance(second, Value):
            return self._summed(self._expanded(first, shape), self._expanded(second, shape), sign)
        value, constant = (first, second) if isinstance(first, Value) else (second, first)
        value, shift = self._expanded(value, shape), self._spread(constant, shape)
        # A constant less a value turns the value, a value less a constant the constant.
        scale = self._numbers.load(np.full(len(shift), -1.0)) if sign < 0 and constant is first else None
        shift = -shift if sign < 0 and constant is second else shift
        return self._affine(Scale(len(shift), scale, shift), [value], shape)

    def subtract(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        return self.add(operands, attributes, -1)

    def sum(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        total: Operand = operands[0]
        for other in operands[1:]:
            total = self.add([total, other], {})
        return total

    def mean(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        return self._shared(self._value([self.sum(operands, {})]), float(len(operands)))

    def negative(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        (x,) = operands
        return self._scaled(x, -1.0) if isinstance(x, Value) else np.asarray(-x)

    def _matrix(self, constant: Any) -> Array:
        if isinstance(constant, Value) or constant.dtype.kind != "f" or constant.ndim != 2 or not constant.size:
            raise UnknownError("a product with what is no matrix")
        return self._numbers.load(constant)

    def matmul(self, operands: list[Any], _: dict[str, Any]) -> Operand:
        first, second = operands
        vectors = len(first.shape) == 1, len(second.shape) == 1
        if any(vectors):
            # A vector is a row in front, and a column behind.
            rows = shaped(first, (1, *first.shape)) if vectors[0] else first
            columns = shaped(second, (*second.shape, 1)) if vectors[1] else second
            found = self.matmul([rows, columns], {})
            kept = [d for k, d in enumerate(found.shape[-2:]) if not vectors[k]]
            return shaped(found, (*found.shape[:-2], *kept))
        if not isinstance(first, Value) and not isinstance(second, Value):
            first = self._value([first])
        known = second if isinstance(first, Value) else first
        if isinstance(known, Value) or known.ndim > 2:
            return self.matmul_of_values(*(self._value([x]) for x in (first, second)))
        if not isinstance(first, Value):
            # (A x)' = x' A'
            value, order = self._value([second]), list(range(len(second.shape)))
            order[-2:] = order[:-3:-1]
            product = self.matmul([self.transpose([value], {"perm": order}), first.T], {})
            return self.transpose([product], {"perm": order})
        return self._dense(first, self._matrix(second), None)

    def matmul_of_values(self, first: Value, second: Value) -> Operand:
        """Products of rows and columns, added up."""
        raise NotImplementedError

    def _dense(self, value: Value, weight: Array, bias: Any) -> Value:
        if not value.shape or value.shape[-1] != weight.shape[0]:
            raise UnknownError("a matrix that does not fit")
        shape = (*value.shape[:-1], weight.shape[1])
        offset = None if bias is None else self._spread(bias, shape)
        return self._affine(Dense(weight, offset, math.prod(shape[:-1])), [value], shape)

    def gemm(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        (first, second), bias = operands[:2], (operands[2] if len(operands) > 2 else np.zeros(0))
        alpha, beta = attributes.pop("alpha", 1.0), attributes.pop("beta", 1.0)
        if len(first.shape) != 2 or len(second.shape) != 2 or len(operands) > 3:
            raise UnknownError("a matrix that does not fit")
        first, second = (
            self.transpose([x], {}) if attributes.pop(name, 0) else x
            for x, name in ((first, "transA"), (second, "transB"))
        )
        has_bias = isinstance(bias, Value) or bool(bias.size)
        is_plain = not isinstance(second, Value) and not isinstance(bias, Value) and alpha == beta == 1
        if isinstance(first, Value) and is_plain:
            return self._dense(first, np.ascontiguousarray(self._matrix(second)), bias if has_bias else None)
        total = self._value([self.matmul([first, second], {})])
        total = total if alpha == 1 else self._scaled(total, alpha)
        bias = self._scaled(self._value([bias]), beta) if has_bias and beta != 1 else bias
        found = self.add([total, bias], {}) if has_bias else total
        if found.shape != total.shape:
            raise UnknownError("a constant that makes a value larger")
        return found

    # Windows.

    def _kernel(self, operands: list[Any], attributes: dict[str, Any]) -> tuple[Value, Array, Any]:
        value, kernel = self._value(operands[:1]), operands[1]
        if isinstance(kernel, Value) or kernel.dtype.kind != "f" or not kernel.size or len(operands) > 3:
            raise UnknownError("a convolution by what is no constant")
        if attributes.pop("kernel_shape", list(kernel.shape[2:])) != list(kernel.shape[2:]):
            raise UnknownError("the kernel of a convolution")
        bias = operands[2] if len(operands) > 2 else np.zeros(0)
        if isinstance(bias, Value):
            raise UnknownError("the bias of a convolution")
        return value, kernel, bias if bias.size else None

    def _bias(self, bias: Any, channels: int) -> Array | None:
        if bias is not None and bias.shape != (channels,):
            raise UnknownError("the bias of a convolution")
        return None if bias is None else self._spread(bias, (channels,))

    def convolution(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        value, kernel, bias = self._kernel(operands, attributes)
        groups = attributes.pop("group", 1)
        return self._windows(value, self._numbers.load(kernel), self._bias(bias, len(kernel)), groups, attributes)

    def transposed(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """The adjoint of a convolution of what it makes."""
        value, kernel, bias = self._kernel(operands, attributes)
        rank, groups = kernel.ndim - 2, attributes.pop("group", 1)
        if "output_shape" in attributes or attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise UnknownError("padding that is not stated")
        more = attributes.pop("output_padding", [0] * rank)
        strides, pads, dilations = self._frame(kernel.shape[2:], None, attributes)
        if (
            len(value.shape) != rank + 2
            or len(more) != rank
            or not all(0 <= m < s for m, s in zip(more, strides, strict=True))
        ):
            raise UnknownError("the windows of a ConvTranspose")
        reach = [d * (k - 1) + 1 for k, d in zip(kernel.shape[2:], dilations, strict=True)]
        extents = [
            s * (n - 1) + r + m - a - b
            for s, n, r, m, a, b in zip(strides, value.shape[2:], reach, more, pads[:rank], pads[rank:], strict=True)
        ]
        shape = (1, kernel.shape[1] * groups, *extents)
        frame = {"strides": strides, "pads": pads, "dilations": dilations}
        operator, back = self._convolution(shape, self._numbers.load(kernel), None, groups, frame)
        if back != value.shape:
            raise UnknownError("the windows of a ConvTranspose")
        channels = self._bias(bias, shape[1])
        offset = None if channels is None else np.repeat(channels, math.prod(extents))
        return self._affine(Back(operator, math.prod(shape), offset), [value], shape)

    @staticmethod
    def _frame(
        kernel: tuple[int, ...], extents: tuple[int, ...] | None, attributes: dict[str, Any]
    ) -> tuple[list[int], list[int], list[int]]:
        """Strides, pads and dilations of windows over places of so many extents."""
        rank, automatic = len(kernel), attributes.pop("auto_pad", "NOTSET")
        # ONNX excludes both together, and runtimes then leave the pads.
        stated = attributes.get("pads")
        if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or (
            stated is not None and automatic != "NOTSET" and (automatic != "VALID" or any(stated))
        ):
            raise UnknownError("padding that is not stated")
        strides, pads, dilations = (
            attributes.pop(name, [usual] * count)
            for name, usual, count in (("strides", 1, rank), ("pads", 0, 2 * rank), ("dilations", 1, rank))
        )
        wrong = [len(strides), len(dilations), len(pads)] != [rank, rank, 2 * rank]
        if wrong or min(*strides, *dilations) < 1 or min(pads) < 0 or max(*strides, *dilations, *pads) > 1 << 20:
            raise UnknownError("strides, pads or dilations of windows")
        if automatic.startswith("SAME") and extents is not None:
            # As many windows as there are steps, and one more pad at the end or at the beginning where that is odd.
            missing = [(-(-n // s) - 1) * s + k - n for n, s, k in zip(extents, strides, kernel, strict=True)]
            # Where windows leave out more than the last number, or have gaps, runtimes do not agree on where they begin.
            if min(missing) < -1 or set(dilations) != {1}:
                raise UnknownError("padding that is not stated, of windows with gaps")
            total = [max(t, 0) for t in missing]
            less, most = [t // 2 for t in total], [t - t // 2 for t in total]
            pads = [*less, *most] if automatic == "SAME_UPPER" else [*most, *less]
        return strides, pads, dilations

    def _windows(
        self, value: Value, weight: Array, bias: Array | None, groups: int, attributes: dict[str, Any]
    ) -> Value:
        operator, shape = self._convolution(value.shape, weight, bias, groups, attributes)
        return self._affine(operator, [value], shape)

    def _convolution(
        self, before: tuple[int, ...], weight: Array, bias: Array | None, groups: int, attributes: dict[str, Any]
    ) -> tuple[Convolution, tuple[int, ...]]:
        """A convolution in one or two dimensions of values of a shape, and the shape of what it makes."""
        rank = weight.ndim - 2
        if len(before) != rank + 2 or before[0] != 1 or rank not in (1, 2) or groups < 1 or min(before) < 1:
            raise UnknownError("windows in other than one or two dimensions")
        strides, pads, dilations = self._frame(weight.shape[2:], before[2:], attributes)
        shape = before[1:]
        if rank == 1:
            weight, shape = weight[:, :, None], (shape[0], 1, shape[1])
            strides, dilations, pads = [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
        windows = Windows(
            (strides[0], strides[1]), (pads[0], pads[1], pads[2], pads[3]), (dilations[0], dilations[1]), groups
        )
        check_size((shape[0], shape[1] + pads[0] + pads[2], shape[2] + pads[1] + pads[3]))
        operator = Convolution(weight, bias, (shape[0], shape[1], shape[2]), windows)
        out = operator.out_shape
        return operator, (1, *out) if rank == 2 else (1, out[0], out[2])

    def average(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        value, kernel = self._value(operands), attributes.pop("kernel_shape", [])
        if attributes.pop("ceil_mode", 0) or len(kernel) not in (1, 2) or min(kernel) < 1 or max(kernel) > 1 << 12:
            raise UnknownError("the kernel of an AveragePool")
        # Where an operator does not have an attribute, who reads it may refuse it or leave it out.
        if self._opset < 19 and "dilations" in attributes:
            raise UnknownError("the attribute 'dilations' of an AveragePool")
        return self._averaged(value, kernel, attributes)

    def average_all(self, operands: list[Any], _: dict[str, Any]) -> Value:
        value = self._value(operands)
        return self._averaged(value, list(value.shape[2:]), {})

    def _averaged(self, value: Value, kernel: list[int], attributes: dict[str, Any]) -> Value:
        channels, counts_pads = value.shape[1], attributes.pop("count_include_pad", 0)
        check_size((channels, *kernel))
        ones = self._numbers.load(np.ones((channels, 1, *kernel)))
        summed = self._windows(value, ones, None, channels, attributes)
        operator, load = self._nodes[summed.node].operator, self._numbers.load
        count = load(np.full(math.prod(summed.shape), float(math.prod(kernel))))
        if not counts_pads and operator is not None:
            (count,) = operator.forward(load(np.ones((1, math.prod(value.shape)))))
        if (count == 0).any():
            raise UnknownError("an average over nothing")
        return self._shared(summed, count)

    def normalize(self, operands: list[Any], attributes: dict[str, Any]) -> Value:
        """``scale (x - mean) / sqrt(variance + epsilon) + bias`` by channel."""
        epsilon = attributes.pop("epsilon", float(np.float32(1e-5)))
        attributes.pop("momentum", None)
        if attributes.pop("training_mode", 0) or attributes.pop("spatial", 1) != 1 or len(operands) != 5:
            raise UnknownError("a BatchNormalization that may be training")
        value, channels = self._value(operands[:1]), operands[0].shape[1]
        if any(isinstance(x, Value) or x.shape != (channels,) or x.dtype.kind != "f" for x in operands[1:]):
            raise UnknownError("a BatchNormalization by what is no constant")
        scale, bias, mean, variance = (x.astype(np.float64) for x in operands[1:])
        if not (variance + epsilon > 0).all() or not (variance >= 0).all() or not epsilon >= 0:
            raise UnknownError("a variance that is not above 0")
        with np.errstate(all="ignore"):
            small = abs(scale) / np.sqrt(variance + epsilon) < _LEAST_FACTOR
        # What vanishes there can be large again by the mean.
        if (small & (scale != 0)).any():
            raise UnknownError("a BatchNormalization by a factor this small")
        each = math.prod(value.shape[2:])
        load = self._numbers.load
        factor = load(scale) / self._numbers.root(load(variance) + load(np.full(channels, epsilon)))
        moved = load(mean) * factor
        shift, size = load(bias) - moved, abs(load(bias)) + abs(moved)
        factor, shift, size = (np.tile(np.repeat(part, each), value.shape[0]) for part in (factor, shift, size))
        operator = Scale(math.prod(value.shape), factor, shift, roundings=8, summed=size)
        return self._affine(operator, [value], value.shape)

    # Sums along axes.

    def _added(self, value: Value, shape: tuple[int, ...], factor: float = 1.0, shift: float = 0.0) -> Value:
        """The sum over the last axis, by a factor, and a number."""
        ones = self._numbers.load(np.full((value.shape[-1], 1), factor))
        dense = Dense(ones, self._numbers.load(np.full(math.prod(shape), shift)), math.prod(shape))
        return self._affine(dense, [value], shape)

    def _axes(self, operands: list[Any], attributes: dict[str, Any], since: int, name: str) -> tuple[list[int], bool]:
        """Over which axes an operator takes numbers together, and whether these are kept."""
        rank, named = len(operands[0].shape), self._named(operands, attributes, since, name)
        if attributes.pop("noop_with_empty_axes", 0) and not named:
            raise UnknownError(f"the axes of a {name}")
        return sorted(axes_of(named or range(rank), rank, name)), bool(attributes.pop("keepdims", 1))

    def _together(self, value: Value, axes: list[int]) -> tuple[Value, tuple[int, ...]]:
        """A value with some axes as its last one, and the shape of what is made of each with these kept."""
        rest = [axis for axis in range(len(value.shape)) if axis not in axes]
        moved = self.transpose([value], {"perm": [*rest, *axes]})
        kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(value.shape))
        rows = math.prod(kept)
        return self._value([shaped(moved, (rows, math.prod(value.shape) // rows))]), kept

    def _reduced(self, value: Value, axes: list[int], *, mean: bool = False, keeps: bool = True) -> Value:
        """Sums or means over axes."""
        rows, kept = self._together(value, axes)
        total = self._added(rows, (math.prod(kept),))
        total = self._shared(total, float(rows.shape[-1])) if mean else total
        return Value(total.node, kept if keeps else tuple(d for k, d in enumerate(kept) if k not in axes))

    def reduce(self, operands: list[Any], attributes: dict[str, Any], *, mean: bool) -> Value:
        axes, keeps = self._axes(operands, attributes, 18 if mean else 13, "sum")
        return self._reduced(self._value(operands[:1]), axes, mean=mean, keeps=keeps)

    def running(self, operands: list[Any], attributes: dict[str, Any]) -> Operand:
        """Sums of all that is before along an axis."""
        value, named = self._value(operands[:1]), operands[1]
        if isinstance(named, Value) or named.size != 1 or len(operands) > 2:
            raise UnknownError("the axis of a CumSum")
        (axis,), order = axes_of([int(named.reshape(()))], len(value.shape), "CumSum"), list(range(len(value.shape)))
        order[axis], order[-1] = order[-1], order[axis]
        extent = value.shape[axis]
        matrix = np.tri(extent, extent, -attributes.pop("exclusive", 0))
        matrix = matrix if attributes.pop("reverse", 0) else matrix.T
        rows = self._value([self.transpose([value], {"perm": order})])
        return self.transpose([self._dense(rows, self._numbers.load(matrix), None)], {"perm": order})
