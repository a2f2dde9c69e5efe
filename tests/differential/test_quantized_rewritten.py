"""Groups that onnxruntime computes by another rule than their operator's name says, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from differential.quantized_runtime import mismatches, mixed_codes
from netproof.errors import InputError
from netproof.formats.onnx.read import read_deployed
from quantized_models import MICROSOFT, Model

ENDS = {"uint8": (0, 255), "int8": (-128, 127)}


def average(rng: np.random.Generator, form: str, kind: str) -> Model:
    """A mean by a window that is as large as the image, on one to three axes."""
    low, high = ENDS[kind]
    extents = rng.integers(1, 4, int(rng.integers(1, 4))).tolist()
    first = float(2.0 ** rng.integers(-6, 0) if rng.random() < 0.3 else np.float32(np.exp(rng.uniform(-5, 0))))
    # Of equal scales every second sum of an even window is a half.
    second = first if rng.random() < 0.5 else float(np.float32(np.exp(rng.uniform(-5, 0))))
    zeros = [int(rng.choice([low, high, rng.integers(low, high + 1)])) for _ in range(2)]
    more: dict[str, Any] = {"kernel_shape": extents, "strides": rng.integers(1, 4, len(extents)).tolist()}
    more["count_include_pad"] = int(rng.integers(2))
    if rng.random() < 0.5:
        more |= {"auto_pad": "VALID"} if rng.random() < 0.5 else {"pads": [0] * 2 * len(extents)}
    if rng.random() < 0.3:
        more["ceil_mode"] = 1
    model = Model((1, 2, *extents), kind if form == "qoperator" else "float32")
    if form == "qoperator":
        operands = ["x", *model.how(first, zeros[0], kind), *model.how(second, zeros[1], kind)]
        model.node("QLinearAveragePool", operands, "y", MICROSOFT, **more)
        return model
    model.quantize("x", first, zeros[0], "q", kind)
    model.dequantize("q", first, zeros[0], "d", kind)
    model.node("AveragePool", ["d"], "f", **more)
    model.quantize("f", second, zeros[1], "p", kind)
    model.dequantize("p", second, zeros[1], "y", kind)
    return model


@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_a_window_of_the_whole_image_adds_whole_numbers(form, kind, tmp_path):
    path = tmp_path / "n.onnx"
    for seed in range(40):
        deployed = read_deployed(average(np.random.default_rng(seed), form, kind).save(path))
        assert deployed is not None
        found = mismatches(deployed, mixed_codes(deployed, 40, seed), every=False)
        assert not any(wrong for wrong, _ in found.values()), seed


class Chain:
    """Pairs of QuantizeLinear and DequantizeLinear in a row, with what moves, does nothing or takes a value as well between them."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng([seed, 7])
        self.kinds = ["uint8", "int8"] if rng.random() < 0.2 else [str(rng.choice(["uint8", "uint8", "int8"]))]
        self.model = Model((1, 2, 3, 2), "float32")
        self.model.opset = int(rng.choice([12, 13, 17, 19, 21]))
        self.shape: tuple[int, ...] = (1, 2, 3, 2)
        self.count = 0
        value, how = self._paired("x")
        for _ in range(int(rng.integers(1, 3))):
            first = value
            for _ in range(int(rng.choice([0, 1, 1, 2]))):
                value = self._between(value)
            before = how
            value, how = self._paired(value, how if rng.random() < 0.2 else None)
            if rng.random() < 0.4 and len(set(self.kinds)) == 1:
                value, how = self._with_branch(value, first, before)
        self.model.node("Identity", [value], "y")

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def _paired(self, value: str, how: tuple[float, int, str] | None = None) -> tuple[str, tuple[float, int, str]]:
        rng = self.rng
        if how is None:
            kind = str(rng.choice(self.kinds))
            low, high = ENDS[kind]
            scale = float(np.float32(2.0 ** rng.integers(-6, 0) if rng.random() < 0.3 else np.exp(rng.uniform(-5, 0))))
            how = (scale, int(rng.choice([low, high, rng.integers(low, high + 1)])), kind)
        codes = self.model.quantize(value, *how[:2], self.name(), how[2])
        return self.model.dequantize(codes, *how[:2], self.name(), how[2]), how

    def _between(self, value: str) -> str:
        rng, model, name = self.rng, self.model, self.name()
        operator = str(
            rng.choice(
                ["Add", "Mul", "Transpose", "Transpose", "Slice", "Expand", "Reshape", "MaxPool", "Relu", "LeakyRelu"]
            )
        )
        if operator == "Transpose":
            order = rng.permutation(4).tolist()
            self.shape = tuple(self.shape[axis] for axis in order)
            return model.node(operator, [value], name, perm=order)
        if operator == "Reshape":
            self.shape = tuple(rng.permutation(self.shape).tolist())
            return model.node(operator, [value, model.constant(np.array(self.shape))], name)
        number = float(operator == "Mul") if rng.random() < 0.7 else 0.5
        ends = [model.constant(np.array([end])) for end in (0, 2**63 - 1, 3)]
        more = {
            "Add": [model.constant(np.float32(number))], "Mul": [model.constant(np.float32(number))],
            "Slice": ends, "Expand": [model.constant(np.ones(1, np.int64))],
        }.get(operator, [])  # fmt: skip
        stated: dict[str, Any] = {"MaxPool": {"kernel_shape": [1, 1]}, "LeakyRelu": {"alpha": 0.25}}.get(operator, {})
        return model.node(operator, [value, *more], name, **stated)

    def _with_branch(
        self, value: str, first: str, before: tuple[float, int, str]
    ) -> tuple[str, tuple[float, int, str]]:
        """What the pair in front gives is taken by something else as well, and both are added or joined."""
        rng, model = self.rng, self.model
        other = model.node("LeakyRelu", [first], self.name(), alpha=0.5) if rng.random() < 0.7 else first
        other = self._paired(other, None if rng.random() < 0.7 else before)[0]
        size = math.prod(self.shape)
        flat = [
            model.node("Reshape", [one, model.constant(np.array([1, size]))], self.name()) for one in (value, other)
        ]
        joined = self._paired(model.node("Concat", flat, self.name(), axis=1))
        self.shape = (1, 2, size, 1)
        value = model.node("Reshape", [joined[0], model.constant(np.array(self.shape))], self.name())
        return self._paired(value, joined[1])


