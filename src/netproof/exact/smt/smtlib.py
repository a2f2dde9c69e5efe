"""SMT-LIB 2.6 text of a formula."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netproof.exact.smt.encode import Formula
from netproof.exact.smt.terms import BOOLEAN, Op, Term, Terms

#: terms that are written where they are used, if they are used once
_SMALL = frozenset({Op.SIGN_EXTEND, Op.ZERO_EXTEND, Op.EXTRACT, Op.NOT, Op.SIGNED_LE, Op.UNSIGNED_LE, Op.EQUAL})


def statements(formula: Formula, *, comments: Sequence[str] = (), status: str | None = None) -> Iterator[str]:
    """The lines of a script that asks whether the formula is satisfiable.

    Parameters
    ----------
    comments : lines to begin with
    status : ``sat`` or ``unsat`` where known
    """
    yield from (f"; {' '.join(line.split())}\n" for line in comments)
    yield "(set-logic QF_BV)\n"
    if status is not None:
        yield f"(set-info :status {status})\n"
    yield from declarations(formula)
    yield "(check-sat)\n"
    yield "(exit)\n"


def declarations(formula: Formula) -> Iterator[str]:
    """The variables, definitions and assertions alone."""
    names = _names(formula)
    terms = formula.terms
    uses = _uses(formula)
    text: list[str] = []
    for number in range(len(terms)):
        term = terms[number]
        if not uses[number]:
            text.append("")
            continue
        written = _written(terms, term, text)
        if term.op is Op.VARIABLE:
            yield f"(declare-const {written} (_ BitVec {term.width}))\n"
        elif number in names or (term.operands and (uses[number] > 1 or term.op not in _SMALL)):
            name = names.get(number, f"t{number}")
            yield f"(define-fun {name} () {_sort(term)} {written})\n"
            written = name
        text.append(written)
    yield from (f"(assert {text[number]})\n" for number in formula.assertions)


def _names(formula: Formula) -> dict[int, str]:
    """Names of the terms that stand for values of the network: ``a1_5`` for feature 5 of node 1, an affine map."""
    return {
        feature.part.term: f"n{i}_{j}"
        for i, node in reversed(list(enumerate(formula.values)))
        if i
        for j, feature in reversed(node.items())
        if feature.part is not None and formula.terms[feature.part.term].operands
    }


def _uses(formula: Formula) -> list[int]:
    """How often every term is used by terms that matter."""
    terms = formula.terms
    uses = [0] * len(terms)
    for number in formula.assertions:
        uses[number] += 1
    for number in range(len(terms) - 1, -1, -1):
        if uses[number]:
            for operand in terms[number].operands:
                uses[operand] += 1
    return uses


def _sort(term: Term) -> str:
    return "Bool" if term.width == BOOLEAN else f"(_ BitVec {term.width})"


def _written(terms: Terms, term: Term, text: Sequence[str]) -> str:
    op = term.op
    if op is Op.VARIABLE:
        return terms.variables[term.indices[0]]
    if op is Op.NUMERAL:
        return f"(_ bv{term.indices[0]} {term.width})"
    operands = " ".join(text[operand] for operand in term.operands)
    if term.indices:
        return f"((_ {op.value} {' '.join(map(str, term.indices))}) {operands})"
    return f"({op.value} {operands})" if operands else op.value
