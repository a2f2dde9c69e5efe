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

Floats = NDArray[np.float64]

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
class Refutation:
    """What refutes a node of a search on a network of real numbers.

    Attributes
    ----------
    means : by its name (``Means`` in ``search/proofs/journal.py``)
    weight : of the constraints of the node's case; None where the means needs none
    slope, added : of the features that are open (:attr:`Trace.open`): slopes of lower lines, and multipliers of splits, of at
        least 0; None where the means needs none
    planes : of ``signs``, the number of the planes that stand in the place of chords (:attr:`Trace.planes`, from 1), 0 for none
    pairs : the same of pairs of features (:attr:`Trace.pairs`); what is added at features of theirs that were not split is added to
        the slope of the upper line
    """

    means: str
    weight: Floats | None = None
    slope: Floats | None = None
    added: Floats | None = None
    planes: int = 0
    pairs: int = 0


@dataclass(frozen=True, eq=False)
class Ends:
    """By which slopes ends of ranges of a network of real numbers were bounded.

    Attributes
    ----------
    k : the activation
    feature, upper : ``[N]``, the feature, and whether the upper end
    open : ``[m]``, the features that were open, all activations' one after the other
    slope : ``[N, m]`` float32, of their lower lines
    bound : ``[N]``, of the feature, or of its negative, by them
    """

    k: int
    feature: NDArray[np.int64]
    upper: NDArray[np.bool_]
    open: NDArray[np.int64]
    slope: NDArray[np.float32]
    bound: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DividedEnd:
    """By which parts one end of a range of a network of real numbers was bounded.

    Attributes
    ----------
    k, feature, upper : the activation, the feature, and whether the upper end
    bound : of the end, or of its negative where it is the lower one
    unstable : ``[m]``, the features whose sign was not known, all activations' one after the other
    side : ``[P, m]`` int8, of each part the sides of features that were split, 0 for none
    slope, added : ``[P, m]`` float32, slopes of lower lines and multipliers of splits
    """

    k: int
    feature: int
    upper: bool
    bound: float
    unstable: NDArray[np.int64]
    side: NDArray[np.int8]
    slope: NDArray[np.float32]
    added: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PlanesAbove:
    """Planes above features of one activation of a network of real numbers, in the place of the chords over their ranges.

    Attributes
    ----------
    k, feature : the activation and the features ``[m]``, ascending
    right, left : ``[m]``, of at least 0: prices of the ends of their ranges, by which the planes are as low as they are
    onto : of what they are made: the activation (-1 for the input) and rows, columns and values of a matrix ``[m, n]``
    """

    k: int
    feature: NDArray[np.int64]
    right: Floats
    left: Floats
    onto: tuple[tuple[int, NDArray[np.int64], NDArray[np.int64], Floats], ...]


@dataclass(frozen=True, eq=False)
class PairsBeside:
    """Features of one activation of a network of real numbers that were bounded together, two by two.

    Attributes
    ----------
    k, first, second : the activation and the features ``[P]`` each
    open : ``[m]``, features that were open, all activations' one after the other
    slope : ``[P, 4, m]`` float32, of their lower lines, by which ``a + b``, ``-a - b``, ``a - b``, ``b - a`` were bounded
    bound : ``[P, 4]``, these bounds; infinite where there is none
    """

    k: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    open: NDArray[np.int64]
    slope: NDArray[np.float32]
    bound: Floats


@dataclass(frozen=True, eq=False)
class Trace:
    """The record of the search on one query about a network of real numbers, in plain numbers: what evidence is made from.

    Nobody has to believe it: whoever makes evidence evaluates everything again.

    Attributes
    ----------
    sizes : numbers of features of all activations, which are numbered one activation after the other
    roots : of every case (its position in the query's condition) the node where its search began
    splits : of every node that was split the activation (-1 for the input), the feature, the point, and both halves
    refuted : by what nodes are refuted
    open : where ranges were found, from a node on, the features that these leave open
    ranges : by what ranges were found at nodes, by the name of the last means
    common : by what ranges of the whole box were found, one after the other
    ends, divided : those of them of which it is recorded how, one layer after the other: by slopes, or by splits besides
    box : of every activation both ends ``[n]`` of the ranges of the whole box as CROWN left them; empty where it was not asked
    planes, pairs : sets of planes, and of pairs of features, that hold on the whole box
    """

    sizes: tuple[int, ...]
    roots: Mapping[int, int]
    splits: Mapping[int, tuple[int, int, float, int, int]]
    refuted: Mapping[int, Refutation]
    open: Mapping[int, NDArray[np.int64]]
    ranges: Mapping[int, str]
    common: tuple[str, ...]
    ends: tuple[Ends, ...] = ()
    divided: tuple[DividedEnd, ...] = ()
    box: tuple[tuple[Floats, Floats], ...] = ()
    planes: tuple[tuple[PlanesAbove, ...], ...] = ()
    pairs: tuple[tuple[PairsBeside, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """What :func:`netproof.verify` found.

    Attributes
    ----------
    verdict : the answer
    seconds : time spent on this query (its share, where queries were solved in one batch)
    method : the step that settled it: ``attack``, which is what finds a witness before a search, ``bound`` (at the root), ``search``, ...
    subproblems : how many subproblems were bounded
    witness : the input, where the verdict is ``sat``
    bound : an upper bound on the largest ``coefficients @ y - threshold`` where undecided
    reason : why there is no answer, where there is none
    retryable : there is none because something broke (a solver's process died), not because a limit was reached, so that
        the same question may be decided another time
    proof : where the verdict is ``unsat`` and the settings ask for proofs, the proof's arrays
        (docs/certificates.md), int64 each
    trace : where the verdict is ``unsat`` on a network of real numbers and the settings ask for proofs, the record of the
        search, from which evidence is made
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

    trace: Trace | None = None

    def _repr_html_(self) -> str | None:
        """How notebooks show it; None where they show it as text."""
        return None if self.show is None else self.show(self)

    @property
    def accident(self) -> bool:
        """The former name of :attr:`retryable`."""
        warnings.warn("Result.accident is called Result.retryable now", DeprecationWarning, stacklevel=2)
        return self.retryable
