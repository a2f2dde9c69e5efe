"""Places that networks compute from their inputs: what is looked up, proved and found, against onnxruntime on every place."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from netproof.errors import FormatError
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.network import Network
from netproof.operators.activations.jumps.table import Table
from netproof.query import Result, Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import assert_agrees, model, node, run_onnxruntime, save

SIDE = 4


def cast(name: str, result: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [result], name=f"cast_{result}", to=to)


def patched(tmp_path: Path, *, more: bool = False, seed: int = 0) -> Path:
    """An image of 4 x 4 whose patch of 2 x 2 at a place, inputs 16 and 17, is blackened as exporters write ``x[a : a + 2, b : b + 2] = 0``;
    with ``more``, the place is a number of the result, too."""
    random = np.random.default_rng(seed)
    nodes = [
        node("Slice", ["x", "zero", "pixels"], ["flat"]),
        node("Reshape", ["flat", "image"], ["picture"]),
        node("Slice", ["x", "pixels", "second"], ["row_f"]),
        node("Slice", ["x", "second", "third"], ["column_f"]),
    ]
    for name in ("row", "column"):
        nodes += [
            cast(f"{name}_f", f"{name}_i", TensorProto.INT64),
            node("Add", [f"{name}_i", "two"], [f"{name}_e"]),
            node("Range", ["nought", "side", "one"], [f"{name}_all"]),
            node("Slice", [f"{name}_all", f"{name}_i", f"{name}_e"], [f"{name}_in"]),
        ]
    nodes += [
        node("Reshape", ["row_in", "down"], ["row_d"]),
        node("Mul", ["row_d", "ones"], ["row_m"]),
        node("Sub", ["row_d", "row_d"], ["row_z"]),
        node("Add", ["row_z", "column_in"], ["column_m"]),
        node("Shape", ["column_m"], ["both"]),
        node("Expand", ["row_m", "both"], ["row_w"]),
        node("Unsqueeze", ["row_w", "last"], ["row_u"]),
        node("Unsqueeze", ["column_m", "last"], ["column_u"]),
        node("Concat", ["row_u", "column_u"], ["places"], axis=-1),
        node("ConstantOfShape", ["both"], ["black"]),
        node("ScatterND", ["white", "places", "black"], ["mask"]),
        node("Mul", ["picture", "mask"], ["seen"]),
        node("Reshape", ["seen", "line"], ["v"]),
        node("MatMul", ["v", "w"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("MatMul", ["r", "u"], ["s"]),
        node("Mul", ["row_f", "tenth"], ["t"]) if more else node("Mul", ["flat_zero", "tenth"], ["t"]),
        node("Add", ["s", "t"], ["y"]),
    ]
    whole = {
        "zero": [0], "pixels": [16], "second": [17], "third": [18], "two": [2], "image": [SIDE, SIDE], "down": [-1, 1],
        "last": [-1], "ones": [1], "line": [16],
    }  # fmt: skip
    constants = {name: np.array(numbers, np.int64) for name, numbers in whole.items()}
    constants |= {name: np.array(number, np.int64) for name, number in (("nought", 0), ("side", SIDE), ("one", 1))}
    constants |= {
        "white": np.ones((SIDE, SIDE)), "w": random.normal(size=(16, 6)), "u": random.normal(size=(6, 1)),
        "tenth": np.array([0.1]), "flat_zero": np.zeros(1),
    }  # fmt: skip
    used = {name for one in nodes for name in one.input}
    return save(tmp_path / "m.onnx", model(nodes, [18], {k: v for k, v in constants.items() if k in used}))


def asked(path: Path, tmp_path: Path, ends: list[tuple[float, float]], limit: float, **settings: Any) -> Result:
    """Whether the result can be ``limit`` or more."""
    lines = [f"(declare-const X_{i} Real)" for i in range(len(ends))] + ["(declare-const Y_0 Real)"]
    for i, (low, high) in enumerate(ends):
        lines.append(f"(assert (>= X_{i} {low:.17f}))(assert (<= X_{i} {high:.17f}))")
    lines.append(f"(assert (>= Y_0 {limit:.17f}))")
    text = "".join(lines)
    asked_file = tmp_path / "p.vnnlib"
    asked_file.write_text(text)
    return verify(read_vnnlib(asked_file), Settings(**{"timeout": 60, **settings}), network=read_onnx(path))


def table_of(network: Network) -> Table:
    (table,) = [one.operator for one in network.graph.nodes if isinstance(one.operator, Table)]
    return table


def test_a_patch_is_read_as_onnxruntime_computes_it(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for more in (False, True):
        points = []
        for row, column in [
            *itertools.product(range(5), (0, 1, 3)),
            (-0.5, 0.99),
            (2.75, -0.25),
            (-1, 2),
            (-3, -2),
            (40, -7),
        ]:
            points.append(np.append(random.normal(size=16), [row, column]).astype(np.float32))
        network = assert_agrees(patched(tmp_path, more=more), points)
        table = table_of(network)
        # Beyond its axes nothing is blackened, whatever the place.
        assert table.at((4, 0)) is table.at((9, 3)) and not torch.equal(table.at((1, 0)), table.at((1, 1)))
        assert table.at((2**40, 0)) is None


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_attained_is_found_and_what_is_not_is_proved(tmp_path: Path, seed: int, more: bool) -> None:
    path = patched(tmp_path, more=more, seed=seed)
    random = np.random.default_rng(seed)
    image = random.normal(size=16).round(1)
    ends = [(value, value) for value in image] + [(-0.75, 3.5), (0.25, 2.0)]
    rows, columns = (-0.75, 0.0, 0.9999, 1.0, 1.9999, 2.5, 2.9999, 3.0, 3.5), (0.25, 0.999, 1.0, 1.5, 2.0)
    points = [np.append(image, place).astype(np.float32) for place in itertools.product(rows, columns)]
    top = max(float(y[0]) for y in run_onnxruntime(path.read_bytes(), points))
    found = asked(path, tmp_path, ends, top - 0.01)
    assert found.verdict is Verdict.SAT
    assert run_onnxruntime(path.read_bytes(), [found.witness.input.numpy()])[0][0] >= top - 0.01
    assert asked(path, tmp_path, ends, top + 0.01).verdict is Verdict.UNSAT
    assert asked(path, tmp_path, ends, top - 0.01, attack=False, timeout=0.5).verdict is not Verdict.UNSAT
    assert asked(path, tmp_path, ends, top + 0.01, proofs=True, timeout=0.5).verdict is not Verdict.SAT


def test_an_image_that_varies_as_well(tmp_path: Path) -> None:
    path = patched(tmp_path, seed=5)
    image = np.random.default_rng(5).normal(size=16).round(1)
    ends = [(value - 0.25, value + 0.25) if i in (5, 6) else (value, value) for i, value in enumerate(image)]
    ends += [(0.0, 2.5), (1.0, 1.0)]
    points = []
    for row, first, second in itertools.product(
        (0.0, 1.5, 2.5), np.linspace(-0.25, 0.25, 21), np.linspace(-0.25, 0.25, 21)
    ):
        x = np.append(image, [row, 1.0])
        x[5] += first
        x[6] += second
        points.append(x.astype(np.float32))
    top = max(float(y[0]) for y in run_onnxruntime(path.read_bytes(), points))
    assert asked(path, tmp_path, ends, top - 0.01).verdict is Verdict.SAT
    assert asked(path, tmp_path, ends, top + 0.05).verdict is Verdict.UNSAT


def test_a_place_without_a_value_is_not_proved(tmp_path: Path) -> None:
    nodes = [
        cast("x", "i", TensorProto.INT64),
        node("Gather", ["c", "i"], ["g"]),
        node("Mul", ["g", "x"], ["y"]),
    ]
    path = save(tmp_path / "m.onnx", model(nodes, [1], {"c": np.array([1.0, 2.0, -1.0])}))
    network = assert_agrees(path, [np.array([v], np.float32) for v in (0.0, 0.5, 1.5, 2.5, -0.5, -1.0, -2.9)])
    assert network.graph.evaluate(torch.tensor([3.0]).double()).isnan().all()
    assert network.graph.evaluate(torch.tensor([torch.inf]).double()).isnan().all()
    assert asked(path, tmp_path, [(0.0, 2.5)], 4.1).verdict is Verdict.UNSAT
    assert asked(path, tmp_path, [(0.0, 3.5)], 4.1).verdict is Verdict.UNKNOWN
    assert asked(path, tmp_path, [(0.0, 2.5)], 3.5).verdict is Verdict.SAT


def test_more_places_than_are_looked_up_in_time_are_a_timeout(tmp_path: Path) -> None:
    path = patched(tmp_path)
    ends = [(0.0, 0.0)] * 16 + [(0.0, 100.0), (0.0, 100.0)]
    assert asked(path, tmp_path, ends, 1e6, timeout=0.05).verdict is Verdict.TIMEOUT
    ends = [(0.0, 0.0)] * 16 + [(0.0, 1e6), (0.0, 3.0)]
    assert asked(path, tmp_path, ends, 0.0, attack=False, timeout=0.5).verdict in (Verdict.TIMEOUT, Verdict.UNKNOWN)


def test_what_depends_on_more_than_places_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [cast("x", "i", TensorProto.INT64), node("Gather", ["x", "i"], ["y"])]
    path = save(tmp_path / "m.onnx", model(nodes, [3]))
    with pytest.raises(FormatError, match=r"Gather.*operand 1 depends on the input, only a constant"):
        read_onnx(path)
    nodes = [cast("x", "i", TensorProto.INT64), node("Gather", ["c", "i"], ["g"]), node("Add", ["g", "x"], ["y"])]
    path = save(tmp_path / "m.onnx", model(nodes, [1], {"c": np.zeros((0,))}))
    with pytest.raises(FormatError, match=r"Gather of 0, .*no value for any of 0 to 3: .*Gather"):
        read_onnx(path)
    nodes = [cast("x", "i", TensorProto.INT64), node("OneHot", ["i", "d", "v"], ["y"])]
    path = save(tmp_path / "m.onnx", model(nodes, [1], {"d": np.array(3), "v": np.array([0.0, 1.0])}))
    with pytest.raises(FormatError, match=r"OneHot of what is looked up, .*whole numbers.*unknown operator"):
        read_onnx(path)


@pytest.mark.parametrize("seed", range(4))
def test_ranges_and_hulls_hold_every_row(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    rows = torch.randn(9, 9, 3, generator=random, dtype=torch.float64)
    table = Table(
        (2.0**20, 2.0**20), lambda place: rows[place[0] + 4, place[1] + 4] if max(map(abs, place)) < 5 else None
    )
    ends = 4 * torch.rand(2, 6, 5, generator=random, dtype=torch.float64) - 2
    ends[:, 0] = ends[:, 0].round()
    lower, upper = ends.amin(0), ends.amax(0)
    lower[:, 2:] = upper[:, 2:] = 0.0
    a = lower + torch.rand(200, 6, 5, generator=random, dtype=torch.float64) * (upper - lower)
    a = torch.cat([a, lower[None], upper[None]])
    value = table.evaluate(a)
    low, high = table.output_range(lower, upper)
    assert bool(((low <= value) & (value <= high)).all())
    v, s = torch.randn(2, 6, 5, generator=random, dtype=torch.float64)
    assert bool(((v * value - s * a).sum(2) <= table.hull(lower, upper).conjugate(v, s).value.sum(1) + 1e-12).all())
    part = table.select(table.closed(torch.tensor([3]), 5), 5)
    taken = [0, 1, 3]
    assert torch.equal(part.evaluate(a[..., taken]), value[..., taken])
    assert torch.equal(part.output_range(lower[:, taken], upper[:, taken])[1], high[:, taken])
    lower[0, 0], upper[1, 1], lower[2, 0] = -5.5, torch.inf, upper[2, 0] + 1
    low, high = table.output_range(lower, upper)
    assert bool((high[:2, 2:] == torch.inf).all()) and bool((low[2] > high[2]).all())
