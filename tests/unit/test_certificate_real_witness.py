"""Witness documents of float networks: each number at its limit, and the query that a document is turned into."""

from __future__ import annotations

import json
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from netproof.certificate.real.witness import RealWitness
from netproof.errors import CertificateError
from netproof.formats.load import load
from netproof.graph.graph import Arithmetic
from netproof.network import Network
from netproof.property import Ball, Box
from soundness.real_evidence import chain


def document(**changed: Any) -> dict[str, Any]:
    stated = {
        "netproof": "0.1", "query": "q", "network": {"sha256": "ab"}, "label": 1, "image": [0.1, 0], "input": [0.25, -1],
        "exact_lower": ["0", "-1/3"], "exact_upper": ["1", "1/3"], "output": [1, 2.5, -3], "norm": "l2", "radius": "1/2",
        "center": ["1/2", "0"], "weight": ["1", "2"],
    }  # fmt: skip
    return {name: value for name, value in (stated | changed).items() if value is not None}


def of(**changed: Any) -> RealWitness:
    return RealWitness.of(document(**changed), "w.json")


STATES_NONE = "it states no robustness property, so nothing says what the output has to meet"
BOX = Box((Fraction(0), Fraction(-1, 3)), (Fraction(1), Fraction(1, 3)))
BALL = Ball("l2", (Fraction(1, 2), Fraction(0)), (Fraction(1), Fraction(2)), Fraction(1, 2))


def test_what_a_document_says():
    found = of()
    assert (found.network_sha256, found.label, found.image, found.point) == ("ab", 1, (0.1, 0.0), (0.25, -1.0))
    assert (found.output, found.name, found.producer) == ((1.0, 2.5, -3.0), "q", "netproof 0.1")
    assert (found.box.lower, found.box.upper) == (BOX.lower, BOX.upper)
    ball = found.ball
    assert ball is not None and ball.norm == "l2" and (ball.center, ball.weight) == (BALL.center, BALL.weight)
    assert ball.radius == BALL.radius
    assert [of(norm=norm).ball for norm in (None, "linf")] == [None, None]
    first = of(norm="l1", label=0, radius="0", query=7, netproof=None)
    assert first.ball is not None and first.ball.norm == "l1" and first.ball.radius == 0
    assert (first.label, first.name, first.producer) == (0, "", "")
    # A box may be a point.
    assert of(exact_upper=["0", "-1/3"]).box.upper == BOX.lower


@pytest.mark.parametrize("text", ["7", "-7", "07/02", "-1/3", "9" * 2000, "1/" + "9" * 1998])
def test_fractions_in_text(text: str):
    assert of(radius=text.lstrip("-")).ball.radius == Fraction(text.lstrip("-"))
    assert of(exact_lower=["-" + "9" * 1999, "-9"], exact_upper=["9" * 2000, text]).box.upper[1] == Fraction(text)


