"""Searches on another device: nothing is mixed, nothing that decides is computed there, and nothing changes."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from netproof import Conjunction, Query, Settings, Verdict, verify
from netproof import device as devices
from netproof.attack.real import FloatAttack
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends import end_search
from netproof.bounds.ends.end_search import EndSearch
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.joint import fitting
from netproof.bounds.joint.pairing import Pairing
from netproof.bounds.multipliers.prices import Pricing
from netproof.bounds.multipliers.signs import SignDual
from netproof.bounds.ranges.refine_alpha import refine_by_alpha
from netproof.bounds.region import Region, box_region
from netproof.conditions.conditions import Conditions
from netproof.device import CPU, check_device, find_device, plain_products
from netproof.errors import InputError
from netproof.formats.onnx.read import read_onnx
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.activations.tanh import Tanh
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.concatenate import Concatenate
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.affine.sum import Sum
from netproof.search.real import decide as verify_real
from netproof.search.real import range_split, relu_split, rounds
from netproof.search.real.cells import CellSearch
from netproof.search.real.problem import Problem
from netproof.search.real.range_split import RangeSplit
from netproof.search.real.relu_split import ReluSplit
from onnx_models import model, node, save
from pretend_device import DEVICE, PretendDevice, WrongDeviceError
from soundness.real_networks import double, random_graph


def operators_graph(activation):
    """Every kind of operator once: ``[1, 4, 4]`` to three outputs."""
    generator = torch.Generator().manual_seed(3)

    def some(*shape):
        return torch.randn(*shape, generator=generator).float().double()

    graph = GraphBuilder(Arithmetic.REAL, (1, 4, 4))
    even = Convolution(some(3, 1, 3, 3), some(3), (1, 4, 4), (1, 1), ((1, 1), (1, 1)), (1, 1))
    a = graph.add("conv", even, graph.input)
    b = graph.add("scale", Scale(48, some(3), some(3)), a)
    c = graph.add("first", activation, b)
    odd = Convolution(some(3, 3, 2, 2) / 2, None, (3, 4, 4), (2, 2), ((0, 1), (1, 0)), (1, 1))
    d = graph.add("odd conv", odd, c)
    e = graph.add("select", Select(torch.tensor([0, 5, -1, 7, 9, 9, 1, 11]), 12, (8,)), d)
    f = graph.add("blocks", BlockLinear(some(2, 2, 2), 2, (8,)), e)
    g = graph.add("difference", Sum((1, -1)), e, f)
    h = graph.add("second", activation, g)
    both = graph.add("both", Concatenate((8, 8)), h, g)
    graph.add("out", Linear(some(3, 16), some(3)), both)
    return graph.build()


def asked(graph, seed, shift=0.0, several=True, radius=0.3):
    """A region of one row around a point, and two cases, one of them with two constraints."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(1, graph.input.size, generator=generator, dtype=torch.float64)
    region = box_region(graph, centre - radius, centre + radius)
    y = graph.evaluate(centre)[0]
    rows = double([[1.0, -1.0], [-1.0, 1.0]]) if graph.output.size == 2 else double([[1, -1, 0], [0, 1, -1]])
    threshold = rows @ y + shift
    cases = [Conjunction(rows if several else rows[:1], threshold if several else threshold[:1])]
    cases.append(Conjunction(-rows[:1], threshold[:1] * 0 + float(-rows[0] @ y) + shift))
    return region, Conditions.of(graph, cases)


def pieces(found):
    return found.verdict, found.subproblems, found.bound, None if found.left is None else found.left.tolist()


def both(ask):
    """What a search gives on the CPU and on the device, where it has to compute something."""
    with PretendDevice() as pretend:
        there = ask(DEVICE)
    assert pretend.count > 0
    return ask("cpu"), there


@pytest.fixture
def few_splits(monkeypatch):
    """Searches for ends of ranges that come to their end soon, whatever the time."""
    monkeypatch.setattr(end_search, "END", replace(end_search.END, last=8))


