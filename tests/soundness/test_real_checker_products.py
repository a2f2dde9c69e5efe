"""Products of values, and what is made of them and of smooth functions, in the checker of float networks."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import onnx
import pytest

from netproof.certificate.checker.real.bound import Evaluation, Objective
from netproof.certificate.checker.real.check import check_real, evaluation_of
from netproof.certificate.checker.real.curved.bends import Bends
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import PRODUCT
from netproof.certificate.checker.real.numbers import Ball, Float64, Rational
from netproof.certificate.checker.real.property import read_property
from netproof.certificate.real.contents import BOTH, CROWN, FORMS, INTERVALS
from netproof.errors import FormatError, ProofError
from soundness.checker_models import integers, one
from soundness.real_evidence import (
    Builder,
    Digits,
    attention,
    certificate,
    gated,
    property_text,
    run,
    some_slopes,
    values_of,
)

ARITHMETICS = {"float64": Float64, "arb": Ball, "rational": Rational}


def two(kind: str, shapes=((2, 3), (2, 3)), **attributes) -> bytes:
    """An operator of two values, each a product of the input with a matrix."""
    made = Builder([1, 3], dtype=np.float64, opset=attributes.pop("opset", 17))
    rng = np.random.default_rng(0)
    values = []
    for shape in shapes:
        weight = made.constant(rng.normal(size=(3, int(np.prod(shape)))))
        bias = made.constant(rng.normal(size=int(np.prod(shape))) + 3.0 * (kind == "Div"))
        values.append(made.node("Reshape", made.node("Gemm", "x", weight, bias), made.constant(list(shape), np.int64)))
    return made.bytes(made.node(kind, *values, **attributes))


def positive(kind: str) -> bytes:
    made = Builder([1, 3], dtype=np.float64)
    return made.bytes(made.node(kind, made.node("Add", made.node("Exp", "x"), made.constant(0.5))))


def squared() -> bytes:
    made = Builder([1, 3], dtype=np.float64)
    return made.bytes(made.node("Mul", made.node("Tanh", "x"), made.node("Tanh", "x")))


def itself() -> bytes:
    made = Builder([1, 3], dtype=np.float64)
    return made.bytes(made.node("Mul", "x", "x"))


def swish() -> bytes:
    made = Builder([1, 3], dtype=np.float64)
    return made.bytes(made.node("Mul", made.node("Sigmoid", "x"), "x"))


READ = {
    **{kind: lambda kind=kind: one(kind, [1, 4]) for kind in ("Sigmoid", "Tanh", "Exp", "Softplus", "Erf", "Sin", "Cos", "Softsign", "Neg")},
    **{f"{kind} of what is positive": lambda kind=kind: positive(kind) for kind in ("Log", "Sqrt", "Reciprocal")},
    "gelu": lambda: one("Gelu", [1, 4], opset=20),
    **{f"power {p}": lambda p=p: one("Pow", [1, 4], np.float32(p)) for p in (1, 2, 3)},
    "power in a list": lambda: one("Pow", [1, 4], np.float32([2])),
    "product": lambda: two("Mul"),
    "product of other shapes": lambda: two("Mul", ((2, 1), (1, 3))),
    "product of other ranks": lambda: two("Mul", ((3,), (2, 3))),
    "a value by itself": itself,
    "swish": swish,
    "equal values": squared,
    "quotient": lambda: two("Div"),
    "divided by constants": lambda: one("Div", [1, 3], np.float32([2, -3, 0.1])),
    "matrices": lambda: two("MatMul", ((2, 3), (3, 2))),
    "many matrices": lambda: two("MatMul", ((2, 2, 3), (2, 3, 1))),
    "many matrices by one": lambda: two("MatMul", ((2, 2, 3), (1, 3, 2))),
    **{f"softmax {axis}": lambda axis=axis: one("Softmax", [1, 2, 3], axis=axis) for axis in (-1, 1, 2)},
    "softmax": lambda: one("Softmax", [1, 4]),
    "old softmax": lambda: one("Softmax", [1, 4], opset=11),
    **{f"mean {axes}": lambda axes=axes: one("ReduceMean", [1, 2, 3], axes=list(axes)) for axes in ((1,), (-1,), (1, 2), (2, 1))},
    "mean without the axis": lambda: one("ReduceMean", [1, 2, 3], axes=[1], keepdims=0),
    "sum": lambda: one("ReduceSum", [1, 2, 3], integers(2)),
    "old sum": lambda: one("ReduceSum", [1, 2, 3], opset=11, axes=[1, 2], keepdims=0),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_what_is_read_is_what_the_runtime_computes(kind):
    network = READ[kind]()
    dims = onnx.load_model_from_string(network).graph.input[0].type.tensor_type.shape.dim
    x = np.random.default_rng(1).normal(size=(2, int(np.prod([d.dim_value for d in dims]))))
    x = x.astype(np.float32).astype(np.float64)
    for row, y in zip(x, run(network, x), strict=True):
        found = np.array([float(value) for value in values_of(network, row.tolist(), Digits())])
        assert found.shape == y.shape and np.allclose(found, y, rtol=1e-5, atol=1e-6)


def divided(by: float) -> bytes:
    made = Builder([1, 2], dtype=np.float64)
    return made.bytes(made.node("Div", "x", made.constant(by)))


REFUSED = {
    "a gelu of another kind": (lambda: one("Gelu", [1, 3], opset=20, approximate="fast"), "approximation of Gelu"),
    "a power of a half more": (lambda: one("Pow", [1, 3], np.float32(2.5)), "exponent"),
    "powers one by one": (lambda: one("Pow", [1, 2], np.float32([2, 3])), "exponent"),
    "a constant to a power": (lambda: one("Pow", [1, 3], np.float32([[[2.0]]])), "exponent"),
    "a division by 0": (lambda: one("Div", [1, 3], np.float32([1, 0, 1])), "division by 0"),
    "a division by next to nothing": (lambda: divided(2.0**-500), "division by 0"),
    "a softmax of one": (lambda: one("Softmax", [1, 1]), "Softmax of this size"),
    "an old softmax of several axes": (lambda: one("Softmax", [1, 2, 3], opset=11), "of this axis"),
    "a softmax of no axis": (lambda: one("Softmax", [1, 3], axis=2), "axes of a Softmax"),
    "a sum over nothing": (lambda: one("ReduceSum", [1, 3], noop_with_empty_axes=1), "axes of a sum"),
    "a sum over an axis twice": (lambda: one("ReduceMean", [1, 3], axes=[1, -1]), "axes of a sum"),
    "matrices that do not fit": (lambda: two("MatMul", ((2, 3), (2, 3))), "do not fit"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_a_step_away_is_refused_by_name(kind):
    make, reason = REFUSED[kind]
    network = make()
    dims = onnx.load_model_from_string(network).graph.input[0].type.tensor_type.shape.dim
    with pytest.raises(FormatError, match=reason):
        read_network(network, int(np.prod([d.dim_value for d in dims])), Float64(), "n")


def test_products_that_are_made_to_fill_the_memory_are_refused():
    made = Builder([1, 5000])
    column = made.node("Reshape", "x", made.constant([5000, 1], np.int64))
    with pytest.raises(FormatError, match="its size"):
        read_network(made.bytes(made.node("Mul", column, "x")), 5000, Float64(), "n")


def planes(low, high, weight: float, v: float) -> tuple[float, float]:
    """McCormick's planes, the first one of them with a weight."""
    (a, c), (b, d) = low, high
    first, second = ((c, b), (d, a)) if v > 0 else ((c, a), (d, b))
    return tuple(v * (weight * one + (1 - weight) * other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_multipliers_of_a_product_are_mccormicks(arithmetic):
    numbers = ARITHMETICS[arithmetic]()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        low = np.sort(rng.integers(-8, 8, size=2)) / 4.0
        high = low + rng.integers(0, 8, size=2) / 4.0
        weight, v = float(rng.integers(0, 9)) / 8, float(rng.choice([-2.0, -0.5, 1.0, 3.0]))
        given = np.array([[weight, np.nan]])
        ends = low[None], high[None]
        s, share = Bends(numbers).bound(PRODUCT, numbers.load(np.array([[v]])), ends, None, (given, None, None))
        expected = planes(low, high, weight, v)
        assert [Fraction(float(one)) for one in s[0]] == [Fraction(one) for one in expected]
        corners = [v * x * y - expected[0] * x - expected[1] * y for x in (low[0], high[0]) for y in (low[1], high[1])]
        assert float(share[0]) == max(corners)
        # By one plane alone the bound is attained along two sides: McCormick's.
        if weight in (0.0, 1.0):
            assert sum(corner == max(corners) for corner in corners) >= 3


NETWORKS = {"attention": (attention, 4), "gated": (gated, 3)}


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_bounds_hold_what_networks_compute(kind, arithmetic):
    numbers, (make, inputs) = ARITHMETICS[arithmetic](), NETWORKS[kind]
    for seed in range(5 if arithmetic == "float64" else 1):
        rng = np.random.default_rng(seed)
        network = make(rng)
        evaluation = Evaluation(read_network(network, inputs, numbers, "n"), numbers)
        center, radius = rng.normal(size=inputs), 10.0 ** rng.uniform(-6, -1)
        lower, upper = center - radius, center + radius
        corners = np.array(list(itertools.product(*zip(lower, upper, strict=True))))
        inside = np.concatenate([corners, lower + rng.random((4, inputs)) * (upper - lower)])
        values = [values_of(network, x, Digits()) for x in inside.tolist()]
        for rule in (INTERVALS, FORMS, CROWN, BOTH):
            with np.errstate(all="ignore"):
                cells = evaluation.derive(evaluation.root(lower, upper), rule)
            rows, last, features = 4, len(evaluation.network.nodes) - 1, evaluation.network.sizes
            c, t = rng.normal(size=(rows, 2)), rng.normal(size=rows)
            for slopes in some_slopes(rng, rows, features):
                objective = Objective({last: numbers.load(c)}, numbers.load(t))
                found = evaluation.refutations(cells, np.zeros(rows, np.int64), objective, slopes)
                for row in range(rows):
                    best = max(sum(Fraction(a) * b for a, b in zip(c[row], y, strict=True)) for y in values)
                    assert best + Fraction(t[row]) <= found[row], (seed, rule, row)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_what_a_product_attains_is_not_refuted(arithmetic):
    # x y over [-1, 2] x [0.5, 3] is 6 at one corner, and -3 at another.
    made = Builder([1, 2], dtype=np.float64)
    parts = [made.node("MatMul", "x", made.constant([[float(i == k)] for i in range(2)])) for k in range(2)]
    network = made.bytes(made.node("Mul", *parts))
    for sign, best in ((1.0, 6.0), (-1.0, 3.0)):
        for beyond, holds in ((0.0, False), (-(2.0**-40), False), (2.0**-20, True)):
            property_ = property_text([-1.0, 0.5], [2.0, 3.0], 1, [[((sign,), best + beyond)]])
            for slope in (0, 1):
                row = {"row_exponent": [0], "row_mu": [1], "row_base": [0], "row_count": [1], "row_feature": [0]}
                row |= {"row_slope": [slope], "row_added": [0]}
                made_of_it = certificate(network, property_, 2, 1, **row)
                if holds and slope:
                    check_real(made_of_it, network, property_, arithmetic=arithmetic)
                elif not holds:
                    with pytest.raises(ProofError):
                        check_real(made_of_it, network, property_, arithmetic=arithmetic)


def test_linear_forms_of_products_hold_them():
    # Over many boxes: what the rule says of x y + x lies around all corners, whose rounding is that of the numbers' sizes.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        made = Builder([1, 2], dtype=np.float64)
        both = [
            made.node("MatMul", "x", made.constant(rng.normal(size=(2, 1)) * 10.0 ** rng.integers(-6, 6)))
            for _ in range(2)
        ]
        joined = made.node("Add", made.node("Mul", *both), both[0])
        network = made.bytes(made.node("MatMul", made.node("Relu", joined), made.constant([[1.0]])))
        evaluation = Evaluation(read_network(network, 2, Float64(), "n"), Float64())
        lower = rng.normal(size=2)
        upper = lower + rng.random(2)
        cells = evaluation.derive(evaluation.root(lower, upper), FORMS)
        model = read_network(network, 2, Digits(), "n")
        for x in itertools.product(*zip(lower.tolist(), upper.tolist(), strict=True)):
            values = [Digits().load(np.array([x]))]
            for node in model.nodes[1:]:
                parts = [values[i] for i in node.operands]
                values.append(
                    node.operator.forward(*parts)
                    if node.operator
                    else np.multiply(*np.split(parts[0], 2, 1))
                    if node.bend == PRODUCT
                    else np.maximum(parts[0], 0)
                )
            for k, node in enumerate(model.operands):
                assert (cells.low[k][0] <= values[node][0]).all() and (values[node][0] <= cells.high[k][0]).all()


def test_a_value_times_its_logistic_function_is_one_curve():
    assert [node.bend for node in read_network(swish(), 3, Float64(), "n").nodes if node.bend] == ["sigmoid", "swish"][
        1:
    ]
    made = Builder([1, 2], dtype=np.float64)
    first = made.node("Sigmoid", made.node("Neg", "x"))
    other = made.bytes(made.node("Mul", "x", first))
    assert [node.bend for node in read_network(other, 2, Float64(), "n").nodes if node.bend] == ["sigmoid", PRODUCT]


def softmaxed(shape=(1, 4), axis=-1) -> bytes:
    """Four numbers of three, and a softmax of them."""
    made = Builder([1, 3], dtype=np.float64)
    rows = made.node("Gemm", "x", made.constant(np.random.default_rng(3).normal(size=(3, 4))))
    share = made.node("Softmax", made.node("Reshape", rows, made.constant(list(shape), np.int64)), axis=axis)
    return made.bytes(made.node("Reshape", share, made.constant([1, 4], np.int64)))


def about(condition: str) -> bytes:
    lines = [f"(declare-const X_{i} Real)" for i in range(3)] + [f"(declare-const Y_{j} Real)" for j in range(4)]
    lines += [f"(assert (>= X_{i} -0.25))\n(assert (<= X_{i} 0.25))" for i in range(3)]
    return "\n".join([*lines, f"(assert {condition})"]).encode()


@pytest.mark.parametrize(
    ("condition", "shape", "is_left_out"),
    [
        ("(>= Y_0 Y_1)", (1, 4), True),
        ("(or (> (* 2 Y_0) (* 2 Y_1)) (and (<= Y_2 Y_3) (>= X_0 0.5)))", (1, 4), True),
        ("(>= Y_0 0.5)", (1, 4), False),
        ("(>= (+ Y_0 0.1) Y_1)", (1, 4), False),
        ("(>= (* 2 Y_0) Y_1)", (1, 4), False),
        ("(>= (+ Y_0 X_0) Y_1)", (1, 4), False),
        ("(>= (+ Y_0 Y_1) (+ Y_2 Y_3))", (1, 4), False),
        ("(or (>= Y_0 Y_1) (>= Y_0 0.5))", (1, 4), False),
        # Two rows, of which one says nothing of the other.
        ("(>= Y_0 Y_1)", (2, 2), False),
    ],
)
def test_a_softmax_at_the_end_is_left_out_where_order_alone_is_asked_about(condition, shape, is_left_out):
    asked = read_property(about(condition), "property")
    evaluation = evaluation_of(softmaxed(shape), asked, Float64())
    assert (not evaluation.network.bends) == is_left_out
    assert evaluation.network.outputs == 4
