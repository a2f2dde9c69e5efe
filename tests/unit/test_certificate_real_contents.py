"""What certificates of float networks hold: sizes and codes at their ends, trees level by level, files byte by byte."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netproof.certificate.container import SIGNATURE, entries_of, pack, unpack, version_of
from netproof.certificate.real import contents
from netproof.certificate.real.contents import (
    BOTH,
    EMPTY,
    EXPONENTS,
    LEAF,
    LEMMAS,
    MOST_LIMBS,
    NAMES,
    ROW_EXPONENTS,
    SPLIT,
    TENS,
    WITHOUT_PLANES,
    Forest,
    RealCertificate,
    Taken,
    arrays_of,
    fault_of,
)
from netproof.certificate.real.format import VERSIONS, decode, encode, write
from netproof.errors import CertificateError

SHA = "ab" * 32

#: two parts of two cases and one, a group of lemmas, trees of one split, rows of two weights
PROOF: dict[str, list[int]] = {
    "cases": [2, 1],
    "tree": [0, 1, 0],
    "stages": [2, 0],
    "stage": [BOTH, LEMMAS],
    "lemma_count": [2],
    "lemma_relu": [1, 1],
    "lemma_feature": [0, 1],
    "lemma_side": [1, 0],
    "lemma_end": [-5, 7],
    "lemma_exponent": [3, 0],
    "kind": [LEAF, LEAF, SPLIT, LEAF, LEAF, EMPTY, LEAF],
    "rule": [0, 1, 2, 3, 4, 0, 0],
    "leaf_row": [0, 1, 0, 1, 0],
    "split_relu": [1],
    "split_feature": [0],
    "split_point": [3],
    "split_exponent": [2],
    "row_exponent": [0, 4],
    "row_base": [0, 1],
    "row_mu": [1, 0, 16, 3],
    "row_count": [0, 2],
    "row_feature": [1, 2],
    "row_slope": [16, 8],
    "row_added": [0, -3],
}
WITNESS = {"witness": [5, 7, -1], "witness_limbs": [1, 2], "witness_two": [0, 3], "witness_ten": [1, 0]}


def made(claim: Any = "unsat", **changed: Any) -> RealCertificate:
    arrays = dict(PROOF if claim == "unsat" else WITNESS) | changed
    return RealCertificate(SHA, SHA[::-1], 2, 3, claim, arrays_of(**arrays), "n", "p")


def test_what_is_consistent_has_no_fault() -> None:
    assert fault_of(made()) == fault_of(made("sat")) == ""
    with pytest.raises(ValueError, match="no array 'cuts'"):
        arrays_of(cuts=[1])
    assert list(arrays_of()) == list(NAMES) and all(v.dtype == np.int64 and not len(v) for v in arrays_of().values())


@pytest.mark.parametrize("name", NAMES)
def test_sizes_agree(name: str) -> None:
    claims: list[Any] = ["unsat", "sat"]
    for claim in claims:
        good = made(claim)
        longer = np.concatenate([good.arrays[name], [0 if name != "lemma_count" else 1]])
        fault = fault_of(made(claim, **{name: longer}))
        if claim == "unsat" and name == "leaf_row":
            assert fault == ""  # whoever takes the trees looks at that
            continue
        assert fault, name
        if len(good.arrays[name]):
            assert fault_of(made(claim, **{name: good.arrays[name][:-1]})), name
    if name.startswith("witness"):
        assert "array 'witness" in fault_of(made("sat", **{name: []}))
    else:
        assert fault_of(made("sat", **{name: [0]})).startswith(f"array '{name}' has 1 entries")


def test_codes_are_the_numbers_of_the_format() -> None:
    assert (contents.INTERVALS, contents.FORMS, contents.CROWN, BOTH, LEMMAS) == (1, 2, 3, 4, 5)
    assert (EMPTY, LEAF, SPLIT) == (0, 1, 2) and (ROW_EXPONENTS, EXPONENTS, TENS, contents.LIMB) == (60, 1100, 400, 48)
    assert contents.RULES == ("none", "intervals", "linear forms", "CROWN", "linear forms and CROWN")
    assert contents.KINDS == ("empty", "leaf", "split")
    for rule in (1, 2, 3, 4):
        assert fault_of(made(stage=[rule, LEMMAS])) == ""


def test_counts_may_be_none_or_one() -> None:
    assert fault_of(made(cases=[3, 0])) == fault_of(made(cases=[0, 3])) == ""
    assert fault_of(made(stages=[0, 2])) == ""
    assert fault_of(made(stage=[LEMMAS, LEMMAS], lemma_count=[1, 1])) == ""
    one = {name: PROOF[name][:1] for name in PROOF if name.startswith("lemma_")} | {"lemma_count": [1]}
    assert fault_of(made(**one)) == ""


def test_weights_are_as_many_for_every_row() -> None:
    assert fault_of(made(row_mu=[1, 0])) == "" and fault_of(made(row_mu=[])) == ""
    assert "row_mu" in fault_of(made(row_mu=[1, 0, 1]))
    none: dict[str, list[int]] = {n: [] for n in NAMES if n.startswith(("row_", "leaf_row"))}
    assert fault_of(made(**none)) == ""


RANGES: list[tuple[str, int, int]] = [
    ("tree", 0, 2),
    ("stage", 1, 5),
    ("lemma_side", 0, 1),
    ("lemma_exponent", 0, EXPONENTS),
    ("kind", 0, 2),
    ("rule", 0, 4),
    ("leaf_row", 0, 1),
    ("split_exponent", 0, EXPONENTS),
    ("row_exponent", 0, ROW_EXPONENTS),
    ("row_base", 0, 1),
    ("row_mu", 0, 1 << 53),
]


@pytest.mark.parametrize(("name", "least", "most"), RANGES)
def test_codes_are_what_they_may_be(name: str, least: int, most: int) -> None:
    def fault(value: int) -> str:
        values = np.array(PROOF[name])
        values[-1 if name not in ("kind", "stage") else 0] = value
        return fault_of(made(**{name: values}))

    for value in (least, most):
        assert f"an entry of array '{name}'" not in fault(value)
    for value in (least - 1, most + 1):
        text = fault(value)
        assert text in (f"an entry of array '{name}' is {value}", "") or "entries where there must be" in text
        assert text


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("cases", [4, -1]),
        ("cases", [3, 1]),
        ("cases", [1 << 40, 1 << 40]),
        ("stages", [3, -1]),
        ("stages", [1, 0]),
        ("stages", [1 << 62, 1 << 62]),
        ("lemma_count", [1]),
        ("lemma_count", [0]),
        ("lemma_count", [3]),
        ("row_count", [-1, 3]),
        ("row_count", [1, 2]),
        ("row_count", [0, 1]),
    ],
)
def test_counts_add_up(name: str, wrong: list[int]) -> None:
    assert fault_of(made(**{name: wrong}))


@pytest.mark.parametrize(
    ("name", "most"), [("witness_limbs", MOST_LIMBS), ("witness_two", EXPONENTS), ("witness_ten", TENS)]
)
def test_witnesses_are_of_so_many_digits(name: str, most: int) -> None:
    def fault(value: int) -> str:
        values = [value, 2] if name == "witness_limbs" else [value, 0]
        limbs = [1] * (max(0, value) + 2) if name == "witness_limbs" else WITNESS["witness"]
        return fault_of(made("sat", **{"witness": limbs, name: values}))

    assert fault(0) == fault(most) == ""
    assert fault(-1) == f"an entry of array '{name}' is -1" and str(most + 1) in fault(most + 1)


# -- trees


def test_trees_are_taken_level_by_level() -> None:
    arrays = arrays_of(
        kind=[SPLIT, LEAF, LEAF, SPLIT, EMPTY, LEAF],
        rule=[0, 1, 2, 3, 4, 0],
        split_relu=[1, 2],
        split_feature=[3, 4],
        split_point=[5, 6],
        split_exponent=[7, 8],
        leaf_row=[10, 11, 12, 13],
    )
    taken = Taken(arrays)
    forest = taken.forest([1, 2])
    assert forest.kind.tolist() == [SPLIT, LEAF, LEAF, SPLIT, EMPTY, LEAF]
    assert forest.rule.tolist() == [0, 1, 2, 3, 4, 0]
    assert forest.owner.tolist() == [0, 1, 0, 0, 0, 0]
    assert forest.child.tolist() == [2, 0, 0, 4, 0, 0]
    # Of the leaf below the second root two rows, of the others one each.
    assert forest.row.tolist() == [0, 0, 2, 0, 0, 3] and forest.rows.tolist() == [10, 11, 12, 13]
    for name, values in (("relu", [1, 2]), ("feature", [3, 4]), ("point", [5, 6]), ("exponent", [7, 8])):
        assert getattr(forest, name).tolist() == [values[0], 0, 0, values[1], 0, 0]
    assert list(taken.left()) == []
    for field in ("kind", "rule", "owner", "child", "row", "rows", "relu", "feature", "point", "exponent"):
        assert getattr(forest, field).dtype == np.int64


def test_entries_are_taken_one_after_the_other() -> None:
    taken = Taken(arrays_of(stage=[1, 2, 3], kind=[LEAF], rule=[0]))
    assert taken.one("stage") == 1 and taken.take("stage", 1).tolist() == [2]
    assert list(taken.left()) == ["stage", "kind", "rule"]
    with pytest.raises(ValueError, match="array 'stage' ends early"):
        taken.take("stage", 2)
    assert taken.one("stage") == 3
    with pytest.raises(ValueError, match="array 'stage' ends early"):
        taken.one("stage")
    assert taken.take("stage", 0).tolist() == [] and list(taken.left()) == ["kind", "rule"]
    with pytest.raises(ValueError, match="array 'leaf_row' ends early"):
        taken.forest([1])
    none = Taken(arrays_of()).forest([])
    assert len(none.kind) == len(none.rows) == 0


def test_trees_are_not_too_deep(monkeypatch: Any) -> None:
    # One split below the other, the last on level 4.
    arrays = arrays_of(
        kind=[SPLIT, SPLIT, EMPTY, SPLIT, EMPTY, EMPTY, EMPTY],
        rule=[0] * 7,
        **dict.fromkeys(("split_relu", "split_feature", "split_point", "split_exponent"), [0] * 3),
    )
    monkeypatch.setattr(contents, "DEEPEST", 4)
    assert len(Taken(arrays).forest([1]).kind) == 7
    monkeypatch.setattr(contents, "DEEPEST", 3)
    with pytest.raises(ValueError, match="more than 3 levels"):
        Taken(arrays).forest([1])


# -- files


@pytest.mark.parametrize("claim", ["unsat", "sat"])
def test_a_file_holds_all_of_a_certificate(claim: Any, tmp_path: Path) -> None:
    certificate = made(claim)
    data = encode(certificate)
    again = decode(data)
    for field in ("network_sha256", "property_sha256", "inputs", "outputs", "claim", "name", "producer"):
        assert getattr(again, field) == getattr(certificate, field)
    for name in NAMES:
        assert again.arrays[name].dtype == np.int64 and again.arrays[name].tolist() == certificate.arrays[name].tolist()
    path = tmp_path / "c"
    assert write(path, certificate) == len(data) and path.read_bytes() == data
    assert version_of(data) == VERSIONS[0] == 3 and version_of(data[:31]) == 0 and version_of(data[:32]) == 3
    assert encode(again) == data


def headed(change: Any, values: list[int] | None = None) -> bytes:
    """A file of a changed header."""
    certificate = made()
    header = json.loads(unpack(encode(certificate), "f", (VERSIONS[0],)).header)
    text = change(header)
    if not isinstance(text, bytes):
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    entries = (
        np.concatenate([certificate.arrays[name] for name in WITHOUT_PLANES]) if values is None else np.array(values)
    )
    return pack(VERSIONS[0], text, entries)


def test_a_header_that_is_left_as_it_is_is_read() -> None:
    assert decode(headed(lambda header: None)).claim == "unsat"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("claim",), "robust"),
        (("claim",), None),
        (("arithmetic",), "integer"),
        (("name",), 5),
        (("producer",), None),
        (("more",), 1),
        (("network", "sha256"), "ab" * 31),
        (("network", "sha256"), "AB" * 32),
        (("network", "sha256"), "ag" * 32),
        (("network", "more"), "x"),
        (("property", "sha256"), 7),
        (("property", "inputs"), -1),
        (("property", "inputs"), True),
        (("property", "inputs"), 2.0),
        (("property", "inputs"), "2"),
        (("property", "outputs"), (1 << 31) + 1),
        (("property", "outputs"), 10**17),
        (("property", "kind"), "smtlib"),
        (("arrays",), []),
        (("arrays",), {}),
        (("arrays", 4), ["cases"]),
        (("arrays", 4), ["case", 2]),
        (("arrays", 4), ["cases", -2]),
        (("arrays", 4), ["cases", 2, 0]),
    ],
)
def test_a_header_says_what_it_has_to(where: tuple[Any, ...], value: Any) -> None:
    def change(header: Any) -> None:
        *path, last = where
        for key in path:
            header = header[key]
        header[last] = value

    with pytest.raises(CertificateError, match="has a header that is"):
        decode(headed(change), "file")


def test_a_header_is_in_one_form() -> None:
    def spaced(header: Any) -> bytes:
        return json.dumps(header, sort_keys=True).encode()

    def unsorted(header: Any) -> bytes:
        return json.dumps(dict(reversed(header.items())), separators=(",", ":")).encode()

    def escaped(header: Any) -> bytes:
        return json.dumps(header | {"name": "\u00e9"}, sort_keys=True, separators=(",", ":")).encode()

    for change in (spaced, unsorted, escaped):
        with pytest.raises(CertificateError, match="not in canonical form"):
            decode(headed(change))
    assert decode(headed(lambda header: header.update(name="\u00e9"))).name == "\u00e9"
    largest = decode(headed(lambda header: header["property"].update(inputs=1 << 31)))
    assert largest.inputs == 1 << 31


def test_entries_are_as_many_as_stated() -> None:
    def longer(header: Any) -> None:
        header["arrays"][-1][1] += 1

    with pytest.raises(CertificateError, match=r"damaged body|entries in"):
        decode(headed(longer))
    with pytest.raises(CertificateError, match="is inconsistent: an entry of array 'lemma_side' is 2"):
        decode(encode(made(lemma_side=[1, 2])), "file")
    needed = 128 * sum(len(made().arrays[name]) for name in WITHOUT_PLANES)
    assert decode(encode(made()), memory=needed)
    with pytest.raises(CertificateError, match=f"needs {needed} bytes"):
        decode(encode(made()), memory=needed - 1)
    with pytest.raises(ValueError, match="1 MiB"):
        encode(replace(made(), name="n" * (1 << 20)))


# -- containers


def test_containers_are_what_they_state() -> None:
    values = np.array([0, 1, -1, 1 << 40, -(1 << 52)])
    data = pack(7, b"head", values)
    found = unpack(data, "f", (7,))
    assert (found.version, found.header, entries_of(found, 5, 0, "f", 0).tolist()) == (7, b"head", values.tolist())
    for at in range(len(data)):
        broken = bytearray(data)
        broken[at] ^= 1
        with pytest.raises(CertificateError):
            unpack(bytes(broken), "f", (7,))
    for end in range(len(data)):
        with pytest.raises(CertificateError):
            unpack(data[:end], "f", (7,))
    with pytest.raises(CertificateError, match=r"has \d+ bytes where it states"):
        unpack(data + b"\0", "f", (7,))
    with pytest.raises(CertificateError, match="has 32 bytes where it states"):
        unpack(data[:32], "f", (7,))
    with pytest.raises(CertificateError, match="is a certificate cut short"):
        unpack(data[:31], "f", (7,))
    assert not entries_of(found, 5, 0, "f", 0).flags.writeable
    # Entries that all take as many bytes as an entry may.
    widest = np.array([(1 << 53) - 1, -(1 << 53) + 1])
    again = unpack(pack(7, b"", widest), "f", (7,))
    assert again.body_length == 16 and entries_of(again, 2, 0, "f", 0).tolist() == widest.tolist()
    with pytest.raises(CertificateError, match="format version 7"):
        unpack(data, "f", (1, 2))


def signed(start: bytes, content: bytes) -> bytes:
    whole = start + content
    return whole + hashlib.sha256(whole).digest()


def body_of(packed: bytes, length: int, entries: int) -> Any:
    start = SIGNATURE + (7).to_bytes(4, "little") + (0).to_bytes(4, "little")
    start += len(packed).to_bytes(8, "little") + length.to_bytes(8, "little")
    return entries_of(unpack(signed(start, packed), "f", (7,)), entries, 0, "f", 0)


def test_bodies_end_where_they_are_said_to() -> None:
    body = bytes([2, 4, 6])
    packed = zlib.compress(body)
    assert body_of(packed, 3, 3).tolist() == [1, 2, 3]
    for wrong, length, entries in (
        (packed + b"\0", 3, 3),
        (packed + packed, 3, 3),
        (packed[:-1], 3, 3),
        (packed[:-4], 3, 3),
        (zlib.compress(body + b"\2"), 3, 3),
        (zlib.compress(body[:2]), 3, 3),
        (b"", 3, 3),
        (b"\0" * 9, 3, 3),
        (zlib.compress(bytes([130, 130, 130])), 3, 3),
        (packed, 3, 2),
        (packed, 3, 4),
        (packed, 3, 0),
        (packed, 2, 3),
    ):
        with pytest.raises(CertificateError, match=r"damaged body|entries in"):
            body_of(wrong, length, entries)
    for wrong, problem in (
        (packed + b"\0", "something follows it"),
        (packed[:-1], "it ends early"),
        (zlib.compress(body[:2]), "it ends early"),
        (b"", "it ends early"),
    ):
        with pytest.raises(CertificateError, match=problem):
            body_of(wrong, 3, 3)
    # What a kilobyte unpacks to a gigabyte is never unpacked.
    with pytest.raises(CertificateError, match="longer than the 3 bytes stated"):
        body_of(zlib.compress(bytes(1 << 22)), 3, 3)


def test_lengths_that_no_certificate_has() -> None:
    for header, length in (((1 << 20) + 1, 0), (0, (1 << 31) + 1)):
        start = SIGNATURE + (7).to_bytes(4, "little") + header.to_bytes(4, "little")
        start += (0).to_bytes(8, "little") + length.to_bytes(8, "little")
        with pytest.raises(CertificateError, match="states lengths that no certificate has"):
            unpack(signed(start, b"\0" * header), "f", (7,))
    start = (
        SIGNATURE
        + (7).to_bytes(4, "little")
        + (1 << 20).to_bytes(4, "little")
        + bytes(8)
        + (1 << 31).to_bytes(8, "little")
    )
    assert unpack(signed(start, b"\0" * (1 << 20)), "f", (7,)).body_length == 1 << 31


def test_trees_have_so_many_levels_and_no_more():
    """Of every level the first node is split, and the second one empty."""

    def forest(levels: int) -> Forest:
        kind = [SPLIT, *([SPLIT, EMPTY] * (levels - 2)), EMPTY, EMPTY]
        numbers = np.zeros(levels - 1, np.int64)
        names = ("split_relu", "split_feature", "split_point", "split_exponent")
        arrays = arrays_of(kind=kind, rule=np.zeros(len(kind)), **dict.fromkeys(names, numbers))
        return Taken(arrays).forest([1])

    assert len(forest(16384).kind) == 2 * 16384 - 1
    with pytest.raises(ValueError, match="trees have more than 16384 levels"):
        forest(16385)


def test_a_forest_without_leaves_has_no_rows():
    none = np.zeros(0, np.int64)
    rows = Forest(none, none, none, none, none, none, none, none, none).rows
    assert len(rows) == 0 and rows.dtype == np.int64


def test_a_header_may_be_as_long_as_it_may(monkeypatch: pytest.MonkeyPatch):
    arrays = arrays_of(witness=[1], witness_limbs=[1], witness_two=[0], witness_ten=[0])
    made = RealCertificate("ab" * 32, "cd" * 32, 1, 1, "sat", arrays)
    length = int.from_bytes(encode(made)[12:16], "little")
    monkeypatch.setattr("netproof.certificate.real.format.LONGEST", length)
    assert encode(made)
    monkeypatch.setattr("netproof.certificate.real.format.LONGEST", length - 1)
    with pytest.raises(ValueError, match="header is at most"):
        encode(made)