def equal(one: Region, other: Region) -> bool:
    pairs = zip(one.range_lower + one.range_upper, other.range_lower + other.range_upper, strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def close(one: Region, other: Region) -> bool:
    """The same but for what float64 loses: batches of other sizes add up in other orders."""
    pairs = zip(one.range_lower + one.range_upper, other.range_lower + other.range_upper, strict=True)
    return all(torch.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in pairs)


GRAPHS = {
    "perceptron": lambda: random_graph(torch.Generator().manual_seed(1), (4, 10, 10, 2)),
    "leaky residual": lambda: random_graph(torch.Generator().manual_seed(2), (4, 8, 8, 2), leaky=True, residual=True),
    "abs": lambda: random_graph(torch.Generator().manual_seed(3), (4, 8, 8, 2), activation=Abs()),
    "operators": lambda: operators_graph(ReLU()),
}
OTHERS = {"sigmoid": Sigmoid(), "tanh": Tanh(), "clip": Clip(-0.5, 0.75), "leaky": LeakyReLU(2.0)}


@pytest.mark.parametrize(
    ("name", "fits"),
    [*((name, "") for name in GRAPHS), ("operators", "planes"), ("abs", "pairs"), ("perceptron", "pairs")],
)
def test_splits_of_signs(name, fits, monkeypatch):
    monkeypatch.setattr(relu_split, "SIGN", replace(relu_split.SIGN, root_steps=10))
    monkeypatch.setattr(relu_split, "PLANE", replace(relu_split.PLANE, steps=5))
    monkeypatch.setattr(fitting, "PLANE", replace(fitting.PLANE, first=10, worth=-1.0))
    graph = GRAPHS[name]()
    region, constraints = asked(graph, 5, 0.2)

    def ask(device):
        dual, rounding = SignDual.of(graph, region), Rounding.of(graph, region)
        pricing = Pricing(dual, rounding, device) if "planes" in fits else None
        pairing = Pairing(dual, rounding, device) if "pairs" in fits else None
        search = ReluSplit(
            Problem(graph, constraints, None, 1 << 28, device),
            dual,
            rounding,
            fitting=fitting.Fitting(pricing, pairing),
        )
        return pieces(search.run(torch.arange(2), math.inf, most=30))

    here, there = both(ask)
    assert here == there and here[1] >= 2


@pytest.mark.parametrize("name", GRAPHS)
def test_ranges_by_slopes_and_by_splits(name, few_splits):
    graph = GRAPHS[name]()
    region, _ = asked(graph, 6)
    here, there = both(lambda device: refine_by_alpha(graph, region, 6, math.inf, device))
    assert equal(here, there) and not equal(here, region)
    split, elsewhere = both(lambda device: SplitRefiner(graph, device=device).refine(here, math.inf))
    assert close(split, elsewhere) and not equal(split, here)


def test_ends_of_ranges_count_the_same_parts():
    graph = GRAPHS["perceptron"]()
    region, _ = asked(graph, 7)
    y = double([[-100.0, -100.0], [100.0, 100.0]])

    def ask(device):
        search = EndSearch(SignDual.of(graph, region), *y, device=device)
        search.run(torch.arange(4), 20, math.inf)
        return search.bound.tolist(), search.attained.tolist(), search.count

    here, there = both(ask)
    assert here == there and here[2] > 8


def test_cells(few_splits):
    graph = random_graph(torch.Generator().manual_seed(1), (4, 6, 6, 2))
    region, constraints = asked(graph, 5, 3.1)

    def ask(device):
        return pieces(
            CellSearch(Problem(graph, constraints, None, 1 << 28, device)).run(region, torch.arange(2), 1e6, math.inf)
        )

    here, there = both(ask)
    assert here == there


@pytest.mark.parametrize("name", OTHERS)
def test_splits_of_ranges(name, monkeypatch):
    monkeypatch.setattr(range_split, "RANGE", replace(range_split.RANGE, root_steps=10))
    monkeypatch.setattr(range_split, "RANGE", replace(range_split.RANGE, steps=3))
    graph = operators_graph(OTHERS[name])
    region, constraints = asked(graph, 8, 0.02, several=name != "tanh", radius=0.03)

    def ask(device):
        # A clock that counts how often it is asked: both searches end at the same place.
        monkeypatch.setattr(range_split, "time", SimpleNamespace(monotonic=itertools.count().__next__))
        search = RangeSplit(Problem(graph, constraints, None, 1 << 28, device))
        return pieces(search.run(region, torch.arange(2), 7.0))

    here, there = both(ask)
    assert here == there and here[1] >= 2


def test_rounds_reach_the_same_verdict(monkeypatch, few_splits):
    # So that all that comes after the first search is not left out.
    monkeypatch.setattr(rounds, "ROUND", replace(rounds.ROUND, easy=1))
    graph = random_graph(torch.Generator().manual_seed(1), (4, 6, 6, 2))
    region, constraints = asked(graph, 5, 3.1)

    def ask(device):
        search = rounds.Rounds(Problem(graph, constraints, None, 1 << 28, device))
        return search.run(region, torch.arange(2), time.monotonic() + 600).verdict

    assert both(ask) == (Verdict.UNSAT, Verdict.UNSAT)


@pytest.fixture
def network(tmp_path):
    generator = torch.Generator().manual_seed(4)
    weights = {
        "a": torch.randn(12, 10, generator=generator).numpy(),
        "b": torch.randn(10, 10, generator=generator).numpy(),
        "c": torch.randn(10, 2, generator=generator).numpy(),
    }
    nodes = [
        node("MatMul", ["x", "a"], ["h"]),
        node("Relu", ["h"], ["i"]),
        node("MatMul", ["i", "b"], ["j"]),
        node("Relu", ["j"], ["k"]),
        node("MatMul", ["k", "c"], ["y"]),
    ]
    return read_onnx(save(tmp_path / "small.onnx", model(nodes, (1, 12), weights)))


def query(network, gap):
    centre = torch.full((12,), 0.5, dtype=torch.float64)
    row = double([[1.0, -1.0]])
    attained = float(row[0] @ network.graph.evaluate(centre))
    return Query(network, centre - 0.15, centre + 0.15, (Conjunction(row, double([attained + gap])),))


def test_attacks_find_the_same_witness(network):
    asked_ = query(network, 1.0)
    constraints = Conditions.of(network.graph, asked_.condition)

    def ask(device):
        attack = FloatAttack(asked_, constraints, 0, device)
        found = attack.ascend(torch.arange(1), 4, 20, math.inf)
        tried = attack.try_points(found.input[None].double(), torch.arange(1))
        return found.input.tolist(), found.output.tolist(), tried.exact

    here, there = both(ask)
    assert here == there


@pytest.mark.parametrize(("gap", "verdict"), [(0.5, Verdict.SAT), (25.0, Verdict.UNSAT), (8.0, None)])
def test_whole_queries(network, gap, verdict, monkeypatch):
    def ask(device):
        monkeypatch.setattr(verify_real, "find_device", lambda name: torch.device(device))
        return verify(query(network, gap), Settings(timeout=600.0))

    with PretendDevice():
        there = ask(DEVICE)
    here = ask("cpu")
    assert here.verdict is there.verdict and here.verdict in (verdict or Verdict.SAT, verdict or Verdict.UNSAT)
    assert (here.witness is None) == (there.witness is None)


def test_the_pretended_device_tells_what_is_wrong():
    with PretendDevice() as pretend:
        there = torch.ones(2, 2).to(DEVICE)
        with pytest.raises(WrongDeviceError, match="both devices"):
            there + torch.ones(2, 2)
        with pytest.raises(WrongDeviceError, match="both devices"):
            there[torch.tensor([0])]
        with pytest.raises(WrongDeviceError, match="float64"):
            there.double()
        with pytest.raises(WrongDeviceError, match="on the CPU"):
            torch.ones(2, 2) @ torch.ones(2, 2)
        assert (there @ there).cpu().tolist() == [[2.0, 2.0], [2.0, 2.0]] and pretend.count == 1


def test_a_gpu_without_enough_memory_leaves_the_query_undecided(network, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(verify_real, "_decide", full)
    result = verify(query(network, 25.0), Settings(timeout=600.0))
    assert result.verdict is Verdict.UNKNOWN and "memory" in result.reason and "--device cpu" in result.reason


@pytest.mark.parametrize(
    "name", ["", "gpu", "cuda:", "cuda:-1", "cuda:01", "cuda:1000", "CUDA", "cpu:0", "meta", "mps\n"]
)
def test_names_that_are_no_device(name):
    with pytest.raises(InputError, match=r"--device: no device is called .*give cpu, cuda"):
        Settings(device=name)


@pytest.mark.parametrize("engine", ["smt", "milp"])
def test_exact_engines_take_no_gpu(engine):
    with pytest.raises(InputError, match=rf"--device: engine '{engine}' works on the CPU alone"):
        Settings(engine=engine, device="cuda")
    assert Settings(engine=engine, device="auto").device == "auto"


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("cpu") == find_device("auto") == CPU
    for name in ("cuda", "cuda:1"):
        with pytest.raises(InputError, match=rf"--device: '{name}' cannot be used: .*auto"):
            find_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="PyTorch sees GPUs 0 to 1"):
        find_device("cuda:2")


def test_integer_networks_take_no_gpu_that_is_asked_for():
    builder = GraphBuilder(Arithmetic.INTEGER, (1,))
    builder.add("dense", Linear(double([[1.0], [-1.0]]), double([0.0, 1.0])), builder.input)
    integer = Network(builder.build(), "integer", "", double([0.0]), double([1.0]))
    with pytest.raises(InputError, match="integer network, which is searched on the CPU alone"):
        check_device("cuda", integer)
    with pytest.raises(InputError, match="integer network"):
        asked = Conjunction(double([[1.0, 0.0]]), double([0.0]))
        verify(Query(integer, double([0.0]), double([1.0]), (asked,)), Settings(device="cuda"))
    check_device("auto", integer)


def test_products_are_not_shortened(monkeypatch):
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic, torch.get_float32_matmul_precision()
    with plain_products(torch.device("cuda")):
        assert not cudnn.allow_tf32 and cudnn.deterministic
        assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cuda.matmul.allow_tf32
    assert (cudnn.allow_tf32, cudnn.deterministic, torch.get_float32_matmul_precision()) == before
    monkeypatch.setattr(devices.torch, "set_float32_matmul_precision", lambda _: pytest.fail("touched"))
    with plain_products(CPU):
        pass


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")


@needs_gpu
@pytest.mark.parametrize("gap", [0.5, 4.0, 8.0, 12.0, 25.0])
def test_verdicts_on_a_gpu(network, gap):
    here, there = (verify(query(network, gap), Settings(timeout=600.0, device=name)) for name in ("cpu", "cuda"))
    assert here.verdict is there.verdict and here.verdict.decided


@needs_gpu
@pytest.mark.parametrize("name", [*GRAPHS, *OTHERS])
def test_bounds_of_a_gpu_search_hold(name):
    """A search on a GPU takes a course of its own; both find what is not attained unattainable."""
    graph = GRAPHS[name]() if name in GRAPHS else operators_graph(OTHERS[name])
    region, constraints = asked(graph, 5, 30.0)
    verdicts = []
    for device in ("cpu", "cuda"):
        if name in OTHERS:
            search = RangeSplit(Problem(graph, constraints, None, 1 << 28, device))
        else:
            search = rounds.Rounds(Problem(graph, constraints, None, 1 << 28, device))
        verdicts.append(search.run(region, torch.arange(2), time.monotonic() + 600).verdict)
    assert verdicts[0] is verdicts[1]
