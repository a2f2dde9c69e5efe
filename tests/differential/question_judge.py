"""What is asked of netproof about a hostile question, and what is wrong with its answer.

The truth comes from the case (:mod:`question_cases`), a witness is evaluated by the case and by onnxruntime and held to the
formula: nothing that netproof reads or computes is taken for granted.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from differential.float_ways import TRAITS, choices
from differential.question_cases import Case, IntegerCase, RealCase
from differential.question_formulas import Compare, holds
from differential.question_properties import Part
from netproof.certificate.bundle import write as write_certificate
from netproof.certificate.checker.check import check
from netproof.certificate.make import certificate_of
from netproof.errors import NetproofError, ProofError, QueryError
from netproof.exact.base import Answer, Engine
from netproof.exact.registry import exact_engine
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.load import load
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.graph.graph import Arithmetic
from netproof.local_robustness import robustness
from netproof.network import Network
from netproof.property import Property, PropertyPart
from netproof.query import Conjunction, Query, Question, Result, Verdict, Witness
from netproof.search.verify import decide_with, verify
from netproof.settings import Settings

#: how integer questions are asked, chosen by number; some ways are as common as they are listed
INTEGER_WAYS = (
    "plain",
    "command",
    "proofs",
    "blind",
    "smt",
    "proofs",
    "milp",
    "apart",
    "hurried",
    "direct",
    "sample",
    "proofs",
)
REAL_WAYS = (
    "plain",
    "command",
    "direct",
    "blind",
    "sample",
    "plain",
    "hurried",
    *(way for way in TRAITS if way not in ("plain", "blind")),
)

#: words of refusals of a property that nothing can meet, whatever the network
NOTHING_LEFT = ("the input box is empty", "has no lower bound", "has no upper bound", "which nothing can meet")

#: answers a question, in one of the ways
Asks = Callable[[Question, Settings, str], Result]


@dataclass
class Found:
    """What is wrong, in words, and what was counted."""

    wrong: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)


class Asker:
    """netproof, with engines that are kept from question to question."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}

    def __call__(self, question: Question, settings: Settings, way: str) -> Result:
        if way in ("smt", "milp"):
            if way not in self._engines:
                engine = exact_engine(way)
                assert engine is not None
                self._engines[way] = engine
            return next(iter(decide_with(_Kept(self._engines[way]), [question], settings)))[1]
        if way == "apart":
            return _apart(question, settings)
        if question.network.graph.arithmetic is Arithmetic.INTEGER:
            return verify(question, settings)
        with choices(TRAITS.get(way, {})), processor_clock():
            return verify(question, settings)

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()


@contextlib.contextmanager
def processor_clock() -> Iterator[None]:
    """Limits count processor time: a busy machine decides the same questions."""
    clock = time.monotonic
    time.monotonic = time.process_time  # type: ignore[assignment]
    try:
        yield
    finally:
        time.monotonic = clock


