"""Answers: verdict, witness, cost."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from netproof.query import Query


class Verdict(str, Enum):
    """The answer to a query; :attr:`for_robustness` gives the same in the words of local robustness."""

    SAT = "sat"
    UNSAT = "unsat"
    MISCLASSIFIED = "misclassified"
    UNKNOWN = "unknown"
    TIMEOUT = "timeout"
    ERROR = "error"

    @property
    def for_robustness(self) -> str:
        return {"sat": "vulnerable", "unsat": "robust"}.get(self.value, self.value)

    @property
    def decided(self) -> bool:
        return self in (Verdict.SAT, Verdict.UNSAT, Verdict.MISCLASSIFIED)


@dataclass(frozen=True, eq=False)
class Witness:
    """An input that meets the condition, replayed exactly before it is reported.

    ``input`` is ``[n_input]`` and ``output`` ``[n_output]``, both int64 for integer networks and float32 for real ones.
    ``exact`` is the input of a real query as exact numbers; it is ``input`` but where the box holds no float32 value,
    and there ``input`` has the nearest one.
    """

    input: Tensor
    output: Tensor
    exact: tuple[Fraction, ...] = ()

    @property
    def numbers(self) -> tuple[Fraction, ...]:
        """The input, exactly."""
        return self.exact or tuple(Fraction(value) for value in self.input.tolist())

    @property
    def output_numbers(self) -> tuple[Fraction, ...]:
        """The output, exactly."""
        return tuple(Fraction(value) for value in self.output.tolist())


@dataclass(frozen=True, eq=False)
class Result:
    """What :func:`netproof.verify` found.

    Attributes
    ----------
    verdict : the answer
    seconds : time spent on this query (its share, where queries were solved in one batch)
    method : the step that settled it: ``attack``, ``bound`` (at the root), ``search``, ...
    subproblems : how many subproblems were bounded
    witness : the input, where the verdict is ``sat``
    bound : an upper bound on the largest ``coefficients @ y - threshold`` where undecided
    reason : why there is no answer, where there is none
    retryable : there is none because something broke (a solver's process died), not because a limit was reached, so that
        the same question may be decided another time
    proof : where the verdict is ``unsat`` and the settings ask for proofs, the proof's arrays
        (docs/certificates.md), int64 each
    part : of a question with several parts, the position of the one that ``witness`` belongs to
    parts : of a question with several parts that is ``unsat``, and where the settings ask for proofs, the results of all
    asked, show : the query, where it was asked by itself, and what makes HTML of the result for notebooks
    """

    verdict: Verdict
    seconds: float
    method: str
    subproblems: int = 0
    witness: Witness | None = None
    bound: float | None = None
    reason: str = ""
    proof: Mapping[str, NDArray[np.int64]] | None = None
    retryable: bool = False
    part: int = 0
    parts: tuple[Result, ...] = ()
    asked: Query | None = field(default=None, repr=False)
    show: Callable[[Result], str] | None = field(default=None, repr=False)

    def _repr_html_(self) -> str | None:
        """How notebooks show it; None where they show it as text."""
        return None if self.show is None else self.show(self)

    @property
    def accident(self) -> bool:
        """The former name of :attr:`retryable`."""
        warnings.warn("Result.accident is called Result.retryable now", DeprecationWarning, stacklevel=2)
        return self.retryable