@pytest.mark.parametrize(
    "text",
    ["", "-", "--1", "1/", "/1", "1/a", "1/-2", "1/0", "1/00", "1/2/3", "1.5", " 1", "a", "\u0663", "1/\u0663", "\u00b2", "1/\u00b2",
     "1/\u00b3a", "9" * 2001, 1, 0.5, None, True, ["1"]],
)  # fmt: skip
def test_texts_that_are_no_fractions(text: Any):
    with pytest.raises(CertificateError, match="which is no fraction in text"):
        of(exact_lower=["0", text])


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"exact_lower": None}, STATES_NONE), ({"label": None}, STATES_NONE),
        *(({"network": wrong}, "it names no network") for wrong in (None, "ab", ["sha256"], {}, {"sha256": 7})),
        *(({"label": wrong}, "'label' is no class") for wrong in ("1", 1.0, True, False, -1)),
        ({"image": [0.5]}, "'image', 'input' and box do not belong together"),
        ({"exact_upper": ["1", "-1"]}, "'image', 'input' and box do not belong together"),
        *(({"exact_upper": wrong}, "'exact_upper' is no list of 2 fractions") for wrong in (None, "11", {"1": 1, "2": 2}, ["1"], ["1"] * 3)),
        *(
            ({name: wrong}, f"'{name}' is no list of numbers")
            for name in ("input", "output", "image") for wrong in (None, 7, [], "12", {"0": 1}, [1, "2"], [True, 1], [1, None])
        ),
        *(({name: [1, wrong]}, f"'{name}' has a number that is too large") for name in ("input", "output") for wrong in (10**400, 1e999, float("nan"))),
        ({"norm": "l3"}, "its norm is 'l3'"), ({"norm": "x" * 30}, f"its norm is '{'x' * 20}'"), ({"norm": 2}, "its norm is '2'"),
        ({"radius": "-1"}, "its ball is none"), ({"weight": ["1", "0"]}, "its ball is none"), ({"weight": ["1", "-1"]}, "its ball is none"),
        ({"radius": None}, "'radius' has 'None', which is no fraction in text"), ({"center": ["1"]}, "'center' is no list of 2 fractions"),
        ({"weight": None}, "'weight' is no list of 2 fractions"),
    ],
)  # fmt: skip
def test_what_is_said_of_documents_that_are_none(changed: dict[str, Any], problem: str):
    given = json.loads(json.dumps(document())) | changed
    given = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(CertificateError) as caught:
        RealWitness.of(given, "w.json")
    assert (caught.value.source, caught.value.problem) == (
        "w.json", f"is no usable witness of a float network: {problem}"
    )  # fmt: skip


# -- the query


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    path = tmp_path_factory.mktemp("n") / "n.onnx"
    path.write_bytes(
        chain([[[1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0], [0.5, -1.0], [0.0, 2.0]]], [[0.0, 0.0], [0.25, 0.0, 0.0]])
    )
    return load(path)


def test_the_query_of_a_witness(network: Network):
    witness = of()
    query = witness.query(network, "w.json")
    assert query.name == "q" and of(query=None).query(network, "w.json").name == "witness"
    assert query.lower[0] == 0.0 and query.upper[0] == 1.0
    assert query.lower[1] <= -1 / 3 <= query.lower[1] + 1e-15 and query.upper[1] - 1e-15 <= 1 / 3 <= query.upper[1]
    # Another class is as large as that of the image: y0 - y1 >= 0, or y2 - y1 >= 0.
    assert [one.coefficients.tolist() for one in query.condition] == [[[1.0, -1.0, 0.0]], [[0.0, -1.0, 1.0]]]
    assert [one.threshold.tolist() for one in query.condition] == [[0.0], [0.0]]
    about = query.about
    assert about.label == 1 and about.image.tolist() == [0.1, 0.0] and about.part.ball is witness.ball
    assert about.part.box is witness.box
    stated = [[(one.inputs, one.outputs, one.threshold) for one in case] for case in about.part.condition]
    assert stated == [[((), ((0, 1), (1, -1)), 0)], [((), ((1, -1), (2, 1)), 0)]]


@pytest.mark.parametrize(
    "changed",
    [
        {"input": [1] * 3, "image": [0] * 3, "exact_lower": ["0"] * 3, "exact_upper": ["1"] * 3, "norm": None},
        {"label": 3}, {"output": [1, 2]}, {"output": [1, 2, 3, 4]}, {"output": [1, 2, 3, 4], "label": 3},
    ],
)  # fmt: skip
def test_witnesses_of_other_networks(network: Network, changed: dict[str, Any]):
    witness = of(**changed)
    with pytest.raises(CertificateError) as caught:
        witness.query(network, "w.json")
    sizes = f"{len(witness.point)} inputs, {len(witness.output)} outputs and class {witness.label}"
    assert (caught.value.source, caught.value.problem) == ("w.json", f"is about {sizes}")


def test_the_last_class_is_one_too(network: Network):
    query = of(label=2).query(network, "w.json")
    assert [one.coefficients.tolist() for one in query.condition] == [[[1.0, 0.0, -1.0]], [[0.0, 1.0, -1.0]]]


def test_networks_of_integers_have_witnesses_of_another_kind():
    other: Any = SimpleNamespace(graph=SimpleNamespace(arithmetic=Arithmetic.INTEGER), inputs=2, outputs=3)
    with pytest.raises(CertificateError, match="is about a float network"):
        of().query(other, "w.json")
