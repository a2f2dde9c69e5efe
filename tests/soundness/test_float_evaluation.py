"""The account of what float evaluation may be off by: against float32 sums in every order, and queries that only float32 meets."""

from __future__ import annotations

import itertools
from fractions import Fraction
from random import Random

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from netproof import Settings, verify
from netproof.bounds.deciding.evaluated import FLOAT_TYPES, deviations
from netproof.formats.vnnlib.second.ask import ask
from netproof.formats.vnnlib.second.read import read_statement
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.activations.sigmoid import Sigmoid
from netproof.operators.affine.linear import Linear
from netproof.query import Verdict
from several_models import many, perceptron

FLOAT32 = FLOAT_TYPES["float32"]


def chain(layers, activation=ReLU):
    builder = GraphBuilder(Arithmetic.REAL, (len(layers[0][0][0]),))
    node = builder.input
    for number, (weight, bias) in enumerate(layers):
        linear = Linear(torch.tensor(weight, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64))
        node = builder.add(f"linear{number}", linear, node)
        if number < len(layers) - 1:
            node = builder.add(f"activation{number}", activation(), node)
    return builder.build()


def exactly(layers, x):
    for number, (weight, bias) in enumerate(layers):
        x = [
            sum((Fraction(w) * v for w, v in zip(row, x, strict=True)), Fraction(b))
            for row, b in zip(weight, bias, strict=True)
        ]
        if number < len(layers) - 1:
            x = [max(v, Fraction(0)) for v in x]
    return x


def in_float32(layers, x, random):
    """Every sum in an order of its own, the bias anywhere in it."""
    x = [np.float32(v) for v in x]
    for number, (weight, bias) in enumerate(layers):
        out = []
        for row, b in zip(weight, bias, strict=True):
            terms = [np.float32(np.float32(w) * v) for w, v in zip(row, x, strict=True)] + [np.float32(b)]
            random.shuffle(terms)
            total = np.float32(0)
            for term in terms:
                total = np.float32(total + term)
            out.append(total)
        x = out if number == len(layers) - 1 else [max(v, np.float32(0)) for v in out]
    return x


def floats(random, size, spread):
    """Float32 numbers of very different sizes, some of which cancel."""
    values = [float(np.float32(random.choice((-1, 1)) * 2.0 ** random.uniform(-spread, spread))) for _ in range(size)]
    for i in range(0, size - 1, 2):
        if random.random() < 0.5:
            values[i + 1] = -values[i]
    return values


@pytest.mark.parametrize("seed", range(8))
def test_sums_in_any_order_stay_within_the_account(seed):
    random = Random(seed)
    worst = 0.0
    for _ in range(30):
        sizes = [random.randint(1, 9) for _ in range(random.randint(2, 4))]
        layers = [
            ([floats(random, n, 12) for _ in range(m)], floats(random, m, 12)) for n, m in itertools.pairwise(sizes)
        ]
        x = floats(random, sizes[0], 8)
        point = torch.tensor(x, dtype=torch.float64)
        off, size = deviations(chain(layers), point, point, FLOAT32)
        meant, got = exactly(layers, x), in_float32(layers, x, random)
        for value, computed, bound, largest in zip(meant, got, off.tolist(), size.tolist(), strict=True):
            assert abs(value - Fraction(float(computed))) <= Fraction(bound)
            assert abs(value) <= Fraction(largest)
            worst = max(worst, float(abs(value - Fraction(float(computed))) / Fraction(bound)) if bound else 0.0)
    # The account is not so large that it would not notice if a part of it was missing.
    assert worst > 0.02


