"""What a certificate of ``unsat`` over the real numbers rests on, as an SMT-LIB 2 script for solvers of linear arithmetic.

Every range that is used and every leaf becomes one question, which has to be answered ``unsat``: docs/certificates.md, *For
solvers*. A ReLU is there by what follows from the range of its operand alone, the triangle above its graph (R. Ehlers, *Formal
Verification of Piece-Wise Linear Feed-Forward Neural Networks*, ATVA 2017), so that every question is a conjunction of linear
constraints over the rationals, in the logic QF_LRA.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Cells, Evaluation
from netproof.certificate.checker.real.check import applied, evaluation_of, forest_of, lemmas_of, root_of
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import Float64, Rational
from netproof.certificate.checker.real.property import Constraint, Part, read_property
from netproof.certificate.checker.real.tree import Prover, Rows
from netproof.certificate.real.contents import EMPTY, LEAF, LEMMAS, Forest, RealCertificate, Taken
from netproof.errors import InputError

#: entries of all matrices, and questions
_LARGEST, _MOST = 1 << 18, 1 << 20


def script_of(certificate: RealCertificate, network: bytes, property_: bytes, *, source: str) -> tuple[str, int]:
    """The script, and how many questions it asks.

    The certificate must have been checked before (:func:`netproof.certificate.checker.real.check.check_real`).

    Raises
    ------
    InputError : a network too large for that, a certificate of ``sat``, lemmas that are proved by splits, planes, pairs
    FormatError : what the checker does not read
    """
    kinds = [kind for kind in ("plane", "pair") if len(certificate.arrays[f"{kind}_count"])]
    if kinds:
        problem = f"{source} has {kinds[0]}s, of which no script is made"
        raise InputError("--out", problem, "let 'netproof check' do it")
    if certificate.claim != "unsat":
        raise InputError("--out", f"{source} has a witness, which needs no solver", "replay it, by 'netproof check'")
    asked = read_property(property_, "the property")
    with np.errstate(all="ignore"):
        evaluation = evaluation_of(network, asked, Float64())
        largest = sum(n.size * evaluation.network.nodes[i].size for n in evaluation.network.nodes for i in n.operands)
        if largest > _LARGEST:
            problem = f"a network with matrices of {largest} entries is too large for solvers of linear arithmetic"
            raise InputError("--out", problem, f"they can have {_LARGEST} entries; let 'netproof check' do it")
        if {evaluation.network.nodes[i].bend for i in evaluation.network.bends} - {RELU}:
            raise InputError(
                "--out", "the network has functions that no linear arithmetic knows", "let 'netproof check' do it"
            )
        exact = evaluation_of(network, asked, Rational())
        taken = Taken(certificate.arrays)
        taken.take("cases", len(asked.parts))
        lines = [
            f"; {source}: what is proved, question by question; every answer has to be 'unsat'",
            f"; network SHA-256 {certificate.network_sha256}",
            f"; property SHA-256 {certificate.property_sha256}",
            "(set-logic QF_LRA)",
        ]
        count = 0
        for number, part in enumerate(asked.parts):
            script = _Part(evaluation, exact, part, source)
            script.say(f"; part {number}")
            script.prove(taken, part)
            lines += script.lines
            count += script.questions
    return "\n".join([*lines, "(exit)", ""]), count


#: the ends of every ReLU's range that the script has established
Known = tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]


class _Part:
    """The script of one part."""

    def __init__(self, evaluation: Evaluation, exact: Evaluation, part: Part, source: str) -> None:
        self._evaluation, self._source = evaluation, source
        self._network = evaluation.network
        self.lines: list[str] = []
        self.questions = 0
        self._begin(exact, part)

    def say(self, line: str) -> None:
        """Add a line."""
        self.lines.append(line)

    def claim(self, formula: str) -> None:
        """Assert a formula."""
        self.lines.append(f"(assert {formula})")

    def ask(self, *formulas: str) -> None:
        """Ask whether formulas hold somewhere, all of them together."""
        self.questions += 1
        if self.questions > _MOST:
            raise InputError(
                "--out", f"{self._source} would take more than {_MOST} questions", "let 'netproof check' do it"
            )
        self.lines += ["(push 1)", *(f"(assert {formula})" for formula in formulas), "(check-sat)", "(pop 1)"]

    def _begin(self, exact: Evaluation, part: Part) -> None:
        """Variables, the box, affine maps exactly, and of ReLUs what holds everywhere."""
        self.say("(push 1)")
        for i, node in enumerate(exact.network.nodes):
            self.lines += [f"(declare-const {_name(i, j)} Real)" for j in range(node.size)]
            if node.operator is not None:
                unit = exact.numbers.load(np.eye(node.size))
                matrices = node.operator.adjoint(unit)
                offset = node.operator.offset
                for j in range(node.size):
                    terms = [
                        (_name(operand, column), matrix[j, column])
                        for operand, matrix in zip(node.operands, matrices, strict=True)
                        for column in np.flatnonzero(matrix[j]).tolist()
                    ]
                    constant = Fraction(0) if offset is None else offset[j]
                    self.claim(f"(= {_name(i, j)} {_sum(terms, constant)})")
            elif node.operands:
                for j in range(node.size):
                    self.claim(f"(and (>= {_name(i, j)} 0.0) (>= {_name(i, j)} {_name(node.operands[0], j)}))")
        for i, (low, high) in enumerate(zip(part.lower, part.upper, strict=True)):
            self.claim(f"(and (>= {_name(0, i)} {_number(low)}) (<= {_name(0, i)} {_number(high)}))")

    def prove(self, taken: Taken, part: Part) -> None:
        """The stages of a part, and its trees."""
        none = Rows({name: np.zeros(0, np.int64) for name in _ROWS}, self._network.sizes)
        prover = Prover(self._evaluation, none, self._source)
        cells = root_of(self._evaluation, part)
        for _ in range(taken.one("stages")):
            rule = taken.one("stage")
            if rule != LEMMAS:
                cells = self._evaluation.derive(cells, rule)
                continue
            lemmas = lemmas_of(taken, self._evaluation, self._source)
            if (forest_of(taken, [1] * len(lemmas), self._source).kind != LEAF).any():
                raise InputError(
                    "--out", f"{self._source} has lemmas with trees of their own", "let 'netproof check' do it"
                )
            cells = applied(cells, lemmas)
        endless: list[NDArray[np.float64]] = [np.full(size, np.inf) for size in self._network.sizes]
        known = self._establish(cells, ([-x for x in endless], endless))
        trees: dict[int, list[Sequence[Constraint]]] = {}
        for tree, case in zip(taken.take("tree", len(part.cases)).tolist(), part.cases, strict=True):
            trees.setdefault(tree, []).append(case)
        goals = list(trees.values())
        forest = forest_of(taken, [len(mine) for mine in goals], self._source)
        if known is not None:
            for root, mine in enumerate(goals):
                self._walk(root, cells, known, forest, mine, prover)
        self.say("(pop 1)")

    def _walk(
        self,
        root: int,
        cells: Cells,
        known: Known,
        forest: Forest,
        goals: Sequence[Sequence[Constraint]],
        prover: Prover,
    ) -> None:
        stack: list[tuple[int, Cells, Known, str] | None] = [(root, cells, known, "true")]
        while stack:
            item = stack.pop()
            if item is None:
                self.say("(pop 1)")
                continue
            node, cell, before, side = item
            self.lines += ["(push 1)", f"(assert {side})"]
            stack.append(None)
            rule = int(forest.rule[node])
            cell = self._evaluation.derive(cell, rule, sized=True) if rule and not cell.empty.any() else cell
            now = self._establish(cell, before)
            if now is None or forest.kind[node] == EMPTY:
                continue
            if forest.kind[node] == LEAF:
                for case in goals:
                    self.ask(*(self._constraint(one) for one in case))
                continue
            halves = prover.halves(cell, np.array([node]), forest, "what is written")
            relu, feature = int(forest.relu[node]), int(forest.feature[node])
            point = Fraction(int(forest.point[node]), 1 << int(forest.exponent[node]))
            name = _name(0 if relu == 0 else self._evaluation.operands[relu - 1], feature)
            for half, sign in ((1, ">="), (0, "<=")):
                part = halves.take(np.array([half]))
                stack.append((int(forest.child[node]) + half, part, now, f"({sign} {name} {_number(point)})"))

    def _establish(self, cells: Cells, known: Known) -> Known | None:
        """Ask for what is new in the ranges of one cell, and go on with it; None where nothing is left of the cell."""
        low, high = [x.copy() for x in known[0]], [x.copy() for x in known[1]]
        if (cells.lower > cells.upper).any():
            self.ask()
            return None
        for k, i in enumerate(self._network.bends):
            operand = self._evaluation.operands[k]
            for j, (least, most) in enumerate(zip(cells.low[k][0].tolist(), cells.high[k][0].tolist(), strict=True)):
                name, changed = _name(operand, j), False
                # Of a feature whose sign is known the end that says so is enough.
                if most < high[k][j] and (most <= 0 or least < 0 or least > most):
                    self.ask(f"(> {name} {_number(Fraction(most))})")
                    self.claim(f"(<= {name} {_number(Fraction(most))})")
                    high[k][j], changed = most, True
                if least > low[k][j] and (least >= 0 or most > 0 or least > most):
                    self.ask(f"(< {name} {_number(Fraction(least))})")
                    self.claim(f"(>= {name} {_number(Fraction(least))})")
                    low[k][j], changed = least, True
                if least > most:
                    self.ask()
                    return None
                if changed:
                    self.claim(_triangle(name, _name(i, j), low[k][j], high[k][j]))
        return low, high

    def _constraint(self, constraint: Constraint) -> str:
        last = len(self._network.nodes) - 1
        terms = [(_name(0, i), c) for i, c in constraint.inputs] + [(_name(last, i), c) for i, c in constraint.outputs]
        return f"({'>' if constraint.strict else '>='} {_sum(terms, Fraction(0))} {_number(constraint.threshold)})"


_ROWS = (
    "row_exponent",
    "row_base",
    "row_mu",
    "row_count",
    "row_feature",
    "row_slope",
    "row_added",
    "row_planes",
    "row_pairs",
)


def _name(node: int, feature: int) -> str:
    return f"n{node}_{feature}"


def _triangle(operand: str, value: str, low: float, high: float) -> str:
    """What follows for a ReLU from the range of its operand, besides that it is at least 0 and at least the operand."""
    if low >= 0:
        return f"(= {value} {operand})"
    if high <= 0:
        return f"(= {value} 0.0)"
    if not (np.isfinite(low) and np.isfinite(high)):
        return "true"
    slope = Fraction(high) / (Fraction(high) - Fraction(low))
    return f"(<= {value} {_sum([(operand, slope)], -slope * Fraction(low))})"


def _sum(terms: Sequence[tuple[str, Fraction]], constant: Fraction) -> str:
    parts = [f"(* {_number(Fraction(c))} {name})" for name, c in terms]
    parts += [_number(Fraction(constant))] if constant or not parts else []
    return f"(+ {' '.join(parts)})" if len(parts) > 1 else parts[0]


def _number(value: Fraction) -> str:
    size = f"{abs(value.numerator)}.0"
    size = size if value.denominator == 1 else f"(/ {size} {value.denominator}.0)"
    return f"(- {size})" if value < 0 else size
