"""Certificate files: what is written is read again, and what is not a certificate is refused in one line."""

from __future__ import annotations

import hashlib
import json
import math
import tracemalloc
import zlib
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netproof.certificate import container, varint
from netproof.certificate.contents import (
    MOST_CUTS,
    NAMES,
    BoxProperty,
    Certificate,
    RobustnessProperty,
    arrays_of,
    fault_of,
)
from netproof.certificate.format import decode, encode, is_intact, read, write
from netproof.certificate.real.witness import RealWitness
from netproof.certificate.witness import decode_witness, read_evidence
from netproof.errors import CertificateError, FormatError, InputError


def certificate(**changed):
    arrays = {
        "image": [3, 200, 0],
        "form": [1],
        "kept": [2, 1],
        "kept_feature": [0, 3, 1],
        "row_exponent": [4, 0],
        "row_mu": [16, 0],
        "row_s": [-5, 70, 2**40, 0, 1, -(2**53) + 1],
        "common": [1],
        "kind": [3, 2, 0, 1],
        "leaf_row": [0],
        "cut_count": [1],
        **{key: [1, 1] for key in ("cut_activation", "cut_row")},
        **{key: [0, 1] for key in ("cut_feature", "cut_side")},
        "cut_end": [-7, 9],
        "split_activation": [0],
        "split_feature": [2],
        "split_point": [100],
    }
    scheme = {"bits": 6, "input_bits": 8}
    made = Certificate("ab" * 32, scheme, 3, 2, "unsat", RobustnessProperty(1, 4), arrays_of(**arrays), "näme", "us")
    fields = {name: value for name, value in changed.items() if name not in NAMES}
    given = {name: value for name, value in changed.items() if name in NAMES}
    return replace(made, arrays=made.arrays | {n: arrays_of(**{n: v})[n] for n, v in given.items()}, **fields)


def assembled(header: bytes, body: bytes, *, packed: bytes | None = None, length: int | None = None) -> bytes:
    packed = zlib.compress(body) if packed is None else packed
    length = len(body) if length is None else length
    start = b"\x89NPCERT\n\1\0\0\0" + len(header).to_bytes(4, "little")
    content = start + len(packed).to_bytes(8, "little") + length.to_bytes(8, "little") + header + packed
    return content + hashlib.sha256(content).digest()


def parts(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[12:16], "little")
    return data[32 : 32 + length], zlib.decompress(data[32 + length : -32])


def reheaded(change) -> bytes:
    """A file whose header's document went through ``change``."""
    header, body = parts(encode(certificate()))
    document = json.loads(header)
    change(document)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return assembled(text.encode(), body)


def refused(data: bytes, *words: str) -> None:
    with pytest.raises(CertificateError) as caught:
        decode(data, "some.cert")
    message = str(caught.value)
    assert message.startswith("some.cert: ") and "\n" not in message
    for word in words:
        assert word in message


# varints


def decoded(data: bytes, count: int, piece: int = 1 << 20) -> tuple[list[int], str]:
    values = np.zeros(count, np.int64)
    decoder = varint.Decoder(values)
    for start in range(0, len(data), piece):
        decoder.feed(data[start : start + piece])
    decoder.close()
    return values.tolist(), decoder.fault


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (-64, "7f"), (64, "8001"), (-65, "8101"), (2**53 - 1, "feffffffffffff1f")],
)  # fmt: skip
def test_varint_of_one_value(value, expected):
    data = varint.encode(np.array([value]))
    assert data.hex() == expected
    assert decoded(data, 1) == ([value], "")


def test_varints_are_coded_in_portions(monkeypatch):
    values = np.array([0, -1, 300, -(1 << 40), 5, 1 << 52, 7, -8, 1 << 20, 9])
    whole = varint.encode(values)
    for size in (1, 2, 3, 9, 10, 11):
        monkeypatch.setattr(varint, "_AT_ONCE", size)
        assert varint.encode(values) == whole
        assert decoded(whole, len(values)) == (values.tolist(), "")


def test_the_first_fault_of_varints_is_the_one_told(monkeypatch):
    monkeypatch.setattr(varint, "_AT_ONCE", 2)
    assert decoded(bytes([0x80, 0, 1, 1, 1, 1]), 1)[1] == "an entry has more bytes than it needs"


