"""A short slice of the hostile questions, and what the campaign does with engines that lie."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from differential import campaign, float_campaign, question_campaign, question_judge
from differential.campaign_log import read_log
from differential.question_campaign import judged
from differential.question_cases import IntegerCase, RealCase, integer_case, real_case
from differential.question_cells import TooMany, meeting_point
from differential.question_formulas import All, Compare, Formula, Some, Writer, comparisons, decimal_of, holds
from differential.question_integers import IntegerGraph, Perceptron, random_graph
from differential.question_judge import Asker, Found, run_file
from differential.question_reals import CURVED, OPERATORS, Call, RealNetwork
from netproof.formats.load import load
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.property import Property
from netproof.query import Question, Result, Verdict, Witness
from netproof.settings import Settings

FOLDER = Path(campaign.__file__).parent
TEXT = "(declare-const X_0 Real) (declare-const Y_0 Real)"


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    made = Asker()
    yield made
    made.close()


def y(op: str, right: Fraction | int) -> Compare:
    return Compare(((("Y", 0), Fraction(1)),), op, Fraction(right))


def x(op: str, right: Fraction | int) -> Compare:
    return Compare(((("X", 0), Fraction(1)),), op, Fraction(right))


# -- the language of formulas


@pytest.mark.parametrize("number", range(40))
def test_text_and_formula_say_the_same(number: int, tmp_path: Path) -> None:
    """As far as netproof reads the text: on points around the thresholds."""
    case = real_case(5, number)
    file = tmp_path / "p.vnnlib"
    file.write_text(case.asked.text)
    try:
        read = read_vnnlib(file)
    except Exception as error:  # noqa: BLE001
        assert any(word in str(error) for word in question_judge.NOTHING_LEFT), error
        assert case.known_answer is None
        return
    for point in case.points:
        if case.network.smooth:
            continue
        outputs = case.network.evaluate(list(point))
        assert any(part.holds(point, outputs) for part in read.parts) == holds(case.asked.formula, point, outputs)


def test_formulas_are_evaluated_exactly() -> None:
    third = Fraction(1, 3)
    assert holds(y(">=", third), [], [third]) and not holds(y(">", third), [], [third])
    assert holds(y("=", third), [], [third]) and not holds(y("=", third), [], [third + Fraction(1, 10**30)])
    assert holds(All(()), [], []) and not holds(Some(()), [], [])
    assert holds(Some((y("<", 0), y("<=", third))), [], [third])
    assert not holds(y(">=", 0), [], [Fraction(1, 10)], slack=Fraction(1, 5)) and holds(
        x(">=", 0), [Fraction(0)], [], slack=Fraction(1, 5)
    )
    assert holds(y(">", third), [], [third], lax=True)


def test_numbers_are_written_in_full() -> None:
    writer = Writer(np.random.default_rng(0), plain=True)
    assert (
        writer.number(Fraction(-1, 8)) == "-0.125"
        and writer.number(Fraction(5)) == "5"
        and writer.number(Fraction(1, 3)) == "(/ 1 3)"
    )
    assert decimal_of(Fraction(-1, 1024)) == (-9765625, -10)
    assert writer.formula(All((y("<", Fraction(1, 4)), Some(())))) == "(and (< Y_0 0.25) (or))"


# -- the truth


RELU = RealNetwork(
    (1, 1),
    (
        Call(
            "Gemm",
            (0,),
            (np.array([[1.0], [-1.0]], np.float32), np.zeros(2, np.float32)),
            {"transB": 1, "alpha": 1.0, "beta": 1.0},
        ),
        Call("Relu", (1,)),
        Call("MatMul", (2,), (np.ones((2, 1), np.float32),)),
    ),
    3,
)


def test_every_face_of_a_piece_is_looked_at() -> None:
    """``y = |x|`` on [-1, 1]."""
    box = ((Fraction(-1),), (Fraction(1),))

    def found(formula: Formula) -> tuple[Fraction, ...] | None:
        return meeting_point(RELU, formula, *box)

    assert found(y("<=", 0)) == (0,) and found(y("<", 0)) is None
    assert found(y(">=", 1)) in {(Fraction(1),), (Fraction(-1),)} and found(y(">", 1)) is None
    assert found(All((y(">", 0), y("<", Fraction(1, 10**20)), x(">", 0)))) is not None
    assert found(All((y("=", Fraction(1, 3)), x("<", 0)))) == (Fraction(-1, 3),)
    same = Compare(((("X", 0), Fraction(1)), (("Y", 0), Fraction(-1))), "=", Fraction(0))
    assert found(All((same, x("<", 0)))) is None and found(All((same, x("<=", 0)))) == (0,)


def test_pieces_in_the_plane_are_looked_at() -> None:
    """``max(s, t)`` on the unit square: above 1/2 on all of the line where s = t = 1/2 touches."""
    largest = RealNetwork((1, 1, 1, 2), (Call("GlobalMaxPool", (0,)), Call("Flatten", (1,))), 2)
    square = ((Fraction(0), Fraction(0)), (Fraction(1), Fraction(1)))
    total = Compare(((("X", 0), Fraction(1)), (("X", 1), Fraction(1))), ">=", Fraction(1))
    assert meeting_point(largest, All((total, y("<", Fraction(1, 2)))), *square) is None
    assert meeting_point(largest, All((total, y("<=", Fraction(1, 2)))), *square) == (Fraction(1, 2), Fraction(1, 2))
    assert (
        meeting_point(largest, y(">", 1), *square) is None and meeting_point(largest, y(">=", 1), *square) is not None
    )
    with pytest.raises(TooMany):
        meeting_point(largest, total, (Fraction(0),) * 3, (Fraction(1),) * 3)


def test_float_networks_are_those_of_their_files(tmp_path: Path) -> None:
    """Where numbers are of ordinary sizes onnxruntime computes what is evaluated here, for every operator."""
    seen: Counter[str] = Counter()
    for number in range(250):
        case = real_case(9, number)
        point = case.points[0]
        values = case.network.values(list(point))
        sizes = [abs(v) for value in values for v in value.reshape(-1)] + [
            Fraction(float(abs(v))) for call in case.network.calls for c in call.constants for v in c.reshape(-1)
        ]
        if (
            case.network.softmax
            or max(sizes, default=0) > 1000
            or any(Fraction(float(np.float32(v))) != v for v in point)
        ):
            continue
        computed = run_file(case.network.model(), point, case.network.shape)
        exact = case.network.evaluate(list(point))
        assert len(computed) == len(exact)
        assert all(abs(a - b) < Fraction(1, 10) for a, b in zip(computed, exact, strict=True)), case.name
        seen.update(call.op for call in case.network.calls)
    assert set(seen) == set(OPERATORS)


def test_integer_networks_are_those_of_their_files(tmp_path: Path) -> None:
    """onnxruntime computes the same integers; products that saturate on some processors are left out."""
    import onnxruntime

    for number in range(30):
        random = np.random.default_rng([2, number])
        graph = random_graph(random)
        path = graph.write(tmp_path)
        if any(int(np.abs(c).max()) > 64 for step in graph.steps for c in step.constants[:1]):
            continue
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        given = random.integers(0, graph.largest + 1, graph.inputs)
        (result,) = session.run(None, {"input": given.astype(np.uint8).reshape(1, *graph.shape)})
        assert result.reshape(-1).tolist() == graph.evaluate(given.tolist())


def test_perceptrons_follow_the_fixed_point_scheme() -> None:
    """By hand: weights 0.5 and -1, bias 0.25 with 4 bits; ``(4 x - 8 z + 32) / 8``, halves up."""
    widths = {
        "bits": 4,
        "input_bits": 3,
        "weight_integer_bits": 1,
        "bias_integer_bits": 1,
        "activation_integer_bits": 1,
    }
    kernel, bias = np.array([[0.5], [-1.0]], np.float32), np.array([0.25], np.float32)
    network = Perceptron(((kernel, bias),), widths)
    assert [network.evaluate([a, b])[0] for a, b in ((0, 0), (1, 0), (3, 0), (0, 7), (7, 7))] == [2, 3, 4, -5, -1]


def test_cases_are_of_every_kind_and_always_the_same() -> None:
    reals, integers = [real_case(1, n) for n in range(250)], [integer_case(1, n) for n in range(150)]
    for cases, again in ((reals, real_case), (integers, integer_case)):
        assert [c.asked.text for c in cases[:20]] == [again(1, n).asked.text for n in range(20)]
        assert {1, 2, 3} == {len(c.asked.parts) for c in cases}
        ops = Counter(one.op for c in cases for one in comparisons(c.asked.formula))
        assert set(ops) == {"<=", "<", ">=", ">", "="}
        conjunctions = [c for case in cases for part in case.asked.parts for c in part.conjunctions]
        assert {0, 1, 2} <= {len(c) for c in conjunctions}
        assert any(not part.conjunctions for case in cases for part in case.asked.parts)
    letters = [{v[0] for v, _ in one.terms} for c in reals for one in comparisons(c.asked.formula)]
    assert {"X", "Y"} in letters and set() in letters
    assert any(case.network.output == 0 or len(case.network.calls) == 1 for case in reals)
    assert any(case.network.softmax for case in reals) and any(case.network.smooth for case in reals)
    curved = {call.op for case in reals for call in case.network.calls} & set(CURVED)
    assert curved == set(CURVED)
    used = [i for case in reals for call in case.network.calls for i in call.operands]
    assert len(used) > len(set(used))
    degenerate = [
        sum(low == high for low, high in zip(p.lower, p.upper, strict=True)) for c in reals for p in c.asked.parts
    ]
    assert 0 in degenerate and max(degenerate) > 1
    assert {type(case.network) for case in integers} == {Perceptron, IntegerGraph}
    steps = {step.op for case in integers if isinstance(case.network, IntegerGraph) for step in case.network.steps}
    assert {
        "linear",
        "convolution",
        "add",
        "subtract",
        "shifted",
        "requantize",
        "plus",
        "times",
        "divide",
        "clip",
    } <= steps
    truths = Counter(case.truth for case in reals), Counter(case.truth for case in integers)
    assert all(min(truth["sat"], truth["unsat"]) >= 20 for truth in truths), truths
    assert truths[0][""] < len(reals) / 4


# -- the campaigns


@pytest.mark.parametrize(("tool", "parts"), [(float_campaign, "questions"), (campaign, "questions")])
def test_nothing_disagrees(tool, parts, tmp_path, capsys) -> None:
    log = tmp_path / "log"
    options = ["--parts", parts, "--count", "36", "--seconds", "0.3", "--log", str(log)]
    assert tool.main(options) == 0
    said = capsys.readouterr().out
    assert "questions: 36 cases" in said and "disagreements: 0" in said
    lines = read_log(log)
    assert len(lines) == 36
    figures: Counter[str] = Counter()
    for line in lines:
        figures.update(line["figures"])
    assert figures["sat"] >= 5 and figures["unsat"] >= 3
    assert list(tmp_path.iterdir()) == [log]


def test_a_run_goes_on_where_it_stopped_and_begins_anew_if_told(tmp_path, capsys) -> None:
    log = tmp_path / "log"

    def run(*options: str) -> list[str]:
        assert campaign.main(["--parts", "questions", "--log", str(log), *options]) == 0
        return [json.loads(text)["case"] for text in log.read_text().splitlines()]

    assert run("--count", "2") == ["questions:integer:0:0", "questions:integer:0:1"]
    log.write_text(log.read_text() + '{"case": "torn')
    first = log.read_text().splitlines()[:2]
    assert len(run("--count", "4")) == 4
    assert log.read_text().splitlines()[:2] == first
    assert run("--count", "1", "--first", "3", "--seed", "2", "--again") == ["questions:integer:2:3"]
    capsys.readouterr()


@pytest.mark.parametrize("script", ["campaign.py", "float_campaign.py"])
def test_as_a_command(script, tmp_path) -> None:
    command = [sys.executable, "-W", "error", str(FOLDER / script), "--parts", "questions", "--count", "2", "--log"]
    done = subprocess.run([*command, str(tmp_path / "log")], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "disagreements: 0"


# -- engines that lie


Lie = Callable[[Question, Settings, str], Result]


def found_out(kind: str, lie: Lie, tmp_path: Path, numbers: range) -> list[str]:
    """What the judge says of a liar, on several questions."""
    texts = []
    for number in numbers:
        texts += judged(kind, 4, number, 0.3, tmp_path, lie)[0]
    return texts


@pytest.mark.parametrize("kind", ["real", "integer"])
def test_a_refutation_of_what_is_possible_is_found_out(kind, tmp_path) -> None:
    def lie(question: Question, settings: Settings, way: str) -> Result:
        return Result(Verdict.UNSAT, 0.0, "bound")

    texts = found_out(kind, lie, tmp_path, range(30))
    assert sum("is an answer" in text for text in texts) >= 8
    (folder, *_) = tmp_path.iterdir()
    assert {"README", "prop.vnnlib"} < {file.name for file in folder.iterdir()}
    text = (folder / "README").read_text()
    script = "float_campaign.py" if kind == "real" else "campaign.py"
    assert f"python tests/differential/{script} --parts questions --seed 4 --first " in text and "is an answer" in text


@pytest.mark.parametrize("kind", ["real", "integer"])
def test_witnesses_that_are_none_are_found_out(kind, tmp_path) -> None:
    """The middle of the first box, with the outputs that the network has there."""

    def lie(question: Question, settings: Settings, way: str) -> Result:
        query = question.parts[0]
        middle = (
            ((query.lower + query.upper) / 2).floor()
            if kind == "integer"
            else ((query.lower + query.upper) / 2).float()
        )
        if kind == "integer":
            output = question.network.graph.evaluate(middle).long()
            return Result(Verdict.SAT, 0.0, "attack", witness=Witness(middle.long(), output))
        shape = [int(n) for n in question.network.input_shape]
        computed = run_file(question.network.content, [Fraction(v) for v in middle.tolist()], shape)
        return Result(Verdict.SAT, 0.0, "attack", witness=Witness(middle, torch.tensor([float(v) for v in computed])))

    texts = found_out(kind, lie, tmp_path, range(30))
    assert sum("no answer" in text for text in texts) >= 5


def test_outputs_that_are_made_up_are_found_out(tmp_path, asker) -> None:
    def lie(question: Question, settings: Settings, way: str) -> Result:
        result = asker(question, settings, "plain")
        if result.witness is None:
            return result
        return replace(result, witness=replace(result.witness, output=result.witness.output + 1))

    assert any("onnxruntime computes" in text for text in found_out("real", lie, tmp_path, range(14)))
    assert any("its outputs are" in text for text in found_out("integer", lie, tmp_path, range(14)))


def strictness_lost(statement: Property) -> Property:
    parts = []
    for part in statement.parts:
        condition = tuple(tuple(replace(one, strict=False) for one in c) for c in part.condition)
        parts.append(replace(part, condition=condition))
    return replace(statement, parts=tuple(parts))


def box_dropped(statement: Property) -> Property:
    return replace(statement, parts=statement.parts[:1])


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("integer", strictness_lost, "its witness is no answer"),
        ("real", strictness_lost, "its outputs are no answer"),
        ("integer", box_dropped, "is an answer"),
        ("real", box_dropped, "is an answer"),
    ],
)
def test_a_property_misread_is_found_out(kind, change, words, tmp_path, asker, monkeypatch) -> None:
    """netproof answers another question than the text asks: without strictness, or of the first box alone."""
    monkeypatch.setattr(question_judge, "read_vnnlib", lambda path: change(read_vnnlib(path)))
    make = real_case if kind == "real" else integer_case
    texts: list[str] = []
    for number in range(400):
        case = make(4, number)
        told = len(case.asked.parts) > 1 if change is box_dropped else any(
            one.op in ("<", ">") and one.terms for one in comparisons(case.asked.formula)
        )  # fmt: skip
        if not told or (change is strictness_lost and case.truth != "unsat"):
            continue
        texts += judged(kind, 4, number, 0.5, tmp_path, lambda q, s, w: asker(q, s, "plain"))[0]
        if any(words in text for text in texts):
            return
    pytest.fail(f"never found out: {texts}")


def test_a_network_misread_is_found_out(tmp_path) -> None:
    case = real_case(4, 0)
    assert isinstance(case, RealCase)
    other = replace(case, network=RELU, points=((Fraction(1, 2),), (Fraction(-1, 4),)))
    moved = RealNetwork(RELU.shape, (*RELU.calls, Call("AddConstant", (3,), (np.array([0.25], np.float32),))), 4)
    (tmp_path / "moved.onnx").write_bytes(moved.model())
    found = Found()
    question_judge._compare_reading(other, load(tmp_path / "moved.onnx"), found)
    assert found.wrong and "the graph has" in found.wrong[0]


def test_a_refusal_is_found_out_unless_it_was_to_be_expected(tmp_path, monkeypatch) -> None:
    from netproof.errors import InputError

    def refuse(path: Path) -> Property:
        raise InputError("property", "asks for values of outputs", "none")

    monkeypatch.setattr(question_judge, "read_vnnlib", refuse)
    numbers = [n for n in range(40) if not integer_case(4, n).asked.refusable][:3]
    for number in numbers:
        wrong, figures = judged("integer", 4, number, 0.3, tmp_path, Asker())
        if figures.get("refused"):
            assert "refused: property: asks for values" in wrong[0]
    softmax = next(n for n in range(1000) if "asks for values" in real_case(4, n).asked.refusable)
    found = question_judge.judge(real_case(4, softmax), 0, tmp_path, Asker(), 0.3)
    assert not found.wrong and found.figures["refused"] == 1


def test_a_traceback_is_found_out(tmp_path) -> None:
    def fail(question: Question, settings: Settings, way: str) -> Result:
        raise IndexError("list index out of range")

    texts = found_out("integer", fail, tmp_path, range(6))
    assert any(text.startswith("IndexError in test_question_campaign.py:") for text in texts)


def test_a_certificate_of_something_else_is_found_out(tmp_path, asker, monkeypatch) -> None:
    """Checked without the property, every certificate passes for every other property too."""
    honest = question_judge.check
    monkeypatch.setattr(question_judge, "check", lambda path, network, asked: honest(path, network))
    way = question_judge.INTEGER_WAYS.index("proofs")
    numbers = range(way, 8 * len(question_judge.INTEGER_WAYS), len(question_judge.INTEGER_WAYS))
    texts: list[str] = []
    for number in numbers:
        texts += judged("integer", 4, number, 0.5, tmp_path, asker)[0]
    assert any("accepted for another property" in text for text in texts)


def test_a_wrong_class_that_is_not_noticed_is_found_out(tmp_path, asker) -> None:
    """A sample with a wrong label that is answered as if it had a right one."""

    def lie(question: Question, settings: Settings, way: str) -> Result:
        return Result(Verdict.TIMEOUT, 0.0, "search")

    for kind, ways in (("real", question_judge.REAL_WAYS), ("integer", question_judge.INTEGER_WAYS)):
        way = ways.index("sample")
        texts: list[str] = []
        for number in range(way, 12 * len(ways), len(ways)):
            texts += judged(kind, 4, number, 0.3, tmp_path, lie)[0]
        assert any("but the sample's class is" in text for text in texts)


def test_cases_of_a_campaign_are_named_by_seed_and_number(tmp_path, asker) -> None:
    names = [case.name for case in question_campaign.cases("real", 7, range(2, 4), 0.1, tmp_path, asker)]
    assert names == ["questions:real:7:2", "questions:real:7:3"]
    assert isinstance(integer_case(7, 2), IntegerCase)
