"""What trees of a certificate are grown of: nodes, what is claimed there, and what they are grown with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.certificate.checker.real.bound import Cells, Evaluation, Floats
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.real.contents import EMPTY, Integers
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.program import Programs
from netproof.certificate.real.grown.rows import RowTable, Wish
from netproof.result import Refutation


@dataclass(eq=False)
class Claim:
    """That a goal is refuted somewhere.

    Attributes
    ----------
    goal, trace : which, and the node of the search's record, None beyond it
    last : what the record says of the node that it comes from
    row : which closes it, -1 until one does
    wish, found : what comes next to refuting it, and what arrives by that at every feature and is handed on
    """

    goal: int
    trace: int | None
    last: Refutation | None = None
    row: int = -1
    wish: Wish | None = None
    found: tuple[NDArray[Any], NDArray[Any]] | None = None


@dataclass(eq=False)
class Seed:
    """A node to be grown.

    Attributes
    ----------
    claims : of all goals that are refuted there
    open : the features that were open there when ranges were last found
    sides : the features that were split since, 1 for the upper half and -1 for the lower one
    beyond : how often it was split without the record
    kind, rule, split, children : what becomes of it
    """

    claims: list[Claim]
    open: Integers
    sides: dict[int, int]
    beyond: int = 0
    kind: int = EMPTY
    rule: int = 0
    split: tuple[int, int, float] | None = None
    children: tuple[Seed, Seed] | None = None


@dataclass(frozen=True, eq=False)
class Places:
    """Of every weight in a record at which of its goal's constraints it is, and by what the search multiplied that; or that the
    goal is an end of a range, of which there is nothing to be weighed."""

    place: Integers
    scale: Floats
    is_end: bool = False

    def weights(self, recorded: Floats) -> Floats:
        """Weights of the goal's constraints, all of them together."""
        weight = np.zeros(int(self.place.max()) + 1)
        count = min(len(recorded), len(self.place))
        np.add.at(weight, self.place[:count], recorded[:count] * self.scale[:count])
        return weight


@dataclass(frozen=True)
class Limits:
    """What growing may cost.

    Attributes
    ----------
    each : how many cells of every goal are split beyond the record before it is given up for itself, and put into ``failed``;
        None where all of them have to be refuted
    most : how many cells are split beyond the record before all is given up
    hands_down : whether inner nodes of the record have ranges by its rule, where it found some, which all below begin with
    """

    each: int | None = None
    most: int | None = None
    hands_down: bool = False


NO_LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Maker:
    """What trees are grown with: the network in float64, which looks at the deadline, the rows so far and how many weights they
    have, the deadline, linear programs of the network's cells, and sets of planes and pairs that rows name."""

    evaluation: Evaluation
    table: RowTable
    width: int
    deadline: Deadline
    programs: Programs | None = None
    sets: Sets | None = None

    @property
    def source(self) -> str:
        """How errors call what was asked."""
        return self.deadline.source


def put(cells: Cells, at: NDArray[np.int64], part: Cells) -> None:
    """Put ranges in the place of those of some cells."""
    for mine, ends in ((cells.low, part.low), (cells.high, part.high)):
        for x, other in zip(mine, ends, strict=True):
            x[at] = other


def joined(cells: Cells) -> tuple[Floats, Floats]:
    """Both ends of the ranges of all ReLUs, one after the other: ``[C, features]``."""
    none = np.zeros((len(cells), 0))
    return np.concatenate([none, *cells.low], 1), np.concatenate([none, *cells.high], 1)
