"""Files made to deceive the checker of float networks: what two readers can take for two things is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest

from netproof.certificate.checker.real import bound, tree
from netproof.certificate.checker.real.bound import Evaluation
from netproof.certificate.checker.real.check import applied, check_real
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import read_property
from netproof.certificate.checker.real.tree import Lemma
from netproof.certificate.real.contents import BOTH, FORMS, LEAF, LEMMAS, SPLIT
from netproof.errors import FormatError, ProofError
from soundness.real_evidence import Builder, certificate, perceptron, property_text, run

DECLARED = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= Y_0 5))"


def refused_network(network: bytes, inputs: int = 1, outputs: int = 1) -> None:
    property_ = property_text([0.0] * inputs, [1.0] * inputs, outputs, [[((1.0,) * outputs, 5.0)]])
    with pytest.raises(FormatError, match="is not read by the checker"):
        check_real(certificate(network, property_, inputs, outputs), network, property_)


@pytest.mark.parametrize("way", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("kind", ["Conv", "AveragePool"])
def test_automatic_padding_is_not_overruled_by_pads(kind, way):
    # ONNX excludes both together; runtimes take what is automatic, and leave the pads.
    made = Builder([1, 1, 4, 4])
    pads = [1, 1, 1, 1] if way == "VALID" else [0, 0, 0, 0]
    given = {"strides": [2, 2], "pads": pads, "auto_pad": way}
    if kind == "Conv":
        at = made.node("Conv", "x", made.constant(np.ones((1, 1, 3, 3))), **given)
    else:
        at = made.node("AveragePool", "x", kernel_shape=[3, 3], count_include_pad=1, **given)
    refused_network(made.bytes(at), 16, {"VALID": 4}.get(way, 1))


def test_padding_that_is_none_by_itself_is_read():
    made = Builder([1, 1, 2, 2])
    network = made.bytes(made.node("Conv", "x", made.constant(np.ones((1, 1, 2, 2))), auto_pad="VALID"))
    property_ = property_text([0.0] * 4, [1.0] * 4, 1, [[((1.0,), 4.5)]])
    check_real(certificate(network, property_, 4, 1), network, property_)


def test_a_normalization_whose_factor_vanishes_is_refused():
    # scale / sqrt(variance) is 2^-1100, which is 0 in float64; times the mean, 2^1000, it is 2^-100, which is not.
    made = Builder([1, 1], dtype=np.float64)
    numbers = [made.constant([value]) for value in (2.0**-1000, 0.0, 2.0**1000, 2.0**200)]
    network = made.bytes(made.node("BatchNormalization", "x", *numbers))
    (y,) = run(network, np.zeros((1, 1)))[0]
    # y = -2^-100: the claim that it is nowhere at most -2^-101 is false.
    property_ = property_text([0.0], [1.0], 1, [[((-1.0,), 2.0**-101)]])
    with pytest.raises((FormatError, ProofError)):
        check_real(certificate(network, property_, 1, 1), network, property_)
    assert abs(y) <= 2.0**-99


def renamed(network: bytes, change) -> bytes:
    model = onnx.load_model_from_string(network)
    change(model.graph)
    return model.SerializeToString()


@pytest.mark.parametrize("kind", ["BatchNormalization", "Dropout"])
def test_a_second_output_is_not_taken_for_the_first(kind):
    made = Builder([1, 1])
    numbers = [made.constant([1.0]) for _ in range(4)] if kind == "BatchNormalization" else []
    network = made.bytes(made.node(kind, "x", *numbers))

    def change(graph):
        name = graph.node[0].output[0]
        graph.node[0].output[:] = ["", name]

    refused_network(renamed(network, change))


def test_operands_and_shapes_that_operators_do_not_have_are_refused():
    made = Builder([1, 1, 1, 1])
    weight, bias = made.constant(np.ones((2, 1, 1, 1))), made.constant([1.0])
    refused_network(made.bytes(made.node("Conv", "x", weight, bias)), 1, 2)
    refused_network(made.bytes(made.node("Conv", "x", weight, made.constant([1.0, 2.0]), bias)), 1, 2)

    def change(graph):
        graph.initializer[0].dims[:] = [-1, 1]

    made = Builder([1, 1])
    refused_network(renamed(made.bytes(made.node("MatMul", "x", made.constant([[2.0]]))), change))


def test_a_first_dimension_is_a_batch_only_where_it_is_open():
    # Of two rows of three a transposition makes three rows of two: nothing that one row alone says anything about.
    for first, is_read in ((0, True), (1, True), (2, False)):
        made = Builder([first, 3])
        network = made.bytes(made.node("Add", made.node("Transpose", "x"), made.constant([[1.0], [2.0], [3.0]])))
        if is_read:
            assert read_network(network, 3, Float64(), "network").outputs == 3
        else:
            refused_network(network, 3, 3)


def test_networks_that_are_made_to_fill_the_memory_are_refused():
    made = Builder([1, 1, 1, 1])
    wide = made.node("Conv", "x", made.constant(np.ones((1, 1, 1, 1))), pads=[1 << 18] * 4, strides=[1 << 19] * 2)
    refused_network(made.bytes(wide))
    made = Builder([1, 1, 1, 1])
    refused_network(made.bytes(made.node("AveragePool", "x", kernel_shape=[4096, 4096])))
    # Values of 2^24 numbers each from a file of some hundred bytes: refused by their sum, before the last one is made.
    made = Builder([1, 1, 1, 1])
    at = made.node("Conv", "x", made.constant(np.ones((1, 1, 1, 1))), pads=[2047, 2047, 2048, 2048])
    for _ in range(40):
        at = made.node("Identity", made.node("Relu", at))
    refused_network(made.bytes(made.node("AveragePool", at, kernel_shape=[4096, 4096])))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # What stands behind the question is none of it, and what stands behind the end is nothing.
        ("(check-sat)(assert (<= Y_0 0))", "after"),
        ("(exit)(assert (<= Y_0 0))", "after"),
        ("(exit)(check-sat)", "after"),
        # A carriage return ends a comment in SMT-LIB.
        ("; all\r(assert (<= Y_0 6))\n", ""),
        ("(assert (<= Y_0 \u0661))", "\u0661"),
        ("(assert\u00a0(<= Y_0 1))", "statement"),
        ("(assert (<= Y_0 (*" + " 1e999" * 5000 + ")))", "digits"),
    ],
)
def test_words_that_readers_take_for_different_things(text, problem):
    if not problem:
        (part,) = read_property((DECLARED + text).encode(), "p").parts
        assert len(part.cases[0]) == 2
        return
    with pytest.raises(FormatError, match=problem):
        read_property((DECLARED + text).encode(), "p")


def test_boxes_that_are_made_to_fill_the_memory_are_refused():
    # Some hundred kilobytes that ask about 10,000 boxes of 10,000 inputs each.
    declared = "".join(f"(declare-const X_{i} Real)" for i in range(10000)) + "(declare-const Y_0 Real)"
    boxes = "(assert (or " + "".join(f"(<= X_0 {i})" for i in range(10000)) + "))"
    with pytest.raises(FormatError, match="so many boxes"):
        read_property((declared + boxes).encode(), "p")


def test_a_question_that_ends_is_read():
    assert len(read_property((DECLARED + "(check-sat)(get-model)(exit)").encode(), "p").parts) == 1


def full_tree(depth: int) -> dict[str, list[int]]:
    """Splits of one input in halves, and a row for each leaf."""
    splits, leaves = 2**depth - 1, 2**depth
    points = [(2 * i + 1) * 2 ** (depth - level - 1) for level in range(depth) for i in range(2**level)]
    return {
        "kind": [SPLIT] * splits + [LEAF] * leaves,
        "rule": [0] * (splits + leaves),
        "split_relu": [0] * splits,
        "split_feature": [0] * splits,
        "split_point": points,
        "split_exponent": [depth] * splits,
        "leaf_row": [0] * leaves,
    }


def test_trees_that_are_made_to_fill_the_memory_are_refused(monkeypatch):
    made = Builder([1, 1])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0]]))))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 2.0)]])
    evidence = certificate(network, property_, 1, 1, **full_tree(8))
    assert check_real(evidence, network, property_).counts.leaves == 256
    monkeypatch.setattr(tree, "_ENOUGH", 2000)
    monkeypatch.setattr(tree, "_AT_ONCE", 1000)
    # Fewer at once, and the same is proved.
    assert check_real(evidence, network, property_).counts.leaves == 256
    monkeypatch.setattr(tree, "_MOST", 3000)
    with pytest.raises(ProofError, match="more memory"):
        check_real(evidence, network, property_)


def test_linear_forms_that_are_made_to_fill_the_memory_are_refused(monkeypatch):
    made = Builder([1, 1])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0]]))))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 2.0)]])
    evidence = certificate(network, property_, 1, 1, stages=[1], stage=[FORMS])
    assert check_real(evidence, network, property_).counts.rules
    monkeypatch.setattr(tree, "_FORMS", 0)
    with pytest.raises(ProofError, match="linear forms in so many inputs"):
        check_real(evidence, network, property_)


def test_linear_forms_of_few_cells_at_a_time_are_those_of_all(monkeypatch):
    rng = np.random.default_rng(3)
    evaluation = Evaluation(read_network(perceptron(rng), 3, Float64(), "n"), Float64())
    root, low = evaluation.root(np.full(3, -3.0), np.full(3, 3.0)), rng.normal(size=(5, 3))
    cells = replace(root.take(np.zeros(5, np.int64)), lower=low - 0.1, upper=low + 0.1)
    whole = evaluation.derive(cells, BOTH)
    monkeypatch.setattr(bound, "_FORMS", 2 * 3 * sum(node.size for node in evaluation.network.nodes))
    parts = evaluation.derive(cells, BOTH)
    for a, b in zip((*whole.low, *whole.high), (*parts.low, *parts.high), strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_leaf_of_many_cases_is_proved_in_parts(monkeypatch):
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0]])))
    cases = [[((1.0,), 2.0 + i)] for i in range(9)]
    property_ = property_text([0.0], [1.0], 1, cases)
    evidence = certificate(network, property_, 1, 1, cases=[9], tree=[0] * 9, leaf_row=[0] * 9)
    monkeypatch.setattr(tree, "_AT_ONCE", 8)
    assert check_real(evidence, network, property_).counts.leaves == 9
    # The last of them has a witness.
    property_ = property_text([0.0], [1.0], 1, [*cases[:8], [((1.0,), 1.0)]])
    evidence = certificate(network, property_, 1, 1, cases=[9], tree=[0] * 9, leaf_row=[0] * 9)
    with pytest.raises(ProofError, match="leaf 0"):
        check_real(evidence, network, property_)


def test_lemmas_beyond_number_take_no_more_memory_than_few(monkeypatch):
    made = Builder([1, 1])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0]]))))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 2.0)]])
    count = 300
    lemmas = {
        "stages": [1],
        "stage": [LEMMAS],
        "lemma_count": [count],
        "lemma_relu": [1] * count,
        "lemma_feature": [0] * count,
        "lemma_side": [1] * count,
        "lemma_end": [2] * count,
        "lemma_exponent": [0] * count,
        "kind": [LEAF] * (count + 1),
        "rule": [0] * (count + 1),
        "leaf_row": [0] * count + [1],
        "row_exponent": [0, 0],
        "row_base": [0, 0],
        "row_mu": [0, 1],
        "row_count": [0, 0],
    }
    most = []
    take = bound.Cells.take

    def taken(self, rows):
        most.append(len(rows))
        return take(self, rows)

    monkeypatch.setattr(tree, "_AT_ONCE", 60)
    monkeypatch.setattr(bound.Cells, "take", taken)
    assert check_real(certificate(network, property_, 1, 1, **lemmas), network, property_).counts.lemmas == count
    assert max(most) <= 10


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
@pytest.mark.parametrize("weight", [0, 1, 1 << 20])
def test_a_case_of_no_constraints_is_refuted_by_nothing(weight, arithmetic):
    # Every input of the box meets it, whatever weight a row gives to what is not there.
    made = Builder([1, 1])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0]]))))
    declared = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))"
    for text in ("", "(assert (and))", "(assert (or (>= Y_0 5) (and)))"):
        property_ = (declared + text).encode()
        count = 2 if "or" in text else 1
        evidence = certificate(
            network, property_, 1, 1, cases=[count], tree=[0] * count, leaf_row=[0] * count, row_mu=[weight]
        )
        with pytest.raises(ProofError, match="leaf 0"):
            check_real(evidence, network, property_, arithmetic=arithmetic)
    # A box that is empty is proved by that alone.
    property_ = (declared + "(assert (>= X_0 1))(assert (< X_0 1))").encode()
    evidence = certificate(network, property_, 1, 1)
    check_real(evidence, network, property_, arithmetic="rational")


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_a_bound_of_0_is_enough_only_where_a_strict_constraint_has_weight(arithmetic):
    # y = 0 x, asked to be at least 0 and above 1: by the second alone it is refuted, by the first it is not.
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[0.0]])))
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))"
    for comparisons, weights, is_refuted in (
        ((">=", ">="), (1, 1), False),
        ((">", ">="), (1, 0), True),
        ((">", ">="), (0, 1), False),
        ((">", ">="), (1, 1), True),
        ((">=", ">"), (1, 0), False),
        ((">=", ">"), (0, 1), True),
        ((">", ">"), (0, 0), False),
    ):
        asserts = "".join(f"(assert ({comparison} Y_0 0))" for comparison in comparisons)
        property_ = (text + asserts).encode()
        evidence = certificate(network, property_, 1, 1, row_mu=list(weights))
        if is_refuted:
            assert check_real(evidence, network, property_, arithmetic=arithmetic).counts.closest == 0.0
        else:
            with pytest.raises(ProofError, match="leaf 0"):
                check_real(evidence, network, property_, arithmetic=arithmetic)


def test_what_is_proved_of_one_part_says_nothing_of_another():
    # The same tree, case and row by number: 2 is never reached on [0, 1], and is on [3, 4].
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0]])))
    text = (
        "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= Y_0 {}))"
        "(assert (or (and (>= X_0 0) (<= X_0 1) (>= Y_0 2)) (and (>= X_0 3) (<= X_0 4) (>= Y_0 {}))))"
    )
    twice = {"cases": [1, 1], "tree": [0, 0], "stages": [0, 0], "kind": [LEAF] * 2, "rule": [0] * 2, "leaf_row": [0, 0]}
    for threshold, is_true in ((5, True), (3, False)):
        property_ = text.format(-9, threshold).encode()
        evidence = certificate(network, property_, 1, 1, **twice, row_mu=[0, 1])
        if is_true:
            assert check_real(evidence, network, property_).counts.leaves == 2
        else:
            with pytest.raises(ProofError, match="leaf 0 of part 1"):
                check_real(evidence, network, property_)


def test_what_a_lemma_proves_says_nothing_of_a_case():
    # By row 0 and as the first goal, both: that relu's operand is at most 2 is true, that the output is below 1 is not.
    made = Builder([1, 1])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0]]))))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 1.0)]])
    lemma = {
        "stages": [1],
        "stage": [LEMMAS],
        "lemma_count": [1],
        "lemma_relu": [1],
        "lemma_feature": [0],
        "lemma_side": [1],
        "lemma_end": [2],
        "lemma_exponent": [0],
        "kind": [LEAF] * 2,
        "rule": [0] * 2,
        "leaf_row": [0, 0],
        "row_mu": [0],
    }
    with pytest.raises(ProofError, match="leaf 0 of part 0"):
        check_real(certificate(network, property_, 1, 1, **lemma), network, property_)


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_rows_without_multipliers_are_those_of_base_1(arithmetic):
    # y = (relu(x), -x) on [0, 1] is never (at least 0.3, at least -0.2): where x <= 1/4 the range of the ReLU's operand says
    # so by itself, elsewhere what a row adds.
    made = Builder([1, 1])
    a = made.node("MatMul", "x", made.constant([[1.0]]))
    first = made.node("MatMul", made.node("Relu", a), made.constant([[1.0, 0.0]]))
    network = made.bytes(made.node("Add", first, made.node("MatMul", "x", made.constant([[0.0, -1.0]]))))
    property_ = property_text([0.0], [1.0], 2, [[((1.0, 0.0), 0.3), ((0.0, 1.0), -0.2)]])
    given = {
        "kind": [SPLIT, LEAF, LEAF],
        "rule": [0, 0, 0],
        "leaf_row": [0, 1],
        "split_relu": [1],
        "split_feature": [0],
        "split_point": [1],
        "split_exponent": [2],
        "row_exponent": [0, 0],
        "row_mu": [1, 0, 0, 1],
        "row_count": [0, 1],
        "row_feature": [0],
        "row_slope": [0],
        "row_added": [1],
    }
    for base, is_enough in (([1, 0], True), ([1, 1], True), ([0, 0], False)):
        evidence = certificate(network, property_, 1, 2, **given, row_base=base)
        if is_enough:
            found = check_real(evidence, network, property_, arithmetic=arithmetic)
            assert (found.counts.leaves, found.counts.splits, found.counts.given) == (2, 1, 2)
        else:
            with pytest.raises(ProofError, match="leaf 1"):
                check_real(evidence, network, property_, arithmetic=arithmetic)


def test_rows_name_each_feature_once_and_in_order():
    made = Builder([1, 1])
    wide = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0, 2.0, 3.0]])))
    network = made.bytes(made.node("MatMul", wide, made.constant([[1.0]] * 3)))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 9.0)]])

    def of(*rows: list[int]):
        features = [feature for row in rows for feature in row]
        return certificate(
            network,
            property_,
            1,
            1,
            row_exponent=[0] * len(rows),
            row_base=[0] * len(rows),
            row_mu=[1] * len(rows),
            row_count=[len(row) for row in rows],
            row_feature=features,
            row_slope=[1] * len(features),
            row_added=[0] * len(features),
        )

    for rows in ([[0, 1, 2]], [[2], [0]], [[0, 2], [], [], [1]], [[], [0]], [[1], []], [[]]):
        assert check_real(of(*rows), network, property_).counts.leaves == 1
    for rows in ([[1, 0]], [[1, 1]], [[0], [2, 1]], [[0, 1], [], [2, 2]], [[3]], [[0, 3]], [[-1]], [[-1, 0]]):
        with pytest.raises(ProofError, match="not there, or not in ascending order"):
            check_real(of(*rows), network, property_)


def test_the_smallest_portions_are_of_one(monkeypatch):
    made = Builder([1, 1])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0]]))))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 2.0)], [((1.0,), 3.0)]])
    evidence = certificate(network, property_, 1, 1, **{**full_tree(4), "leaf_row": [0] * 32}, cases=[2], tree=[0, 0])
    monkeypatch.setattr(tree, "_AT_ONCE", 1)
    assert check_real(evidence, network, property_).counts.leaves == 32
    monkeypatch.setattr(tree, "_AT_ONCE", 100)
    monkeypatch.setattr(tree, "_ENOUGH", 0)
    found = check_real(evidence, network, property_).counts
    assert (found.leaves, found.splits, found.empty, found.given, found.lemmas) == (32, 15, 0, 0, 0)
    assert found.closest == pytest.approx(-1.0) and found.rules == {}


def test_uses_of_rules_are_counted():
    made = Builder([1, 1])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0]]))))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 2.0)]])
    given = {**full_tree(2), "rule": [0, BOTH, BOTH, FORMS, 0, 0, FORMS], "stages": [2], "stage": [FORMS, BOTH]}
    found = check_real(certificate(network, property_, 1, 1, **given), network, property_).counts
    assert found.rules == {FORMS: 3, BOTH: 3}


def test_what_one_tree_refutes_is_nothing_that_another_does():
    # Two cases by the same row, each the first of its tree; of the second there is a witness.
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0]])))
    for thresholds, trees, is_true in (
        ((2.0, 3.0), [0, 1], True),
        ((2.0, 0.5), [0, 1], False),
        ((0.5, 2.0), [0, 1], False),
        ((2.0, 3.0, 0.5), [0, 0, 1], False),
        ((2.0, 0.5, 3.0), [0, 1, 0], False),
        ((2.0, 3.0, 4.0), [0, 1, 0], True),
    ):
        property_ = property_text([0.0], [1.0], 1, [[((1.0,), one)] for one in thresholds])
        count = max(trees) + 1
        evidence = certificate(
            network,
            property_,
            1,
            1,
            cases=[len(trees)],
            tree=trees,
            kind=[LEAF] * count,
            rule=[0] * count,
            leaf_row=[0] * len(trees),
        )
        if is_true:
            assert check_real(evidence, network, property_).counts.leaves == len(trees)
        else:
            with pytest.raises(ProofError, match="which is not below 0"):
                check_real(evidence, network, property_)


def test_trees_are_numbered_in_the_order_of_their_cases():
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0]])))
    property_ = property_text([0.0], [1.0], 1, [[((1.0,), 2.0)], [((1.0,), 3.0)]])
    given = {"cases": [2], "kind": [LEAF] * 2, "rule": [0] * 2, "leaf_row": [0] * 2}
    found = check_real(certificate(network, property_, 1, 1, **given, tree=[0, 1]), network, property_)
    assert 0 < found.seconds < 60 and (found.inputs, found.outputs, found.neurons, found.part) == (1, 1, 0, -1)
    for trees in ([1, 0], [1, 1]):
        with pytest.raises(ProofError, match="the trees of part 0 are not in order"):
            check_real(certificate(network, property_, 1, 1, **given, tree=trees), network, property_)


def test_splits_name_what_is_there():
    made = Builder([1, 2])
    wide = made.node("Relu", made.node("MatMul", "x", made.constant([[1.0, 2.0, 3.0]] * 2)))
    network = made.bytes(made.node("Relu", made.node("MatMul", wide, made.constant([[1.0]] * 3))))
    property_ = property_text([0.0] * 2, [1.0] * 2, 1, [[((1.0,), 99.0)]])
    given = {
        "kind": [SPLIT, LEAF, LEAF],
        "rule": [0] * 3,
        "leaf_row": [0] * 2,
        "split_point": [1],
        "split_exponent": [1],
    }

    def of(relu: int, feature: int):
        return certificate(network, property_, 2, 1, **given, split_relu=[relu], split_feature=[feature])

    for relu, features in ((0, 2), (1, 3), (2, 1)):
        for feature in range(features):
            assert check_real(of(relu, feature), network, property_).counts.splits == 1
        for feature in (-1, features, features + 1):
            with pytest.raises(ProofError, match="names a ReLU or feature that is not there"):
                check_real(of(relu, feature), network, property_)
    for relu in (-1, 3, 4):
        with pytest.raises(ProofError, match="names a ReLU or feature that is not there"):
            check_real(of(relu, 0), network, property_)


def test_lemmas_only_ever_cut():
    rng = np.random.default_rng(3)
    evaluation = Evaluation(read_network(perceptron(rng), 3, Float64(), "n"), Float64())
    cells = evaluation.root(-np.ones(3), np.ones(3))
    node = evaluation.operands[1]
    low, high = cells.low[1][0, 2], cells.high[1][0, 2]
    for sign, end, expected in (
        (1, high + 1, (low, high)),
        (1, high - 0.25, (low, high - 0.25)),
        (-1, low - 1, (low, high)),
        (-1, low + 0.25, (low + 0.25, high)),
    ):
        found = applied(cells, [(Lemma(node, 2, sign, end), 1)])
        assert (found.low[1][0, 2], found.high[1][0, 2]) == expected
        for k, (one, other) in enumerate(zip((*found.low, *found.high), (*cells.low, *cells.high), strict=True)):
            same = one == other
            if k % 2 == 1:
                same[0, 2] = True
            assert same.all()
        # The cells that they were cut from are as they were.
        assert (cells.low[1][0, 2], cells.high[1][0, 2]) == (low, high)
        assert found.size is cells.size and found.lower is cells.lower and found.upper is cells.upper
    both = applied(cells, [(Lemma(node, 2, 1, high - 0.5), 1), (Lemma(node, 2, 1, high - 0.25), 1)])
    assert both.high[1][0, 2] == high - 0.5


def witnessed(network: bytes, asserts: str, xs: list[tuple[int, int, int]], arithmetic="float64"):
    """The check of the claim that an input, numerators by powers of two and of ten, meets what is asserted."""
    inputs = len(xs)
    declared = "".join(f"(declare-const X_{i} Real)" for i in range(inputs)) + "(declare-const Y_0 Real)"
    box = "".join(f"(assert (>= X_{i} -9))(assert (<= X_{i} 9))" for i in range(inputs))
    property_ = (declared + box + asserts).encode()
    limbs: list[int] = []
    counts = []
    for numerator, _, _ in xs:
        sign, rest = (-1 if numerator < 0 else 1), abs(numerator)
        parts = []
        while rest:
            parts.append(sign * (rest & ((1 << 48) - 1)))
            rest >>= 48
        limbs += parts
        counts.append(len(parts))
    evidence = certificate(
        network,
        property_,
        inputs,
        1,
        "sat",
        witness=limbs,
        witness_limbs=counts,
        witness_two=[two for _, two, _ in xs],
        witness_ten=[ten for _, _, ten in xs],
    )
    return check_real(evidence, network, property_, arithmetic=arithmetic)


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_what_is_asked_of_inputs_alone_is_asked_exactly(arithmetic):
    made = Builder([1, 2])
    network = made.bytes(made.node("Relu", made.node("MatMul", "x", made.constant([[1.0], [1.0]]))))
    tenth, third = (1, 0, 1), (333333333333333333333, 0, 21)
    # 2 x_0 - 3 x_1 at (1/10, 0.333...): 0.2 - 0.999... exactly.
    value = "-0.799999999999999999999"
    for comparison, threshold, is_met in (
        (">=", value, True),
        (">", value, False),
        ("<=", value, True),
        ("<", value, False),
        (">", "-0.8", True),
        (">=", "-0.799999999999999999998", False),
        ("<", "-0.79", True),
        ("=", value, True),
    ):
        text = f"(assert ({comparison} (- (* 2 X_0) (* 3 X_1)) {threshold}))(assert (>= Y_0 0))"
        # Of an output that is not negative by intervals a bound of 0 is no proof in float64.
        text = text.replace("(>= Y_0 0)", "(>= Y_0 -1)")
        if is_met:
            assert witnessed(network, text, [tenth, third], arithmetic).part == 0
        else:
            with pytest.raises(ProofError, match="not shown to meet a case"):
                witnessed(network, text, [tenth, third], arithmetic)


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_witnesses_are_the_numbers_that_they_are(arithmetic):
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0]])))
    for x, text in (
        ((5, 0, 0), "5"),
        ((-5, 0, 0), "-5"),
        ((0, 0, 0), "0"),
        ((-3, 2, 0), "-0.75"),
        ((7, 3, 1), "0.0875"),
        ((12345678901234567890123456789, 0, 28), "1.2345678901234567890123456789"),
        (
            (-(2**100 + 1), 100, 0),
            "-" + str((2**100 + 1) * 5**100).zfill(101)[:-100] + "." + str((2**100 + 1) * 5**100)[-100:],
        ),
    ):
        exact = f"(assert (= X_0 {text}))(assert (>= Y_0 -9.5))"
        assert witnessed(network, exact, [x], arithmetic).part == 0
        other = exact.replace("(= X_0 ", "(= (* 3 X_0) ")
        if x[0]:
            with pytest.raises(ProofError, match="none of the property's boxes"):
                witnessed(network, other, [x], arithmetic)


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_a_witness_meets_all_of_one_case(arithmetic):
    # y = x; at 1/2, of several boxes and cases, each by itself.
    made = Builder([1, 1])
    network = made.bytes(made.node("MatMul", "x", made.constant([[1.0]])))
    half = [(1, 1, 0)]

    def part(text: str) -> int | None:
        try:
            return witnessed(network, text, half, arithmetic).part
        except ProofError:
            return None

    assert part("(assert (>= Y_0 0.25))(assert (<= Y_0 0.75))") == 0
    assert part("(assert (>= Y_0 0.25))(assert (<= Y_0 0.375))") is None
    assert part("(assert (or (>= Y_0 0.75) (<= Y_0 0.25)))") is None
    assert part("(assert (or (>= Y_0 0.75) (<= Y_0 0.625)))") == 0
    assert part("(assert (or (and (>= X_0 1) (>= Y_0 0)) (and (<= X_0 1) (>= Y_0 0.25))))") == 1
    assert (
        part("(assert (or (and (>= X_0 0) (>= Y_0 3)) (and (<= X_0 1) (>= Y_0 3)) (and (<= X_0 2) (>= Y_0 0.25))))")
        == 2
    )
    # Of inputs and outputs together: y - x is 0, y + x is 1.
    assert part("(assert (>= (- Y_0 X_0) -0.001))") == 0 and part("(assert (>= (- Y_0 X_0) 0.001))") is None
    assert part("(assert (>= (+ Y_0 X_0) 0.999))") == 0 and part("(assert (>= (+ Y_0 X_0) 1.001))") is None
    assert part("(assert (<= (+ Y_0 (* 2 X_0)) 1.501))") == 0 and part("(assert (<= (+ Y_0 (* 2 X_0)) 1.499))") is None
    # What is attained is shown by fractions, in which every arithmetic looks again.
    assert part("(assert (>= Y_0 0.5))") == 0
    assert part("(assert (> Y_0 0.5))") is None
    # No constraint at all is met.
    assert part("") == 0


LARGE = {
    "an input of 2^1000": ([2.0**1000, 1.5 * 2.0**1000], 2.0**-1000, 2.0**-80, 2.0**-81),
    "an input of 2^700": ([2.0**700, 1.5 * 2.0**700], 2.0**-700, 2.0**-400, 2.0**-401),
}


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
@pytest.mark.parametrize("case", LARGE.values(), ids=LARGE)
def test_coefficients_that_vanish_are_not_multiplied_with_what_is_as_large(case, arithmetic):
    """Backwards ``2^-1080`` is 0 in float64, and the input that it is for is ``2^1000``."""
    (lower, upper), first, second, threshold = case
    made = Builder([1, 1], dtype=np.float64)
    value = made.node("Relu", made.node("MatMul", "x", made.constant([[first]])))
    network = made.bytes(made.node("MatMul", value, made.constant([[second]])))
    property_ = property_text([lower], [upper], 1, [[((1.0,), threshold)]])
    with pytest.raises(ProofError):
        check_real(certificate(network, property_, 1, 1), network, property_, arithmetic=arithmetic)


@pytest.mark.parametrize("arithmetic", ["float64", "arb"])
def test_nor_with_values_of_curves_that_are(arithmetic):
    """``2^-85 relu(1e-300 exp(x))`` around ``exp(460)``, which is about ``1e200``."""
    made = Builder([1, 1], dtype=np.float64)
    value = made.node("MatMul", made.node("Exp", "x"), made.constant([[1e-300]]))
    network = made.bytes(made.node("MatMul", made.node("Relu", value), made.constant([[2.0**-85]])))
    threshold = 2.0**-85 * (1e-300 * math.exp(460.0)) / 2
    assert threshold > 2.0**-500
    property_ = property_text([460.0], [460.5], 1, [[((1.0,), threshold)]])
    with pytest.raises(ProofError):
        check_real(certificate(network, property_, 1, 1), network, property_, arithmetic=arithmetic)