def test_varints_round_trip_in_any_pieces():
    random = np.random.default_rng(0)
    sizes = 2 ** random.integers(0, 54, 150_000)
    values = np.rint(random.uniform(-1, 1, len(sizes)) * (sizes - 1)).astype(np.int64)
    data = varint.encode(values)
    for piece in (1 << 20, 65_537, 4_001):
        assert decoded(data, len(values), piece) == (values.tolist(), "")
    assert decoded(data[:1000], len(values[:200]), 1)[1]
    assert varint.encode(np.zeros(0, np.int64)) == b"" and decoded(b"", 0) == ([], "")


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**62, -(2**63), 2**63 - 1])
def test_varint_beyond_its_range(value):
    with pytest.raises(ValueError, match="2\\^53"):
        varint.encode(np.array([value]))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("8000", "more bytes than it needs"),
        ("81808000", "more bytes than it needs"),
        ("ffffffffffffffff", "longer than 8"),
        ("ffffffffffffffffff01", "longer than 8"),
        ("ffffffffffffff1f", "2^53"),
        ("ffffffffffffff7f", "2^53"),
        ("80", "within an entry"),
        ("0080", "within an entry"),
        ("", "0 entries"),
        ("0000", "more than 1"),
    ],
)
def test_varint_that_is_none(data, fault):
    for piece in (1, 100):
        assert fault in decoded(bytes.fromhex(data), 1, piece)[1]


# round trips


def test_round_trip(tmp_path):
    for made in (
        certificate(),
        certificate(claim="sat", witness=[1, 2, 3], **{key: [] for key in NAMES[NAMES.index("form"):]}),
        Certificate(
            "00" * 32, {}, 1, 1, "unsat", BoxProperty((2,)),
            arrays_of(lower=[0], upper=[1], coefficients=[1, 2], threshold=[3, 4], form=[0], kind=[4]),
        ),
        Certificate("00" * 32, {}, 1, 1, "unsat", BoxProperty(()), arrays_of(lower=[0], upper=[1])),
    ):  # fmt: skip
        data = encode(made)
        again = decode(data)
        assert encode(again) == data
        for field in ("network_sha256", "scheme", "inputs", "outputs", "claim", "property", "name", "producer"):
            assert getattr(again, field) == getattr(made, field)
        assert all(np.array_equal(again.arrays[name], made.arrays[name]) for name in NAMES)
        write(tmp_path / "c.cert", made)
        assert (tmp_path / "c.cert").read_bytes() == data
        assert encode(read(tmp_path / "c.cert")) == data
        assert [p.name for p in tmp_path.iterdir()] == ["c.cert"]


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        decode(encode(certificate())).arrays["kind"][0] = 1


def test_arrays_have_to_be_known_integers():
    with pytest.raises(ValueError, match="no array 'kinds'"):
        arrays_of(kinds=[1])
    with pytest.raises(ValueError, match="not integers"):
        arrays_of(kind=[1.5])


def test_where_it_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "none" / "c.cert", certificate())


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FormatError, match="no such certificate"):
        read(tmp_path / "none")
    (tmp_path / "text").write_text("This is a note.")
    with pytest.raises(CertificateError, match="is not a certificate"):
        read(tmp_path / "text")
    with pytest.raises(CertificateError, match="is not a certificate"):
        read_evidence(tmp_path / "text")


