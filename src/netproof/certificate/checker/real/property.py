"""The property as the checker reads it: VNN-LIB 1.0, every number exact, brought into parts.

Written from the format's description (https://www.vnnlib.org; *The SMT-LIB Standard, Version 2.6*) and sharing nothing with
``formats/``. A property is a disjunction of clauses, each of which is a box of inputs and linear constraints. Clauses with equal
boxes make a *part*, in the order in which they come; the clauses of a part are its *cases*.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from netproof.errors import FormatError

#: white space and the ends of lines are those of SMT-LIB (section 3.1), digits those of ASCII
_SPACE, _WORD = r"[ \t\r\n]", r"([^ \t\r\n();|\"]+)"
_TOKEN = re.compile(rf"{_SPACE}+|;[^\r\n]*|([()])|{_WORD}|(.)", re.DOTALL)
#: three words in parentheses, as "(<= X_0 1)" and "(declare-const X_0 Real)", and these behind a word, as "(assert (<= X_0 1))"
_THREE = rf"\({_SPACE}*{_WORD}{_SPACE}+{_WORD}{_SPACE}+{_WORD}{_SPACE}*\)"
_USUAL = re.compile(rf"{_SPACE}*(?:{_THREE}|\({_SPACE}*{_WORD}{_SPACE}*{_THREE}{_SPACE}*\))")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d{1,3}))?", re.ASCII)
_NAME = re.compile(r"([XY])_(0|[1-9]\d{0,7})", re.ASCII)
_DEEPEST, _MOST, _LONGEST = 64, 1 << 20, 1 << 26
_ZERO, _ONE, _MINUS = Fraction(0), Fraction(1), Fraction(-1)
#: of numerators and denominators of products
_BITS = 1 << 14
#: ends of the boxes of all clauses
_ENDS = 1 << 27
#: what may stand behind a command; behind all others anything may
_BEHIND = {"check-sat": ("get-model", "set-info", "exit"), "exit": ()}

Term = tuple[dict[tuple[str, int], Fraction], Fraction]
Item = str | list["Item"]
#: what is declared, and numbers that were read already
Known = dict[str, Term]


class Constraint(NamedTuple):
    """``sum c_i X_i + sum d_j Y_j >= threshold``, or ``>`` where it is strict; pairs in ascending order, none 0."""

    inputs: tuple[tuple[int, Fraction], ...]
    outputs: tuple[tuple[int, Fraction], ...]
    threshold: Fraction
    strict: bool


@dataclass(frozen=True)
class Part:
    """A box with exact ends, which belong to it, and the cases asked about on it: conjunctions of constraints."""

    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]
    cases: tuple[tuple[Constraint, ...], ...]


@dataclass(frozen=True)
class Asked:
    """Is there an input in one of the boxes whose output meets one of the cases that go with that box?"""

    inputs: int
    outputs: int
    parts: tuple[Part, ...]

    @property
    def compares(self) -> bool:
        """Whether all that it asks of outputs is which of two is larger."""
        return all(
            not c.outputs
            or (len(c.outputs) == 2 and not (c.inputs or c.threshold or c.outputs[0][1] + c.outputs[1][1]))
            for part in self.parts
            for case in part.cases
            for c in case
        )


class _FaultError(Exception):
    """Says what is not read."""


def read_property(data: bytes, source: str) -> Asked:
    """The property in the bytes of a VNN-LIB file; raises :class:`FormatError` for what is not known or not bounded."""
    try:
        if len(data) > _LONGEST:
            raise _FaultError("its length")
        return _read(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise FormatError(source, "is not read by the checker: it is no text in UTF-8", "give VNN-LIB 1.0") from None
    except _FaultError as error:
        raise FormatError(source, f"is not read by the checker: {error}", "give VNN-LIB 1.0") from None


def _read(text: str) -> Asked:
    declared: dict[str, set[int]] = {"X": set(), "Y": set()}
    formulas: list[Item] = []
    over = ""
    for statement in _statements(text):
        head = statement[0] if statement else ""
        if over and head not in _BEHIND[over]:
            raise _FaultError(f"what stands after ({over})")
        over = str(head) if head in ("check-sat", "exit") else over
        if head in ("set-logic", "set-info", "set-option", "check-sat", "exit", "get-model"):
            if any(isinstance(item, list) for item in statement):
                raise _FaultError(f"what follows '{head}'")
            continue
        if head == "declare-const" and len(statement) == 3 and statement[2] == "Real":
            match = _NAME.fullmatch(statement[1]) if isinstance(statement[1], str) else None
            if match is None or int(match[2]) in declared[match[1]] or formulas:
                raise _FaultError("a declaration that is none of X_i or Y_j, is there twice, or comes late")
            declared[match[1]].add(int(match[2]))
        elif head == "assert" and len(statement) == 2:
            formulas.append(statement[1])
        else:
            raise _FaultError(f"the statement '{str(head)[:40]}'")
    sizes = {letter: len(found) for letter, found in declared.items()}
    if not all(sizes.values()) or any(max(found) != len(found) - 1 for found in declared.values()):
        raise _FaultError("variables that are not declared from 0 on")
    clauses: list[tuple[Constraint, ...]] = [()]
    common: list[Constraint] = []
    known: Known = {f"{x}_{i}": ({(x, i): _ONE}, _ZERO) for x, found in declared.items() for i in found}
    ends = _Ends([None] * sizes["X"], [None] * sizes["X"])
    for formula in formulas:
        if ends.told(formula, known):
            continue
        found = _clauses(formula, known)
        if len(found) == 1:
            common.extend(found[0])
            continue
        clauses = _products(clauses, found)
    if 2 * sizes["X"] * len(clauses) > _ENDS:
        raise _FaultError("so many boxes")
    shared = ends.boxed(common)
    # Boxes differ where clauses name single inputs, and nowhere else.
    parts: dict[tuple[object, ...], tuple[_Ends, list[tuple[Constraint, ...]]]] = {}
    for clause in clauses if not ends.crossed(range(sizes["X"])) else ():
        own = _Ends(list(ends.lower), list(ends.upper)) if clause else ends
        rest = own.boxed(clause)
        named = sorted({c.inputs[0][0] for c in clause if len(c.inputs) == 1 and not c.outputs})
        if own.crossed(named):
            continue  # no input is in that box
        differs = [i for i in named if (own.lower[i], own.upper[i]) != (ends.lower[i], ends.upper[i])]
        box = tuple((i, own.lower[i], own.upper[i]) for i in differs)
        parts.setdefault(box, (own, []))[1].append((*shared, *rest))
    found_parts = tuple(Part(*own.box, tuple(cases)) for own, cases in parts.values())
    return Asked(sizes["X"], sizes["Y"], found_parts)


def _statements(text: str) -> Iterator[list[Item]]:
    stack: list[list[Item]] = []
    at = 0
    while at < len(text):
        # Nearly all of a property is statements of one kind, of which each is a few tokens at once.
        usual = None if stack else _USUAL.match(text, at)
        match = usual or next(_TOKEN.finditer(text, at))
        at, kind, token = match.end(), match.lastindex, match[0]
        if usual is not None:
            one, two, three, head, *rest = usual.groups()
            yield [one, two, three] if head is None else [head, rest]
        elif kind == 2:
            if not stack:
                raise _FaultError("words outside of parentheses")
            stack[-1].append(token)
        elif token == "(":
            stack.append([])
            if len(stack) > _DEEPEST:
                raise _FaultError("parentheses this deep")
        elif token == ")":
            if not stack:
                raise _FaultError("a parenthesis that closes nothing")
            done = stack.pop()
            if stack:
                stack[-1].append(done)
            else:
                yield done
        elif kind:
            raise _FaultError(f"the character {token!r}")
    if stack:
        raise _FaultError("a parenthesis that is not closed")


def _products(
    first: list[tuple[Constraint, ...]], second: list[tuple[Constraint, ...]]
) -> list[tuple[Constraint, ...]]:
    size = sum(map(len, first)) * len(second) + sum(map(len, second)) * len(first) + len(first) * len(second)
    if size > _MOST:
        raise _FaultError("so many cases")
    return [(*a, *b) for a, b in itertools.product(first, second)]


def _clauses(item: Item, known: Known) -> list[tuple[Constraint, ...]]:
    """The disjunctive normal form of a formula."""
    if isinstance(item, str) or not item or not isinstance(item[0], str):
        raise _FaultError("a formula that is none")
    head, *rest = item
    if head == "and":
        found: list[tuple[Constraint, ...]] = [()]
        for part in rest:
            found = _products(found, _clauses(part, known))
        return found
    if head == "or":
        found = [clause for part in rest for clause in _clauses(part, known)]
        if sum(map(len, found)) + len(found) > _MOST:
            raise _FaultError("so many cases")
        return found
    if head not in ("<=", ">=", "<", ">", "=") or len(rest) != 2:
        raise _FaultError(f"the formula '{head[:40]}'")
    left, right = (_linear(part, known) for part in rest)
    if head == "=":
        return [(_at_least(right, left, strict=False), _at_least(left, right, strict=False))]
    if head in ("<=", "<"):
        left, right = right, left
    return [(_at_least(left, right, strict=head in ("<", ">")),)]


def _at_least(left: Term, right: Term, *, strict: bool) -> Constraint:
    """``left >= right``."""
    rest = dict(left[0])
    for name, value in right[0].items():
        rest[name] = rest[name] - value if name in rest else _MINUS if value is _ONE else -value
    terms = sorted((letter, i, value) for (letter, i), value in rest.items() if value)
    inputs, outputs = (tuple((i, value) for letter, i, value in terms if letter == which) for which in "XY")
    return Constraint(inputs, outputs, right[1] - left[1] if left[1] else right[1], strict)


def _linear(item: Item, known: Known) -> Term:
    if isinstance(item, str):
        if item not in known:
            if len(item) > 1000 or _NUMBER.fullmatch(item) is None:
                raise _FaultError(f"'{item[:40]}'")
            known[item] = {}, Fraction(item)
        return known[item]
    if len(item) < 2 or item[0] not in ("+", "-", "*"):
        raise _FaultError("an expression that is none")
    terms = [_linear(part, known) for part in item[1:]]
    if item[0] == "*":
        factor, kept = Fraction(1), None
        for term in terms:
            if not term[0]:
                factor *= term[1]
            elif kept is None:
                kept = term
            else:
                raise _FaultError("a product of variables")
            if max(factor.numerator.bit_length(), factor.denominator.bit_length()) > _BITS:
                raise _FaultError("a product of so many digits")
        kept = kept or ({}, Fraction(1))
        return {name: factor * value for name, value in kept[0].items()}, factor * kept[1]
    sign = Fraction(-1 if item[0] == "-" else 1)
    if len(terms) == 1:
        return {name: sign * value for name, value in terms[0][0].items()}, sign * terms[0][1]
    total, constant = dict(terms[0][0]), terms[0][1]
    for term in terms[1:]:
        for name, value in term[0].items():
            total[name] = total.get(name, Fraction(0)) + sign * value
        constant += sign * term[1]
    return total, constant


@dataclass
class _Ends:
    """Ends of inputs as far as they are known."""

    lower: list[Fraction | None]
    upper: list[Fraction | None]

    def cut(self, i: int, end: Fraction, *, upper: bool) -> None:
        """An end of an input, beyond which none is."""
        mine = self.upper if upper else self.lower
        known = mine[i]
        mine[i] = end if known is None else min(known, end) if upper else max(known, end)

    def told(self, formula: Item, known: Known) -> bool:
        """Take in a formula that says one end of one input, as most do; whether it is one."""
        if len(formula) != 3 or formula[0] not in ("<=", ">=") or list in (type(formula[1]), type(formula[2])):
            return False
        (variables, _), (rest, end) = _linear(formula[1], known), _linear(formula[2], known)
        names = [*variables]
        is_end = not rest and len(names) == 1 and names[0][0] == "X"
        if is_end:
            self.cut(names[0][1], end, upper=formula[0] == "<=")
        return is_end

    def boxed(self, clause: Sequence[Constraint]) -> tuple[Constraint, ...]:
        """Take in what a clause says of single inputs; what else it says. An end that is strict belongs to both."""
        rest = []
        for constraint in clause:
            if constraint.outputs or len(constraint.inputs) != 1:
                rest.append(constraint)
                continue
            ((i, c),) = constraint.inputs
            # Fractions are compared and divided slowly, and boxes have thousands of ends.
            end = (
                -constraint.threshold
                if c is _MINUS
                else constraint.threshold / c
                if c is not _ONE
                else constraint.threshold
            )
            self.cut(i, end, upper=c.numerator < 0)
            if constraint.strict:
                rest.append(constraint)
        return tuple(rest)

    def crossed(self, which: Sequence[int]) -> bool:
        """Whether an end of one of these inputs is beyond the other one."""
        pairs = ((self.lower[i], self.upper[i]) for i in which)
        return any(low is not None and high is not None and low > high for low, high in pairs)

    @property
    def box(self) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
        """The box, where every input has both ends."""
        lower, upper = (tuple(x for x in ends if x is not None) for ends in (self.lower, self.upper))
        if len(lower) + len(upper) < 2 * len(self.lower):
            raise _FaultError("an input without a bound")
        return lower, upper
