"""What is filed of a checked certificate: every number at its place, as a document, as text and as a page."""

from __future__ import annotations

import json
import platform
from types import SimpleNamespace
from typing import Any

import pytest

from netproof.certificate.checker.real.check import RealChecked
from netproof.certificate.real.contents import RULES
from netproof.certificate.report import document_of, html_of, json_of, text_of
from netproof.version import netproof_version

FILES = {"certificate": "c.npcert", "network": "n<1>.onnx", "property": "p.vnnlib"}


def checked(claim: str = "unsat", cases: tuple[int, ...] = (2, 1), **counts: Any) -> RealChecked:
    given: dict[str, Any] = {
        "rules": {2: 5, 1: 3}, "leaves": 4, "given": 2, "splits": 3, "empty": 1, "lemmas": 6, "planes": 7, "pairs": 8, "closest": -0.25,
    }  # fmt: skip
    return SimpleNamespace(  # type: ignore[return-value]
        certificate=SimpleNamespace(claim=claim, name="n\x1b1", producer="netproof", network_sha256="ab", property_sha256="cd"),
        counts=SimpleNamespace(**(given | counts)),
        asked=SimpleNamespace(parts=[SimpleNamespace(cases=[None] * number) for number in cases]),
        arithmetic="float64", part=1, inputs=30, outputs=10, neurons=70, seconds=1.23456789,
    )  # fmt: skip


def test_the_document_says_everything_once() -> None:
    document = document_of(checked(), FILES, "REQ-1")
    versions = document.pop("versions")
    assert isinstance(versions, dict) and versions["python"] == platform.python_version()
    assert all(versions[name] for name in ("numpy", "onnx", "protobuf")) and "python-flint" in versions
    trusted = document.pop("trusted")
    assert isinstance(trusted, list) and len(trusted) == 6
    words = document.pop("evaluation_in_words")
    assert str(words).startswith("float64; an error term")
    assert document == {
        "format": "netproof-check-1", "proved": True, "claim": "unsat", "requirement": "REQ-1", "certificate": "c.npcert",
        "claim_in_words": "over the real numbers, with the weights that the file holds, no input of any of the 2 input boxes of the "
        "property has an output that meets any of the 3 conditions stated with it",
        "name": "n\x1b1", "producer": "netproof",
        "network": {"file": "n<1>.onnx", "sha256": "ab", "inputs": 30, "outputs": 10, "neurons": 70},
        "property": {"file": "p.vnnlib", "sha256": "cd", "boxes": 2, "cases": 3},
        "arithmetic": "real", "evaluation": "float64", "rules": {RULES[1]: 3, RULES[2]: 5},
        "leaves": 4, "leaves_with_multipliers": 2, "splits": 3, "empty": 1, "lemmas": 6, "planes": 7, "pairs": 8, "closest_bound": -0.25,
        "seconds": 1.234568, "netproof": netproof_version(),
    }  # fmt: skip
    assert list(document["rules"]) == [RULES[1], RULES[2]]  # type: ignore[call-overload]
    assert document_of(checked(), FILES)["requirement"] is None


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ((1,), "no input of the input box of the property has an output that meets the condition stated with it"),
        (
            (2,),
            "no input of the input box of the property has an output that meets any of the 2 conditions stated with it",
        ),
        (
            (1, 0),
            "no input of any of the 2 input boxes of the property has an output that meets the condition stated with it",
        ),
    ],
)
def test_claims_in_words(cases: tuple[int, ...], said: str) -> None:
    assert said in str(document_of(checked(cases=cases), FILES)["claim_in_words"])


def test_witnesses_are_said_to_lie_in_their_box() -> None:
    document = document_of(checked("sat"), FILES)
    assert str(document["claim_in_words"]).endswith("the witness of the certificate, in box 2 of 2")
    lines = text_of(document).splitlines()
    assert lines[0] == "PROVED: sat" and "proof        the witness, evaluated again" in lines


def test_text_for_a_terminal() -> None:
    found = text_of(document_of(checked(), FILES, "REQ-1"))
    document = document_of(checked(), FILES)
    assert found.splitlines() == [
        "PROVED: unsat",
        "requirement  REQ-1",
        "certificate  c.npcert (n 1; by netproof)",  # what is not printable is not printed
        "network      n<1>.onnx, SHA-256 ab",
        "             30 inputs, 70 neurons, 10 outputs",
        "property     p.vnnlib, SHA-256 cd",
        f"claim        {document['claim_in_words']}",
        f"arithmetic   real; evaluated in {document['evaluation_in_words']}",
        f"proof        4 leaves (2 with multipliers of their own), 3 splits, 1 empty cells, 6 lemmas, 7 planes, 8 pairs; ranges by {RULES[1]} on 3 cells, "
        f"{RULES[2]} on 5 cells; the bound closest to 0 is -0.25",
        f"checked by   netproof {netproof_version()}, 1.23 s",
    ]
    bare = checked(rules={}, leaves=0, closest=-float("inf"))
    bare.certificate.name = bare.certificate.producer = ""  # type: ignore[misc]
    lines = text_of(document_of(bare, FILES)).splitlines()
    assert lines[1] == "certificate  c.npcert (unnamed; by an unnamed program)"
    assert lines[-2].endswith("6 lemmas, 7 planes, 8 pairs; ranges by intervals")


def test_documents_are_json_whatever_was_bounded() -> None:
    """Leaves that nothing but empty cells, or constants, refute have a bound that no number is."""
    for closest in (-float("inf"), -0.5):
        document = document_of(checked(closest=closest), FILES)
        found = json.loads(json_of(document), parse_constant=pytest.fail)
        assert found["closest_bound"] == (None if closest < -1 else closest)
        assert found == json.loads(json.dumps(document))
    assert json_of(document).endswith(b"}\n") and b'\n  "claim"' in json_of(document)
    assert document_of(checked(leaves=0), FILES)["closest_bound"] is None
    assert "é".encode() in json_of(document_of(checked(), FILES | {"network": "é.onnx"}))


def test_a_page_has_every_row_and_nothing_of_a_name_is_markup() -> None:
    document = document_of(checked(), FILES, "REQ <2>")
    page = html_of(document).decode()
    assert "<title>Evidence: REQ &lt;2&gt;</title>" in page and "n&lt;1&gt;.onnx" in page and "<1>" not in page
    assert "<strong>Proved (unsat):</strong> over the real numbers, with" in page
    for name, value in (
        ("network: inputs", 30),
        ("property: cases", 3),
        ("leaves with multipliers", 2),
        ("seconds", 1.234568),
    ):
        assert f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' in page
    assert page.count("<li>") == 6 and "trusted</th>" not in page and "claim in words</th>" not in page
    assert f'<th scope="row">rules: {RULES[2]}</th><td>5</td>' in page
    other = html_of(document_of(checked(closest=-float("inf"), leaves=0), FILES)).decode()
    assert "<title>Evidence of a verdict</title>" in other
    assert "closest bound" not in other and "requirement" not in other and "closest bound" in page
    assert "proved</th>" not in page and "format</th>" not in page and "<td>None</td>" not in other