class _Kept:
    """An engine that is not closed after a question."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.name = engine, engine.name

    def decide(self, query: Query, settings: Settings, deadline: float) -> Answer:
        return self._engine.decide(query, settings, deadline)

    def close(self) -> None:
        pass


def _apart(question: Question, settings: Settings) -> Result:
    """The parts as queries of their own, asked together."""
    results = dict(verify(question.parts, settings).as_decided())
    for number in sorted(results):
        if results[number].verdict is Verdict.SAT:
            return replace(results[number], part=number)
    verdicts = {result.verdict for result in results.values()}
    return results[0] if verdicts == {Verdict.UNSAT} else replace(results[0], verdict=Verdict.UNKNOWN)


def judge(case: Case, number: int, folder: Path, asks: Asks, seconds: float) -> Found:
    """Ask a question in the way that its number chooses; its files are left in a folder."""
    found = Found()
    ways = INTEGER_WAYS if isinstance(case, IntegerCase) else REAL_WAYS
    way = ways[number % len(ways)]
    try:
        paths = case.write(folder)
        network = load(paths[0], widths=case.network.read_with if isinstance(case, IntegerCase) else None)
        if isinstance(case, RealCase):
            _compare_reading(case, network, found)
        if way == "sample":
            _judge_sample(case, network, number, asks, seconds, found)
        else:
            _judge_property(case, network, paths[1], way, asks, seconds, found)
    except NetproofError as refusal:
        found.figures["refused"] += 1
        allowed = [*case.asked.refusable, *(NOTHING_LEFT if case.truth != "sat" else ())]
        if not any(word in str(refusal) for word in allowed):
            found.wrong.append(f"refused: {refusal}")
    except Exception as error:  # noqa: BLE001 - whatever comes out of netproof is a finding
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        found.wrong.append(f"{type(error).__name__} in {where}: {error}")
    return found


def _settings(way: str, seconds: float, seed: int) -> Settings:
    return Settings(
        timeout=0.001 if way == "hurried" else seconds,
        attack=way not in ("blind",) and TRAITS.get(way, {}).get("attack", True),
        proofs=way == "proofs",
        seed=seed,
    )


def _judge_property(
    case: Case, network: Network, path: Path, way: str, asks: Asks, seconds: float, found: Found
) -> None:
    if way == "command" and network.scheme in ({}, FixedPoint().as_dict()):  # it has no options for other widths
        found.figures["commands"] += 1
        _judge_result(case, _commanded(case, network, path, seconds, found), network, found, way)
        return
    statement = read_vnnlib(path)
    question = statement.question(network)
    if way == "direct":
        built = _direct(case, network)
        if built is None:
            way = "plain"
        else:
            # What is asked is what the parts say; the text may say more.
            parts = case.asked.parts
            case = replace(case, asked=replace(case.asked, formula=_either(parts)))
            question = built
    settings = _settings(way, seconds, len(case.asked.text))
    begun = time.process_time()
    result = asks(question, settings, way)
    if time.process_time() - begun > settings.timeout + 0.5:
        found.figures["half a second over the limit"] += 1
    found.figures[result.verdict.value] += 1
    _judge_result(case, result, network, found, way)
    if way == "proofs" and result.verdict in (Verdict.SAT, Verdict.UNSAT):
        _judge_certificate(question, result, statement, path.parent / "proof.npcert", found)
    elif isinstance(case, RealCase) and way == "blind" and result.verdict is not Verdict.UNKNOWN:
        with contextlib.suppress(QueryError):
            certificate_of(question, result)
            found.wrong.append("a float network's verdict has a certificate")


def _judge_result(case: Case, result: Result, network: Network, found: Found, way: str) -> None:
    """Hold a verdict to what is known."""
    truth = case.truth
    found.figures[f"truth {truth or 'unknown'}"] += 1
    if result.verdict is Verdict.UNSAT:
        found.figures["unsat confirmed"] += truth == "unsat"
        if truth == "sat":
            assert case.known_answer is not None
            x = ", ".join(map(str, case.known_answer))
            found.wrong.append(f"unsat ({way}), but ({x}) is an answer")
    elif result.verdict is Verdict.SAT:
        problem = _witness_problem(case, result, network)
        if problem:
            found.wrong.append(f"sat ({way}): {problem}")
        elif truth == "unsat":
            # Only where the outputs that onnxruntime rounds meet what the exact ones do not.
            if isinstance(case, IntegerCase):
                found.wrong.append(f"sat ({way}), but no input is an answer")
            elif case.met_at(_exact_input(result)):
                found.wrong.append(f"sat ({way}) at an answer that the judge did not find")
            else:
                found.figures["sat by float32 rounding"] += 1
    elif result.verdict is not Verdict.TIMEOUT and result.verdict is not Verdict.UNKNOWN:
        found.wrong.append(f"the verdict ({way}) is {result.verdict.value}")
    elif result.retryable:
        found.wrong.append(f"broken, to be asked again ({way}): {result.reason}")


def _exact_input(result: Result) -> list[Fraction]:
    """What a witness says its input is."""
    witness = result.witness
    assert witness is not None
    return list(witness.exact) or [Fraction(v) for v in witness.input.tolist()]


def _witness_problem(case: Case, result: Result, network: Network) -> str:
    """What keeps a witness from being one."""
    if result.witness is None:
        return "there is no witness"
    x, shown = _exact_input(result), [Fraction(v) for v in result.witness.input.tolist()]
    stated = [Fraction(v) for v in result.witness.output.tolist()]
    if isinstance(case, IntegerCase):
        if not all(v.denominator == 1 and 0 <= v <= case.network.largest for v in x):
            return f"its witness {x} is no input"
        y = [Fraction(v) for v in case.network.evaluate([int(v) for v in x])]
        if y != stated:
            return f"its outputs are {y}, not {stated}"
        return "" if holds(case.asked.formula, x, y) else "its witness is no answer"
    rounded = run_file(case.network.model(), shown, case.network.shape)
    if rounded != stated:
        return f"onnxruntime computes {[float(v) for v in rounded]}, not {[float(v) for v in stated]}"
    if not holds(case.asked.formula, x, rounded):
        return "its outputs are no answer"
    if x != shown:
        # Where no float32 number lies in the box, what the runtime is given is another input: both have to hold.
        # A smooth function known to 60 digits is only doubted where it misses by more than that.
        near = [abs(a - b) <= abs(b) / 2**23 + Fraction(1, 2**126) for a, b in zip(shown, x, strict=True)]
        if not all(near):
            return "the input it shows is not near the one it means"
        if not case.slack and not case.met_at(x):
            return "the input it means is no answer"
    return ""


def run_file(data: bytes, x: Sequence[Fraction], shape: Sequence[int]) -> list[Fraction]:
    """What onnxruntime computes, as exact numbers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        # Its optimizer moves paddings into poolings with smaller kernels.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    given = np.array([float(v) for v in x], np.float32).reshape(shape)
    (y,) = session.run(None, {"x": given})
    return [Fraction(float(v)) for v in y.reshape(-1)]


