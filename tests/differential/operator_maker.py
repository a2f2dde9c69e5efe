"""Growing a random network by operators of all kinds: curves, products, jumps, maxima, normalizations, resizing, places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from differential.onnx_maker import Maker

CURVES = ("Exp", "Sin", "Cos", "Softplus", "Elu", "Selu", "Celu", "Erf", "Softsign", "Atan", "Sigmoid", "Tanh")
JUMPS = ("Sign", "Floor", "Ceil", "ThresholdedRelu")


def grow(maker: Maker) -> None:
    """One more operator, or a few that belong together, behind the maker's value, an image."""
    kind = maker.pick(*KINDS)
    if kind == "conv":
        maker.grow(("conv",))
    elif kind in _RESHAPING:
        _RESHAPING[kind](maker)
    else:
        maker.value = _ELEMENTWISE[kind](maker)


def _curve(maker: Maker) -> str:
    # Small enough that towers of exponentials stay numbers.
    return maker.add(maker.pick(*CURVES), _small(maker))


def _positive(maker: Maker) -> str:
    square = maker.add("Add", maker.add("Mul", maker.value, maker.value), maker.scalar(maker.pick(0.5, 1.0)))
    operator = maker.pick("Log", "Sqrt", "Reciprocal", "Pow")
    more = (maker.scalar(maker.pick(-0.5, 1.5, -2.0, 0.25)),) if operator == "Pow" else ()
    return maker.add(operator, square, *more)


def _quotient(maker: Maker) -> str:
    below = maker.add("Add", maker.add("Abs", _other(maker)), maker.scalar(0.75))
    return maker.add("Div", maker.value, below)


def _extreme(maker: Maker) -> str:
    other = maker.pick(_other(maker), maker.constant(maker.shape[1], 1, 1), maker.scalar(0.25))
    return maker.add(maker.pick("Max", "Min"), maker.value, other)


def _prelu(maker: Maker) -> str:
    return maker.add("PRelu", maker.value, maker.pick(maker.constant(maker.shape[1], 1, 1), maker.scalar(0.2)))


def _chosen(maker: Maker) -> str:
    limit = maker.constant(maker.shape[1], 1, 1)
    truth = maker.add(maker.pick("Greater", "Less", "LessOrEqual"), maker.value, limit)
    return maker.add("Where", truth, _other(maker), maker.value)


def _normalized(maker: Maker) -> str:
    scale, bias = (maker.constant(maker.shape[1]) for _ in range(2))
    return maker.add("InstanceNormalization", maker.value, scale, bias, epsilon=0.1)


def _reduced(maker: Maker) -> str:
    operator = maker.pick("ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceMean")
    return maker.add("Add", maker.add(operator, maker.value, axes=[2]), maker.value)


def _resized(maker: Maker) -> None:
    _, channels, height, width = maker.shape
    if max(height, width) < 6:
        scales = maker.numbers(1.0, 1.0, 2.0, 1.0)
        maker.value = maker.add("Resize", maker.value, "", scales, mode=maker.pick("nearest", "linear"))
        maker.shape = (1, channels, 2 * height, width)