def test_pairs_in_a_row(tmp_path):
    """What is read of such files is what onnxruntime computes."""
    path, compared, refused = tmp_path / "n.onnx", 0, 0
    for seed in range(250):
        Chain(seed).model.save(path)
        try:
            deployed = read_deployed(path)
        except InputError as refusal:
            refused += "in a row" in str(refusal)
            continue
        assert deployed is not None
        try:
            found = mismatches(deployed, mixed_codes(deployed, 12, seed), every=False)
        except InputError:
            continue  # onnxruntime's own optimizations make some files invalid
        assert not any(wrong for wrong, _ in found.values()), seed
        compared += 1
    assert compared >= 60 and refused >= 60


def listed(seed: int) -> Model:
    """A sum, product or mean whose scales and zero points are scalars or lists of one, with what keeps it from being fused now and then."""
    rng = np.random.default_rng([seed, 11])
    kind = str(rng.choice(["uint8", "uint8", "int8"]))
    model = Model((1, 2, 2, 3))

    def how() -> list[str]:
        scale = 2.0 ** rng.integers(-5, 0) if rng.random() < 0.3 else np.exp(rng.uniform(-4, 0))
        shapes = [(1,) if rng.random() < 0.4 else () for _ in range(2)]
        zero = int(rng.choice([*ENDS[kind], rng.integers(*ENDS[kind])]))
        return [model.constant(np.full(shapes[0], scale, np.float32)), model.constant(np.full(shapes[1], zero, kind))]

    operand, result = how(), how()
    model.node("QuantizeLinear", ["x", *operand], "q")
    model.node("DequantizeLinear", ["q", *operand], "d")
    operator = str(rng.choice(["Add", "Mul", "AveragePool"]))
    if operator == "AveragePool":
        model.node(operator, ["d"], "f", kernel_shape=[2, 3])
    else:
        codes = rng.integers(0, 256, (1, 2, 2, 3)).astype(np.uint8).view(kind)
        other = model.node("DequantizeLinear", [model.constant(codes), *how()], "e")
        model.node(operator, ["d", "d" if operator == "Add" and rng.random() < 0.3 else other], "f")
    value = model.node("Relu", ["f"], "r") if rng.random() < 0.5 else "f"
    model.node("QuantizeLinear", [value, *result], "p")
    model.node("DequantizeLinear", ["p", *result], "y")
    return model


def test_lists_of_one_scale(tmp_path):
    """What is fused has to have scalars, or onnxruntime refuses it; what is not has none to check."""
    path, compared, refused = tmp_path / "n.onnx", 0, 0
    for seed in range(150):
        try:
            deployed = read_deployed(listed(seed).save(path))
        except InputError as refusal:
            refused += "lists of one number" in str(refusal)
            continue
        assert deployed is not None
        found = mismatches(deployed, mixed_codes(deployed, 12, seed), every=False)
        assert not any(wrong for wrong, _ in found.values()), seed
        compared += any(one.ndim for one in listed(seed).constants.values() if one.size == 1)
    assert compared >= 20 and refused >= 20
