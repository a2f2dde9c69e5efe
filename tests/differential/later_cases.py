"""Random questions whose inputs say less, or more, than a network asks for, as cases of the campaign.

A network takes some of its inputs and leaves the others out. The property, in VNN-LIB 1.0 or in 2.0 over the real numbers or a float
type, bounds inputs on both sides, on one or on none, strictly or not, with ends that cross, and with ends that cross only as the decimals
that are written; and it speaks of any of them elsewhere, in an ``or`` too. Weights are whole and points are multiples of small
powers of two, so that what is computed in a float type is exact there. A point that meets the property, by the decimals as written or by these
rounded to the type, denies an ``unsat``; a witness has to meet it by both.
"""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
from onnx import TensorProto, helper

from differential.campaign_log import Case, Outcome
from differential.question_formulas import All, Compare, Formula, Some, Variable, decimal_of, holds
from netproof import load, verify
from netproof.errors import NetproofError
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.formats.vnnlib.second.ask import ask
from netproof.formats.vnnlib.second.read import read_statement
from netproof.query import Result, Verdict
from netproof.settings import Settings
from several_models import many

#: what is asked in: the version, and the type that inputs and outputs are declared with
KINDS = ("1.0 real", "2.0 real", "2.0 float32", "2.0 float64")
_MOST_POINTS = 1000
_LARGEST = float(np.finfo(np.float32).max)
#: how far above a number a decimal lies that is rounded to it, as a part of it
_HAIR = {"real": Fraction(1, 10**10), "float32": Fraction(1, 10**10), "float64": Fraction(1, 10**19)}
Point = tuple[Fraction, ...]


@dataclass(frozen=True)
class Later:
    """A network of whole weights on some of its inputs, and a property.

    Attributes
    ----------
    kind : one of :data:`KINDS`
    used : the inputs that the network takes, in this order
    layers : ``(weight [n, m], bias [m])`` with ReLUs between them
    formula : what is asserted, decimals as they are written
    points : that may meet it
    """

    kind: str
    inputs: int
    used: tuple[int, ...]
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    formula: Formula
    points: tuple[Point, ...]

    @property
    def type(self) -> str:
        return self.kind.split()[1]

    def outputs(self, x: Sequence[Fraction]) -> list[Fraction]:
        """What the network gives, exactly."""
        value = [x[i] for i in self.used]
        for number, (weight, bias) in enumerate(self.layers):
            sums = [
                sum((int(weight[i, j]) * v for i, v in enumerate(value)), Fraction(int(bias[j])))
                for j in range(len(bias))
            ]
            value = sums if number == len(self.layers) - 1 else [max(v, Fraction(0)) for v in sums]
        return value

    @property
    def readings(self) -> list[Formula]:
        """What the formula may mean."""
        return [self.formula] if self.type == "real" else [self.formula, rounded_to(self.type, self.formula)]

    def answer(self) -> Point | None:
        """A point that meets a reading."""
        for x in self.points:
            y = self.outputs(x)
            if any(holds(formula, x, y) for formula in self.readings):
                return x
        return None

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The files of network and property."""
        stored = TensorProto.DOUBLE if self.type == "float64" else TensorProto.FLOAT
        nodes = [helper.make_node("Gather", ["x", "used"], ["v0"], axis=1)]
        constants: dict[str, np.ndarray] = {"used": np.array(self.used, np.int64)}
        for number, (weight, bias) in enumerate(self.layers):
            last = number == len(self.layers) - 1
            constants |= {f"w{number}": weight.astype(np.float64), f"b{number}": bias.astype(np.float64)}
            nodes.append(
                helper.make_node("Gemm", [f"v{number}", f"w{number}", f"b{number}"], ["y" if last else f"a{number}"])
            )
            if not last:
                nodes.append(helper.make_node("Relu", [f"a{number}"], [f"v{number + 1}"]))
        outputs = len(self.layers[-1][1])
        made = many(nodes, {"x": (1, self.inputs)}, {"y": (1, outputs)}, constants, kind=stored)
        paths = folder / "net.onnx", folder / "prop.vnnlib"
        paths[0].write_bytes(made.SerializeToString())
        paths[1].write_text(self.text(outputs))
        return paths

    def text(self, outputs: int) -> str:
        first = self.kind.startswith("1.0")
        parts = self.formula.parts if isinstance(self.formula, All) else (self.formula,)
        asserts = [f"(assert {written(part, first=first)})" for part in parts]
        if first:
            names = [f"X_{i}" for i in range(self.inputs)] + [f"Y_{j}" for j in range(outputs)]
            return "\n".join([*(f"(declare-const {name} Real)" for name in names), *asserts, ""])
        declared = f"(declare-input X {self.type} [1,{self.inputs}]) (declare-output Y {self.type} [1,{outputs}])"
        return "\n".join(["(vnnlib-version <2.0>)", f"(declare-network f {declared})", *asserts, ""])


def rounded_to(type_: str, formula: Formula) -> Formula:
    """The formula with its numbers rounded to a float type, by NumPy's own rounding of exact decimals."""
    if not isinstance(formula, Compare):
        return type(formula)(tuple(rounded_to(type_, part) for part in formula.parts))
    terms = tuple((variable, _nearest(type_, factor)) for variable, factor in formula.terms)
    return Compare(terms, formula.op, _nearest(type_, formula.right))


