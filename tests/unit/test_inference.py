"""The fast evaluation gives the integers of the graph's own one, on every network, and does without its kernels where they fail."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from differential.quantized_maker import RandomQuantized
from differential.tflite_maker import RandomNetwork
from differential.tflite_runtimes import NETWORKS, RUNTIMES, mixed_inputs
from netproof.errors import InputError
from netproof.formats.load import load
from netproof.formats.tflite.evaluate import evaluate
from netproof.formats.tflite.read import read_deployed
from netproof.formats.tflite.rules.products import ProductScales
from netproof.formats.tflite.rules.runtime import RUNTIMES as RULES
from netproof.formats.tflite.staircases import staircase_between
from netproof.inference import compiled, products
from netproof.inference import plan as plans
from netproof.inference.compiled import compiled_kernels
from netproof.inference.lines import Factor, factor_of, levels_of, line_of
from netproof.inference.plan import Plan
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.linear import Linear
from tflite_files import TFLiteFile

DATA = os.environ.get("NETPROOF_DATA")
#: those on which the graph itself is quick; make campaign-runtimes has all
_QUICK = ("hello_world_int8", "micro_speech_quantized", "str_ww_ref_model", "Resnet_quant")


def _same(plan: Plan, deployed, inputs) -> bool:
    expected = evaluate(deployed, inputs).scores.astype(np.int64).reshape(len(inputs), -1)
    flat = inputs.reshape(len(inputs), -1)
    # Of all classes the first largest one, however many rows are evaluated at a time.
    again = Plan(deployed.network.graph, deployed.network.lower, deployed.network.upper)
    again.batch = 3
    return (
        np.array_equal(plan.outputs(flat), expected)
        and np.array_equal(again.outputs(flat), expected)
        and np.array_equal(plan.classes(flat), expected.argmax(1))
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_random_networks(runtime, tmp_path, monkeypatch):
    path, ways = tmp_path / "network.tflite", ""
    for seed in range(40):
        # By compiled loops, as after many inputs, and without.
        monkeypatch.setattr(compiled, "LONG", 0 if seed % 2 else 1 << 40)
        path.write_bytes(RandomNetwork(seed).bytes())
        try:
            deployed = read_deployed(path, runtime)
        except InputError:
            continue
        plan = Plan(deployed.network.graph, deployed.network.lower, deployed.network.upper)
        assert _same(plan, deployed, mixed_inputs(deployed.input.shape[1:], 8, seed)), (seed, plan.words)
        ways += plan.words
    words = ("in 8 bits", "by pairs", "shift", "order", "float64", *(("sum",) if runtime == "tflm" else ()))
    assert all(word in ways for word in words)


@pytest.mark.parametrize("form", ["qoperator", "qdq"])
def test_random_onnx_networks(form, tmp_path):
    """Seed 30 turns the axes of an image before a mean over all places."""
    path = tmp_path / "network.onnx"
    for seed in range(0, 40, 2):
        path.write_bytes(RandomQuantized(seed, form).bytes())
        try:
            network = load(path)
        except InputError:
            continue
        plan = Plan(network.graph, network.lower, network.upper)
        rng = np.random.default_rng(seed)
        x = rng.integers(int(network.lower.min()), int(network.upper.max()) + 1, (8, network.inputs))
        assert np.array_equal(plan.outputs(x), network.graph.evaluate(torch.from_numpy(x.astype(float))).numpy()), seed


def residual(seed: int) -> bytes:
    """Convolutions with a skip connection, two of them with strides, a sum over all places, a linear layer."""
    rng, file = np.random.default_rng(seed), TFLiteFile()
    x = file.tensor((1, 9, 8, 2), 1 / 256, -128)
    shapes = [(9, 8), (9, 8), (5, 4), (3, 2)]
    made = [file.tensor((1, *shape, 4), 1 / 32, -128) for shape in shapes]
    added, pooled, flat = (file.tensor(shape, 1 / 32, -128) for shape in ((1, 9, 8, 4), (1, 1, 1, 4), (1, 4)))
    scores = file.tensor((1, 3), 1 / 8, 5)

    def convolve(given: int, channels: int, result: int, step: int) -> None:
        weight = rng.integers(-127, 128, (4, 3, 3, channels)).astype(np.int8)
        bias = file.constant(rng.integers(-900, 900, 4).astype(np.int32), 1 / 2**14)
        kernel = file.constant(weight, rng.uniform(0.001, 0.01, 4).astype(np.float32))
        options = {0: ("b", 0), 1: ("i", step), 2: ("i", step), 3: ("b", 1), 4: ("i", 1), 5: ("i", 1)}
        file.operator("CONV_2D", [given, kernel, bias], [result], options)

    convolve(x, 2, made[0], 1)
    convolve(made[0], 4, made[1], 1)
    file.operator("ADD", [made[0], made[1]], [added], {0: ("b", 1)})
    convolve(added, 4, made[2], 2)
    convolve(made[2], 4, made[3], 2)
    window = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1), 3: ("i", 2), 4: ("i", 3), 5: ("b", 0)}
    file.operator("AVERAGE_POOL_2D", [made[3]], [pooled], window)
    file.operator("RESHAPE", [pooled, file.constant(np.array([1, 4], np.int32))], [flat])
    last = file.constant(rng.integers(-127, 128, (3, 4)).astype(np.int8), 1 / 90)
    file.operator("FULLY_CONNECTED", [flat, last, -1], [scores], {0: ("b", 0)})
    return file.bytes(x, scores)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_differs_in_few_places_is_computed_alone(runtime, tmp_path, monkeypatch):
    taken = []
    true = plans.by_window

    def watched(part, given, base, result):
        found = true(part, given, base, result)
        taken.append((type(part).__name__, found is not None))
        return found

    monkeypatch.setattr(plans, "by_window", watched)
    path = tmp_path / "network.tflite"
    for seed in range(12):
        kinds = ("conv", "depthwise", "add", "average", "mean", "pad")
        path.write_bytes(residual(seed) if seed < 4 else RandomNetwork(seed, kinds).bytes())
        try:
            network = read_deployed(path, runtime).network
        except InputError:
            continue
        plan = Plan(network.graph, network.lower, network.upper)
        rng = np.random.default_rng(seed)
        image = rng.integers(-128, 128, network.inputs)
        near = plan.near(image)
        for few in (1, 2, network.inputs):
            inputs = np.repeat(image[None], 20, 0)
            places = rng.choice(network.inputs, min(few, network.inputs), replace=False)
            inputs[1:, places] = rng.integers(-128, 128, (19, len(places)))
            expected = network.graph.evaluate(torch.from_numpy(inputs).double()).long().numpy()
            assert np.array_equal(near.outputs(inputs), expected), (seed, few)
            assert np.array_equal(near.classes(inputs), expected.argmax(1))
    assert ("Product", True) in taken and ("Product", False) in taken
    assert ("Pair", True) in taken and ("Total", True) in taken


def test_kernels_that_are_wrong_on_small_images_alone_are_not_used_there(tmp_path, monkeypatch):
    # As oneDNN's is in some versions: 3 groups, strides of 1 and 2, images of 4 x 2.
    path = tmp_path / "network.tflite"
    path.write_bytes(RandomNetwork(4, ("conv", "depthwise", "average", "add")).bytes())
    network = read_deployed(path).network
    image = np.random.default_rng(4).integers(-128, 128, network.inputs)
    inputs = np.concatenate([np.repeat(image[None], 20, 0) for _ in image])
    for place in range(network.inputs):
        inputs[20 * place : 20 * place + 20, place] = np.linspace(-128, 127, 20).astype(int)
    expected = network.graph.evaluate(torch.from_numpy(inputs).double()).long().numpy()

    def same() -> bool:
        near = Plan(network.graph, network.lower, network.upper).near(image)
        return all(
            np.array_equal(near.outputs(inputs[at : at + 20]), expected[at : at + 20])
            for at in range(0, len(inputs), 20)
        )

    assert same()
    true = products.Product._convolved

    def wrong(self, x, slope, bias, padding, kind):
        found = true(self, x, slope, bias, padding, kind)
        return found if x.shape[2:] == self.shape[1:] else found + 1

    monkeypatch.setattr(products.Product, "_convolved", wrong)
    assert same()
    monkeypatch.setattr(products.Product, "holds_on", lambda self, x: True)
    assert not same()


def test_kernels_that_are_wrong_on_many_images_alone_are_not_given_so_many(monkeypatch):
    # As oneDNN's is in some versions on a hundred images of 2 x 2 and more, for this kernel and its strides.
    size = torch.ones(1, 1, 1, 2).double()
    map_ = Convolution(size, None, (1, 2, 2), (1, 2), ((0, 0), (0, 0)), (1, 1), 1)
    staircase = Staircase(2.0 * torch.arange(1, 13, dtype=torch.float64)[None], torch.zeros(1).double())
    codes = torch.randint(0, 6, (1700, 1, 2, 2), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    wanted = staircase.evaluate(map_.forward(codes.double().flatten(1)))

    def same(x: torch.Tensor = codes) -> bool:
        product = products.product_of(map_, staircase, 0, 5)
        assert product is not None
        return bool(torch.equal(product(x).double().flatten(1), wanted[: len(x)]))

    # However the first of two axes with one entry lies in memory.
    assert same() and same(codes.as_strided(codes.shape, (4, 1, 2, 1))) and same(codes[:3])
    given: list[int] = []
    true = products.Product._convolved

    def wrong(self, x, slope, bias, padding, kind):
        given.append(len(x))
        found = true(self, x, slope, bias, padding, kind)
        return found if len(x) in (8, 64) else found + (len(x) > 64) * torch.arange(len(x))[:, None, None, None] % 2

    monkeypatch.setattr(products.Product, "_convolved", wrong)
    assert same()
    assert set(given) <= {1, 8, 64, 512} and given.count(512) == 1

    def only_eight(self, x, slope, bias, padding, kind):
        return (
            true(self, x, slope, bias, padding, kind) if len(x) == 8 else true(self, x * 0, slope, bias, padding, kind)
        )

    monkeypatch.setattr(products.Product, "_convolved", only_eight)
    assert same() and same(codes[:3])  # which are brought to eight


@pytest.mark.parametrize(
    ("many", "pieces"),
    [(508, [512]), (384, [512]), (383, [64] * 6), (572, [512, 64]), (560, [512, 64]), (20, [8, 8, 1, 1, 1, 1])],
)
def test_what_is_left_over_is_filled_up_where_little_is_missing(many, pieces, monkeypatch):
    map_ = Convolution(torch.ones(2, 1, 3, 3).double(), None, (1, 5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    staircase = Staircase(300.0 * torch.arange(1, 8, dtype=torch.float64).repeat(2, 1), torch.zeros(2).double())
    product = products.product_of(map_, staircase, 0, 255)
    assert product is not None
    codes = torch.randint(0, 256, (many, 1, 5, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    product(codes)  # which tries the kernels
    if not all(product._right[5, 5, 0, 0, torch.get_num_threads()].values()):
        pytest.skip("a kernel of this processor is wrong on some numbers of images")
    given: list[int] = []
    true = products.Product._convolved

    def watched(self, x, slope, bias, padding, kind):
        given.append(len(x))
        return true(self, x, slope, bias, padding, kind)

    monkeypatch.setattr(products.Product, "_convolved", watched)
    wanted = staircase.evaluate(map_.forward(codes.double().flatten(1)))
    assert torch.equal(product(codes).double().flatten(1), wanted)
    assert given == pieces


@pytest.mark.skipif(DATA is None, reason="NETPROOF_DATA is not set")
@pytest.mark.parametrize("runtime", ["tflm", "xnnpack"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name.endswith(_QUICK)])
def test_real_networks(name, runtime):
    deployed = read_deployed(Path(DATA) / f"{name}.tflite", runtime)
    plan = Plan(deployed.network.graph, deployed.network.lower, deployed.network.upper)
    assert "in 8 bits" in plan.words
    assert _same(plan, deployed, mixed_inputs(deployed.input.shape[1:], 4, 3))


@pytest.mark.parametrize("rule", ["tflm", "xnnpack", "litert-ref"])
def test_lines_give_the_levels_of_a_rule(rule):
    rng = np.random.default_rng(5)
    kinds = set()
    for trial in range(30):
        scales = ProductScales(
            np.float32(0.05), np.float32(rng.uniform(1e-4, 2e-2, 5) * 2.0 ** rng.integers(-4, 3)), np.float32(0.1)
        )
        reach = int(rng.choice([1000, 60000, 2000000]))
        low, high = np.full(5, -reach), np.full(5, reach + trial)
        zero = int(rng.choice([-128, 3, 0]))
        base = RULES[rule].dense
        levels = int(rng.choice([3, 15, 255]))

        def code(acc, base=base, scales=scales, zero=zero, levels=levels):
            return np.clip(base(acc, scales), -128 - zero, levels - 128 - zero)

        staircase = staircase_between(code, low, high)
        if not staircase.levels:
            continue
        ends = [torch.from_numpy(end.astype(np.float64)) for end in (low, high)]
        near = [staircase.thresholds + step for step in (-1, 0, 1)]
        sums = torch.cat([*near, *(end[:, None] for end in ends)], 1).clamp(-reach, reach)
        sums = torch.cat([sums, torch.from_numpy(rng.integers(-reach, reach, (5, 500)).astype(np.float64))], 1)
        wanted = torch.searchsorted(staircase.thresholds.contiguous(), sums.contiguous(), right=True)
        for line in (line_of(staircase, *ends, torch.float64), factor_of(staircase, *ends)):
            if line is None:
                continue
            given_sums, base_of = sums.float().T[:, :, None, None], int(staircase.base[0])
            found = levels_of(given_sums, line, None, staircase.levels, base_of)
            if compiled_kernels() is not None:
                looped = levels_of(given_sums, line, None, staircase.levels, base_of, compiled_kernels())
                assert torch.equal(looped[:, line.fits], found[:, line.fits])
            given = torch.as_tensor(found[:, :, 0, 0].T.copy() if hasattr(found, "copy") else found[:, :, 0, 0].T)
            right = given == wanted
            if isinstance(line, Factor):
                right |= ~line.fits[:, None]
            kinds.add(type(line).__name__ + str(getattr(line, "half", None) is not None))
            assert bool((right | ~line.fits[:, None]).all())
    assert "LineFalse" in kinds or "LineTrue" in kinds
    if rule == "xnnpack":
        assert "FactorFalse" in kinds


def test_a_zero_point_in_the_values_hides_no_line():
    """As the last layer of a network has it, whose codes are outputs."""
    rng, zero = np.random.default_rng(6), 30
    scales = ProductScales(np.float32(0.05), np.float32(rng.uniform(2e-3, 3e-3, 5)), np.float32(0.1))
    weight = torch.from_numpy(rng.integers(-127, 128, (5, 40)).astype(np.float64))
    bias = torch.from_numpy(rng.integers(-9000, 9000, 5).astype(np.float64))
    reach = np.full(5, 700_000)

    def code(acc):
        return np.clip(RULES["tflm"].dense(acc, scales) + zero, -128, 127)

    product = products.product_of(Linear(weight, bias), staircase_between(code, -reach, reach), 0, 255)
    assert product is not None and product.line.half is not None and bool(product.line.fits.all())


def test_loops_are_there_after_many_numbers_alone():
    worked = compiled.Worked()
    assert worked.kernels(compiled.LONG - 1) is None
    assert worked.kernels(1) is compiled_kernels() is not None


def test_a_line_that_is_too_near_is_none():
    # 255 thresholds on a line of float64 numbers, one of which is moved by one.
    thresholds = torch.arange(1, 256, dtype=torch.float64)[None] * 1000
    low, high = torch.tensor([0.0]).double(), torch.tensor([300000.0]).double()
    straight = line_of(Staircase(thresholds, torch.zeros(1).double()), low, high, torch.float64)
    assert straight is not None and bool(straight.fits.all())
    thresholds[0, 100] += 2
    thresholds[0, 101] -= 2
    bent = line_of(Staircase(thresholds, torch.zeros(1).double()), low, high, torch.float64)
    assert bent is None or not bool(bent.fits.any())


def test_kernels_that_saturate_or_are_missing_are_not_used(tmp_path, monkeypatch):
    path = tmp_path / "network.tflite"
    path.write_bytes(RandomNetwork(3, ("conv",)).bytes())
    deployed = read_deployed(path, "tflm")
    whole = Plan(deployed.network.graph, deployed.network.lower, deployed.network.upper)
    assert "in 8 bits" in whole.words
    true = products.Product._convolved
    weight = torch.randint(100, 128, (3, 6), generator=torch.Generator().manual_seed(0)).double()
    asked = Linear(weight, torch.zeros(3).double()), Staircase.fixed_point(10, -128, 127), 0, 255
    assert products.product_of(*asked) is not None

    def saturating(self, x, slope, bias, padding, kind):
        # As where pairs of products are added in 16 bits.
        return true(self, x.clamp(max=200), slope, bias, padding, kind)

    def missing(self, x, slope, bias, padding, kind):
        raise NotImplementedError

    for broken in (saturating, missing):
        monkeypatch.setattr(products.Product, "_convolved", broken)
        assert products.product_of(*asked) is None
    plan = Plan(deployed.network.graph, deployed.network.lower, deployed.network.upper)
    assert "in 8 bits" not in plan.words
    assert _same(plan, deployed, mixed_inputs(deployed.input.shape[1:], 8, 3))
