"""Formulas and linear expressions of VNN-LIB 1.0, with what SMT-LIB has for writing them briefly.

Besides comparisons, ``and`` and ``or``: ``not``, ``=>``, ``xor``, ``ite``, chains such as ``(< a b c)``, ``distinct``,
equality of formulas, ``let``, annotations ``(! ... :named n)``, and functions by ``define-fun``, which are put in where they are
called. Nothing recurses however deep an expression is nested: each expression under way is a generator on a stack.

Source: *The SMT-LIB Standard, Version 2.6*, sections 3.6 and 3.7; its theories *Core* and *Reals*.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from netproof.formats.clock import Clock
from netproof.formats.vnnlib.formulas import LARGEST_FORM, And, Atom, Formula, Or
from netproof.formats.vnnlib.linear import LinearForm, LinearReader, Nested
from netproof.formats.vnnlib.tokens import Tokens, printable
from netproof.property import LinearConstraint

COMPARISONS = ("<=", ">=", "<", ">", "=", "==", "distinct")
_LOGICAL = ("and", "or", "not", "=>", "xor", "ite", "let", "!")
_ARITHMETIC = ("+", "-", "*", "/")
_RESERVED = {*COMPARISONS, *_LOGICAL, *_ARITHMETIC, "true", "false", "as", "exists", "forall", "match", "par", "_"}
#: and/or inside one another; cases of an expression; expressions that are looked at in all, those of functions once per call
_DEEPEST = 128
_MOST_CASES = 64
_MOST_STEPS = 4_000_000


@dataclass(frozen=True, slots=True)
class Logic:
    """A formula, or its negation, and how large it is.

    Attributes
    ----------
    size : comparisons in it, as often as they stand there
    depth : and/or inside one another
    """

    formula: Formula
    size: int
    depth: int
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Cases:
    """A linear expression in several cases, of which exactly one holds: ``ite``."""

    cases: tuple[tuple[Logic, LinearForm], ...]


Value = Logic | LinearForm | Cases
#: an expression that is under way asks for the values of those inside it
Steps = Generator["int | Nested", Value, Value]


@dataclass(frozen=True, slots=True)
class _Function:
    parameters: tuple[str, ...]
    sorts: tuple[str, ...]
    sort: str
    body: int | Nested


class Negations:
    """Opposites of formulas, without ``not``: ``>=`` becomes ``<``, and becomes or. That of a formula is made once."""

    def __init__(self) -> None:
        #: by the id of a formula, with the formula itself, so that no other one gets that id
        self._known: dict[int, tuple[Formula, Formula]] = {}

    def of(self, formula: Formula) -> Formula:
        known = self._known.get(id(formula))
        if known is not None:
            return known[1]
        if isinstance(formula, Atom):
            opposite: Formula = Atom(_opposite_of(formula.constraint), formula.at)
        else:
            parts = tuple([self.of(part) for part in formula.parts])
            opposite = Or(parts) if isinstance(formula, And) else And(parts)
        self._known[id(formula)] = formula, opposite
        self._known[id(opposite)] = opposite, formula
        return opposite


def _opposite_of(c: LinearConstraint) -> LinearConstraint:
    return LinearConstraint(
        tuple([(i, -v) for i, v in c.inputs]), tuple([(j, -v) for j, v in c.outputs]), -c.threshold, not c.strict
    )


class TermReader:
    """Reads formulas.

    Parameters
    ----------
    tokens, linear : the words, and what makes numbers and variables of them
    clock : looked at on the way
    """

    def __init__(self, tokens: Tokens, linear: LinearReader, clock: Clock) -> None:
        self._tokens, self._linear, self._clock = tokens, linear, clock
        self._functions: dict[str, _Function] = {}
        #: values of functions without parameters, which are the same wherever they stand
        self._constants: dict[str, Value] = {}
        #: what names stand for inside a ``let`` or a function, the innermost last
        self._bound: dict[str, list[Value]] = {}
        self._negations = Negations()
        self._steps = 0
        self._comparisons = 0

    def formula(self, expression: int | Nested) -> Formula:
        """The formula that an expression is; raises :class:`FormatError` where it is none."""
        return self._resolved(self._logic(self._value(expression), _start(expression)))

    def _resolved(self, value: Logic) -> Formula:
        return self._negations.of(value.formula) if value.negated else value.formula

    def define(self, nested: Nested) -> None:
        """Take a ``define-fun``: what it is called from then on is put in wherever it is called."""
        tokens, words = self._tokens, self._tokens.words
        start, _, *parts = nested
        assert isinstance(start, int)
        if (
            len(parts) != 4
            or not isinstance(parts[0], int)
            or isinstance(parts[1], int)
            or not isinstance(parts[2], int)
        ):
            tokens.fail(start, "a definition is (define-fun name ((x Real)) Real expression)")
        name_at, listed, sort_at, body = parts[0], parts[1], parts[2], parts[3]
        name, sort = self._new_name(name_at), self._sort(sort_at)
        parameters, sorts = [], []
        for pair in listed[1:]:
            if isinstance(pair, int) or len(pair) != 3 or not isinstance(pair[1], int) or not isinstance(pair[2], int):
                tokens.fail(_start(pair), "a parameter is (name Real)")
            parameter = self._new_name(pair[1])
            if parameter in parameters:
                tokens.fail(pair[1], f"{printable(words[pair[1]])} is a parameter twice")
            parameters.append(parameter)
            sorts.append(self._sort(pair[2]))
        function = _Function(tuple(parameters), tuple(sorts), sort, body)
        # Once with values that anything can be done with, so that names and sorts are known to be right.
        values: list[Value] = [_TRUE if s == "Bool" else LinearForm({}, Fraction(1)) for s in sorts]
        self._bound = {name: [value] for name, value in zip(parameters, values, strict=True)}
        value = self._value(body)
        self._bound = {}
        if isinstance(value, Logic) != (sort == "Bool"):
            tokens.fail(_start(body), f"{printable(name)} is said to be of sort {sort}, which this is not")
        self._functions[name] = function
        if not parameters:
            self._constants[name] = value

    def _new_name(self, at: int) -> str:
        word = self._tokens.words[at]
        if word in _RESERVED or not (word[0].isalpha() or word[0] in "~!@$%^&*_+=<>.?/-"):
            self._tokens.fail(at, f"{printable(word)} is no name that can be given")
        if self._linear.is_variable(word) or word in self._functions:
            self._tokens.fail(at, f"{printable(word)} is a name already")
        return word

    def _sort(self, at: int) -> str:
        word = self._tokens.words[at]
        if word not in ("Real", "Bool"):
            self._tokens.fail(at, f"{printable(word)} where 'Real' or 'Bool' should stand")
        return word

    # -- the stack of expressions under way

    def _value(self, expression: int | Nested) -> Value:
        if isinstance(expression, int):
            return self._word(expression)
        comparison = self._of_two_words(expression)
        if comparison is not None:
            return comparison
        stack = [self._begun(expression)]
        value: Value | None = None
        while True:
            try:
                wanted = next(stack[-1]) if value is None else stack[-1].send(value)
            except StopIteration as done:
                stack.pop()
                value = done.value
                if not stack:
                    return value
                continue
            if isinstance(wanted, int):
                value = self._word(wanted)
            elif (comparison := self._of_two_words(wanted)) is not None:
                value = comparison
            else:
                stack.append(self._begun(wanted))
                value = None

    def _begun(self, expression: Nested) -> Steps:
        self._count(_start(expression))
        start, *parts = expression
        assert isinstance(start, int)
        head = self._tokens.words[parts[0]] if parts and isinstance(parts[0], int) else ""
        if head in ("and", "or"):
            return self._and_or(head, parts[1:], start)
        if head in COMPARISONS:
            return self._compared(head, parts[1:], start)
        if head in _ARITHMETIC:
            return self._arithmetic(head, parts[1:], start)
        if head in self._functions:
            return self._called(self._functions[head], head, parts[1:], start)
        further: dict[str, Callable[[Sequence[int | Nested], int], Steps]] = {
            "not": self._not, "=>": self._implied, "xor": self._xor, "ite": self._either, "let": self._let,
            "!": self._annotated,
        }  # fmt: skip
        if head in further:
            return further[head](parts[1:], start)
        if not head:
            self._tokens.fail(start, "an expression without an operator")
        known = ", ".join((*_LOGICAL, *COMPARISONS, *_ARITHMETIC))
        return self._tokens.fail(start, f"unknown operator {printable(head)}; known are {known}")

    def _count(self, at: int) -> None:
        self._steps += 1
        if not self._steps % 4096:
            self._clock.look()
            if self._steps > _MOST_STEPS:
                self._tokens.fail(
                    at, "functions are called so often that this is too large a formula", "split the file"
                )

    def _word(self, at: int) -> Value:
        word = self._tokens.words[at]
        bound = self._bound.get(word)
        if bound:
            return bound[-1]
        if word in self._constants:
            return self._constants[word]
        if word in ("true", "false"):
            return _TRUE if word == "true" else _FALSE
        if word in self._functions:
            self._tokens.fail(at, f"{printable(word)} is a function, and called without what it takes")
        return self._linear.term(at)

    def _logic(self, value: Value, at: int) -> Logic:
        if not isinstance(value, Logic):
            shown = self._tokens.words[at]
            what = "an expression" if shown == "(" else printable(shown)
            self._tokens.fail(at, f"{what} where a formula should stand")
        return value

    def _number(self, value: Value, at: int) -> LinearForm | Cases:
        if isinstance(value, Logic):
            self._tokens.fail(at, "a formula where a linear expression should stand")
        return value

    # -- formulas

    def _and_or(self, head: str, parts: Sequence[int | Nested], start: int) -> Steps:
        values = yield from self._formulas(parts)
        return self._joined(head == "or", values, start)

    def _formulas(self, parts: Sequence[int | Nested]) -> Generator[int | Nested, Value, list[Logic]]:
        values = yield from self._all(parts)
        return [self._logic(value, _start(part)) for value, part in zip(values, parts, strict=True)]

    def _numbers(self, parts: Sequence[int | Nested]) -> Generator[int | Nested, Value, list[LinearForm | Cases]]:
        values = yield from self._all(parts)
        return [self._number(value, _start(part)) for value, part in zip(values, parts, strict=True)]

    def _all(self, parts: Sequence[int | Nested]) -> Generator[int | Nested, Value, list[Value]]:
        values: list[Value] = []
        for part in parts:
            values.append((yield part))  # noqa: PERF401 - no comprehension can yield
        return values

    def _joined(self, either: bool, values: Sequence[Logic], at: int) -> Logic:
        """All of some formulas, or at least one; those of the same kind are taken up, a single one stays what it is."""
        if len(values) == 1:
            return values[0]
        parts: list[Formula] = []
        kind: type[And | Or] = Or if either else And
        size = depth = 0
        for value in values:
            size += value.size
            formula = self._resolved(value)
            same = isinstance(formula, kind)
            depth = max(depth, value.depth + (not same and not isinstance(formula, Atom)))
            parts.extend(formula.parts if isinstance(formula, kind) else (formula,))
        if size > LARGEST_FORM:
            self._tokens.fail(at, f"this formula comes to more than {LARGEST_FORM} comparisons", "split the file")
        if depth > _DEEPEST:
            self._tokens.fail(at, f"and/or stand inside one another more than {_DEEPEST} deep", "flatten them")
        return Logic(kind(tuple(parts)), size, depth)

    def _not(self, parts: Sequence[int | Nested], start: int) -> Steps:
        self._arity("not", parts, start, 1)
        value = self._logic((yield parts[0]), _start(parts[0]))
        return replace(value, negated=not value.negated)

    def _implied(self, parts: Sequence[int | Nested], start: int) -> Steps:
        """``(=> a b c)`` is ``a => (b => c)``: not a, or not b, or c."""
        self._arity("=>", parts, start, 2, more=True)
        values = yield from self._formulas(parts)
        return self._joined(True, [*(_opposite(value) for value in values[:-1]), values[-1]], start)

    def _xor(self, parts: Sequence[int | Nested], start: int) -> Steps:
        self._arity("xor", parts, start, 2, more=True)
        total = self._logic((yield parts[0]), _start(parts[0]))
        for part in parts[1:]:
            value = self._logic((yield part), _start(part))
            total = _opposite(self._same(total, value, start))
        return total

    def _same(self, one: Logic, two: Logic, at: int) -> Logic:
        both = self._joined(False, [one, two], at)
        return self._joined(True, [both, self._joined(False, [_opposite(one), _opposite(two)], at)], at)

    def _either(self, parts: Sequence[int | Nested], start: int) -> Steps:
        self._arity("ite", parts, start, 3)
        condition = self._logic((yield parts[0]), _start(parts[0]))
        one = yield parts[1]
        two = yield parts[2]
        if isinstance(one, Logic) != isinstance(two, Logic):
            self._tokens.fail(start, "one branch of this ite is a formula, the other is none")
        other = _opposite(condition)
        if isinstance(one, Logic) and isinstance(two, Logic):
            return self._joined(
                True, [self._joined(False, [condition, one], start), self._joined(False, [other, two], start)], start
            )
        cases = []
        for holds, value in ((condition, one), (other, two)):
            for inner, form in _cases(self._number(value, start)):
                cases.append((holds if inner is _TRUE else self._joined(False, [holds, inner], start), form))
        return self._checked(cases, start)

    def _checked(self, cases: Sequence[tuple[Logic, LinearForm]], at: int) -> Cases:
        if len(cases) > _MOST_CASES:
            self._tokens.fail(at, f"this expression has more than {_MOST_CASES} cases (ite)", "write it as a formula")
        return Cases(tuple(cases))

    def _let(self, parts: Sequence[int | Nested], start: int) -> Steps:
        self._arity("let", parts, start, 2)
        bindings = parts[0]
        if isinstance(bindings, int) or len(bindings) < 2:
            self._tokens.fail(start, "a let is (let ((name expression) ...) expression)")
        names: list[str] = []
        values: list[Value] = []
        for binding in bindings[1:]:
            if isinstance(binding, int) or len(binding) != 3 or not isinstance(binding[1], int):
                self._tokens.fail(_start(binding), "a binding is (name expression)")
            name = self._new_name(binding[1])
            if name in names:
                self._tokens.fail(binding[1], f"{printable(name)} is bound twice")
            names.append(name)
            values.append((yield binding[2]))
        # All at once: what is bound here is not known in the expressions that are bound.
        for name, value in zip(names, values, strict=True):
            self._bound.setdefault(name, []).append(value)
        result = yield parts[1]
        for name in names:
            self._bound[name].pop()
        return result

    def _annotated(self, parts: Sequence[int | Nested], start: int) -> Steps:
        if len(parts) < 2 or not isinstance(parts[1], int) or self._tokens.words[parts[1]][0] != ":":
            self._tokens.fail(start, "an annotation is (! expression :keyword value)")
        return (yield parts[0])

    def _called(self, function: _Function, name: str, parts: Sequence[int | Nested], start: int) -> Steps:
        if not parts:
            self._tokens.fail(start, f"{printable(name)} in parentheses, without what it takes")
        self._arity(name, parts, start, len(function.parameters))
        values = yield from self._all(parts)
        for value, part, sort in zip(values, parts, function.sorts, strict=True):
            if sort == "Bool":
                self._logic(value, _start(part))
            else:
                self._number(value, _start(part))
        # In the body nothing is known but what it takes and what was defined before it.
        outside, self._bound = self._bound, {n: [v] for n, v in zip(function.parameters, values, strict=True)}
        result = yield function.body
        self._bound = outside
        return result

    def _arity(self, head: str, parts: Sequence[int | Nested], start: int, count: int, *, more: bool = False) -> None:
        if len(parts) < count or (len(parts) > count and not more):
            wanted = f"{count} or more" if more else str(count)
            self._tokens.fail(start, f"{printable(head)} takes {wanted} expressions, here are {len(parts)}")

    # -- comparisons

    def _of_two_words(self, expression: Nested) -> Logic | None:
        """A comparison of a variable and a number, as nearly all expressions are; None for any other."""
        if len(expression) != 4 or self._bound or self._functions:
            return None
        start, operator, left, right = expression
        if not (
            isinstance(start, int) and isinstance(operator, int) and isinstance(left, int) and isinstance(right, int)
        ):
            return None
        head = self._tokens.words[operator]
        quick = self._linear.quick(head, left, right, start) if head in COMPARISONS else None
        if quick is None:
            return None
        self._count(start)
        self._count_comparison(start)
        return Logic(quick, 2 if isinstance(quick, And) else 1, 0)

    def _compared(self, head: str, parts: Sequence[int | Nested], start: int) -> Steps:
        if len(parts) < 2:
            self._tokens.fail(start, f"'{head}' compares two expressions or more, here are {len(parts)}")
        values = yield from self._all(parts)
        if isinstance(values[0], Logic):
            return self._equal_formulas(
                head, [self._logic(v, _start(p)) for v, p in zip(values, parts, strict=True)], start
            )
        forms = [self._number(value, _start(part)) for value, part in zip(values, parts, strict=True)]
        if head == "distinct" and len(forms) ** 2 > LARGEST_FORM:
            self._tokens.fail(
                start, f"{len(forms)} values are distinct in more than {LARGEST_FORM} comparisons", "split it"
            )
        pairs = itertools.combinations(forms, 2) if head == "distinct" else itertools.pairwise(forms)
        return self._joined(False, [self._pair(head, one, two, start) for one, two in pairs], start)

    def _equal_formulas(self, head: str, values: Sequence[Logic], start: int) -> Logic:
        if head in ("=", "=="):
            return self._joined(False, [self._same(a, b, start) for a, b in itertools.pairwise(values)], start)
        if head == "distinct":
            if len(values) > 2:
                return _FALSE  # of three formulas two have one value
            return _opposite(self._same(values[0], values[1], start))
        return self._tokens.fail(start, f"'{head}' compares formulas")

    def _pair(self, head: str, left: LinearForm | Cases, right: LinearForm | Cases, at: int) -> Logic:
        found = []
        for (one, a), (two, b) in itertools.product(_cases(left), _cases(right)):
            self._count_comparison(at)
            atoms = self._linear.compared(head, a, b, at)
            logic = Logic(atoms, 1 if isinstance(atoms, Atom) else 2, 0)
            conditions = [c for c in (one, two) if c is not _TRUE]
            found.append(self._joined(False, [*conditions, logic], at))
        return self._joined(True, found, at)

    def _count_comparison(self, at: int) -> None:
        self._comparisons += 1
        if not self._comparisons % 1024:
            self._clock.look()
            if self._comparisons > LARGEST_FORM:
                self._tokens.fail(
                    at, f"there are more than {LARGEST_FORM} comparisons before this one", "split the file"
                )

    # -- linear expressions

    def _arithmetic(self, head: str, parts: Sequence[int | Nested], start: int) -> Steps:
        # "(/ 2)" is 2 to some and a half to others.
        if len(parts) < (2 if head == "/" else 1):
            self._tokens.fail(start, "where a linear expression (a number, a variable, or + - * of them) should stand")
        values = yield from self._numbers(parts)
        if all(isinstance(value, LinearForm) for value in values):
            return self._linear.computed(head, values, start)  # type: ignore[arg-type]
        count = 1
        for value in values:
            count *= len(_cases(value))
            if count > _MOST_CASES:
                break
        if count > _MOST_CASES:
            self._tokens.fail(
                start, f"this expression has more than {_MOST_CASES} cases (ite)", "write it as a formula"
            )
        cases = []
        for chosen in itertools.product(*(_cases(value) for value in values)):
            conditions = [condition for condition, _ in chosen if condition is not _TRUE]
            form = self._linear.computed(head, [form for _, form in chosen], start)
            cases.append((self._joined(False, conditions, start), form))
        return self._checked(cases, start)


_TRUE, _FALSE = Logic(And(()), 0, 0), Logic(Or(()), 0, 0)


def _opposite(value: Logic) -> Logic:
    return replace(value, negated=not value.negated)


def _cases(value: LinearForm | Cases) -> Sequence[tuple[Logic, LinearForm]]:
    return value.cases if isinstance(value, Cases) else ((_TRUE, value),)


def _start(expression: int | Nested) -> int:
    """The number of the word that an expression begins with."""
    return expression if isinstance(expression, int) else expression[0]  # type: ignore[return-value]