def _nearest(type_: str, value: Fraction) -> Fraction:
    """Python rounds a fraction to float64 as IEEE 754 says; of the two float32 numbers around it the nearer is found by comparing."""
    near = value.numerator / value.denominator
    if type_ == "float64":
        return Fraction(near)
    middle = np.float32(max(min(near, _LARGEST), -_LARGEST))
    with np.errstate(over="ignore"):
        around = [np.nextafter(middle, np.float32(-np.inf)), middle, np.nextafter(middle, np.float32(np.inf))]
    known = [Fraction(float(v)) for v in around if np.isfinite(v)]
    least = min(abs(v - value) for v in known)
    # A tie goes to the even one, which is the one that Python and NumPy went to.
    return next(v for v in (Fraction(float(middle)), *known) if abs(v - value) == least)


def written(formula: Formula, *, first: bool) -> str:
    if isinstance(formula, Compare):
        return _comparison(formula, first=first)
    word = "and" if isinstance(formula, All) else "or"
    return f"({word} {' '.join(written(part, first=first) for part in formula.parts)})"


def _comparison(one: Compare, *, first: bool) -> str:
    op = {"=": "="}.get(one.op, one.op) if first else {"=": "=="}.get(one.op, one.op)
    words = []
    for (letter, i), factor in one.terms:
        name = f"{letter}_{i}" if first else f"{letter}[0,{i}]"
        words.append(name if factor == 1 else f"(* {_number(factor)} {name})")
    left = words[0] if len(words) == 1 else f"(+ {' '.join(words)})"
    return f"({op} {left} {_number(one.right)})"


def _number(value: Fraction) -> str:
    """A decimal with a point, of as many digits as the smallest float64 has."""
    found = decimal_of(value, 1100)
    assert found is not None
    digits, places = str(abs(found[0])), -found[1]
    digits = digits.rjust(places + 1, "0")
    text = f"{digits[: len(digits) - places]}.{digits[len(digits) - places :] or '0'}"
    return f"-{text}" if value < 0 else text


def later_case(seed: int, number: int) -> Later:
    """Question ``number`` of a seed."""
    return _Maker(Random(f"later {seed} {number}")).made()


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.kind = random.choice(KINDS)
        self.hair = _HAIR[self.kind.split()[1]]
        self.inputs = random.randint(1, 4)
        self.used = tuple(random.sample(range(self.inputs), min(self.inputs, random.randint(1, 2))))
        #: of each input, numbers that may lie in its box
        self.values: list[set[Fraction]] = [set() for _ in range(self.inputs)]

    def made(self) -> Later:
        random = self.random
        sizes = [len(self.used), *([random.randint(1, 3)] * random.randint(0, 1)), random.randint(1, 2)]
        layers = tuple(
            (
                np.array([[random.randint(-2, 2) for _ in range(m)] for _ in range(n)]),
                np.array([random.randint(-2, 2) for _ in range(m)]),
            )
            for n, m in itertools.pairwise(sizes)
        )
        parts: list[Formula] = []
        for i in range(self.inputs):
            parts += self.ends(i, often=i in self.used)
        parts += [self.condition(2, sizes[-1]) for _ in range(random.randint(1, 2))]
        if random.random() < 0.3:
            random.shuffle(parts)
        grids = [sorted(values) for values in self.values]
        points = list(itertools.islice(itertools.product(*grids), 16 * _MOST_POINTS))
        if len(points) > _MOST_POINTS:
            points = random.sample(points, _MOST_POINTS)
        return Later(self.kind, self.inputs, self.used, layers, All(tuple(parts)), tuple(points))

    def number(self) -> Fraction:
        return Fraction(self.random.choice((-12, -4, -2, -1, 1, 2, 3, 4, 6, 8, 20)), 4)

    def ends(self, i: int, *, often: bool) -> list[Formula]:
        """What is said of the ends of an input, some or all of it in an ``or``."""
        random = self.random
        low = self.number()
        high = low + Fraction(random.randint(0, 6), 4)
        way = random.random() if not often else random.uniform(0.32, 1)
        self.values[i] |= {low, high, (low + high) / 2, low - 1, high + 1, Fraction(0)}
        name: tuple[tuple[Variable, Fraction], ...] = ((("X", i), Fraction(1)),)
        above, below = Compare(name, ">=", low), Compare(name, "<=", high)
        if way < 0.12:
            return []
        if way < 0.25:
            return [random.choice((above, below))]
        if way < 0.34:  # the one is above the other, whatever they mean
            return [Compare(name, ">=", high + Fraction(1, 4)), Compare(name, "<=", low)]
        if way < 0.46:  # only as they are written
            over = low + abs(low) * self.hair
            crossing: list[Formula] = [Compare(name, ">=", over), Compare(name, "<=", low)]
            if random.random() < 0.3:
                crossing = [Compare(name, "=", over), Compare(name, random.choice(("=", "<=")), low)]
            if random.random() < 0.3:
                return [
                    Some((All(tuple(crossing)), All((Compare(name, ">=", high + 3), Compare(name, "<=", high + 4)))))
                ]
            return crossing
        if way < 0.56:
            return [Compare(name, ">", low), Compare(name, random.choice(("<", "<=")), high)]
        if way < 0.64:
            return [Compare(name, "=", low)]
        if way < 0.74:
            other = Compare(name, "<=", high + 5), Compare(name, ">=", high + 4)
            self.values[i].add(high + 4)
            return [Some((All((above, below)), All(other)))]
        if way < 0.8:  # an end beside the one that counts
            return [above, below, Compare(name, "<=", high + 1), Compare(name, ">=", low - low % 1 - 1)]
        return [above, below]

    def condition(self, depth: int, outputs: int) -> Formula:
        random = self.random
        if depth and random.random() < 0.5:
            parts = tuple(self.condition(depth - 1, outputs) for _ in range(random.randint(1, 3)))
            return All(parts) if random.random() < 0.4 else Some(parts)
        variables: list[Variable] = [("Y", j) for j in range(outputs)]
        variables += [("X", i) for i in range(self.inputs)]
        chosen = random.sample(variables, min(len(variables), random.choice((1, 1, 2, 3))))
        factors = [Fraction(random.choice((-2, -1, 1, 1, 1, 3))) for _ in chosen]
        right = Fraction(random.randint(-16, 24), random.choice((1, 2, 4)))
        for variable in chosen:  # an input may go as far as it takes, if nothing holds it
            if variable[0] == "X":
                self.values[variable[1]] |= {right, -right, 2 * right, Fraction(64), Fraction(-64)}
        if random.random() < 0.1:
            right += abs(right) * self.hair
        op = random.choice((">=", "<=", ">", "<", ">=", "<=", "="))
        return Compare(tuple(zip(chosen, factors, strict=True)), op, right)