def test_each_part_of_the_account_is_needed():
    # A long sum that loses nearly half a unit at every step; an error from before, multiplied; results that vanish.
    n = 4096
    ones = [([[1.0] * n], [0.0])]
    x = torch.tensor([1.0] + [2.0**-24] * (n - 1), dtype=torch.float64)
    lost = np.float32(1)
    for value in x[1:].tolist():
        lost = np.float32(lost + np.float32(value))
    off, _ = deviations(chain(ones), x, x, FLOAT32)
    missing = float(x.sum()) - float(lost)
    assert missing > 2e-4 and missing <= float(off[0]) < 3 * missing

    two = [([[1.0, 1.0]], [0.0]), ([[2.0**20]], [0.0])]
    x = torch.tensor([1.0, 2.0**-25], dtype=torch.float64)
    off, _ = deviations(chain(two), x, x, FLOAT32)
    assert float(off[0]) >= 2.0**-5  # 2^-25, lost in the first sum, times 2^20

    tiny = [([[2.0**-100]], [0.0])]
    x = torch.tensor([2.0**-100], dtype=torch.float64)
    off, _ = deviations(chain(tiny), x, x, FLOAT32)
    assert float(off[0]) >= 2.0**-200  # which is set to 0


def test_values_that_may_leave_the_type_have_no_account():
    x = torch.tensor([1.0], dtype=torch.float64)
    off, _ = deviations(chain([([[2.0**127]], [2.0**127])]), x, x, FLOAT32)
    assert off.tolist() == [float("inf")]


def _computed_otherwise():
    """Nodes, constants, the number that every input is, and of how many: what float32 computes is far from the real value."""
    column = np.ones((4, 1))
    of_four = {
        "a sum that leaves the type on its way": ("MatMul", {"w": 3e38 * np.array([[1], [1], [-1], [-1]])}, {}, 1.0),
        "one that is made small afterwards": ("Gemm", {"w": 1e37 * column}, {"alpha": 1e-30}, 100.0),
        "one that vanishes, and is made large afterwards": ("Gemm", {"w": 1e-38 * column}, {"alpha": 1e38}, 2.0**-20),
        "a mean whose sum leaves the type": ("ReduceMean", {}, {"axes": [1], "keepdims": 1}, 1e38),
    }
    for name, (operator, constants, attributes, x) in of_four.items():
        yield pytest.param(helper.make_node(operator, ["x", *constants], ["y"], **attributes), constants, x, 4, id=name)
    normal = helper.make_node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"], epsilon=0.0)
    scales = {"a scale beyond the type": (1e38, 1e-10, 1e-10), "a scale below its normal numbers": (1e-30, 1e20, 1e37)}
    for name, (gamma, variance, x) in scales.items():
        constants = {"g": np.array([gamma]), "b": np.zeros(1), "m": np.zeros(1), "v": np.array([variance])}
        yield pytest.param(normal, constants, x, 1, id=name)


@pytest.mark.parametrize(("node", "constants", "x", "count"), list(_computed_otherwise()))
def test_numbers_that_leave_the_type_inside_an_operator_prove_nothing(tmp_path, node, constants, x, count):
    """What onnxruntime gives is none of the numbers that the account leaves room for, or is not excluded by it."""
    import onnxruntime

    made = many([node], {"x": (1, count)}, {"y": (1, 1)}, constants)
    path = tmp_path / "inside.onnx"
    path.write_bytes(made.SerializeToString())
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    x = np.full((1, count), x, np.float32)
    computed = float(session.run(None, {"x": x})[0][0, 0])
    points = "".join(f"(assert (== X[0,{i}] {float(v):.180f}))" for i, v in enumerate(x[0]))
    limit = f"{np.float32(computed):.60f}" if np.isfinite(computed) else "1" + "0" * 30 + ".0"
    head = f"(declare-network f (declare-input X float32 [1,{count}]) (declare-output Y float32 [1,1]))"
    for sense in ("<=", ">="):
        _, result = ask_of(tmp_path, f"{head}{points}(assert ({sense} Y[0,0] {limit}))", f=path)
        assert result.verdict is not Verdict.UNSAT, (sense, computed)


