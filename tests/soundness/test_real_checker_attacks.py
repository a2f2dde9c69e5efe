"""Files made to deceive the checker of float networks: what two readers can take for two things is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.property import read_property
from netproof.errors import FormatError, ProofError
from soundness.real_evidence import Builder, certificate, property_text, run

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


def test_a_question_that_ends_is_read():
    assert len(read_property((DECLARED + "(check-sat)(get-model)(exit)").encode(), "p").parts) == 1
