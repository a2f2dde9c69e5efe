"""A network of integers and its float twin against brute force in fractions over all inputs of a box."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import netproof
from netproof import Agreement, Brightness, Settings, Twins
from netproof.agreement.enclosures import Difference, Enclosed
from netproof.errors import InputError, QueryError
from netproof.network import Kept, Meaning
from tflite_files import TFLiteFile

IN, HIDDEN, OUT = (1 / 256, -128), (1 / 64, -128), (1 / 16, 4)


class Case:
    """Two inputs, four neurons, three outputs in codes, and the same with real weights that are near to them."""

    def __init__(self, folder: Path, seed: int, noise: float = 0.004) -> None:
        rng = np.random.default_rng(seed)
        weights = [rng.integers(-127, 128, (4, 2)), rng.integers(-127, 128, (3, 4))]
        scales = np.float32(1 / 100), np.float32(1 / 90)
        file = TFLiteFile()
        x, hidden, scores = file.tensor((1, 2), *IN), file.tensor((1, 4), *HIDDEN), file.tensor((1, 3), *OUT)
        codes = [file.constant(w.astype(np.int8), s) for w, s in zip(weights, scales, strict=True)]
        file.operator("FULLY_CONNECTED", [x, codes[0], -1], [hidden], {0: ("b", 1)})
        file.operator("FULLY_CONNECTED", [hidden, codes[1], -1], [scores], {0: ("b", 0)})
        (folder / "codes.tflite").write_bytes(file.bytes(x, scores))
        self.integer = netproof.load(folder / "codes.tflite")
        self.weights = [
            (w * s + rng.uniform(-noise, noise, w.shape)).astype(np.float32)
            for w, s in zip(weights, scales, strict=True)
        ]
        nodes = [
            helper.make_node("Gemm", ["x", "a"], ["h"], transB=1),
            helper.make_node("Relu", ["h"], ["r"]),
            helper.make_node("Gemm", ["r", "b"], ["y"], transB=1),
        ]
        graph = helper.make_graph(
            nodes, "twin", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
            [numpy_helper.from_array(w, n) for w, n in zip(self.weights, "ab", strict=True)],
        )  # fmt: skip
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), folder / "f.onnx"
        )
        self.real = netproof.load(folder / "f.onnx")

    def exact(self, codes: Any) -> list[Fraction]:
        """The twin's outputs at codes, in fractions."""
        x = [(Fraction(int(k)) - IN[1]) * Fraction(IN[0]) for k in codes]
        a, b = ([[Fraction(float(n)) for n in row] for row in w] for w in self.weights)
        h = [max(Fraction(0), sum((n * v for n, v in zip(row, x, strict=True)), Fraction(0))) for row in a]
        return [sum((n * v for n, v in zip(row, h, strict=True)), Fraction(0)) for row in b]

    def off(self, codes: Any) -> Fraction:
        """The largest difference of an output at codes, in codes."""
        given = torch.tensor([float(k) for k in codes], dtype=torch.float64)
        found = self.integer.graph.evaluate(given).tolist()
        exact = self.exact(codes)
        return max(abs(Fraction(int(q)) - OUT[1] - y / Fraction(OUT[0])) for q, y in zip(found, exact, strict=True))


def points(low: Any, high: Any) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))))


def test_outputs_are_enclosed(tmp_path: Path) -> None:
    case = Case(tmp_path, 1)
    codes = np.random.default_rng(0).integers(-128, 128, (30, 2))
    low, high = Enclosed(case.real, case.integer.input_meaning).intervals(codes)
    for row, a, b in zip(codes, low, high, strict=True):
        for y, least, most in zip(case.exact(row), a, b, strict=True):
            assert Fraction(least) <= y <= Fraction(most) and most - least < 1e-9


def test_differences_are_bounded_at_every_input(tmp_path: Path) -> None:
    """Bounds hold at every point of a box, and are within a step of what is attained where the box is one point."""
    for seed in range(6):
        case, rng = Case(tmp_path, seed, 0.05), np.random.default_rng(seed)
        bounds = Difference(case.integer, case.real, case.integer.input_meaning, case.integer.output_meaning)
        low = rng.integers(-128, 110, 2)
        high = low + rng.integers(0, 14, 2) * (seed > 0)
        value = bounds.bounded(low, high).value.tolist()
        for point in points(low, high):
            codes = case.integer.graph.evaluate(torch.tensor(point, dtype=torch.float64)).tolist()
            for j, (q, y) in enumerate(zip(codes, case.exact(point), strict=True)):
                difference = (Fraction(int(q)) - OUT[1]) * Fraction(OUT[0]) - y
                assert Fraction(value[j]) >= difference >= -Fraction(value[3 + j])
                if seed == 0:
                    assert value[j] - difference < 1e-9