# inconsistencies


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"image": [1, 2]}, "'image' has 2 entries where there must be 3"),
        ({"lower": [1, 2, 3]}, "'lower'"),
        ({"witness": [1, 2, 3]}, "'witness'"),
        ({"form": []}, "'form'"),
        ({"form": [2]}, "'form' is 2"),
        ({"form": [-1]}, "'form' is -1"),
        ({"kept": [2, 2]}, "'kept_feature'"),
        ({"kept": [4, -1]}, "'kept' is"),
        ({"row_exponent": [49, 0]}, "'row_exponent' is 49"),
        ({"row_exponent": [4]}, "'leaf_row'|'cut_row'"),
        ({"row_mu": [1]}, "'row_mu'"),
        ({"row_s": [1]}, "'row_s'"),
        ({"common": [2]}, "'cut_activation'"),
        ({"common": [-1, 2]}, "'common' is -1"),
        ({"kind": [3, 2, 0, 5]}, "'kind' is 5"),
        ({"kind": [3, 2, 0, 1, 0]}, "no tree"),
        ({"kind": [3, 2, 0]}, "'leaf_row'"),
        ({"kind": [2, 3, 1, 0]}, ""),
        ({"kind": [1, 3, 2, 0]}, "no tree"),
        ({"kind": [0, 3, 2, 1]}, "no tree"),
        ({"kind": [], "leaf_row": [], "cut_count": [], "split_activation": []}, "'cut_activation'"),
        ({"common": [1] + [0] * 2**14}, "16384"),
        ({"common": [1] + [0] * (2**14 - 1)}, ""),
        ({"leaf_row": [2]}, "'leaf_row' is 2"),
        ({"leaf_row": [-1]}, "'leaf_row' is -1"),
        ({"cut_row": [1, 2]}, "'cut_row' is 2"),
        ({"cut_side": [0, 2]}, "'cut_side' is 2"),
        ({"cut_activation": [0, 1]}, "'cut_activation' is 0"),
        ({"cut_activation": [3, 1]}, "'cut_activation' is 3"),
        ({"cut_count": [2]}, "'cut_activation'"),
        ({"split_activation": [3]}, "'split_activation' is 3"),
        ({"split_point": []}, "'split_point'"),
        ({"claim": "sat"}, "'witness'"),
        ({"claim": "sat", "witness": [1, 2, 3]}, "'form'"),
        ({"outputs": 3}, "'form'"),
        ({"outputs": 2**52}, "'form'|'row_mu'"),
        ({"outputs": 1}, "'form'|'row_mu'"),
        ({"property": BoxProperty((1,))}, "'image'"),
        ({"property": BoxProperty((2**52,))}, "'image'"),
    ],
)
def test_inconsistent_sizes(changed, fault):
    data = encode(certificate(**changed))
    if not fault:
        assert fault_of(decode(data)) == ""
        return
    with pytest.raises(CertificateError, match=f"is inconsistent: .*({fault})"):
        decode(data)


@pytest.mark.parametrize(("outputs", "form", "row_mu"), [(1, 0, 0), (2, 1, 2), (4, 3, 2)])
def test_a_sample_has_a_case_for_every_other_class(outputs, form, row_mu):
    """And a row one multiplier, where there is a case at all."""
    sample = {
        "image": [0], "row_exponent": [0, 0], "cut_activation": [1], "cut_feature": [0], "cut_side": [0], "cut_end": [0],
        "cut_row": [1], "common": [1], "kept": [1], "kept_feature": [0], "row_s": [0, 0],
    }  # fmt: skip
    for forms, multipliers in ((form, row_mu), (form + 1, row_mu), (form, row_mu + 1), (form, 2 * form + 1)):
        arrays = arrays_of(**sample, form=[0] * forms, kind=[0] * forms, row_mu=[0] * multipliers)
        made = Certificate("00" * 32, {}, 1, outputs, "unsat", RobustnessProperty(0, 1), arrays)
        assert (fault_of(made) == "") == ((forms, multipliers) == (form, row_mu))


def test_rows_without_a_case_have_no_multiplier():
    for multipliers in (0, 1):
        arrays = arrays_of(lower=[0], upper=[1], row_exponent=[0], row_mu=[0] * multipliers)
        made = Certificate("00" * 32, {}, 1, 1, "unsat", BoxProperty(()), arrays)
        assert (fault_of(made) == "") == (not multipliers)


def test_trees_have_a_greatest_depth():
    for depth, fits in ((2**14 - 1, True), (2**14, False)):
        arrays = arrays_of(
            lower=[0],
            upper=[1],
            coefficients=[1],
            threshold=[1],
            form=[0],
            kind=[2] * depth + [0],
            cut_count=[0] * depth,
        )
        chain = Certificate("00" * 32, {}, 1, 1, "unsat", BoxProperty((1,)), arrays)
        assert (fault_of(chain) == "") == fits


def test_nodes_and_groups_have_a_greatest_number_of_cuts():
    for count, fits in ((MOST_CUTS, True), (MOST_CUTS + 1, False)):
        cuts = {
            f"cut_{name}": np.full(count, value)
            for name, value in (("activation", 1), ("feature", 0), ("side", 0), ("end", 0), ("row", 0))
        }
        given = {"lower": [0], "upper": [1], "coefficients": [1], "threshold": [1], "form": [0]}
        given |= {"kept": [0], "row_exponent": [0], "row_mu": [0]}
        for where in ({"cut_count": [count], "kind": [2, 0]}, {"common": [count], "kind": [0]}):
            crowd = Certificate("00" * 32, {}, 1, 1, "unsat", BoxProperty((1,)), arrays_of(**given | cuts | where))
            assert (fault_of(crowd) == "") == fits