@pytest.mark.parametrize("by", ["the factor of a sum", "a number of the file", "weights"])
def test_an_infinity_times_0_is_no_number_and_on_no_side_of_a_jump(tmp_path, by):
    """Over the real numbers that is 0, which is at least 0; onnxruntime has no number there, and goes the other way."""
    import onnxruntime

    column, zero = np.ones((4, 1)), np.zeros((1, 1))
    first, constants = {
        "the factor of a sum": ([helper.make_node("Gemm", ["x", "w"], ["h"], alpha=0.0)], {"w": 1e38 * column}),
        "a number of the file": (
            [helper.make_node("MatMul", ["x", "w"], ["g"]), helper.make_node("Mul", ["g", "a"], ["h"])],
            {"w": 1e38 * column, "a": zero},
        ),
        "weights": (
            [helper.make_node("Mul", ["x", "a"], ["g"]), helper.make_node("MatMul", ["g", "w"], ["h"])],
            {"w": 0.0 * column, "a": np.full((1, 1), 1e38)},
        ),
    }[by]
    side = [
        helper.make_node("GreaterOrEqual", ["h", "zero"], ["c"]),
        helper.make_node("Where", ["c", "one", "minus"], ["y"]),
    ]
    constants = {**constants, "zero": zero, "one": zero + 1, "minus": zero - 1}
    path = tmp_path / "infinity.onnx"
    path.write_bytes(many([*first, *side], {"x": (1, 4)}, {"y": (1, 1)}, constants).SerializeToString())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    x = np.float32(1e20)
    assert session.run(None, {"x": np.full((1, 4), x)})[0].tolist() == [[-1.0]]
    head = "(declare-network f (declare-input X float32 [1,4]) (declare-output Y float32 [1,1]))"
    points = "".join(f"(assert (== X[0,{i}] {float(x):.1f}))" for i in range(4))
    _, result = ask_of(tmp_path, f"{head}{points}(assert (<= Y[0,0] -0.5))", f=path)
    assert result.verdict is not Verdict.UNSAT


@pytest.mark.parametrize("activation", [lambda: LeakyReLU(0.01), lambda: LeakyReLU(3.0), Sigmoid])
def test_activations_hand_on_what_they_get(activation):
    layers = [([[1.0, 1.0]], [0.0]), ([[1.0]], [0.0])]
    low, high = torch.tensor([-4.0, -1.0], dtype=torch.float64), torch.tensor([3.0, 1.0], dtype=torch.float64)
    graph = chain(layers, activation)
    off, _ = deviations(graph, low, high, FLOAT32)
    function = activation().evaluate
    random = np.random.default_rng(1)
    for _ in range(200):
        x = (low.numpy() + random.random(2) * (high - low).numpy()).astype(np.float32)
        computed = function(torch.tensor([float(np.float32(x[0] + x[1]))], dtype=torch.float64)).float()
        meant = graph.evaluate(torch.from_numpy(x).double())
        assert abs(float(meant) - float(computed)) <= float(off[0]) + 1e-12


def ask_of(tmp_path, text, **files):
    path = tmp_path / "query.vnnlib"
    path.write_text(f"(vnnlib-version <2.0>)\n{text}")
    found = ask(read_statement(path), files)
    return found, verify(found.property, Settings(timeout=10), network=found.network)


@pytest.fixture
def absorbing(tmp_path):
    """``y = (x + 2^24) - 2^24``, which float32 rounds to whole numbers."""
    big = np.array([2.0**24])
    nodes = [
        helper.make_node("Add", ["x", "big"], ["sum"], name="add"),
        helper.make_node("Relu", ["sum"], ["same"], name="relu"),
        helper.make_node("Sub", ["same", "big"], ["y"], name="sub"),
    ]
    made = many(nodes, {"x": (1,)}, {"y": (1,)}, {"big": big})
    path = tmp_path / "absorbing.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def absorbing_query(kind, low, high, condition):
    return (
        f"(declare-network f (declare-input X {kind} [1]) (declare-output Y {kind} [1]))"
        f"(assert (and (>= X[0] {low}) (<= X[0] {high}) {condition}))"
    )


