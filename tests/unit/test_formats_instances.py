"""Lists of instances."""

from __future__ import annotations

import pytest

from netproof.errors import FormatError
from netproof.formats.instances import read_instances


def test_paths_are_found_beside_the_list_plain_or_gzip(tmp_path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "a.onnx").touch()
    (tmp_path / "p.vnnlib.gz").touch()
    path = tmp_path / "instances.csv"
    path.write_text("onnx/a.onnx,p.vnnlib,116\n\n ./onnx/a.onnx , missing.vnnlib , 30.5\r\n")
    first, second = read_instances(path)
    assert first.network == tmp_path / "onnx" / "a.onnx" and first.property == tmp_path / "p.vnnlib.gz"
    assert (first.timeout, first.name, first.line) == (116.0, "onnx/a.onnx p.vnnlib", 1)
    assert second.property == tmp_path / "missing.vnnlib" and second.timeout == 30.5 and second.line == 3


def test_a_heading_and_further_columns_do_no_harm(tmp_path):
    path = tmp_path / "instances.csv"
    path.write_text("\ufeffonnx,vnnlib,timeout\na.onnx,p.vnnlib,30,0,extra\n")
    (only,) = read_instances(path)
    assert only.name == "a.onnx p.vnnlib" and only.listed == ("a.onnx", "p.vnnlib")
    path.write_text('Network file,Property (VNN-LIB),time limit [s]\n"my a.onnx","p, 2.vnnlib",30\n')
    (only,) = read_instances(path)
    assert only.listed == ("my a.onnx", "p, 2.vnnlib") and only.line == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "lists no instance"),
        ("a,b,c\n", "lists no instance"),
        ("a.onnx,p.vnnlib\n", "line 1 is not"),
        ("a.onnx,,5\n", "line 1 is not"),
        ("a.onnx,p.vnnlib,60s\na.onnx,q.vnnlib,5\n", "line 1: '60s' is no time limit"),
        ("a.onnx,p.vnnlib,soon\n", "line 1: 'soon' is no time limit"),
        ("a.onnx,p.vnnlib,inf\n", "line 1: 'inf' is no time limit"),
        (
            "network,property,seconds\nnetwork,property,seconds\na.onnx,p.vnnlib,5\n",
            "line 2: 'seconds' is no time limit",
        ),
        ("a.onnx,p.vnnlib,5\na.onnx,p.vnnlib,soon\n", "line 2: 'soon' is no time limit"),
        ("a.onnx,p.vnnlib,5\na.onnx,p.vnnlib,-1\n", "'-1' is no time limit"),
        ("a.onnx,p.vnnlib,5\na.onnx,p.vnnlib,nan\n", "'nan' is no time limit"),
        ("a.onnx,p.vnnlib,1_0\n", "'1_0' is no time limit"),
        ("a.onnx,p\0.vnnlib,5\n", "line 1"),
        ('"' + "x" * 200_000 + ",b,5\n", "line 1"),
    ],
)
def test_lists_that_are_none(text, what, tmp_path):
    path = tmp_path / "instances.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=what):
        read_instances(path)


def test_missing_list(tmp_path):
    with pytest.raises(FormatError, match="no such list of instances"):
        read_instances(tmp_path / "none.csv")