# hostile files


def test_other_version():
    data = encode(certificate())[:-32]
    data = data[:8] + b"\3\0\0\0" + data[12:]
    refused(data + hashlib.sha256(data).digest(), "version 3", "reads versions 1 and 2")
    data = data[:8] + b"\2\0\0\0" + data[12:]
    refused(data + hashlib.sha256(data).digest(), "the arrays are not those of a certificate")


def test_a_file_cut_short():
    data = encode(certificate())
    for keep, words in ((8, "cut short"), (20, "cut short"), (31, "cut short"), (32, "has 32 bytes where it states")):
        refused(data[:keep], words)
    refused(data[:7], "is not a certificate")
    refused(data[:-1], f"has {len(data) - 1} bytes where it states {len(data)}")
    refused(data + b"\0", f"has {len(data) + 1} bytes where it states {len(data)}")


def test_one_changed_bit_is_damage():
    data = encode(certificate())
    for position in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[position] ^= 4
        refused(bytes(damaged))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(arithmetic="real"), "'integer'"),
        (lambda d: d.update(claim="maybe"), "claim"),
        (lambda d: d.update(more=1), "fields"),
        (lambda d: d.pop("name"), "fields"),
        (lambda d: d.update(name=7), "'name'"),
        (lambda d: d.update(arrays=[]), "arrays"),
        (lambda d: d.update(arrays=7), "arrays"),
        (lambda d: d.update(arrays=None), "arrays"),
        (lambda d: d["arrays"].__setitem__(0, 7), "arrays"),
        (lambda d: d["arrays"].reverse(), "arrays"),
        (lambda d: d["arrays"][0].append(1), "pairs"),
        (lambda d: d["arrays"][0].__setitem__(1, -1), "'image'"),
        (lambda d: d["arrays"][0].__setitem__(1, True), "'image'"),
        (lambda d: d["arrays"][0].__setitem__(1, 1.0), "no integer"),
        (lambda d: d["arrays"][0].__setitem__(1, 10**400), "too large"),
        (lambda d: d["arrays"][0].__setitem__(1, 2**50), "entries"),
        (lambda d: d["network"].update(sha256="zz"), "SHA-256"),
        (lambda d: d["network"].update(sha256="a" * 63), "SHA-256"),
        (lambda d: d["network"].update(sha256="a" * 65), "SHA-256"),
        (lambda d: d["network"].update(sha256="a" * 63 + "A"), "SHA-256"),
        (lambda d: d["network"].update(inputs=0), "'inputs'"),
        (lambda d: d["network"].update(outputs=0), "'outputs'"),
        (lambda d: d["network"].update(scheme=[]), "'scheme'"),
        (lambda d: d["network"].update(scheme={"bits": "6"}), "'bits'"),
        (lambda d: d["property"].update(kind="other"), "kind"),
        (lambda d: d["property"].update(radius=-1), "'radius'"),
        (lambda d: d["property"].update(radius=2**53), "'radius'"),
        (lambda d: d["property"].update(radius=1.5), "'1.5' is no integer"),
        (lambda d: d["property"].update(radius=math.nan), "'NaN' is no integer"),
        (lambda d: d.update(property={"kind": "box", "constraints": 3}), "'constraints'"),
        (lambda d: d.update(property={"kind": "box", "constraints": [0]}), "constraints"),
        (lambda d: d.update(property=None), "'property'"),
    ],
)
def test_header_with_other_fields(change, words):
    refused(reheaded(change), words)


def test_the_largest_numbers_of_a_header():
    largest = decode(reheaded(lambda d: d["property"].update(label=2**53 - 1, radius=2**53 - 1))).property
    assert (largest.label, largest.radius) == (2**53 - 1, 2**53 - 1)


def test_who_is_to_mend_a_header():
    """Another arithmetic is that of another version; what no version writes has to be made anew."""
    for change, hint in (
        (lambda d: d.update(arithmetic="real"), "use the version of netproof that wrote it"),
        (lambda d: d.update(claim="maybe"), "make it anew"),
    ):
        with pytest.raises(CertificateError) as caught:
            decode(reheaded(change))
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    "header",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"NaN", b"[" * 500_000, b'{"a":' * 200_000, b'"\\ud800"', b"9" * 1_000_000,
    ],
)  # fmt: skip
def test_header_that_is_none(header):
    refused(assembled(header, b""))