def test_what_only_float32_does_is_found_and_never_denied(tmp_path, absorbing):
    # Over the real numbers y = x; in float32 0.75 becomes 1 or 0 (ties to even: 2^24 + 0.75 is 2^24, as its unit is 2).
    _, real = ask_of(tmp_path, absorbing_query("real", 1.25, 1.5, "(>= Y[0] 1.75)"), f=absorbing)
    assert real.verdict is Verdict.UNSAT
    found, single = ask_of(tmp_path, absorbing_query("float32", 1.25, 1.5, "(>= Y[0] 1.75)"), f=absorbing)
    assert single.verdict is Verdict.SAT
    assert found.stated.holds(single.witness.numbers, single.witness.output_numbers)
    _, far = ask_of(tmp_path, absorbing_query("float32", 1.25, 1.5, "(>= Y[0] 1000.0)"), f=absorbing)
    assert far.verdict is Verdict.UNSAT


def test_decimals_may_be_meant_as_they_are_or_rounded(tmp_path):
    file = perceptron(tmp_path / "same.onnx", [([[1.0]], [0.0])])
    head = "(declare-network f (declare-input X {0} [1,1]) (declare-output Y {0} [1,1]))"
    # 0.1 is no float32 number: with the decimal as it is nothing equals it, with the rounded one something does.
    for kind, verdicts in (("real", {Verdict.SAT}), ("float32", {Verdict.UNKNOWN, Verdict.TIMEOUT})):
        _, result = ask_of(tmp_path, f"{head.format(kind)}(assert (== X[0,0] 0.1))(assert (<= Y[0,0] 1.0))", f=file)
        assert result.verdict in verdicts, kind
    # Just below the rounded 0.1, by either reading.
    nearest = Fraction(float(np.float32(0.1)))
    assert nearest > Fraction(1, 10)
    text = f"{head.format('float32')}(assert (and (>= X[0,0] 0.0) (<= X[0,0] 0.1) (>= Y[0,0] 0.1)))"
    _, result = ask_of(tmp_path, text, f=file)
    assert result.verdict is not Verdict.UNSAT and result.verdict is not Verdict.SAT


@pytest.mark.parametrize(
    "ends",
    [
        "(>= X[0,0] 0.1000000001) (<= X[0,0] 0.1)",
        "(== X[0,0] 0.1000000001) (== X[0,0] 0.1)",
        "(>= X[0,0] 0.0) (<= X[0,0] 0.1) (or (and (>= X[0,0] 0.1000000001) (<= X[0,0] 2.0)) (and (>= X[0,0] 3.0) (<= X[0,0] 4.0)))",
        "(or (and (>= X[0,0] 0.1000000001) (<= X[0,0] 0.1)) (and (>= X[0,0] 3.0) (<= X[0,0] 4.0) (<= Y[0,0] 1.0)))",
    ],
)
def test_ends_that_cross_only_as_they_are_written_are_no_empty_box(tmp_path, ends):
    """Rounded, both are the float32 number next to 0.1, which is in the box then."""
    file = perceptron(tmp_path / "same.onnx", [([[1.0]], [0.0])])
    head = "(declare-network f (declare-input X {0} [1,1]) (declare-output Y {0} [1,1]))"
    for kind, verdicts in (("real", {Verdict.UNSAT}), ("float32", {Verdict.UNKNOWN, Verdict.TIMEOUT})):
        text = f"{head.format(kind)}(assert (and {ends} (>= Y[0,0] 0.0)))"
        _, result = ask_of(tmp_path, text, f=file)
        assert result.verdict in verdicts, kind


