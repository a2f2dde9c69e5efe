"""SMT-LIB 2.6 text of a formula (C. Barrett, P. Fontaine, C. Tinelli, *The SMT-LIB Standard*, 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netproof.exact.smt.encode import Formula, input_name
from netproof.exact.smt.terms import BOOLEAN, Op, Term, Terms

#: terms that are written where they are used, if they are used once
_SMALL = frozenset({Op.SIGN_EXTEND, Op.ZERO_EXTEND, Op.EXTRACT, Op.NOT, Op.SIGNED_LE, Op.UNSIGNED_LE, Op.EQUAL})


def script(formula: Formula, *, comments: Sequence[str] = (), status: str | None = None) -> Iterator[str]:
    """The lines of a script that asks whether the formula is satisfiable.

    Parameters
    ----------
    comments : lines to begin with
    status : ``sat`` or ``unsat`` where known
    """
    yield from (comment(line) for line in comments)
    yield "(set-logic QF_BV)\n"
    if status is not None:
        yield f"(set-info :status {status})\n"
    for index, feature in sorted(formula.values[0].items()):
        value = f"input {index} = {feature.offset}"
        yield comment(value if feature.part is None else f"{value} + {input_name(index)}")
    yield from declarations(formula)
    yield "(check-sat)\n"
    yield "(exit)\n"


def comment(line: str) -> str:
    """A comment of one line in plain ASCII, whatever is in it (a file's name can hold anything)."""
    plain = line.encode("ascii", "backslashreplace").decode("ascii")
    return "; " + "".join(c if c.isprintable() else " " for c in plain).rstrip() + "\n"


def declarations(formula: Formula) -> Iterator[str]:
    """The variables, definitions and assertions alone.

    Whatever has operands and is used more than once is defined under a name of its own, so lines stay short and nothing
    is written twice. Feature ``j`` of node ``i`` of the graph is ``n<i>_<j>``, a number less an offset; everything else is
    ``t<number>``.
    """
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
        elif number not in names and term.operands and (uses[number] > 1 or term.op not in _SMALL):
            yield f"(define-fun t{number} () {_sort(term)} {written})\n"
            written = f"t{number}"
        for name in names.get(number, ()):
            yield f"(define-fun {name} () {_sort(term)} {written})\n"
            written = name
        text.append(written)
    yield from (f"(assert {text[number]})\n" for number in formula.assertions)


def legend(formula: Formula) -> Iterator[str]:
    """What the names of features stand for: one line for each whose value is not simply that term."""
    for i, node in enumerate(formula.values):
        for j, feature in sorted(node.items()):
            if i and feature.part is None:
                yield f"{formula.names[i]}[{j}] = {feature.offset}"
            elif i and feature.offset:
                yield f"{formula.names[i]}[{j}] = {feature.offset} + n{i}_{j}"


def _names(formula: Formula) -> dict[int, list[str]]:
    """Per term the features of the network (inputs apart) that it stands for."""
    names: dict[int, list[str]] = {}
    for i, node in enumerate(formula.values):
        for j, feature in node.items():
            if i and feature.part is not None:
                names.setdefault(feature.part.term, []).append(f"n{i}_{j}")
    return names


def _uses(formula: Formula) -> list[int]:
    """How often every term is used by terms that the assertions need."""
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