def test_header_in_another_spelling():
    header, body = parts(encode(certificate()))
    for other in (
        header.replace(b'"claim":', b'"claim": '),
        header.replace(b'"claim":"unsat"', b'"claim":"sat","claim":"unsat"'),
        header.replace("ä".encode(), b"\\u00e4"),
        header + b"\n",
    ):
        assert other != header
        refused(assembled(other, body), "canonical")


def test_header_beyond_its_length():
    shorter, _ = parts(encode(certificate(name="")))
    name = "x" * ((1 << 20) - len(shorter))
    assert decode(encode(certificate(name=name))).name == name
    with pytest.raises(ValueError, match="1 MiB"):
        encode(certificate(name=name + "x"))


def test_what_is_no_number_is_not_written():
    with pytest.raises(ValueError, match="JSON"):
        encode(certificate(scheme={"bits": math.nan}))


def test_lengths_that_no_certificate_has():
    header, body = parts(encode(certificate()))
    refused(assembled(b" " * (1 << 20) + b" ", body), "states lengths that no certificate has")
    refused(assembled(b" " * (1 << 20), body), "not JSON")
    refused(assembled(header, body, length=(1 << 31) + 1), "states lengths that no certificate has")
    refused(assembled(header, body, length=1 << 31), "entries in 2147483648 bytes")


def test_body_that_is_not_what_is_stated():
    header, body = parts(encode(certificate()))
    refused(assembled(header, body + b"\0"), "more than")
    refused(assembled(header, body[:-1]), "body")
    refused(assembled(header, body, length=len(body) - 1), "longer")
    refused(assembled(header, body, length=len(body) + 1), "ends early")
    refused(assembled(header, body, packed=zlib.compress(body) + b"\0"), "follows")
    refused(assembled(header, body, packed=zlib.compress(body)[:-1]), "ends early")
    refused(assembled(header, body, packed=b"\0" * 20), "body")
    refused(assembled(header, body, packed=b""), "ends early")


def test_bombs_are_not_unpacked():
    """Whatever a body says and however far it is right, no more of it is unpacked than is needed to see that it is wrong."""
    header, body = parts(encode(certificate()))
    document = json.loads(header)
    document["arrays"][0][1] = 1 << 24
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    packed, after = zlib.compress(bytes(1 << 24)), zlib.compress(body + bytes(1 << 24))
    tracemalloc.start()
    try:
        refused(assembled(header, body, packed=packed), "body")
        refused(assembled(header, body, packed=packed, length=1 << 24), "entries")
        refused(assembled(header, body, packed=after), f"longer than the {len(body)} bytes stated")
        with pytest.raises(CertificateError, match="more than are allowed"):
            decode(assembled(text, body, packed=packed, length=(1 << 24) + 50), memory=1 << 24)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_bodies_are_unpacked_in_pieces(monkeypatch, piece):
    monkeypatch.setattr(container, "_PIECE", piece)
    data = encode(certificate())
    assert encode(decode(data)) == data
    header, body = parts(data)
    refused(assembled(header, body, packed=zlib.compress(body) + bytes(100)), "something follows it")
    refused(assembled(header, body + bytes(100)), "it holds more than 39 entries")
    refused(
        assembled(header, body, packed=zlib.compress(body + bytes(100))), f"longer than the {len(body)} bytes stated"
    )
    refused(assembled(header, body, packed=zlib.compress(body)[:-1]), "it ends early")


def test_entries_of_8_bytes_each():
    largest = 2**53 - 1
    made = Certificate("00" * 32, {}, 1, 1, "unsat", BoxProperty(()), arrays_of(lower=[-largest], upper=[largest]))
    assert decode(encode(made)).arrays["upper"].tolist() == [largest]


def test_what_reading_takes_is_counted_to_the_byte(tmp_path):
    """8 bytes an entry, and 64 for each node, coefficient and multiplier."""
    made = certificate()
    needed = 8 * sum(len(made.arrays[name]) for name in NAMES) + 64 * (4 + 0 + 2)
    path = tmp_path / "c.cert"
    write(path, made)
    assert encode(read(path, memory=needed)) == encode(made)
    with pytest.raises(CertificateError, match=f"needs {needed} bytes to be read, more than are allowed"):
        read(path, memory=needed - 1)


def test_other_files_with_a_checksum_are_no_intact_certificates(tmp_path):
    path = tmp_path / "c.cert"
    for start, intact in ((b"\x89NPCERT\n", True), (b"\x89NPPART\n", True), (b"\x89PNG\r\n", False), (b"", False)):
        path.write_bytes(start + hashlib.sha256(start).digest())
        assert is_intact(path) == intact