@pytest.mark.parametrize("sign", ["", "-"])
def test_an_end_below_the_normal_numbers_may_be_meant_as_the_next_one(tmp_path, sign):
    """Rounded it is half as large again: 2^-149, the smallest number of the type."""
    head = "(declare-network f (declare-input X float32 [1,1]) (declare-output Y float32 [1,1]))"
    end = f"{sign}0.{'0' * 44}09"
    box = f"(>= X[0,0] {end}) (<= X[0,0] 0.0)" if sign else f"(>= X[0,0] 0.0) (<= X[0,0] {end})"
    file = perceptron(tmp_path / "large.onnx", [([[float(f"{sign}3e38")]], [0.0]), ([[3e38]], [0.0])])
    reached = 2.0**-149 * float(np.float32(3e38)) ** 2 * 0.99
    for threshold, verdicts in ((reached, {Verdict.UNKNOWN, Verdict.TIMEOUT}), (2 * reached, {Verdict.UNSAT})):
        text = f"{head}(assert (and {box} (>= Y[0,0] {threshold:.1f})))"
        assert ask_of(tmp_path, text, f=file)[1].verdict in verdicts


@pytest.mark.parametrize("end", ["0." + "0" * 399 + "1", "0." + "0" * 323 + "2", "-0." + "0" * 323 + "1"])
def test_a_point_below_all_numbers_of_float64_may_be_meant_as_0(tmp_path, end):
    """Rounded it is 0, whose sign is another one."""
    file = tmp_path / "sign.onnx"
    made = many([helper.make_node("Sign", ["x"], ["y"])], {"x": (1, 1)}, {"y": (1, 1)}, {}, kind=TensorProto.DOUBLE)
    file.write_bytes(made.SerializeToString())
    head = "(declare-network f (declare-input X float64 [1,1]) (declare-output Y float64 [1,1]))"
    met = "(>= Y[0,0] -0.5)" if end.startswith("-") else "(<= Y[0,0] 0.5)"
    text = f"{head}(assert (and (>= X[0,0] {end}) (<= X[0,0] {end}) {met}))"
    assert ask_of(tmp_path, text, f=file)[1].verdict is not Verdict.UNSAT


def test_numbers_beyond_float64_end_in_an_answer(tmp_path):
    file = perceptron(tmp_path / "same.onnx", [([[1.0]], [0.0])])
    head = "(declare-network f (declare-input X float32 [1,1]) (declare-output Y float32 [1,1]))"
    text = f"{head}(assert (and (>= X[0,0] 0.0) (<= X[0,0] 1.0) (>= Y[0,0] 1{'0' * 600}.0)))"
    _, result = ask_of(tmp_path, text, f=file)
    assert result.verdict is not Verdict.SAT


def test_random_float32_queries_against_onnxruntime(tmp_path):
    """Thresholds at what onnxruntime computes: attained, so never ``unsat``."""
    import onnxruntime

    generator = np.random.default_rng(5)
    for number in range(12):
        layers = [
            (generator.normal(size=(3, 8)) * 100, generator.normal(size=8) * 100),
            (generator.normal(size=(8, 1)) * 100, generator.normal(size=1) * 100),
        ]
        file = perceptron(tmp_path / f"{number}.onnx", layers)
        session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
        x = generator.normal(size=(1, 3)).astype(np.float32)
        y = float(session.run(None, {"x": x})[0][0, 0])
        points = "".join(f"(assert (== X[0,{i}] {float(v):.60f}))" for i, v in enumerate(x[0]))
        head = "(declare-network f (declare-input X float32 [1,3]) (declare-output Y float32 [1,1]))"
        for condition, attained in (
            (f"(>= Y[0,0] {y:.60f})", True),
            (f"(<= Y[0,0] {y:.60f})", True),
            (f"(>= Y[0,0] {y + abs(y) + 10:.60f})", False),
        ):
            _, result = ask_of(tmp_path, f"{head}{points}(assert {condition})", f=file)
            assert result.verdict is (Verdict.SAT if attained else Verdict.UNSAT), (number, condition, result)


