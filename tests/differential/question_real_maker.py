"""Random float networks for hostile questions: every operator that is read, in graphs of one node to a dozen."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from differential.question_reals import Call, Kinks, Objects, RealNetwork, Shape, apply

Array = NDArray[np.float32]

#: where weights come from
PALETTES = ("dyadic", "whole", "normal", "hostile")
_HOSTILE = (1e8, -1e8, 3e7, 1.0, -1.0, 0.1, 3.0, 1e-8, -1e-8, 1e-4, 1e4, 0.0)
_MOST_FEATURES = 24

#: kinds of calls, as often as they are listed
_FLAT = (
    *("Gemm", "Relu") * 5, "MatMul", "Abs", "LeakyRelu", "Clip", "Clip", "BatchNormalization", "AddConstant", "SubConstant",
    "ConstantSub", "MulConstant", "DivConstant", "Neg", "Identity", "Dropout", "Cast", "Add", "Sub", "Sum", "Concat", "Slice",
    "Gather", "Split", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Expand", "Tile", "Pad", "ReduceMean", "ReduceSum",
    "Flatten",
)  # fmt: skip
_IMAGE = (
    *("Conv", "Relu") * 3, "ConvTranspose", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization", "Flatten",
    "Abs", "LeakyRelu", "Clip", "Add", "Sub", "Concat", "Transpose", "Pad", "MulConstant", "AddConstant", "Slice", "Gather",
)  # fmt: skip
#: networks of one node
_ALONE = (
    "Identity", "Flatten", "MulConstant", "Reshape", "Relu", "Neg", "Gemm", "Clip", "AddConstant", "Cast", "Dropout", "Slice",
    "Gather", "Transpose", "Abs", "LeakyRelu", "Concat", "Sub", "Add", "Sigmoid", "Tanh", "ReduceSum", "DivConstant", "Pad",
)  # fmt: skip

#: what leaves a value as it is
_SAME = ("Identity", "Flatten", "Reshape", "Cast", "Dropout", "one", "zero")


def random_network(random: np.random.Generator, points: Sequence[Sequence[Fraction]], shape: Shape) -> RealNetwork:
    """A network that takes points of that shape; where its kinks are depends on them."""
    return _Maker(random, points, shape).made()


class _Maker:
    def __init__(self, random: np.random.Generator, points: Sequence[Sequence[Fraction]], shape: Shape) -> None:
        self.random = random
        self.palette = str(random.choice(PALETTES, p=[0.45, 0.1, 0.3, 0.15]))
        way = random.random()
        self.smooth, self.curved = way < 0.12, 0.12 <= way < 0.24
        self.shape = shape
        self.calls: list[Call] = []
        #: every value, at each of the points
        self.values: list[list[Objects]] = [[_array(point, shape) for point in points]]

    def made(self) -> RealNetwork:
        random = self.random
        style = random.random()
        if style < 0.06:  # the output is the input, by one node or two
            at = self.call(str(random.choice(_SAME)), 0)
            at = self.call(str(random.choice(_SAME)), at) if random.random() < 0.3 else at
        elif style < 0.14:
            at = self.call(str(random.choice(_ALONE)), 0)
        else:
            at = self.grown(int(random.integers(1, 9)))
            if style < 0.24:  # a function less itself, or with itself
                at = self.twin(at)
            at = self.ended(at)
        softmax = (
            random.random() < 0.07
            and self.shape_of(at)[0] == 1
            and len(self.shape_of(at)) == 2
            and self.values[at][0].size > 1
        )
        return RealNetwork(self.shape, tuple(self.calls), at, bool(softmax))

    def shape_of(self, at: int) -> Shape:
        return self.values[at][0].shape

    def add(self, op: str, operands: Sequence[int], constants: Sequence[Any] = (), **options: Any) -> int:
        call = Call(op, tuple(operands), tuple(np.asarray(c, np.float32) for c in constants), options)
        kinks = Kinks()
        results = [apply(call, [self.values[i][p] for i in operands], kinks) for p in range(len(self.values[0]))]
        self.calls.append(call)
        self.values.append(results)
        return len(self.calls)

    def grown(self, count: int) -> int:
        at = 0
        for _ in range(count):
            rank = len(self.shape_of(at))
            kinds = _IMAGE if rank == 4 else _FLAT
            if self.smooth and self.random.random() < 0.3:
                kinds = ("Sigmoid", "Tanh")
            if self.curved and self.random.random() < 0.4:
                kinds = ("Mul", "Div", "Div", "Share", "Reciprocal")
            before, op = at, str(self.random.choice(kinds))
            at = self.call(op, at)
            if self.values[at][0].size > _MOST_FEATURES:
                at = before  # a dead node from now on
            elif self.random.random() < 0.05:
                self.call(str(self.random.choice(kinds)), at)  # nothing reads it
        return at

    def twin(self, at: int) -> int:
        """A value, and the same function once more or the value itself, together."""
        other = at
        if self.random.random() < 0.5 and at:
            last = self.calls[at - 1]
            other = self.add(last.op, last.operands, (), **last.options) if not last.constants else self._again(last)
        op = str(self.random.choice(["Sub", "Sub", "Add", "Sum"]))
        operands = [at, other, at] if op == "Sum" else [at, other]
        return self.add(op, operands)

    def divisor(self, at: int) -> int:
        """A value of the same shape that is nowhere 0, of either sign."""
        random, rank = self.random, len(self.shape_of(at))
        room = np.full((1,) * rank, random.choice([0.5, 1.0, 0.125, 2.0**-12, 3.0]))
        if random.random() < 0.3:
            found = self.add("Clip", [at], ends=(float(room.flat[0]), 4.0))
        else:
            found = self.add("AddConstant", [self.add(str(random.choice(["Abs", "Relu"])), [at])], [room])
        return found if random.random() < 0.8 else self.add("Neg", [found])

    def curve(self, op: str, at: int) -> int:
        """A product or a quotient of two values, one over a value, or shares of a sum (which are 1 together)."""
        random, shape = self.random, self.shape_of(at)
        same = [k for k in range(len(self.values)) if self.shape_of(k) == shape]
        other = int(random.choice(same))
        if op == "Mul":
            return self.add(op, [at, other])
        if op == "Reciprocal":
            return self.add(op, [self.divisor(at)])
        if op == "Div":
            return self.add(op, [at, self.divisor(other)])
        parts = self.divisor(at)
        axis = int(random.integers(1, len(shape))) if len(shape) > 1 else 0
        total = self.add("ReduceSum", [parts], axes=[axis], keepdims=True)
        return self.add("Div", [parts, total])

    def _again(self, last: Call) -> int:
        return self.add(last.op, last.operands, last.constants, **last.options)

    def ended(self, at: int) -> int:
        """Few outputs, in one row most of the time."""
        size = self.values[at][0].size
        if len(self.shape_of(at)) != 2 and self.random.random() < 0.85:
            at = (
                self.call("Flatten", at)
                if self.shape_of(at)[:1] == (1,)
                else self.add("Reshape", [at], shape=[1, size])
            )
        if len(self.shape_of(at)) == 2 and self.shape_of(at)[0] == 1 and (size > 4 or self.random.random() < 0.5):
            at = self.gemm(at, int(self.random.integers(1, 4)))
        return at

    # -- numbers

    def numbers(self, *shape: int) -> Array:
        random = self.random
        if self.palette == "dyadic":
            made = random.integers(-8, 9, shape) / random.choice([1, 2, 4, 8])
        elif self.palette == "whole":
            made = random.integers(-3, 4, shape).astype(float)
        elif self.palette == "normal":
            made = random.normal(size=shape)
        else:
            made = random.choice(_HOSTILE, shape) * (random.choice([1.0, 1.0, 1 + 2**-20], shape))
        made = np.asarray(made * (random.random(shape) > 0.15))
        if random.random() < 0.03:
            made *= 0
        return made.astype(np.float32)

    def biased(self, free: Objects) -> Array:
        """A bias that brings features to 0, or nearly, at the first point."""
        target = np.array([_nearest(v) for v in free.reshape(-1)], np.float32)
        chosen = self.random.random(len(target)) < (0.6 if self.palette == "dyadic" else 0.4)
        bias = self.numbers(len(target))
        return np.where(chosen, -target, bias).astype(np.float32)

    # -- calls

    def gemm(self, at: int, size: int) -> int:
        _, before = self.shape_of(at)
        transposed = int(self.random.random() < 0.5)
        weight = self.numbers(before, size)
        if size > 1 and self.random.random() < 0.2:
            weight[:, 1] = -weight[:, 0]
        alpha, beta = (1.0, 1.0) if self.random.random() < 0.8 else (0.5, -2.0)
        stored = weight.T.copy() if transposed else weight
        zero = np.zeros(size, np.float32)
        options = {"transB": transposed, "alpha": alpha, "beta": beta}
        free = apply(Call("Gemm", (at,), (stored, zero), options), [self.values[at][0]], Kinks())
        bias = self.biased(free) if beta == 1.0 else self.numbers(size)
        return self.add("Gemm", [at], [stored, bias], **options)

    def call(self, op: str, at: int) -> int:
        """An operator on a value; another one where it does not fit."""
        random, shape = self.random, self.shape_of(at)
        rank, size = len(shape), self.values[at][0].size
        flat, image = rank == 2 and shape[0] == 1, rank == 4 and shape[0] == 1
        pick = random.choice
        if op == "Gemm" and flat:
            return self.gemm(at, int(random.integers(1, 6)))
        if op == "MatMul" and flat:
            return self.add(op, [at], [self.numbers(shape[1], int(random.integers(1, 6)))])
        if op == "ConvTranspose":
            return self.transposed(at) if image else self.call("Relu", at)
        if op in ("Conv", "AveragePool", "MaxPool"):
            return self.window(op, at) if image else self.call("Relu", at)
        if op in ("GlobalAveragePool", "GlobalMaxPool") and image:
            return self.add(op, [at])
        if op in ("Mul", "Div", "Share", "Reciprocal"):
            return self.curve(op, at)
        if op == "BatchNormalization" and (flat or image):
            return self.norm(at)
        if op in ("AddConstant", "SubConstant", "ConstantSub", "MulConstant", "DivConstant"):
            return self.elementwise(op, at)
        if op in ("Abs", "Neg", "Identity", "Dropout", "Cast", "Relu", "Flatten", "Sigmoid", "Tanh"):
            return self.add(op, [at])
        if op in ("one", "zero"):
            operator, number = ("MulConstant", 1.0) if op == "one" else ("AddConstant", 0.0)
            return self.add(operator, [at], [np.full((1,) * rank, number)], first=bool(random.random() < 0.5))
        if op == "LeakyRelu":
            return self.add(op, [at], alpha=float(pick([0.1, 0.01, 0.5, 0.25, -0.5, 2.0, 1.0, 0.0])))
        if op == "Clip":
            low, high = float(pick([-1, -0.5, 0, 0, 0.1])), float(pick([0.1, 0.5, 1, 6]))
            if random.random() < 0.05:
                high = low
            return self.add(op, [at], ends=(None, high) if random.random() < 0.15 else (low, high))
        if op in ("Add", "Sub", "Sum"):
            same = [k for k in range(len(self.values)) if self.shape_of(k) == shape]
            other = int(pick(same))
            operands = [at, other] if random.random() < 0.5 else [other, at]
            return self.add(op, operands if op != "Sum" else [*operands, int(pick(same))])
        if op == "Concat":
            axis = int(random.integers(1, rank)) if rank > 1 else 0
            fits = [
                k for k in range(len(self.values))
                if len(self.shape_of(k)) == rank
                and all(a == axis or m == n for a, (m, n) in enumerate(zip(self.shape_of(k), shape, strict=True)))
            ]  # fmt: skip
            return self.add(op, [at, int(pick(fits))], axis=axis)
        if op == "Slice":
            axis = int(random.integers(rank))
            extent = shape[axis]
            start = int(random.integers(extent))
            way = random.random()
            if way < 0.2:
                return self.add(op, [at], slice=(extent - 1, -extent - 1, axis, -1))
            return self.add(op, [at], slice=(start, extent + 5 if way < 0.6 else start + 1, axis, 1 + (way > 0.9)))
        if op == "Gather":
            axis = int(random.integers(rank))
            indices = random.integers(-shape[axis], shape[axis], int(random.integers(1, 4))).tolist()
            return self.add(op, [at], indices=indices, axis=axis)
        if op == "Split" and max(shape) > 1:
            axis = int(np.argmax(shape))
            first = int(random.integers(1, shape[axis]))
            return self.add(op, [at], sizes=[first, shape[axis] - first], which=int(random.integers(2)), axis=axis)
        if op == "Reshape":
            return self.add(op, [at], shape=[1, size] if rank != 2 or random.random() < 0.7 else [1, size, 1])
        if op == "Transpose" and rank > 1:
            return self.add(op, [at], perm=[0, *(1 + random.permutation(rank - 1)).tolist()])
        if op == "Unsqueeze" and rank < 4:
            axis = int(random.integers(1, rank + 1))
            up = self.add(op, [at], axis=axis)
            return up if random.random() < 0.3 else self.add("Squeeze", [up], axis=axis)
        if op == "Expand" and flat and shape[1] == 1:
            return self.add(op, [at], shape=[1, 3])
        if op == "Tile" and flat:
            return self.add(op, [at], repeats=[1, 2])
        if op == "Pad":
            pads = random.integers(0, 2, (2, rank))
            pads[:, 0] = 0
            return self.add(op, [at], pads=pads.reshape(-1).tolist(), value=float(pick([0.0, 0.0, 0.5, -1.0])))
        if op in ("ReduceMean", "ReduceSum") and rank > 1:
            axes = sorted({int(a) for a in random.integers(1, rank, 2)})
            keep = bool(random.random() < 0.7) or rank - len(axes) < 2
            return self.add(op, [at], axes=axes, keepdims=keep)
        return self.add("Relu", [at])

    def elementwise(self, op: str, at: int) -> int:
        random, shape = self.random, self.shape_of(at)
        wanted = (1,) * len(shape) if random.random() < 0.3 else tuple(random.choice([1, e]) for e in shape)
        constant = self.numbers(*wanted) if random.random() < 0.9 else self.numbers().reshape(())
        if op == "DivConstant":
            constant = np.where(np.abs(constant) < 1e-6, np.float32(2), constant).astype(np.float32)
        elif op == "MulConstant" and random.random() < 0.3:
            constant = np.full_like(constant, random.choice([1.0, 1.0, 0.0, -1.0]))
        first = op in ("AddConstant", "MulConstant") and bool(random.random() < 0.4)
        return self.add(op, [at], [constant], first=first)

    def norm(self, at: int) -> int:
        random, channels = self.random, self.shape_of(at)[1]
        epsilon = float(random.choice([0.0, 2.0**-10, 2.0**-4]))
        roots = random.choice([0.25, 0.5, 1.0, 1.5, 2.0], channels)
        gain, bias, mean = (self.numbers(channels) for _ in range(3))
        return self.add("BatchNormalization", [at], [gain, bias, mean, roots**2 - epsilon], epsilon=epsilon)

    def window(self, op: str, at: int) -> int:
        random = self.random
        _, channels, height, width = self.shape_of(at)
        kernel = [int(random.integers(1, min(extent, 3) + 1)) for extent in (height, width)]
        pads = [int(random.integers(0, 2)) if kernel[a % 2] > 1 else 0 for a in range(4)]
        stride = int(random.choice([1, 1, 2]))
        if op != "Conv":
            options = {"include": bool(random.random() < 0.5)} if op == "AveragePool" else {}
            return self.add(op, [at], kernel=kernel, pads=pads, stride=stride, **options)
        group = channels if channels > 1 and random.random() < 0.2 else 1
        outputs = channels if group > 1 else int(random.integers(1, 4))
        weight = self.numbers(outputs, channels // group, *kernel)
        return self.add("Conv", [at], [weight, self.numbers(outputs)], pads=pads, stride=stride, group=group)

    def transposed(self, at: int) -> int:
        random, channels = self.random, self.shape_of(at)[1]
        kernel, stride = random.integers(1, 3, 2).tolist(), int(random.choice([1, 1, 2]))
        more = int(random.integers(stride))
        pads = [int(random.integers(0, 2)) if min(self.shape_of(at)[2:]) > 1 else 0 for _ in range(4)]
        group = channels if channels > 1 and random.random() < 0.2 else 1
        outputs = 1 if group > 1 else int(random.integers(1, 3))
        weight = self.numbers(channels, outputs, *kernel)
        bias = self.numbers(outputs * group)
        if any(
            stride * (e - 1) + k + more <= pads[a] + pads[a + 2]
            for a, (e, k) in enumerate(zip(self.shape_of(at)[2:], kernel, strict=True))
        ):
            pads = [0] * 4
        return self.add("ConvTranspose", [at], [weight, bias], pads=pads, stride=stride, group=group, more=more)


def _array(point: Sequence[Fraction], shape: Shape) -> Objects:
    made = np.empty(len(point), object)
    made[:] = list(point)
    return made.reshape(shape)


def _nearest(value: Any) -> float:
    """A float32 near a rational number, finite."""
    limit = float(np.finfo(np.float32).max)
    return max(min(float(value), limit), -limit)