def test_reading_takes_no_more_than_2_gib_unless_it_may():
    assert container.MEMORY == 2**31  # docs/certificates.md
    header, _ = parts(encode(certificate()))
    document = json.loads(header)
    document["arrays"][0][1] = count = 1 << 28
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    refused(assembled(text, b"", length=count + 50), "needs 2147", "more than are allowed")


def test_no_body_is_written_that_is_too_long_to_be_read(monkeypatch):
    _, body = parts(encode(certificate()))
    monkeypatch.setattr(container, "_LARGEST_BODY", len(body))
    assert decode(encode(certificate())).name == "näme"
    monkeypatch.setattr(container, "_LARGEST_BODY", len(body) - 1)
    with pytest.raises(ValueError, match="body"):
        encode(certificate())


def test_memory_to_compute_with_constraints_counts():
    count = 1 << 12
    tall = Certificate(
        "00" * 32, {}, 1, 1, "unsat", BoxProperty((count,)),
        arrays_of(lower=[0], upper=[1], coefficients=[0] * count, threshold=[0] * count, form=[0], kind=[0]),
    )  # fmt: skip
    data = encode(tall)
    assert len(decode(data, memory=100 * count).arrays["threshold"]) == count
    with pytest.raises(CertificateError, match="more than are allowed"):
        decode(data, memory=50 * count)


# witness documents


def witness(**changed):
    document = {
        "format": "netproof-witness-1", "netproof": "0", "query": "q", "arithmetic": "integer",
        "network": {"file": "n.h5", "sha256": "ab" * 32, "scheme": {"bits": 6}},
        "label": 1, "radius": 2, "class": 0, "changed": 1, "largest_change": 2, "image": [1, 2], "input": [1, 4],
        "output": [5, -3],
    }  # fmt: skip
    return {name: value for name, value in (document | changed).items() if value is not None}


def test_witness_document():
    found = decode_witness(json.dumps(witness()).encode())
    assert found.certificate.property == RobustnessProperty(1, 2) and found.certificate.claim == "sat"
    assert found.certificate.arrays["witness"].tolist() == [1, 4] and found.output == (5, -3)
    assert (found.predicted, found.changed, found.largest_change) == (0, 1, 2)
    assert fault_of(found.certificate) == ""
    assert (found.certificate.name, found.certificate.producer) == ("q", "netproof 0")
    bare = decode_witness(json.dumps(witness(query=None, netproof=7)).encode()).certificate
    assert (bare.name, bare.producer) == ("", "")


