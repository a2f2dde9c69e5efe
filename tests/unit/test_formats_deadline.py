"""Reading ends by a deadline: counted in looks at a clock that only looks move, whatever the machine does."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

import netproof
from netproof.errors import FormatError, TimeLimitError
from netproof.formats import clock
from netproof.formats.clock import Clock
from netproof.formats.keras.write import write_keras_h5
from netproof.formats.onnx.writing.integer import IntegerOnnxWriter
from netproof.formats.vnnlib import tokens
from netproof.formats.vnnlib.second import words
from netproof.graph.graph import Arithmetic, GraphBuilder
from netproof.graph.passes.constants import _known, fold_constants
from netproof.graph.passes.simplify import simplify
from netproof.operators.activations.relu import ReLU
from netproof.operators.affine.scale import Scale
from onnx_models import model, node, save
from qonnx_models import QonnxModel
from quantized_models import Model
from tflite_files import TFLiteFile

#: nodes, operators or layers of every file here
_MANY = 40

Looks = list[int]


@pytest.fixture
def looks(monkeypatch) -> Looks:
    """Every look at the clock, which is one second later than the last."""
    found: Looks = []
    monkeypatch.setattr(clock.time, "monotonic", lambda: found.append(len(found)) or float(len(found)))
    return found


def _floats(folder: Path) -> Path:
    """Folds of constants, and nodes that stay."""
    names = ["c", *(f"k{i}" for i in range(_MANY))]
    nodes = [node("Add", [a, "c"], [b]) for a, b in itertools.pairwise(names)]
    nodes.append(node("Add", ["x", names[-1]], ["v0"]))
    nodes += [node("Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(_MANY - 1)]
    nodes.append(node("Relu", [f"v{_MANY - 1}"]))
    return save(folder / "floats.onnx", model(nodes, (1, 2), {"c": np.ones((1, 2), np.float32)}))


def _several(folder: Path) -> Path:
    made = model([*(node("Relu", ["x"], [f"v{i}"]) for i in range(_MANY)), node("Sum", ["x", "v0"])], (1, 2))
    made.graph.output.append(made.graph.output[0])
    made.graph.output[1].name = "v1"
    return save(folder / "several.onnx", made)


def _integers(folder: Path) -> Path:
    writer = IntegerOnnxWriter("many", (3,), 15)
    value = writer.input
    for number in range(_MANY):
        value = writer.linear(f"l{number}", value, np.eye(3, dtype=np.int64), np.zeros(3, np.int64))
        value = writer.requantize(f"r{number}", value, 0, 0, 15)
    value = writer.linear("last", value, np.eye(3, dtype=np.int64), np.zeros(3, np.int64))
    (folder / "integers.onnx").write_bytes(writer.model(value, 3))
    return folder / "integers.onnx"


def _quantized(folder: Path) -> Path:
    made = Model((1, 6))
    value = made.quantize("x", 0.5, 130, "q0")
    for number in range(_MANY):
        value = made.dequantize(value, 0.5, 130, f"d{number}")
        value = made.node("Relu", [value], f"r{number}")
        value = made.quantize(value, 0.5, 130, f"q{number + 1}")
    made.dequantize(value, 0.5, 130, "y")
    return made.save(folder / "quantized.onnx")


def _qonnx(folder: Path) -> Path:
    made = QonnxModel((1, 4))
    value = made.quant("x", "q", 0.25, 4)
    for number in range(_MANY):
        value = made.quant(made.node("Relu", [value], f"r{number}"), f"p{number}", 0.25, 4)
    made.quant(value, "y", 0.25, 4)
    return made.save(folder / "qonnx.onnx")


def _tflite(folder: Path) -> Path:
    made = TFLiteFile()
    first = value = made.tensor((1, 4), 0.5, 0)
    for _ in range(_MANY):
        value = made.operator("RELU", [value], [made.tensor((1, 4), 0.5, 0)])
    (folder / "codes.tflite").write_bytes(made.bytes(first, value))
    return folder / "codes.tflite"


def _tflite_floats(folder: Path) -> Path:
    made = TFLiteFile()
    first = value = made.tensor((1, 4), None, kind="float32")
    for _ in range(_MANY):
        value = made.operator("RELU", [value], [made.tensor((1, 4), None, kind="float32")])
    (folder / "floats.tflite").write_bytes(made.bytes(first, value))
    return folder / "floats.tflite"


def _keras(folder: Path) -> Path:
    layer = np.full((2, 2), 0.25, np.float32), np.zeros(2, np.float32)
    write_keras_h5(folder / "layers.h5", [layer] * _MANY)
    return folder / "layers.h5"


FILES = (_floats, _several, _integers, _quantized, _qonnx, _tflite, _tflite_floats, _keras)


@pytest.mark.parametrize("make", FILES)
def test_every_reader_looks_at_the_deadline_between_units_of_work(tmp_path, looks, make: Callable[[Path], Path]):
    path = make(tmp_path)
    network = netproof.load(path)
    assert not looks  # without a deadline there is nothing to look at
    again = netproof.load(path, deadline=1e9)
    assert again.sha256 == network.sha256 and again.graph.nodes[-1].name == network.graph.nodes[-1].name
    all_of_it = len(looks)
    assert all_of_it >= _MANY
    for share in range(1, 8):
        # Wherever on the way the deadline is over, the next look ends it.
        del looks[:]
        with pytest.raises(TimeLimitError, match="the time limit was reached while the network was read"):
            netproof.load(path, deadline=all_of_it * share / 8)
        assert len(looks) <= all_of_it * share / 8 + 1


def test_merging_nodes_looks_at_the_deadline():
    builder = GraphBuilder(Arithmetic.REAL, (2,))
    value = builder.input
    one = torch.ones(1, dtype=torch.float64)
    for number in range(_MANY):
        value = builder.add(f"s{number}", Scale(2, 2 * one, one), value)
        value = builder.add(f"r{number}", ReLU(), value)
    graph, seen = builder.build(), []
    assert len(simplify(graph, lambda: seen.append(0)).nodes) > _MANY
    assert len(seen) >= 3 * len(graph.nodes)

    def over() -> None:
        if len(seen) > 2 * len(graph.nodes):
            raise TimeLimitError("over")
        seen.append(0)

    with pytest.raises(TimeLimitError):
        simplify(graph, over)


def test_what_does_not_depend_on_the_input_is_found_in_little_memory():
    size = 1 << 18
    builder = GraphBuilder(Arithmetic.REAL, (size,))
    value = builder.input
    for number in range(_MANY):
        value = builder.add(f"r{number}", ReLU(), value)
    graph = builder.build()
    kept = _known(graph, lambda: None)
    bytes_held = {
        part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for known in kept for part in known
    }
    assert len(kept) == _MANY + 1 and all(len(known.value) == size for known in kept)
    assert sum(bytes_held.values()) < 1 << 10  # one vector for each node would be 80 MiB
    assert fold_constants(graph) is graph


PROPERTY = """(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)
(assert (<= X_0 1))(assert (>= X_0 0))(assert (<= X_1 1))(assert (>= X_1 0))(assert (>= Y_0 0))
"""


def test_verify_answers_timeout_where_reading_the_network_takes_all_of_the_time(tmp_path, cli, looks):
    path, asked = _floats(tmp_path), tmp_path / "p.vnnlib"
    asked.write_text(PROPERTY)
    ran = cli("verify", str(path), str(asked), "--timeout", "20", "--json")
    assert ran.code == 0 and not ran.err
    document = json.loads(ran.out)
    assert document["verdict"] == "timeout" and document["method"] == "reading"
    assert document["reason"] == "the limit was reached while reading"
    assert document["network"]["file"] == str(path) and document["network"]["sha256"] is None
    result = tmp_path / "result.txt"
    ran = cli("verify", str(path), str(asked), "--timeout", "20", "--competition", str(result))
    assert ran.code == 0 and ran.out.startswith("timeout\n") and result.read_text() == "timeout\n"


def test_a_query_of_the_later_version_answers_timeout_likewise(tmp_path, cli, looks):
    path, asked = _floats(tmp_path), tmp_path / "q.vnnlib"
    asked.write_text(
        "(vnnlib-version <2.0>)(declare-network f (declare-input X real [1,2]) (declare-output Y real [1,2]))"
        "(assert (>= X[0,0] 0.0))(assert (<= X[0,0] 1.0))(assert (>= X[0,1] 0.0))(assert (<= X[0,1] 1.0))(assert (>= Y[0,0] 0.0))"
    )
    ran = cli("verify", str(asked), "--network", f"f={path}", "--timeout", "60")
    assert ran.code == 0 and ran.out == "timed-out\n"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_texts_are_taken_apart_in_parts_that_make_no_difference(version, monkeypatch):
    monkeypatch.setattr(tokens, "_PART", 20)
    monkeypatch.setattr(tokens, "_MATCHES", 3)
    pattern, marks = (tokens._WORD, '"|') if version == "1.0" else (words._WORD, "")
    random = Random(7)
    for _ in range(600):
        alphabet = random.choice(("()ab \n;", '()ab "|\n;\r', '<=0.1-X[,] \n;"a'))
        text = "".join(random.choices(alphabet, k=random.randint(0, 300)))
        whole = [word for word in pattern.findall(text) if word]
        assert tokens.words_of(pattern, "p", text, 1000, Clock("p", None), marks) == whole, text


@pytest.mark.parametrize("text", ["(a b)\n" * 400_000, "(a b) " * 400_000, '(a "b")\n' * 300_000])
def test_words_are_looked_for_until_the_deadline(text, looks):
    """Lines, one long line, and words that may go over several lines."""
    found = tokens.words_of(tokens._WORD, "p", text, 10**7, Clock("p", 1e9), '"|')
    assert len(found) == 4 * text.count("(") and len(looks) >= 4
    with pytest.raises(TimeLimitError):
        tokens.words_of(tokens._WORD, "p", text, 10**7, Clock("p", len(looks) + 2.0), '"|')
    with pytest.raises(FormatError, match="has more than 1000 words"):
        tokens.words_of(tokens._WORD, "p", text, 1000, Clock("p", None), '"|')


def test_what_a_file_puts_into_a_message_is_cut(tmp_path):
    made = model([node("Transpose", ["x"], perm=[0] * 300_000)], (1, 2))
    with pytest.raises(FormatError, match="Transpose") as refused:
        netproof.load(save(tmp_path / "long.onnx", made))
    assert len(str(refused.value)) < 3000 and " ... " in str(refused.value)