def _compare_reading(case: RealCase, network: Network, found: Found) -> None:
    """The graph in float64 at points of the boxes, where numbers are of ordinary sizes."""
    for x in case.points[:3]:
        values = case.network.values(list(x))
        largest = max((abs(v) for value in values for v in value.reshape(-1)), default=Fraction(0))
        constants = (float(np.abs(c).max(initial=0)) for call in case.network.calls for c in call.constants)
        if largest > 10**6 or max(constants, default=0) > 1e4:
            return
        y = values[case.network.output].reshape(-1)
        read = network.graph.evaluate(torch.tensor([float(v) for v in x], dtype=torch.float64)).tolist()
        if len(read) != len(y) or any(abs(a - float(b)) > 1e-6 for a, b in zip(read, y, strict=True)):
            found.wrong.append(f"at {[str(v) for v in x]} the graph has {read}, the file {[float(v) for v in y]}")
            return


# -- questions without a text


def _either(parts: Sequence[Part]) -> Any:
    from differential.question_formulas import Some

    return Some(tuple(part.formula for part in parts))


def _direct(case: Case, network: Network) -> Question | None:
    """The parts as queries built in Python; None where their numbers are not float64's, or nothing is asked."""
    queries = []
    largest = case.network.largest if isinstance(case, IntegerCase) else None
    whole = largest is not None
    for number, part in enumerate(case.asked.parts):
        if not part.conjunctions or not all(part.conjunctions) or not _floats((*part.lower, *part.upper), whole):
            return None
        if largest is not None and (min(part.lower) < 0 or max(part.upper) > largest):
            return None
        conjunctions = [_conjunction(c, network, whole) for c in part.conjunctions]
        if not all(conjunctions):
            return None
        ends = (torch.tensor([float(v) for v in end], dtype=torch.float64) for end in (part.lower, part.upper))
        queries.append(Query(network, *ends, tuple(conjunctions), f"part {number}"))  # type: ignore[arg-type]
    return Question(tuple(queries), case.name)


