"""Certificates of several parts, and whether certificates are about a property: each claim beside one that is not it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from netproof.certificate import bundle as bundle_module
from netproof.certificate.bundle import Bundle, decode_bundle, encode_bundle
from netproof.certificate.contents import BoxProperty, Certificate, RobustnessProperty, arrays_of
from netproof.certificate.format import encode
from netproof.certificate.statement import check_statement
from netproof.certificate.witness import read_evidence
from netproof.errors import CertificateError, ProofError
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.network import Network
from netproof.operators.affine.linear import Linear
from netproof.property import Box, LinearConstraint, Property, PropertyPart

#: constraints of one case: coefficients of both outputs, threshold
Case = Sequence[tuple[tuple[int, int], int]]


def network() -> Network:
    """``y_0 = x_0 + x_1``, ``y_1 = x_0 - x_1``."""
    builder = GraphBuilder(Arithmetic.INTEGER, (2,))
    weight = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    builder.add("y", Linear(weight, torch.zeros(2, dtype=torch.float64)), builder.input)
    ends = torch.zeros(2, dtype=torch.float64)
    return Network(builder.build(), "here", "ab" * 32, ends, ends + 9)


def certificate(cases: Sequence[Case], lower: Sequence[int] = (0, 0), upper: Sequence[int] = (3, 4)) -> Certificate:
    """What states these cases on a box; its trees are single nodes, at which nobody looks here."""
    rows = [row for case in cases for row in case]
    arrays = arrays_of(
        lower=lower,
        upper=upper,
        coefficients=[c for coefficients, _ in rows for c in coefficients],
        threshold=[threshold for _, threshold in rows],
        form=[0] * len(cases),
        kind=[0] * len(cases),
    )
    return Certificate("ab" * 32, {"bits": 6}, 2, 2, "unsat", BoxProperty(tuple(map(len, cases))), arrays)


def constraint(first: Any, second: Any, threshold: Any, *, strict: bool = False) -> LinearConstraint:
    terms = tuple((j, Fraction(c)) for j, c in enumerate((first, second)) if c)
    return LinearConstraint((), terms, Fraction(threshold), strict)


def part(
    *condition: Sequence[LinearConstraint], lower: Sequence[Any] = (0, 0), upper: Sequence[Any] = (3, 4)
) -> PropertyPart:
    box = Box(tuple(map(Fraction, lower)), tuple(map(Fraction, upper)))
    return PropertyPart(box, tuple(map(tuple, condition)))


def asked(*parts: PropertyPart, inputs: int = 2, outputs: int = 2) -> Property:
    return Property("p.vnnlib", inputs, outputs, parts)


def answers(question: Property, *certificates: Certificate) -> None:
    check_statement(question, certificates, network(), "c.npcert")


def fails(question: Property, words: str, *certificates: Certificate) -> None:
    with pytest.raises(ProofError) as raised:
        answers(question, *certificates)
    assert raised.value.source == "c.npcert" and words in raised.value.problem, raised.value.problem


ANOTHER = "it is about another box or condition than the property"


# -- certificates of several parts


def test_a_bundle_is_read_as_it_was_written() -> None:
    parts = certificate([[((1, 0), 4)]]), certificate([[((0, 1), 5)]], upper=(1, 1))
    data = encode_bundle(Bundle(parts))
    files = [encode(one) for one in parts]
    content = b"\x89NPPART\n" + bytes([1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    content += b"".join(len(file).to_bytes(8, "little") + file for file in files)
    assert data == content + hashlib.sha256(content).digest()
    assert [encode(one) for one in decode_bundle(data).parts] == files


def bundled(
    *files: bytes, count: int | None = None, version: int = 1, lengths: Sequence[int] | None = None, more: bytes = b""
) -> bytes:
    """A file that states these numbers of these parts, with a right checksum."""
    content = b"\x89NPPART\n" + version.to_bytes(4, "little")
    content += (len(files) if count is None else count).to_bytes(8, "little")
    for length, file in zip(map(len, files) if lengths is None else lengths, files, strict=True):
        content += length.to_bytes(8, "little") + file
    content += more
    return content + hashlib.sha256(content).digest()


FILE = encode(certificate([[((1, 0), 4)]]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89NPPART\n", "is a certificate cut short"),
        (bundled()[:51], "is a certificate cut short"),
        (bundled(), "it has fewer than two parts"),
        (bundled(FILE), "it has fewer than two parts"),
        (bundled(FILE, FILE, version=2), "several parts, format version 2"),
        (bundled(FILE, FILE, version=0), "several parts, format version 0"),
        (bundled(FILE, FILE)[:-1] + b"?", "is damaged"),
        (bundled(FILE, FILE, count=1), "has parts of other lengths than it states"),
        (bundled(FILE, FILE, count=3), "states 3 parts and has 2"),
        (bundled(FILE, FILE, lengths=[len(FILE), len(FILE) + 1]), "has parts of other lengths than it states"),
        (bundled(FILE, FILE, lengths=[len(FILE), len(FILE) - 1]), "c, part 1: has"),
        (bundled(FILE, FILE[:-1]), "c, part 1: has"),
        (bundled(FILE, b"\0" + FILE[1:]), "c, part 1: is not a certificate"),
        (bundled(FILE, FILE, more=b"\0"), "c"),
    ],
)
def test_bundles_that_are_none(data: bytes, words: str) -> None:
    with pytest.raises(CertificateError) as raised:
        decode_bundle(data, "c")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"claim": "sat"}, "part 1 claims 'sat'"),
        ({"network_sha256": "cd" * 32}, "part 1 is about another network than part 0"),
        ({"scheme": {"bits": 7}}, "part 1 is about another network than part 0, or reads it in another way"),
        ({"inputs": 3}, "part 1 is about another network than part 0"),
        ({"outputs": 3}, "part 1 is about another network than part 0"),
    ],
)
def test_parts_that_make_no_bundle(changed: dict[str, Any], words: str) -> None:
    one = certificate([])
    arrays = {"lower": [0] * 3, "upper": [1] * 3} if "inputs" in changed else {"lower": [0] * 2, "upper": [1] * 2}
    arrays |= {"witness": [0] * 2} if "claim" in changed else {}
    other = replace(one, **changed, arrays=arrays_of(**arrays))
    with pytest.raises(ValueError, match=f"no bundle: {words}"):
        encode_bundle(Bundle((one, other, one)))
    with pytest.raises(CertificateError, match=f"c: is inconsistent: {words}"):
        decode_bundle(bundled(*map(encode, (one, other, one))), "c")


def test_one_certificate_is_no_bundle() -> None:
    with pytest.raises(ValueError, match="no bundle: it has fewer than two parts"):
        encode_bundle(Bundle((certificate([]),)))


def test_the_parts_of_a_bundle_share_the_memory_that_is_allowed(tmp_path: Path) -> None:
    wide = [((1, 1), 1)] * 100
    one = certificate([wide])
    path = tmp_path / "c.npcert"
    path.write_bytes(bundled(encode(one), encode(one)))
    taken = sum(array.nbytes for array in one.arrays.values())
    needed = taken + 64 * (200 + 1)  # the arrays, and what computing with coefficients and nodes takes
    for memory, fits in ((needed + taken, True), (needed + taken - 1, False), (needed, False)):
        if fits:
            found = read_evidence(path, memory=memory)
            assert isinstance(found, Bundle) and len(found.parts) == 2
        else:
            with pytest.raises(CertificateError, match=r"c\.npcert, part 1: needs .* more than are allowed"):
                read_evidence(path, memory=memory)
    with pytest.raises(CertificateError, match=r"c\.npcert, part 0: needs .* more than are allowed"):
        read_evidence(path, memory=needed - 1)


def test_certificates_of_both_kinds_are_written_onto_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("netproof.files.opened.os.fsync", synced.append)
    one = certificate([])
    for made, data in ((one, encode(one)), (Bundle((one, one)), encode_bundle(Bundle((one, one))))):
        bundle_module.write(tmp_path / "c", made)
        assert (tmp_path / "c").read_bytes() == data and len(synced) == 1
        bundle_module.write(tmp_path / "c", made, durable=False)
        assert (tmp_path / "c").read_bytes() == data and len(synced) == 1
        synced.clear()


# -- whether they are about a property


def test_a_property_of_other_sizes_is_not_answered() -> None:
    made = certificate([[((1, 0), 8)]])
    answers(asked(part([constraint(1, 0, 8)])), made)
    for sizes in ({"inputs": 3}, {"outputs": 3}):
        words = f"is about {sizes.get('inputs', 2)} inputs and {sizes.get('outputs', 2)} outputs"
        fails(asked(part([constraint(1, 0, 8)]), **sizes), words, made)


def test_a_witness_answers_the_property_itself() -> None:
    arrays = arrays_of(lower=[0, 0], upper=[9, 9], coefficients=[0, 0], threshold=[0], witness=[3, 1])
    made = Certificate("ab" * 32, {}, 2, 2, "sat", BoxProperty((1,)), arrays)
    answers(asked(part([constraint(1, 0, 4), constraint(0, 1, 2)])), made)
    for missed in (
        part([constraint(1, 0, 4, strict=True)]),
        part([constraint(0, 1, 4)]),
        part([constraint(1, 0, 4)], upper=(2, 4)),
    ):
        fails(asked(missed), "the witness is no answer of the property", made)
        answers(asked(missed, part([constraint(0, 1, Fraction(3, 2))])), made)


def test_parts_that_nothing_can_meet_need_no_proof() -> None:
    """No case, or no whole number between the ends; one whole number is one."""
    proved, made = part([constraint(1, 0, 8)]), certificate([[((1, 0), 8)]])
    for nothing in (
        part(),
        part([constraint(1, 0, 0)], lower=(Fraction(1, 4), 0), upper=(Fraction(3, 4), 4)),
        part([constraint(1, 0, 0)], lower=(0, Fraction(9, 4)), upper=(3, Fraction(5, 2))),
        part([constraint(1, 0, 0)], lower=(2, 0), upper=(1, 4)),
    ):
        answers(asked(nothing, proved), made)
        answers(asked(proved, nothing), made)
        fails(asked(nothing), "it proves 1 parts, the property has 0", made)
    for some in (part([constraint(1, 0, 0)], lower=(1, 0), upper=(1, 4)), part([constraint(1, 0, 0)])):
        fails(asked(some, proved), "it proves 1 parts, the property has 2", made)


def test_terms_of_inputs_are_stated_by_no_certificate() -> None:
    sloped = LinearConstraint(((0, Fraction(1)), (1, Fraction(1))), ((0, Fraction(1)),), Fraction(8))
    fails(asked(part([constraint(1, 0, 8), sloped])), "constrains inputs by more than a box", certificate([[((1, 0), 8)]]))  # fmt: skip
    # An end of a box is none.
    end = LinearConstraint(((0, Fraction(1)),), (), Fraction(3, 2))
    answers(asked(part([constraint(1, 0, 8), end])), certificate([[((1, 0), 8)]], lower=(2, 0)))


def test_every_part_is_proved_in_the_order_of_the_property() -> None:
    parts = part([constraint(1, 0, 8)]), part([constraint(0, 1, 4)], upper=(3, 3))
    made = certificate([[((1, 0), 8)]]), certificate([[((0, 1), 4)]], upper=(3, 3))
    answers(asked(*parts), *made)
    fails(asked(*parts), "it proves 1 parts, the property has 2", made[0])
    fails(asked(parts[0]), "it proves 2 parts, the property has 1", *made)
    fails(asked(*parts), f"{ANOTHER}, in part 0", *made[::-1])
    fails(asked(*parts), f"{ANOTHER}, in part 1", made[0], made[0])


def test_a_proof_about_a_sample_is_none_of_a_property() -> None:
    arrays = arrays_of(image=[1, 1], form=[0], kind=[0])
    sample = Certificate("ab" * 32, {}, 2, 2, "unsat", RobustnessProperty(0, 1), arrays)
    with pytest.raises(ProofError) as raised:
        answers(asked(part([constraint(-1, 1, 0)], upper=(2, 2))), sample)
    assert raised.value.problem == ANOTHER


def test_every_constraint_of_every_case_is_stated() -> None:
    question = asked(part([constraint(1, 0, 8)], [constraint(0, 1, 4), constraint(2, -1, 3)], [constraint(-1, -1, -2)]))
    cases: list[Case] = [[((1, 0), 8)], [((0, 1), 4), ((2, -1), 3)], [((-1, -1), -2)]]
    answers(question, certificate(cases))
    for other in (
        cases[:2],
        cases[::-1],
        [cases[0], [*cases[1], *cases[2]]],
        [[*cases[0], cases[1][0]], [cases[1][1]], cases[2]],
        [cases[0], cases[1][::-1], cases[2]],
        [cases[0], [((0, 1), 4), ((2, -1), 2)], cases[2]],
        [cases[0], [((0, 1), 4), ((2, 1), 3)], cases[2]],
        [cases[0], cases[1], [((-1, -1), -3)]],
    ):
        fails(question, ANOTHER, certificate(other))
    for lower, upper in (((1, 0), (3, 4)), ((0, 0), (2, 4)), ((0, 0), (3, 3)), ((0, 0), (4, 4))):
        fails(question, ANOTHER, certificate(cases, lower, upper))


def test_ends_and_thresholds_are_the_next_whole_numbers_inside() -> None:
    lower, upper = (Fraction(1, 2), Fraction(-1, 2)), (Fraction(7, 2), 4)
    for threshold, strict, stated in (
        (8, False, 8),
        (8, True, 9),
        (Fraction(15, 2), False, 8),
        (Fraction(15, 2), True, 8),
        (Fraction(-15, 2), False, -7),
        (Fraction(-15, 2), True, -7),
    ):
        question = asked(part([constraint(1, 0, threshold, strict=strict)], lower=lower, upper=upper))
        answers(question, certificate([[((1, 0), stated)]], lower=(1, 0)))
        for other in (stated - 1, stated + 1):
            fails(question, ANOTHER, certificate([[((1, 0), other)]], lower=(1, 0)))


def test_fractions_are_brought_to_whole_numbers() -> None:
    """``y_0 / 2 - 2 y_1 / 3 >= 5 / 4`` is ``3 y_0 - 4 y_1 >= 7.5``, and so at least 8."""
    question = asked(part([constraint(Fraction(1, 2), Fraction(-2, 3), Fraction(5, 4))]))
    answers(question, certificate([[((3, -4), 8)]]))
    for other in (((3, -4), 7), ((0, 0), 8), ((1, -1), 2), ((3, 4), 8)):
        fails(question, ANOTHER, certificate([[other]]))


def test_a_case_of_nothing_holds_everywhere() -> None:
    answers(asked(part([])), certificate([[((0, 0), 0)]]))
    fails(asked(part([])), ANOTHER, certificate([[((0, 0), 1)]]))
    fails(asked(part([])), ANOTHER, certificate([]))