def later_cases(seed: int, numbers: range, seconds: float) -> Iterator[Case]:
    for number in numbers:
        yield Case(f"later:{seed}:{number}", lambda number=number: judged(seed, number, seconds))


def judged(seed: int, number: int, seconds: float) -> Outcome:
    """Make a question, ask it, and hold the answer to the points that are known."""
    case = later_case(seed, number)
    figures: Counter[str] = Counter({f"kind {case.kind}": 1})
    settings = Settings(timeout=seconds, attack=number % 4 != 1)
    with tempfile.TemporaryDirectory() as name:
        network, asked = case.write(Path(name))
        try:
            result = _asked(case, network, asked, settings)
        except NetproofError as refusal:
            known = ("bound", "the input box is empty") if case.type == "real" else ()
            figures["refused"] += 1
            unknown = not any(word in str(refusal) for word in known)
            return [f"refused: {refusal}; {asked.read_text()}"] * unknown, dict(figures)
        wrong = [f"{problem}; {asked.read_text()}" for problem in judge(case, result, figures)]
    return wrong, dict(figures)


def _asked(case: Later, network: Path, asked: Path, settings: Settings) -> Result:
    if case.kind.startswith("1.0"):
        return verify(read_vnnlib(asked).question(load(network)), settings)
    found = ask(read_statement(asked), {"f": network})
    return verify(found.property, settings, network=found.network)


def judge(case: Later, result: Result, figures: Counter[str]) -> list[str]:
    """What is wrong with an answer, in words."""
    figures[result.verdict.value] += 1
    if result.verdict is Verdict.UNSAT:
        known = case.answer()
        return [] if known is None else [f"unsat, but {[str(v) for v in known]} is an answer"]
    if result.verdict is Verdict.SAT:
        witness = result.witness
        if witness is None:
            return ["there is no witness"]
        x = [Fraction(v) for v in (witness.exact or witness.numbers)]
        y = [Fraction(v) for v in witness.output_numbers]
        wrong = []
        if not all(holds(formula, x, y) for formula in case.readings):
            wrong.append(f"sat, but its witness {[str(v) for v in x]} with {[str(v) for v in y]} is no answer")
        if case.type != "real" and any(_nearest(case.type, v) != v for v in x):
            wrong.append(f"its witness {[str(v) for v in x]} has numbers that are none of its type")
        exact = case.outputs(x)
        if len(exact) != len(y) or any(
            abs(a - b) > (1 + abs(b) + sum(map(abs, x))) / 10**4 for a, b in zip(y, exact, strict=True)
        ):
            wrong.append(f"its outputs are {[str(v) for v in exact]}, not {[str(v) for v in y]}")
        return wrong
    return [f"broken, to be asked again: {result.reason}"] if result.retryable else []