def _conjunction(comparisons: Sequence[Compare], network: Network, whole: bool) -> Conjunction | None:
    signs = {">": (1,), "<": (-1,), "=": (1, -1)}
    rows = [(sign, one) for one in comparisons for sign in signs[one.op[0]]]
    numbers = [v for _, one in rows for v in (one.right, *(c for _, c in one.terms))]
    if not _floats(numbers, whole) or (whole and any(v[0] == "X" for _, one in rows for v, _ in one.terms)):
        return None
    outputs = torch.zeros(len(rows), network.outputs, dtype=torch.float64)
    inputs = torch.zeros(len(rows), network.inputs, dtype=torch.float64)
    for row, (sign, one) in enumerate(rows):
        for (letter, i), factor in one.terms:
            (inputs if letter == "X" else outputs)[row, i] += sign * float(factor)
    threshold = torch.tensor([sign * float(one.right) for sign, one in rows], dtype=torch.float64)
    strict = torch.tensor([one.op in ("<", ">") for _, one in rows])
    return Conjunction(
        outputs, threshold, inputs if bool(inputs.any()) else None, strict if bool(strict.any()) else None
    )


def _floats(values: Sequence[Fraction], whole: bool) -> bool:
    return all(v.denominator == 1 if whole else Fraction(float(v)) == v for v in values)


def _judge_sample(case: Case, network: Network, number: int, asks: Asks, seconds: float, found: Found) -> None:
    """Local robustness around a point, with its own class or a wrong one."""
    random = np.random.default_rng([number, 13])
    label = int(random.integers(network.outputs))
    part = case.asked.parts[0]
    if isinstance(case, IntegerCase):
        image = [int(v) for v in random.integers(0, case.network.largest + 1, network.inputs)]
        radius = int(random.integers(0, max(1, int(30 ** (1 / network.inputs)))))
        y = case.network.evaluate(image)
        query = robustness(network, np.array(image), label, radius)
        lower, upper = ([Fraction(min(max(v + s * radius, 0), case.network.largest)) for v in image] for s in (-1, 1))
        certain = True
    else:
        middle = [float((a + b) / 2) for a, b in zip(part.lower, part.upper, strict=True)]
        y = case.network.evaluate([Fraction(v) for v in middle])
        if random.integers(2):  # a radius that hardly ever is a float, whose box is not rounded
            reach = Fraction(int(random.integers(1, 60)), int(random.integers(7, 400)))
            query = robustness(network, middle, label, f"{reach.numerator}/{reach.denominator}")
            lower, upper = ([Fraction(v) + s * reach for v in middle] for s in (-1, 1))
        else:
            ends = [torch.tensor([float(v) for v in end], dtype=torch.float64) for end in (part.lower, part.upper)]
            query = robustness(network, middle, label, box=(ends[0], ends[1]))
            lower, upper = ([Fraction(v) for v in end.tolist()] for end in ends)
        ordered = sorted(y, reverse=True)
        largest = max(abs(v) for v in y)
        certain = len(y) < 2 or ordered[0] - ordered[1] > (1 + largest) / 10**6
    predicted = max(range(len(y)), key=lambda j: (y[j], -j))
    result = asks(Question.of(query), _settings("plain", seconds, number), "plain")
    found.figures[f"sample {result.verdict.value}"] += 1
    if not certain:
        return
    if (result.verdict is Verdict.MISCLASSIFIED) != (predicted != label):
        found.wrong.append(f"{result.verdict.value}, but the sample's class is {predicted} and its label {label}")
    if predicted != label:
        return
    order = ">=" if isinstance(case, RealCase) else ""
    one = Fraction(1)
    beaten = tuple(
        (Compare(((("Y", k), one), (("Y", label), -one)), order or (">=" if k < label else ">"), Fraction(0)),)
        for k in range(len(y))
        if k != label
    )
    asked = Part(tuple(lower), tuple(upper), beaten)
    _judge_result(
        replace(case, asked=replace(case.asked, parts=(asked,), formula=asked.formula)),
        result,
        network,
        found,
        "sample",
    )


