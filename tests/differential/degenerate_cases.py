"""Float networks with next to nothing in them, and what is true of them, exactly.

Networks of a few nodes: affine ones without any activation, sums that cancel, activations that are stable, constants, numbers next to
the smallest and the largest ones, numbers below the smallest that are made large again. Boxes with fixed inputs, and with ends among the smallest numbers.
Conditions are met exactly, or by a hair, or missed by one. A network of straight pieces is affine on polytopes: all vertices are found in rational
numbers, and what is met anywhere, strict constraints included, is met at the mean of the vertices of some part. So it is known of every question whether it has an answer.

Every question is asked in several ways. ``unsat`` has to be true, a witness has to meet what is asked by what onnxruntime gives, nothing but netproof's own
errors may come back, and a certificate has to be accepted and to be true over the real numbers.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from differential.campaign_log import Case, Outcome
from differential.float_ways import TRAITS, choices
from differential.later_cases import written
from differential.question_formulas import All, Compare, Formula, Some, decimal_of, holds
from netproof import load, verify
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.make import evidence_of
from netproof.errors import CertificateError, NetproofError, NoEvidenceError, ProofError
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.query import Question, Result, Verdict
from netproof.settings import Settings
from several_models import many

#: coefficients of the inputs that vary, and a constant
Line = tuple[Fraction, ...]
Ends = tuple[Fraction, Fraction]
_ZERO = Fraction(0)
#: pieces of activations that a network has at most, and inputs that vary
_MOST_BENT, _MOST_FREE = 4, 2
#: digits after the point of thresholds
_MOST_DIGITS = 800


@dataclass(frozen=True)
class Step:
    """A node: an operator on values by their names, with arrays of numbers."""

    op: str
    name: str
    operands: tuple[str, ...]
    arrays: tuple[NDArray[np.float64], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Degenerate:
    """A network and what is asked of it.

    Attributes
    ----------
    sizes : of all values by their names; the input is ``x``
    ends : of the inputs
    asserts : what is asserted beside the ends
    """

    name: str
    is_double: bool
    steps: tuple[Step, ...]
    sizes: Mapping[str, int]
    ends: tuple[Ends, ...]
    asserts: tuple[Formula, ...] = ()

    @property
    def inputs(self) -> int:
        return self.sizes["x"]

    @property
    def output(self) -> str:
        return self.steps[-1].name

    def outputs(self, x: Sequence[Fraction]) -> list[Fraction]:
        """What the network gives, exactly."""
        _, lines = next(self._pieces([(value,) for value in x], ()))
        return [line[-1] for line in lines]

    def answer(self) -> list[Fraction] | None:
        """An input that meets all that is asked; None where there is none."""
        x, box = self._free()
        for (sides, y), case in itertools.product(self._pieces(x, box), _cases(All(self.asserts))):
            rows = [(side, False) for side in sides]
            for one in case:
                line = _line(one, x, y)
                rows.append((_times(line, Fraction(-1)) if one.op[0] == "<" else line, len(one.op) == 1))
            found = _inside(rows, box)
            if found is not None:
                return [_at(line, found) for line in x]
        return None

    def largest(self, form: Compare) -> Fraction:
        """The largest value of a comparison's left side, less its right one."""
        x, box = self._free()
        found = []
        for sides, y in self._pieces(x, box):
            line = _line(form, x, y)
            found += [_at(line, vertex) for vertex in _vertices([*_sides(box), *sides], len(box))]
        return max(found)

    def _free(self) -> tuple[list[Line], tuple[Ends, ...]]:
        """Every input as a line in those that vary, and the box of these."""
        free = [i for i, (low, high) in enumerate(self.ends) if low < high]
        lines = []
        for i, (low, _) in enumerate(self.ends):
            unit = tuple(Fraction(int(i == j)) for j in free)
            lines.append((*unit, _ZERO if i in free else low))
        return lines, tuple(self.ends[i] for i in free)

    def _pieces(self, x: list[Line], box: Sequence[Ends]) -> Iterator[tuple[list[Line], list[Line]]]:
        """What is at least 0 on each affine piece, and the outputs there."""
        yield from self._pieces_from(0, {"x": x}, [], box)

    def _pieces_from(
        self, at: int, values: dict[str, list[Line]], sides: list[Line], box: Sequence[Ends]
    ) -> Iterator[tuple[list[Line], list[Line]]]:
        if at == len(self.steps):
            yield sides, values[self.output]
            return
        step = self.steps[at]
        operands = [values[name] for name in step.operands]
        if step.op not in _BENT:
            made = _affine(step, operands)
            yield from self._pieces_from(at + 1, {**values, step.name: made}, sides, box)
            return
        ways = []
        for feature in zip(*operands, strict=True):
            pieces = _bent(step, feature)
            ways.append([(side, line) for side, line in pieces if _reach(side, box)[1] >= 0])
        for chosen in itertools.product(*ways):
            more = [side for side, _ in chosen if _reach(side, box)[0] < 0]
            lines = [line for _, line in chosen]
            yield from self._pieces_from(at + 1, {**values, step.name: lines}, [*sides, *more], box)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The files of network and property."""
        nodes, constants = [], {}
        for step in self.steps:
            names = [f"{step.name}_{i}" for i in range(len(step.arrays))]
            constants |= dict(zip(names, step.arrays, strict=True))
            taken = [names[0], *step.operands] if step.op == "From" else [*step.operands, *names]
            op = {"From": "Sub", "Shift": "Add", "Scale": "Mul"}.get(step.op, step.op)
            nodes.append(helper.make_node(op, taken, [step.name], **step.options))
        kind = TensorProto.DOUBLE if self.is_double else TensorProto.FLOAT
        made = many(nodes, {"x": (1, self.inputs)}, {self.output: (1, self.sizes[self.output])}, constants, kind=kind)
        paths = folder / "net.onnx", folder / "prop.vnnlib"
        paths[0].write_bytes(made.SerializeToString())
        paths[1].write_text(self.text())
        return paths

    def text(self) -> str:
        names = [f"X_{i}" for i in range(self.inputs)] + [f"Y_{j}" for j in range(self.sizes[self.output])]
        ends = [
            Compare(((("X", i), Fraction(1)),), op, end)
            for i, pair in enumerate(self.ends)
            for op, end in zip((">=", "<="), pair, strict=True)
        ]
        asserts = [f"(assert {written(one, first=True)})" for one in (*ends, *self.asserts)]
        return "\n".join([*(f"(declare-const {name} Real)" for name in names), *asserts, ""])


_BENT = ("Relu", "Abs", "LeakyRelu", "Max")


def _plus(one: Line, other: Line) -> Line:
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _times(line: Line, factor: Fraction) -> Line:
    return tuple(factor * a for a in line)


def _at(line: Line, x: Sequence[Fraction]) -> Fraction:
    return sum((a * v for a, v in zip(line[:-1], x, strict=True)), line[-1])


def _reach(line: Line, box: Sequence[Ends]) -> Ends:
    """The least and the largest value on a box."""
    terms = [sorted((a * low, a * high)) for a, (low, high) in zip(line[:-1], box, strict=True)]
    return sum((t[0] for t in terms), line[-1]), sum((t[1] for t in terms), line[-1])


def _line(one: Compare, x: list[Line], y: list[Line]) -> Line:
    line = (*(_ZERO,) * (len(x[0]) - 1), -one.right)
    for (letter, i), factor in one.terms:
        line = _plus(line, _times((x if letter == "X" else y)[i], factor))
    return line


def _affine(step: Step, operands: list[list[Line]]) -> list[Line]:
    (first, *others), numbers = operands, [[Fraction(v) for v in a.flatten().tolist()] for a in step.arrays]
    if step.op == "Gemm":
        weight, bias = step.arrays
        zero = _times(first[0], _ZERO)
        made = []
        for j in range(weight.shape[1]):
            total = (*zero[:-1], Fraction(float(bias[j])))
            for i, line in enumerate(first):
                total = _plus(total, _times(line, Fraction(float(weight[i, j]))))
            made.append(total)
        return made
    if step.op == "Scale":
        return [_times(line, c) for line, c in zip(first, numbers[0], strict=True)]
    if step.op in ("Shift", "From"):
        sign = Fraction(-1 if step.op == "From" else 1)
        return [
            _plus(_times(line, sign), (*(_ZERO,) * (len(line) - 1), c))
            for line, c in zip(first, numbers[0], strict=True)
        ]
    if step.op in ("Add", "Sub"):
        sign = Fraction(-1 if step.op == "Sub" else 1)
        return [_plus(a, _times(b, sign)) for a, b in zip(first, others[0], strict=True)]
    if step.op == "Concat":
        return [line for operand in operands for line in operand]
    if step.op == "Gather":
        return [first[int(i)] for i in step.arrays[0]]
    assert step.op in ("Identity", "Neg"), step.op
    return [_times(line, Fraction(-1 if step.op == "Neg" else 1)) for line in first]


def _bent(step: Step, feature: tuple[Line, ...]) -> list[tuple[Line, Line]]:
    """Both pieces: what is at least 0 there, and the value."""
    first, minus = feature[0], Fraction(-1)
    if step.op == "Max":
        more = _plus(first, _times(feature[1], minus))
        return [(more, first), (_times(more, minus), feature[1])]
    slope = {"Relu": _ZERO, "Abs": minus}.get(step.op)
    slope = Fraction(step.options["alpha"]) if slope is None else slope
    return [(first, first), (_times(first, minus), _times(first, slope))]


def _cases(formula: Formula) -> list[tuple[Compare, ...]]:
    """The disjunctive normal form."""
    if isinstance(formula, Compare):
        if formula.op == "=":
            return [(Compare(formula.terms, ">=", formula.right), Compare(formula.terms, "<=", formula.right))]
        return [(formula,)]
    parts = [_cases(part) for part in formula.parts]
    if isinstance(formula, Some):
        return [case for part in parts for case in part]
    return [tuple(itertools.chain(*chosen)) for chosen in itertools.product(*parts)]


def _sides(box: Sequence[Ends]) -> list[Line]:
    sides = []
    for i, (low, high) in enumerate(box):
        unit = tuple(Fraction(int(i == j)) for j in range(len(box)))
        sides += [(*unit, -low), (*(-a for a in unit), high)]
    return sides


def _vertices(lines: list[Line], free: int) -> list[list[Fraction]]:
    """Of the polytope on which lines are at least 0."""
    found = []
    for chosen in itertools.combinations(lines, free):
        vertex = _solved(chosen)
        if vertex is not None and vertex not in found and all(_at(line, vertex) >= 0 for line in lines):
            found.append(vertex)
    return found


def _solved(lines: Sequence[Line]) -> list[Fraction] | None:
    """Where as many lines as there are inputs are 0; None where that is not one point."""
    rows = [list(line) for line in lines]
    for column in range(len(rows)):
        pivot = next((i for i in range(column, len(rows)) if rows[i][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [a / rows[column][column] for a in rows[column]]
        for i, row in enumerate(rows):
            if i != column and row[column]:
                rows[i] = [a - row[column] * b for a, b in zip(row, rows[column], strict=True)]
    return [-row[-1] for row in rows]


def _inside(rows: Sequence[tuple[Line, bool]], box: Sequence[Ends]) -> list[Fraction] | None:
    """A point of a box at which lines are at least 0, and more where they are strict; the mean of all vertices is one, or there is none."""
    lines = []
    for line, strict in rows:
        least, most = _reach(line, box)
        if most < 0 or (strict and most == 0):
            return None
        lines += [line] * (least < 0)
    vertices = _vertices([*_sides(box), *lines], len(box))
    if not vertices:
        return None
    mean = [sum(values, _ZERO) / len(vertices) for values in zip(*vertices, strict=True)]
    return mean if all(_at(line, mean) > 0 or (not strict and _at(line, mean) == 0) for line, strict in rows) else None


def degenerate_case(seed: int, number: int) -> Degenerate:
    """Question ``number`` of a seed."""
    return _Maker(Random(f"degenerate {seed} {number}"), f"degenerate-{seed}-{number}").made()


#: exponents of ten that inputs and the numbers of one array have, by whether they are of float64
_SCALES = {True: (-324, -324, -200, -165, -150, 150, 0), False: (-45, -38, -30, -20, 20, 30, 0)}


class _Maker:
    def __init__(self, random: Random, name: str) -> None:
        self.random, self.name = random, name
        self.is_double = random.random() < 0.5
        ways = "small", "zeros", "normal", "spread", "hair", "decimals"
        self.way = random.choice((*ways, "small")) if random.random() < 0.6 else "scaled"
        self.sizes = {"x": random.choice((1, 1, 2, 2, 3, 5))}
        self.steps: list[Step] = []
        self.bent = 0
        #: of the input and of the values so far, about, where numbers are scaled
        self.first = self.exponent = random.choice(_SCALES[self.is_double]) if self.way == "scaled" else 0

    def made(self) -> Degenerate:
        random = self.random
        style = random.choice(("affine", "affine", "stable", "bent"))
        for _ in range(random.randint(1, 4)):
            self.grow(style)
        if not self.steps:
            self.add(random.choice(("Identity", "Neg")), ("x",), self.sizes["x"])
        bare = Degenerate(self.name, self.is_double, tuple(self.steps), self.sizes, self.ends())
        asserts = tuple(self.condition(bare) for _ in range(random.choice((1, 1, 2))))
        return Degenerate(bare.name, bare.is_double, bare.steps, bare.sizes, bare.ends, asserts)

    def numbers(self, *shape: int, added: bool = False) -> NDArray[np.float64]:
        """Numbers that values are multiplied by, or that are ``added`` to them."""
        random = self.random
        most = 300 if self.is_double else 37
        # What is too small or too large by now is often made a number of usual size again.
        again = random.random() < 0.6
        exponent = self.exponent if added else -self.exponent if again else random.choice(_SCALES[self.is_double])
        exponent = max(-most, min(exponent, most))
        scale = 10.0**exponent
        self.exponent += exponent if self.way == "scaled" and not added else 0

        def one() -> float:
            kinds = {
                "small": lambda: random.choice((-2, -1, 0, 1, 1, 2, 3)),
                "zeros": lambda: random.choice((0, 0, 0, 1, -1, 0.5)),
                "normal": lambda: random.gauss(0, 1),
                "spread": lambda: random.gauss(0, 1) * 10 ** random.uniform(-8, 8),
                "hair": lambda: random.choice((1, -1)) * (1 + random.choice((0, 0, 1, -1)) * 2.0 ** -(52 if self.is_double else 23)),
                "decimals": lambda: random.choice((0.1, 0.3, -0.7, 1 / 3, 1e-8, 1e8)),
                "scaled": lambda: random.choice((1, -1, 3, 0, random.gauss(0, 1))) * scale,
            }  # fmt: skip
            return float(kinds[self.way]())

        found = np.array([one() for _ in range(int(np.prod(shape)))]).reshape(shape)
        return found if self.is_double else found.astype(np.float32).astype(np.float64)

    def add(self, op: str, operands: tuple[str, ...], size: int, *arrays: NDArray[Any], **options: Any) -> None:
        name = f"v{len(self.steps)}"
        self.steps.append(Step(op, name, operands, arrays, options))
        self.sizes[name] = size

    def grow(self, style: str) -> None:
        random = self.random
        at = self.steps[-1].name if self.steps else "x"
        size = self.sizes[at]
        alike = [name for name, other in self.sizes.items() if other == size]
        op = random.choice(
            ("Gemm", "Gemm", "Shift", "Scale", "From", "Identity", "Neg", "Add", "Sub", "Concat", "Gather", *_BENT)
        )
        if op == "Gemm":
            count = random.randint(1, 3)
            weight = self.numbers(size, count)
            if size > 1 and random.random() < 0.3:
                weight[1] = -weight[0]
            self.add(op, (at,), count, weight, self.numbers(count, added=True) * random.choice((0, 1)))
        elif op in ("Shift", "Scale", "From"):
            self.add(op, (at,), size, self.numbers(size, added=op != "Scale"))
        elif op in ("Add", "Sub"):
            self.add(op, (at, random.choice(alike)), size)
        elif op == "Concat" and size < 4:
            other = random.choice([name for name, n in self.sizes.items() if n < 4])
            self.add(op, (at, other), size + self.sizes[other], axis=1)
        elif op == "Gather":
            index = np.array([random.randrange(size) for _ in range(random.randint(1, 3))], np.int64)
            self.add(op, (at,), len(index), index, axis=1)
        elif op in ("Identity", "Neg"):
            self.add(op, (at,), size)
        elif op in _BENT and style != "affine" and self.bent + size <= _MOST_BENT:
            self.bent += size
            if style == "stable":
                self.add("Shift", (at,), size, np.full(size, random.choice((1e3, -1e3, 2.0**40, 0.0))))
                at = self.steps[-1].name
            operands = (at, random.choice([*alike, at])) if op == "Max" else (at,)
            options = {"alpha": random.choice((0.5, -0.5, 2.5, 1.0))} if op == "LeakyRelu" else {}
            self.add(op, operands, size, **options)

    def ends(self) -> tuple[Ends, ...]:
        """Decimals, float32 and float64 numbers, with as few as two that vary."""
        random, free, found = self.random, 0, []
        least = Fraction(5e-324) if self.is_double else Fraction(1, 1 << 149)
        for _ in range(self.sizes["x"]):
            center = Fraction(random.choice((0, 1, -1, 1000, 10**8)))
            center += Fraction(random.randint(-90, 90), random.choice((1, 10, 64)))
            width = random.choice((0, 0, 1, Fraction(1, 2), Fraction(1, 10**9), Fraction(1, 10**20), 10**8))
            if self.way == "scaled":
                unit = least if self.first in (-324, -45) else Fraction(10) ** self.first
                center, width = unit * random.choice((0, 1, -1, 3, 7)), unit * random.choice((0, 1, 1, 2))
            width = abs(Fraction(width)) if free < _MOST_FREE else _ZERO
            free += width > 0
            low = center - width * random.choice((0, 1))
            found.append((low, low + width))
        return tuple(found)

    def condition(self, case: Degenerate, depth: int = 2) -> Formula:
        random = self.random
        if depth and random.random() < 0.35:
            parts = tuple(self.condition(case, depth - 1) for _ in range(random.randint(1, 3)))
            return All(parts[:2]) if random.random() < 0.4 else Some(parts)
        outputs = case.sizes[case.output]
        variables = [("Y", j) for j in range(outputs)] * 3 + [("X", i) for i in range(case.inputs)]
        chosen = list(dict.fromkeys(random.choices(variables, k=random.choice((1, 1, 1, 2, 3)))))
        factors = [Fraction(random.choice((1, 1, -1, 2, -3, 10**8)), random.choice((1, 1, 2, 10))) for _ in chosen]
        op = random.choice((">=", "<=", ">", "<", "="))
        sign = -1 if op[0] == "<" else 1
        terms = tuple(zip(chosen, factors, strict=True))
        best = sign * case.largest(Compare(tuple((v, sign * c) for v, c in terms), op, _ZERO))
        if random.random() < 0.2:
            best += random.choice((1, -1))
        best += random.choice((0, 0, 0, 1, -1)) * (abs(best) or 1) * Fraction(1, 10 ** random.choice((3, 12, 17, 30)))
        return Compare(terms, op, _short(best))


def _short(value: Fraction) -> Fraction:
    """A decimal of no more digits than a file takes, next to a number or the number itself."""
    if decimal_of(value, _MOST_DIGITS) is not None:
        return value
    unit = Fraction(10) ** (len(str(value.numerator)) - len(str(value.denominator)) - 40)
    return round(value / unit) * unit


def degenerate_cases(seed: int, numbers: range, seconds: float) -> Iterator[Case]:
    for number in numbers:
        yield Case(f"degenerate:{seed}:{number}", lambda number=number: judged(seed, number, seconds))


def judged(seed: int, number: int, seconds: float) -> Outcome:
    """Make a question, ask it in three ways, and hold the answers to what is true."""
    case, random = degenerate_case(seed, number), Random(f"ways {seed} {number}")
    figures: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        files = case.write(Path(name))
        try:
            question = read_vnnlib(files[1]).question(load(files[0]))
        except NetproofError:  # an end beyond the other one, or numbers that are too large
            return [], {"refused": 1}
        truth = case.answer()
        figures["with an answer" if truth is not None else "without"] += 1
        for trait in random.sample(list(TRAITS), 3):
            settings = Settings(
                timeout=random.choice((seconds, seconds / 10)),
                attack=TRAITS[trait].get("attack", True),
                proofs=random.random() < 0.5,
            )
            try:
                with choices(TRAITS[trait]):
                    result = verify(question, settings)
                figures[result.verdict.value] += 1
                found = judge(case, truth, result)
                if not found and settings.proofs and result.verdict.decided:
                    found = certified(files, question, result, truth, figures)
            except NetproofError as refusal:
                figures[f"refused: {type(refusal).__name__}"] += 1
                continue
            except Exception as error:  # noqa: BLE001 - whatever else comes is what is looked for
                found = [f"{type(error).__name__}: {error}"]
            wrong += [f"{one} ({trait}, proofs {settings.proofs}); {case.text()}" for one in found]
    return wrong, dict(figures)


def judge(case: Degenerate, truth: Sequence[Fraction] | None, result: Result) -> list[str]:
    """What is wrong with an answer, in words."""
    if result.retryable:
        return [f"broken: {result.reason}"]
    if result.verdict is Verdict.UNSAT and truth is not None:
        return [f"unsat, but {[str(v) for v in truth]} is an answer"]
    if result.verdict is Verdict.SAT:
        witness = result.witness
        assert witness is not None
        x, y = witness.numbers, witness.output_numbers
        inside = all(low <= v <= high for v, (low, high) in zip(x, case.ends, strict=True))
        if not inside or not holds(All(case.asserts), x, y):
            return [f"sat, but its witness {[str(v) for v in x]} with {[str(v) for v in y]} is no answer"]
    return []


def certified(
    files: tuple[Path, Path],
    question: Question,
    result: Result,
    truth: Sequence[Fraction] | None,
    figures: Counter[str],
) -> list[str]:
    """What is wrong with the certificate of a verdict, if there is one."""
    network, property_ = (file.read_bytes() for file in files)
    try:
        made = evidence_of(network, property_, question, result, deadline=time.monotonic() + 5.0)
    except NoEvidenceError:
        figures["without evidence"] += 1
        return []
    figures["with evidence"] += 1
    try:
        check_real(decode(encode(made)), network, property_, seconds=60.0)
    except (CertificateError, ProofError) as error:
        return [f"its certificate is refused: {error}"]
    # The verdict sat is about what a runtime gives, its certificate about the real numbers.
    return [] if (made.claim == "sat") == (truth is not None) else [f"a false certificate of {made.claim} is accepted"]