def test_types_that_are_not_those_of_the_file(tmp_path):
    file = perceptron(tmp_path / "double.onnx", [([[1.0]], [0.0])], kind=TensorProto.DOUBLE)
    assert onnx.load(file).graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE
    head = "(declare-network f (declare-input X {0} [1,1]) (declare-output Y {0} [1,1]))"
    box = "(assert (and (>= X[0,0] 0.0) (<= X[0,0] 1.0) (>= Y[0,0] 2.0)))"
    for kind in ("real", "float64"):
        assert ask_of(tmp_path, head.format(kind) + box, f=file)[1].verdict is Verdict.UNSAT
    from netproof.errors import FormatError

    for kind, words in (
        ("float32", "is of float64, X is declared as float32"),
        ("bfloat16", "no answer of netproof is sound"),
    ):
        with pytest.raises(FormatError, match=words):
            ask_of(tmp_path, head.format(kind) + box, f=file)


def test_products_and_curves_hand_on_what_they_get():
    """Factors that are off already: ``(x + y) (x - y)``, its exponential and its reciprocal, in float32 step by step."""
    from netproof.operators.activations.curves.exponentials import Exp
    from netproof.operators.activations.curves.gates import Gelu
    from netproof.operators.activations.curves.powers import Power
    from netproof.operators.activations.pairs.product import Product
    from netproof.operators.affine.block_linear import BlockLinear

    f = np.float32
    steps = {
        "product": lambda p: p,
        "exp": lambda p: f(np.exp(p)),
        "reciprocal": lambda p: f(1) / p,
        "square": lambda p: p * p,
    }
    curves = {"product": None, "exp": Exp(), "reciprocal": Power(-1.0), "square": Power(2.0)}
    random = np.random.default_rng(8)
    for name, curve in curves.items():
        builder = GraphBuilder(Arithmetic.REAL, (2,))
        both = Linear(torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
        node = builder.add("both", both, builder.input)
        node = builder.add("pair", Product(), node)
        halves = torch.full((1, 1, 2), 0.5, dtype=torch.float64)
        node = builder.add("one", BlockLinear(halves, 1, (1,)), node)
        if curve is not None:
            builder.add("curve", curve, node)
        graph = builder.build()
        low, high = torch.tensor([2.0, 0.5], dtype=torch.float64), torch.tensor([2.5, 1.0], dtype=torch.float64)
        off, size = deviations(graph, low, high, FLOAT32)
        assert 0 < float(off[0]) < 1e-3 * max(1.0, float(size[0]))
        for _ in range(300):
            x, y = (low.numpy() + random.random(2) * (high - low).numpy()).astype(f)
            computed = steps[name](f(f(x + y) * f(x - y)))
            meant = float(graph.evaluate(torch.tensor([float(x), float(y)], dtype=torch.float64))[0])
            assert abs(meant - float(computed)) <= float(off[0]) * (1 + 1e-9), name
            assert abs(meant) <= float(size[0])
        # The error of one factor alone, times the other: what a missing cross term would not have.
        assert float(off[0]) > (2e-7 if name != "reciprocal" else 1e-8)
    builder = GraphBuilder(Arithmetic.REAL, (1,))
    builder.add("gate", Gelu(), builder.input)
    x = torch.tensor([1.0], dtype=torch.float64)
    assert deviations(builder.build(), x, x, FLOAT32)[0].tolist() == [float("inf")]


def test_operators_of_whose_evaluation_nothing_is_known_are_refused(tmp_path):
    from netproof.errors import FormatError

    made = many([helper.make_node("Softplus", ["x"], ["y"])], {"x": (1,)}, {"y": (1,)}, {})
    path = tmp_path / "softplus.onnx"
    path.write_bytes(made.SerializeToString())
    text = "(declare-network f (declare-input X {0} [1]) (declare-output Y {0} [1]))(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= Y[0] 9.0)))"
    assert ask_of(tmp_path, text.format("real"), f=path)[1].verdict is Verdict.UNSAT
    with pytest.raises(FormatError, match="operator Softplus, of whose evaluation in float32 nothing is known"):
        ask_of(tmp_path, text.format("float32"), f=path)


@pytest.mark.parametrize("where", ["branch", "function"])
def test_such_operators_are_found_in_branches_and_functions(tmp_path, where):
    """A function by a name that is known, and a branch: what counts is the nodes inside."""
    from netproof.errors import FormatError

    inner = helper.make_node("Softplus", ["x"], ["b"])
    if where == "branch":
        result = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
        branches = [
            helper.make_graph([one], "g", [], [result]) for one in (inner, helper.make_node("Relu", ["x"], ["b"]))
        ]
        node = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
        made = many([node], {"x": (1,)}, {"y": (1,)}, {"c": np.array(True)})
    else:
        made = many([helper.make_node("Relu", ["x"], ["y"], domain="own")], {"x": (1,)}, {"y": (1,)}, {})
        opsets = list(made.opset_import)
        made.functions.append(helper.make_function("own", "Relu", ["x"], ["b"], [inner], opsets))
        made.opset_import.append(helper.make_opsetid("own", 1))
    path = tmp_path / "inner.onnx"
    path.write_bytes(made.SerializeToString())
    text = "(declare-network f (declare-input X {0} [1]) (declare-output Y {0} [1]))(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= Y[0] 9.0)))"
    assert ask_of(tmp_path, text.format("real"), f=path)[1].verdict is Verdict.UNSAT
    with pytest.raises(FormatError, match="operator Softplus, of whose evaluation in float32 nothing is known"):
        ask_of(tmp_path, text.format("float32"), f=path)


@pytest.mark.parametrize("operator", ["Sigmoid", "Tanh", "Exp", "Softmax", "Sqrt", "Reciprocal", "Floor", "Sign"])
def test_onnxruntime_stays_within_the_account(tmp_path, operator):
    """Function by function, over many ranges: what onnxruntime computes, and the same in 50 digits."""
    import mpmath
    import onnxruntime

    from netproof.formats.onnx.read import values_of

    made = many([helper.make_node(operator, ["x"], ["y"])], {"x": (4,)}, {"y": (4,)}, {})
    data = made.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    graph = values_of(tmp_path / "f.onnx", data, ["y"]).graph
    generator = np.random.default_rng(4)

    def exactly(x):
        x = [mpmath.mpf(float(v)) for v in x]
        if operator == "Softmax":
            terms = [mpmath.exp(v) for v in x]
            return [t / sum(terms) for t in terms]
        function = {
            "Sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)), "Tanh": mpmath.tanh, "Exp": mpmath.exp, "Sqrt": mpmath.sqrt,
            "Reciprocal": lambda v: 1 / v, "Floor": mpmath.floor, "Sign": mpmath.sign,
        }[operator]  # fmt: skip
        return [function(v) for v in x]

    with mpmath.workdps(50):
        for scale in (0.01, 1.0, 5.0, 20.0, 60.0):
            centre = generator.normal(size=4) * scale
            if operator in ("Sqrt", "Reciprocal"):
                centre = np.abs(centre) + 0.5
            low, high = np.float32(centre - 0.1), np.float32(centre + 0.1)
            off, _ = deviations(graph, torch.from_numpy(low).double(), torch.from_numpy(high).double(), FLOAT32)
            for _ in range(40):
                x = np.clip(np.float32(low + generator.random(4) * (high - low)), low, high)
                for got, meant, bound in zip(session.run(None, {"x": x})[0], exactly(x), off.tolist(), strict=True):
                    assert abs(mpmath.mpf(float(got)) - meant) <= bound, (x, got, meant, bound)
