"""One line of results.csv, and the table of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netproof.errors import FormatError
from netproof.runs.rows import Row, undecided_evidence
from netproof.runs.table import HEADER_LINE, read_table

TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
#: what says nothing of a witness, which no such row has
PLAIN = TEXT.filter(lambda text: text != "attack" and not text.startswith("witnesses/"))


# Tables of characters are made with the first text, which takes seconds on a busy machine.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(TEXT, st.sampled_from(["robust", "timeout", "error"]), st.floats(0, 1e6), PLAIN, PLAIN)
def test_a_row_is_one_line_and_comes_back(instance, verdict, seconds, method, evidence):
    line = Row(instance, verdict, seconds, method, evidence).line()
    assert line.count("\n") == 1 and line.endswith("\n")
    back = Row.parse(line[:-1])
    assert (back.instance, back.verdict, back.method, back.evidence) == (instance, verdict, method, evidence)
    assert back.seconds == pytest.approx(seconds, abs=1e-6)


def test_what_is_no_text_in_a_reason_leaves_the_table_whole(tmp_path):
    row = Row("bad", "error", 0.0, "", "file \udcff, \0 and \x1b[31m: is odd")
    path = tmp_path / "results.csv"
    path.write_bytes((HEADER_LINE + row.line() + Row("good", "unsat", 0.5, "bound").line()).encode())
    found = read_table(path)
    assert set(found.rows) == {"bad", "good"} and not found.torn
    assert found.rows["bad"].evidence == "file ?, ? and ?[31m: is odd"


def test_line_ends_in_a_reason_do_not_split_the_row():
    line = Row("a", "error", 0.0, "", 'first\nsecond\r\nthird, and "quoted"').line()
    assert Row.parse(line[:-1]).evidence == 'first second third, and "quoted"'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "has 0 columns"),
        ("a,robust,1", "has 3 columns"),
        ("a,sturdy,1,bound,", "no verdict is called 'sturdy'"),
        ("a,robust,soon,bound,", "could not convert"),
        ("a,robust,nan,bound,", "took 'nan' seconds"),
        # What was one answer, and is two since a word was changed.
        ("a,robust,1,attack,", "'robust' with the witness that it is about"),
        ("a,unsat,1,attack,", "'unsat' with the witness"),
        ("a,unsat,1,search,witnesses/a.json", "'unsat' with the witness"),
        ("a,timeout,1,search,witnesses/a.json", "'timeout' with the witness"),
        ("a,vulnerable,1,search,", "'vulnerable' without the witness"),
        ("a,sat,1,attack,certificate=a.npcert", "'sat' without the witness"),
    ],
)
def test_what_is_no_row(line, problem):
    with pytest.raises(ValueError, match=problem):
        Row.parse(line)


@pytest.mark.parametrize("limit", [0.5, 60.0, 1e9, 1e-5])
def test_limit_of_an_undecided_row(limit):
    assert Row("a", "timeout", 1, "search", undecided_evidence(limit, 3.25, "memory")).limit == limit
    assert Row("a", "timeout", 1, "search", undecided_evidence(limit, None, "")).limit == limit


@pytest.mark.parametrize("evidence", ["", "bound=3", "nolimit=3", "limit=1.2.3"])
def test_no_limit_recorded(evidence):
    assert Row("a", "timeout", 1, "search", evidence).limit == 0


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ROWS = HEADER_LINE + "a,robust,0.1,bound,\nb,timeout,1.0,search,limit=1\n"


def test_absent_and_empty_tables(tmp_path):
    assert read_table(tmp_path / "none.csv").rows == {}
    assert read_table(write(tmp_path / "t", "")).rows == {}
    torn = read_table(write(tmp_path / "t", HEADER_LINE[:7]))
    assert (torn.rows, torn.torn) == ({}, 7)


def test_every_cut_of_a_table_is_readable(tmp_path):
    for keep in range(len(ROWS) + 1):
        table = read_table(write(tmp_path / "t", ROWS[:keep]))
        whole = ROWS[:keep].count("\n") - 1
        assert len(table.rows) == max(0, whole)
        assert table.torn == len(ROWS[:keep]) - (ROWS[:keep].rfind("\n") + 1)


def test_zero_bytes_at_the_end_are_torn(tmp_path):
    table = read_table(write(tmp_path / "t", ROWS.encode() + b"c,rob" + b"\0" * 40))
    assert set(table.rows) == {"a", "b"} and table.torn == 45


def test_the_last_row_of_an_instance_counts(tmp_path):
    table = read_table(write(tmp_path / "t", ROWS + "b,robust,5.0,search,\n"))
    assert table.rows["b"].verdict == "robust" and table.superseded == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("instance,verdict\n", "line 1 is not the header"),
        (HEADER_LINE + "a,robust,0.1,bound,\nb,what,1,x,\n", "line 3: no verdict"),
        (HEADER_LINE + "\n", "line 2"),
        (HEADER_LINE + 'a,robust,"0.1,bound,\n', "line 2"),
        (HEADER_LINE + "z,robust,0.1,bound,\n", "line 2: the benchmark has no instance 'z'"),
        (HEADER_LINE.encode() + b"\xff\xfe\n", "not text"),
    ],
)
def test_damaged_tables_name_the_line(tmp_path, text, problem):
    with pytest.raises(FormatError, match=problem):
        read_table(write(tmp_path / "t", text), {"a", "b"})