# -- the command line


def _commanded(case: Case, network: Network, path: Path, seconds: float, found: Found) -> Result:
    """What the command says; of an integer network with a certificate, which the other command checks."""
    certificate = path.parent / "proof.npcert"
    arguments = ["verify", network.path, str(path), "--timeout", str(seconds), "--json"]
    document = _run(
        [*arguments, *(["--certificate", str(certificate)] if isinstance(case, IntegerCase) else [])], found
    )
    found.figures[f"{document['verdict']}"] += 1
    if document.get("certificate"):
        options = ["--network", network.path, "--property", str(path), "--json"]
        found.figures["certificates"] += 1
        if _run(["check", str(certificate), *options], found).get("claim") != document["verdict"]:
            found.wrong.append("the command's own certificate does not prove its verdict")
    shown = document["witness"]
    witness = None
    if shown is not None:
        x, y = ([Fraction(v) for v in shown[key]] for key in ("input", "output"))
        kind = torch.int64 if isinstance(case, IntegerCase) else torch.float32
        numbers = (int, float)[kind is torch.float32]
        tensors = [torch.tensor([numbers(v) for v in values], dtype=kind) for values in (x, y)]
        witness = Witness(*tensors, tuple(x))
    return Result(Verdict(document["verdict"]), 0.0, "command", witness=witness, reason=document["reason"])


def _run(arguments: Sequence[str], found: Found) -> dict[str, Any]:
    """Run a command in this process; its document. A refusal is raised as one."""
    from netproof.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(list(arguments))
    if code == 2 and not out.getvalue() and err.getvalue().count("\n") == 1:
        raise NetproofError(err.getvalue().removeprefix("error: ").strip())
    if code not in (0, 1) or err.getvalue():
        found.wrong.append(f"exit code {code} of {arguments[0]}, and on standard error: {err.getvalue()[-300:]}")
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


# -- certificates


def _judge_certificate(question: Question, result: Result, statement: Property, path: Path, found: Found) -> None:
    """The certificate of a verdict, written and read again: it answers the property, and no other."""
    found.figures["certificates"] += 1
    network = question.network
    try:
        write_certificate(path, certificate_of(question, result, producer="campaign"))
        checked = check(path, network, asked=statement)
    except NetproofError as error:
        if result.verdict is Verdict.UNSAT and not any(_asks(part) for part in statement.over_integers().parts):
            found.figures["nothing to certify"] += 1
        else:
            found.wrong.append(f"the certificate of {result.verdict.value}: {error}")
        return
    if checked.claim != result.verdict.value:
        found.wrong.append(f"the certificate claims {checked.claim}, the verdict is {result.verdict.value}")
    if result.verdict is Verdict.UNSAT:
        for other in _others(statement):
            with contextlib.suppress(ProofError):
                check(path, network, asked=other)
                found.wrong.append("the certificate is accepted for another property")


def _asks(part: PropertyPart) -> bool:
    """Whether a part asks something of whole numbers: others are left out of every certificate."""
    ends = zip(part.box.lower, part.box.upper, strict=True)
    return bool(part.condition) and all(math.ceil(low) <= math.floor(high) for low, high in ends)


def _others(statement: Property) -> Iterator[Property]:
    """Properties that ask for something else."""
    part = next((part for part in reversed(statement.parts) if _asks(part)), None)
    if part is None:
        return
    others = tuple(one for one in statement.parts if one is not part)
    if any(_asks(one) for one in others):
        yield replace(statement, parts=others)
    yield replace(statement, parts=(*statement.parts, part))
    if part.condition[-1] and part.condition[-1][-1].outputs:
        last = part.condition[-1][-1]
        moved = replace(last, threshold=last.threshold - 1)
        condition = (*part.condition[:-1], (*part.condition[-1][:-1], moved))
        changed = tuple(replace(one, condition=condition) if one is part else one for one in statement.parts)
        yield replace(statement, parts=changed)