def test_the_largest_numbers_of_a_witness_document():
    most = 2**53 - 1
    found = decode_witness(json.dumps(witness(output=[most, -most], radius=most, image=[most, 0])).encode())
    assert found.output == (most, -most) and found.certificate.property.radius == most
    for changed in ({"output": [2**53, 0]}, {"output": [0, -(2**53)]}, {"radius": 2**53}, {"image": [2**53, 0]}):
        with pytest.raises(CertificateError, match=r"no usable witness: '(output|radius|image)' is no"):
            decode_witness(json.dumps(witness(**changed)).encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (json.dumps(witness()).replace('"radius": 2', '"radius": 2, "radius": 200'), "a field is there twice"),
        (json.dumps(witness(more=1.5)), "'1.5' is no integer"),
        (json.dumps(witness(more=math.inf)), "'Infinity' is no integer"),
        (json.dumps(witness(radius=2)).replace(": 2,", f": {'9' * 5000},"), "a number is too large"),
        (json.dumps(witness(image=None)), "it states no robustness property"),
        (json.dumps(witness(network={"sha256": "a", "scheme": []})), "it does not say how the network is read"),
        (json.dumps(witness(network={"sha256": "a"})), "it does not say how the network is read"),
        (json.dumps(witness(label=True)), "'label' is no whole number"),
        (json.dumps(witness(input={"0": 1, "1": 4})), "'input' is no list of integers"),
        (json.dumps(witness(input=7)), "'input' is no list of integers"),
        (json.dumps(witness(output=["5", -3])), "'output' is no list of integers"),
        (json.dumps(witness(output=[[5], -3])), "'output' is no list of integers"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_witness_document(text, words):
    with pytest.raises(CertificateError) as caught:
        decode_witness(text.encode(), "some.json")
    assert str(caught.value).startswith("some.json: is no usable witness: ") and words in str(caught.value)


def test_witnesses_that_are_not_checked_are_said_to_be_such():
    ball = witness(norm="l2", center=["1", "2"], weight=["1", "1"], image=None)
    with pytest.raises(CertificateError, match="it states no robustness property"):
        decode_witness(json.dumps(ball).encode())
    for norm in ("l3", 2, "", ["l2"]):
        with pytest.raises(CertificateError, match="no usable witness: its norm is"):
            decode_witness(json.dumps(witness(norm=norm)).encode())
    with pytest.raises(CertificateError, match="its arithmetic is not 'integer'"):
        decode_witness(json.dumps(witness(arithmetic="real", input=[0.5, 1.0])).encode())
    with pytest.raises(CertificateError, match=r"'0\.5' is no integer"):
        decode_witness(json.dumps(witness(input=[0.5, 1.0])).encode())


def real_witness(**changed):
    document = {
        "format": "netproof-witness-1", "netproof": "0", "query": "q", "arithmetic": "real", "network": {"sha256": "a"},
        "label": 0, "image": [0.5, 0], "exact_lower": ["0", "-1/3"], "exact_upper": ["1", "1/3"], "input": [0.25, 0],
        "output": [1, 2.5], "norm": "l2", "radius": "1/2", "center": ["1/2", "0"], "weight": ["1", "2"],
    }  # fmt: skip
    return {name: value for name, value in (document | changed).items() if value is not None}


def test_witness_document_of_a_float_network(tmp_path):
    path = tmp_path / "witness.json"
    path.write_text(json.dumps(real_witness()))
    found = read_evidence(path)
    assert isinstance(found, RealWitness) and (found.label, found.point, found.output) == (0, (0.25, 0.0), (1.0, 2.5))
    assert found.box.lower == (0, Fraction(-1, 3)) and found.ball is not None and found.ball.radius == Fraction(1, 2)
    path.write_text(json.dumps(real_witness(norm=None)))
    again = read_evidence(path)
    assert isinstance(again, RealWitness) and again.ball is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"exact_lower": None}, "no robustness property"), ({"label": None}, "no robustness property"),
        ({"label": True}, "no class"), ({"label": -1}, "no class"), ({"network": {}}, "no network"),
        ({"image": [0.5]}, "do not belong together"), ({"exact_upper": ["1", "-1"]}, "do not belong together"),
        ({"exact_upper": ["1"]}, "no list of 2 fractions"), ({"exact_upper": ["1", "1/0"]}, "no fraction"),
        ({"exact_upper": ["1", "0.5"]}, "no fraction"), ({"exact_upper": ["1", 1]}, "no fraction"),
        ({"exact_upper": ["1", "9" * 3000]}, "no fraction"), ({"exact_upper": ["1", "\u0663"]}, "no fraction"),
        ({"norm": "l3"}, "its norm"), ({"norm": 7}, "its norm"), ({"weight": ["1", "0"]}, "its ball is none"),
        ({"radius": "-1"}, "its ball is none"), ({"center": None}, "no list of 2"), ({"radius": 0.5}, "no fraction"),
        ({"input": []}, "no list of numbers"), ({"input": ["a", 1]}, "no list of numbers"), ({"output": None}, "no list"),
        ({"input": [True, 1]}, "no list of numbers"),
    ],
)  # fmt: skip
def test_witness_document_of_a_float_network_that_is_unusable(tmp_path, changed, words):
    path = tmp_path / "witness.json"
    path.write_text(json.dumps(real_witness(**changed)))
    with pytest.raises(CertificateError, match=r"is no usable witness of a float network") as caught:
        read_evidence(path)
    assert words in str(caught.value)
    for number in ("NaN", "Infinity", "1e999"):
        path.write_text(json.dumps(real_witness()).replace("0.25", number))
        with pytest.raises(CertificateError):
            read_evidence(path)


def test_a_witness_document_has_a_greatest_length(monkeypatch):
    text = json.dumps(witness()).encode()
    monkeypatch.setattr("netproof.certificate.witness._LONGEST", len(text))
    assert decode_witness(text).output == (5, -3)
    with pytest.raises(CertificateError, match=f"is longer than {len(text)} bytes"):
        decode_witness(text + b" ")


