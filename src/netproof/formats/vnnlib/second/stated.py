"""What a witness of a VNN-LIB 2.0 query is held to: the query itself, every network's values taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from netproof.formats.vnnlib.second.declarations import Comparison, Connective, Formula, Kind, Statement
from netproof.formats.vnnlib.second.types import is_number_of, rounded


@dataclass(frozen=True, eq=False)
class StatedQuery:
    """A query as a predicate on the inputs of the joined network and on what its models give.

    Parameters
    ----------
    statement : the query
    number : for every element, which of the network's inputs it is; -1 for hidden values and outputs
    arithmetic : the float type that the answer is about, or ``real``. Of a float type the inputs have to be numbers, and
        the formulas have to hold both with the decimals that are written and with these rounded to the type, because the
        standard does not say which of the two is compared
    """

    statement: Statement
    number: Sequence[int]
    arithmetic: str
    _rounded: tuple[Formula, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        real = self.arithmetic == "real"
        formulas = () if real else tuple(_rounded(f, self.arithmetic) for f in self.statement.formulas)
        object.__setattr__(self, "_rounded", formulas)

    def values(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> list[Fraction]:
        """The value of every element of the query."""
        values = [x[i] if i >= 0 else Fraction(0) for i in self.number]
        start = 0
        for variable in self.statement.variables:
            if variable.kind is not Kind.INPUT:
                values[variable.first : variable.first + variable.size] = y[start : start + variable.size]
                start += variable.size
        if start != len(y):
            raise ValueError(f"{len(y)} values of models, the query has {start}")
        return values

    def holds(self, x: Sequence[Fraction], y: Sequence[Fraction]) -> bool:
        """Whether inputs and what the models give for them are an answer."""
        values = self.values(x, y)
        for variable in self.statement.variables:
            if variable.kind is Kind.INPUT and variable.type != "real":
                mine = values[variable.first : variable.first + variable.size]
                if not all(is_number_of(variable.type, value) for value in mine):
                    return False
        return self.statement.holds(values) and all(formula.holds(values) for formula in self._rounded)


def _rounded(formula: Formula, arithmetic: str) -> Formula:
    if isinstance(formula, Connective):
        return Connective(formula.any, tuple(_rounded(part, arithmetic) for part in formula.parts))
    polynomial = {m: rounded(arithmetic, c) for m, c in formula.polynomial.items()}
    return Comparison(polynomial, formula.strict, formula.at)
