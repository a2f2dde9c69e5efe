"""Random properties as text, their meaning by an evaluator of its own: no verdict says otherwise than points do."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from netproof.errors import FormatError, QueryError
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.query import Verdict
from netproof.search.verify import verify
from netproof.settings import Settings
from onnx_models import model, node, run_onnxruntime, save

NUMBERS = (
    "0",
    "-0.0",
    "0.1",
    "-0.3",
    "1",
    "0.5",
    "1e-3",
    "-2.5E-1",
    "+0.75",
    ".25",
    "1.",
    "1e-46",
    "0.333333333333333333",
)


class Writer:
    """Random formulas over ``X_0 .. X_{n-1}`` and ``Y_0 .. Y_{m-1}``."""

    def __init__(self, seed: int, inputs: int, outputs: int) -> None:
        self.random = np.random.default_rng(seed)
        self.names = [f"X_{i}" for i in range(inputs)], [f"Y_{i}" for i in range(outputs)]

    def pick(self, *choices):
        return choices[int(self.random.integers(len(choices)))]

    def term(self):
        x, y = (str(self.random.choice(names)) for names in self.names)
        c = self.pick(*NUMBERS)
        return self.pick(
            x,
            y,
            y,
            c,
            f"(- {y})",
            f"(* {c} {y})",
            f"(+ {x} {y})",
            f"(- {y} {x} {c})",
            f"(/ {y} 3)",
            f"(* 2 (- {x} {c}))",
        )

    def comparison(self):
        head = self.pick("<=", ">=", "<", ">", "<=", ">=")
        if self.random.random() < 0.4:
            x = str(self.random.choice(self.names[0]))
            return f"({head} {' '.join(self.pick((x, self.pick(*NUMBERS)), (self.pick(*NUMBERS), x)))})"
        return f"({head} {self.term()} {self.term()})"

    def formula(self, depth: int):
        if depth == 0 or self.random.random() < 0.2:
            return self.comparison()
        count = int(self.random.integers(1, 4))
        return f"({self.pick('and', 'or')} {' '.join(self.formula(depth - 1) for _ in range(count))})"

    def property(self):
        lines = [f"(declare-const {name} Real)" for names in self.names for name in names]
        asserts = []
        for name in self.names[0]:
            low, high = sorted(self.random.choice([-1.0, -0.5, -0.1, 0.0, 0.3, 0.7, 1.0], size=2).tolist())
            if self.random.random() < 0.9 and low == high:
                high += 0.1
            asserts += [f"({self.pick('>=', '>=', '>')} {name} {low!r})", f"(<= {name} {high!r})"]
        asserts += [self.formula(2) for _ in range(int(self.random.integers(1, 3)))]
        self.random.shuffle(asserts)
        return "\n".join([*lines, *(f"(assert {text})" for text in asserts)])


def parsed(text: str):
    """Nested lists of words."""
    stack: list[list] = [[]]
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            stack.append([])
        elif word == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(word)
    return stack[0]


def value(expression, point) -> Fraction:
    if isinstance(expression, str):
        return point[expression] if expression in point else Fraction(expression)
    head, *rest = expression
    first, *others = (value(part, point) for part in rest)
    if not others:
        return -first if head == "-" else first
    for other in others:
        first = {"+": first + other, "-": first - other, "*": first * other, "/": first / other if other else 0}[head]
    return first


def holds(expression, point) -> bool:
    head, *rest = expression
    if head in ("and", "or"):
        return (all if head == "and" else any)(holds(part, point) for part in rest)
    left, right = (value(part, point) for part in rest)
    return {"<=": left <= right, ">=": left >= right, "<": left < right, ">": left > right}[head]


def named(letter: str, numbers) -> dict[str, Fraction]:
    return {f"{letter}_{i}": Fraction(number) for i, number in enumerate(numbers)}


@pytest.mark.parametrize("block", range(6))
def test_verdicts_of_random_properties(block, tmp_path):
    random = np.random.default_rng(block)
    inputs = 3 if block % 2 else 10
    weights = {"w": random.normal(size=(inputs, 6)), "b": random.normal(size=6), "v": random.normal(size=(6, 2)) * 0.5}
    nodes = [node("Gemm", ["x", "w", "b"], ["a"]), node("Relu", ["a"], ["h"]), node("Gemm", ["h", "v"])]
    path = save(tmp_path / "net.onnx", model(nodes, (1, inputs), weights))
    network = read_onnx(path)
    seen = set()
    for seed in range(30):
        text = Writer(1000 * block + seed, inputs, 2).property()
        file = tmp_path / "property.vnnlib"
        file.write_text(text)
        asserts = [part[1] for part in parsed(text) if part[0] == "assert"]
        points = points_of(asserts, inputs, random)
        images = run_onnxruntime(path.read_bytes(), [x[None] for x in points])
        met = [
            all(holds(part, {**named("X", x.tolist()), **named("Y", y.tolist())}) for part in asserts)
            for x, y in zip(points, images, strict=True)
        ]
        try:
            statement = read_vnnlib(file)
        except FormatError as error:
            # Only what is plainly empty is refused.
            assert "empty" in str(error) or "false" in str(error), error
            assert not any(met), text
            continue
        try:
            result = verify(statement, Settings(timeout=0.5, attack=seed % 3 > 0), network=network)
        except QueryError as error:
            assert "more digits than float64" in str(error)
            continue
        seen.add(result.verdict)
        if result.verdict is Verdict.SAT:
            assert result.witness is not None
            point = {**named("X", result.witness.numbers), **named("Y", result.witness.output_numbers)}
            assert all(holds(part, point) for part in asserts), text
        elif result.verdict is Verdict.UNSAT:
            assert not any(met), text
    assert len(seen) >= 2 and seen & {Verdict.SAT, Verdict.UNSAT}


def points_of(asserts, inputs: int, random):
    """float32 points: of the box, its corners, and the constants that the property names."""
    low, high = np.full(inputs, -1.0), np.full(inputs, 1.0)
    for head, name, end in (part for part in asserts if isinstance(part[1], str) and part[1].startswith("X_")):
        if isinstance(end, str) and not end.startswith(("X", "Y")):
            ends = low if head in (">=", ">") else high
            ends[int(name[2:])] = float(end)
    spread = random.random((60, inputs))
    spread[:20] = spread[:20].round()
    points = low + spread * (high - low)
    places = random.random(points.shape) < 0.1
    points[places] = random.choice([float(number) for number in NUMBERS], size=int(places.sum()))
    return points.astype(np.float32)