def test_evidence_is_told_apart_by_how_it_begins(tmp_path):
    path = tmp_path / "evidence"
    path.write_bytes(b" " * 63 + json.dumps(witness()).encode())
    assert read_evidence(path).output == (5, -3)
    path.write_bytes(b" " * 64 + json.dumps(witness()).encode())
    with pytest.raises(CertificateError, match=f"{path}: is not a certificate"):
        read_evidence(path)
    path.write_bytes(b"{")
    with pytest.raises(CertificateError, match=f"{path}: is neither a certificate nor"):
        read_evidence(path)
    path.write_bytes(encode(certificate()))
    assert encode(read_evidence(path)) == path.read_bytes()
    with pytest.raises(CertificateError, match=f"{path}: needs .* more than are allowed"):
        read_evidence(path, memory=100)


@pytest.mark.parametrize(
    "changed",
    [
        {"format": "netproof-witness-2"}, {"arithmetic": "real"}, {"image": None}, {"input": None}, {"output": []},
        {"input": [1.5, 2]}, {"input": [True, 2]}, {"input": "12"}, {"input": [1]}, {"input": [10**30, 1]}, {"label": -1},
        {"label": None}, {"radius": "2"}, {"class": None}, {"changed": None}, {"network": None}, {"network": {}},
        {"network": {"sha256": 1, "scheme": {}}}, {"network": {"sha256": "a", "scheme": {"bits": None}}},
    ],
)  # fmt: skip
def test_witness_document_that_is_unusable(changed):
    with pytest.raises(CertificateError, match="no usable witness"):
        decode_witness(json.dumps(witness(**changed)).encode())


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "{" * 100_000, '{"a": NaN}', '{"a": 1, "a": 2}', "{} {}", "7"])
def test_json_that_is_no_witness(text):
    with pytest.raises(CertificateError):
        decode_witness(text.encode())


def test_a_runtime_is_stated_where_there_is_one():
    made = certificate(runtime="tflm")
    data = encode(made)
    assert decode(data).runtime == "tflm" and decode(encode(certificate())).runtime == ""
    header, _ = parts(data)
    assert json.loads(header)["network"]["runtime"] == "tflm"
    assert "runtime" not in json.loads(parts(encode(certificate()))[0])["network"]
    for wrong, problem in (("", "'runtime' is empty"), (None, "'runtime' is no text"), (7, "'runtime' is no text")):
        with pytest.raises(CertificateError, match=problem):
            decode(reheaded(lambda document, wrong=wrong: document["network"].update(runtime=wrong)))
    assert decode(reheaded(lambda document: document["network"].update(runtime="x"))).runtime == "x"


def test_a_later_version_is_stated_only_where_it_is_needed():
    made = certificate()
    header, body = parts(encode(made))
    document = json.loads(header)
    document["arrays"] += [[name, 0] for name in NAMES if name.startswith("price")]
    later = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    packed = zlib.compress(body)
    start = b"\x89NPCERT\n\2\0\0\0" + len(later).to_bytes(4, "little")
    content = start + len(packed).to_bytes(8, "little") + len(body).to_bytes(8, "little") + later + packed
    with pytest.raises(CertificateError, match="is of format version 2 without need"):
        decode(content + hashlib.sha256(content).digest())


def test_cut_nodes_may_have_no_cuts():
    names = ("cut_activation", "cut_feature", "cut_side", "cut_end", "cut_row")
    made = certificate(cut_count=[0], **{name: [int(name != "cut_side")] for name in names})
    assert decode(encode(made)).arrays["cut_count"].tolist() == [0]


def test_evidence_of_every_kind_is_told_by_its_bytes(tmp_path):
    from netproof.certificate.real.contents import NAMES as REAL_NAMES
    from netproof.certificate.real.contents import RealCertificate
    from netproof.certificate.real.contents import arrays_of as real_arrays
    from netproof.certificate.real.format import encode as encode_real

    path = tmp_path / "evidence"
    arrays = real_arrays(witness=[1], witness_limbs=[1], witness_two=[0], witness_ten=[0])
    path.write_bytes(encode_real(RealCertificate("ab" * 32, "cd" * 32, 1, 1, "sat", arrays)))
    found = read_evidence(path)
    assert isinstance(found, RealCertificate) and set(found.arrays) == set(REAL_NAMES)
    path.write_bytes(encode(certificate()))
    assert isinstance(read_evidence(path), Certificate)
    path.write_text(json.dumps({"format": "netproof-set-1"}))
    with pytest.raises(CertificateError, match="its fields are not those") as error:
        read_evidence(path)
    assert error.value.source == str(path)