@pytest.mark.parametrize("tried", [None, 0])
def test_boxes_are_decided_as_brute_force_has_them(tried: int | None, tmp_path: Path, monkeypatch: Any) -> None:
    """Just reached, and just not: by evaluating all of a small box, and by bounds."""
    if tried is not None:
        monkeypatch.setattr("netproof.agreement.twins._TRIED", tried)
    methods = set()
    for seed in range(4):
        case, rng = Case(tmp_path, seed, 0.01), np.random.default_rng(seed)
        low = rng.integers(-128, 100, 2)
        high = low + rng.integers(6, 16, 2)
        largest = max(case.off(point) for point in points(low, high))
        for within in (int(largest), int(largest) + 1):
            found = Twins(case.integer, case.real, Agreement(within)).on_box((low, high), low, Settings(timeout=60))
            assert found.verdict.value == ("unsat" if largest <= within else "sat"), (seed, within, found)
            methods.add(found.method)
            if found.witness is not None:
                assert case.off(found.witness) > within and bool(
                    ((low <= found.witness) & (found.witness <= high)).all()
                )
    assert methods == ({"enumeration"} if tried is None else {"bound"} if methods == {"bound"} else {"attack", "bound"})


def classes(case: Case, point: Any) -> tuple[int, int]:
    given = torch.tensor([float(k) for k in point], dtype=torch.float64)
    exact = case.exact(point)
    return int(case.integer.classify(given)), exact.index(max(exact))


@pytest.mark.parametrize("tried", [None, 0])
def test_classes_are_compared_as_brute_force_has_them(tried: int | None, tmp_path: Path, monkeypatch: Any) -> None:
    if tried is not None:
        monkeypatch.setattr("netproof.agreement.twins._TRIED", tried)
    verdicts = []
    for seed in range(8):
        case, rng = Case(tmp_path, seed, 0.03), np.random.default_rng(seed)
        low = rng.integers(-128, 90, 2)
        high = low + rng.integers(1, 30, 2)
        same = all(len(set(classes(case, point))) == 1 for point in points(low, high))
        found = Twins(case.integer, case.real).on_box((low, high), (low + high) // 2, Settings(timeout=20))
        verdicts.append(found.verdict.value)
        if tried is None:
            assert found.verdict.value == ("unsat" if same else "sat"), seed
        else:
            assert found.verdict.value in (("unsat", "unknown") if same else ("sat", "unknown")), seed
        if found.witness is not None:
            assert len(set(classes(case, found.witness))) == 2
    assert verdicts.count("unsat") >= 2 and "sat" in verdicts


def test_lists_and_sets(tmp_path: Path) -> None:
    case = Case(tmp_path, 3, 0.05)
    codes = np.random.default_rng(1).integers(-128, 128, (40, 2))
    for within in (None, 0, 1, 2):
        found = Twins(case.integer, case.real, Agreement(within)).compared(codes)
        assert not found.doubtful.any()
        for row, pair, largest, broken in zip(codes, found.classes, found.largest, found.broken, strict=True):
            assert tuple(pair) == classes(case, row) and abs(largest - float(case.off(row))) < 1e-9
            assert broken == (pair[0] != pair[1] if within is None else case.off(row) > within)
        around = Twins(case.integer, case.real, Agreement(within)).on_set(codes[0], Brightness(9))
        line = [np.clip(codes[0] + d, -128, 127) for d in range(-9, 10)]
        broken = [classes(case, x)[0] != classes(case, x)[1] if within is None else case.off(x) > within for x in line]
        assert around.verdict.value == ("sat" if any(broken) else "unsat")
    assert len(Twins(case.integer, case.real).compared(codes[:0]).classes) == 0


def test_a_difference_that_rounding_leaves_open_is_no_agreement(tmp_path: Path, monkeypatch: Any) -> None:
    case = Case(tmp_path, 3)
    twins = Twins(case.integer, case.real, Agreement(1))
    wide = Enclosed.intervals
    monkeypatch.setattr(
        Enclosed, "intervals", lambda self, x: tuple(e + d for e, d in zip(wide(self, x), (-1, 1), strict=True))
    )
    found = twins.on_set(np.zeros(2), Brightness(3), Settings(timeout=20))
    assert found.verdict.value == "unknown" and "rounding leaves" in found.reason
    assert twins.compared(np.zeros((1, 2))).doubtful.all()


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    case = Case(tmp_path, 0)
    for integer, real, agreement, words in (
        (case.real, case.integer, None, "no float twin"),
        (replace(case.integer, input_meaning=None), case.real, None, "the codes of its inputs"),
        (replace(case.integer, output_meaning=None), case.real, None, "the codes of its outputs"),
        (replace(case.integer, kept=Kept.NOTHING), case.real, None, "one code to different operands"),
        (replace(case.integer, kept=Kept.CLASS), case.real, Agreement(1), "ends in a softmax where"),
        (case.integer, replace(case.real, lower=torch.zeros(2).double()), None, "a limited range"),
        (replace(case.integer, input_meaning=Meaning(Fraction(1, 3), Fraction(0))), case.real, None, "float64 does not hold"),
    ):  # fmt: skip
        with pytest.raises(InputError) as refusal:
            Twins(integer, real, agreement)
        assert words in str(refusal.value) and "\n" not in str(refusal.value)
    twins = Twins(case.integer, case.real)
    for values in (np.zeros(3), np.full((1, 2), 200), np.full((1, 2), 0.5), np.array(["a", "b"])):
        with pytest.raises(QueryError):
            twins.compared(values)
    with pytest.raises(QueryError):
        twins.on_box((np.ones(2), np.zeros(2)), np.zeros(2))