def _blocks(maker: Maker) -> None:
    _, channels, height, width = maker.shape
    if height % 2 == 0 and width % 2 == 0:
        maker.value = maker.add("SpaceToDepth", maker.value, blocksize=2)
        maker.shape = (1, 4 * channels, height // 2, width // 2)


def _matrix(maker: Maker) -> None:
    _, channels, height, _ = maker.shape
    turned = maker.add("Transpose", _other(maker), perm=[0, 1, 3, 2])
    maker.value = maker.add("MatMul", maker.value, turned)
    maker.shape = (1, channels, height, height)


def _attention(maker: Maker) -> None:
    """Means weighted by shares that add up to 1."""
    _, channels, height, _ = maker.shape
    turned = maker.add("Transpose", _other(maker), perm=[0, 1, 3, 2])
    shares = maker.pick(maker.add("Softmax", maker.value, axis=3), _masked(maker))
    maker.value = maker.add("MatMul", shares, turned)
    maker.shape = (1, channels, height, height)


def _mask(maker: Maker) -> str:
    """0 and minus infinity, which leaves something of every row."""
    _, _, height, width = maker.shape
    absent = maker.random.random((height, width)) < 0.4
    absent[np.arange(height), maker.random.integers(width, size=height)] = False
    name = f"c{len(maker.constants)}"
    maker.constants[name] = np.where(absent, -np.inf, 0.0)
    return name


def _masked(maker: Maker) -> str:
    operands = [maker.value, _mask(maker)]
    return maker.add("Softmax", maker.add("Add", *maker.pick(operands, operands[::-1])), axis=3)


def _reduced_smoothly(maker: Maker) -> str:
    operator = maker.pick("ReduceLogSumExp", "ReduceProd", "ReduceSumSquare")
    return maker.add("Add", maker.add(operator, _small(maker), axes=[maker.pick(2, 3)]), maker.value)


def _response(maker: Maker) -> str:
    return maker.add("LRN", maker.value, size=3, alpha=0.5, beta=maker.pick(0.5, 0.75), bias=1.5)


def _largest(maker: Maker) -> str:
    place = maker.add(
        maker.pick("ArgMax", "ArgMin"), maker.value, axis=maker.pick(2, 3), select_last_index=maker.pick(0, 1)
    )
    return maker.add("Add", maker.add("Cast", place, to=1), maker.value)


def _scattered(maker: Maker) -> str:
    """Rows of a value at other places of it, or of numbers."""
    _, channels, height, _ = maker.shape
    rows = int(maker.random.integers(1, height + 1))
    name = f"c{len(maker.constants)}"
    places = maker.random.permutation(height)[:rows]
    maker.constants[name] = np.stack([np.zeros(rows), np.full(rows, channels - 1), places], -1).astype(np.int64)
    taken = maker.add("GatherND", _other(maker), name)
    return maker.add("ScatterND", maker.value, name, maker.add("Neg", taken))


def _looked_up(maker: Maker) -> str:
    """Numbers at a place that the value decides."""
    mean = maker.add("ReduceMean", maker.value, axes=[0, 1, 2, 3], keepdims=0)
    place = maker.add(
        "Cast", maker.add("Clip", maker.add("Mul", mean, maker.scalar(3.0)), maker.scalar(0.0), maker.scalar(2.5)), to=7
    )
    return maker.add("Add", maker.add("Gather", maker.constant(3, maker.shape[1], 1, 1), place), maker.value)


def _small(maker: Maker) -> str:
    """The value, no larger than 2 in magnitude."""
    return maker.add("Clip", maker.value, maker.scalar(-2.0), maker.scalar(2.0))


def _other(maker: Maker) -> str:
    """Another value of the same shape."""
    _, channels, _, _ = maker.shape
    shifted = maker.add("Add", maker.value, maker.constant(channels, 1, 1))
    return maker.pick(shifted, maker.add("Tanh", shifted), maker.add("Relu", shifted))


def _gate(maker: Maker) -> str:
    x = maker.value
    kind = maker.pick("gelu", "tanh gelu", "silu", "mish", "softsign", "plain")
    if kind == "tanh gelu":
        cube = maker.pick(maker.add("Mul", maker.add("Mul", x, x), x), maker.add("Pow", x, maker.scalar(3.0)))
        argument = maker.add("Add", x, maker.add("Mul", cube, maker.scalar(0.044715)))
        gate = maker.add("Tanh", maker.add("Mul", argument, maker.scalar(0.7978845608)))
        return maker.add("Mul", maker.add("Mul", x, maker.scalar(0.5)), maker.add("Add", gate, maker.scalar(1.0)))
    if kind == "gelu":
        erf = maker.add("Erf", maker.add("Div", x, maker.scalar(2.0**0.5)))
        return maker.add("Mul", maker.add("Mul", x, maker.add("Add", erf, maker.scalar(1.0))), maker.scalar(0.5))
    if kind == "silu":
        return maker.add("Mul", x, maker.add("Sigmoid", maker.add("Mul", x, maker.scalar(1.7))))
    if kind == "mish":
        return maker.add("Mul", x, maker.add("Tanh", maker.add("Softplus", x)))
    if kind == "softsign":
        return maker.add("Div", x, maker.add("Add", maker.add("Abs", x), maker.scalar(1.0)))
    return maker.add("Mul", x, maker.add("Cos", x))


_ELEMENTWISE: dict[str, Callable[[Maker], str]] = {
    "chosen": _chosen,
    "curve": _curve,
    "extreme": _extreme,
    "gate": _gate,
    "hard": lambda maker: maker.add("HardSigmoid", maker.value, alpha=0.4, beta=0.45),
    "largest": _largest,
    "looked up": _looked_up,
    "masked": _masked,
    "response": _response,
    "scattered": _scattered,
    "smoothly reduced": _reduced_smoothly,
    "jump": lambda maker: maker.add("Add", maker.add(maker.pick(*JUMPS), maker.value), maker.value),
    "normalized": _normalized,
    "positive": _positive,
    "prelu": _prelu,
    "product": lambda maker: maker.add("Mul", _other(maker), maker.value),
    "quotient": _quotient,
    "reduced": _reduced,
    "softmax": lambda maker: maker.add("Softmax", maker.value, axis=maker.pick(1, 3)),
    "square": lambda maker: maker.add("Pow", _small(maker), maker.scalar(maker.pick(2.0, 3.0))),
}
_RESHAPING: dict[str, Callable[[Maker], None]] = {
    "attention": _attention,
    "blocks": _blocks,
    "matrix": _matrix,
    "resized": _resized,
}
KINDS = ("conv", "curve", "gate", "product", *_ELEMENTWISE, *_RESHAPING)
