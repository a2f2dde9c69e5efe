"""Sets of planes and of pairs that hold on cells of a part, which rows of a certificate name by numbers from 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from netproof.certificate.checker.real.bound import Above, Cells, Evaluation, Floats, Index, Objective, Slopes
from netproof.certificate.checker.real.joint.pairs import pairs_of
from netproof.certificate.checker.real.joint.planes import planes_of
from netproof.certificate.real.contents import PLANES, Integers, Taken
from netproof.errors import ProofError

if TYPE_CHECKING:
    from netproof.certificate.checker.real.tree import Prover


class Sets:
    """The sets so far; ``source`` is how errors call the certificate."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._planes: list[Above] = [{}]
        self._pairs: list[Above] = [{}]

    def named(self, planes: int, pairs: int) -> Above:
        """What a row has that names two sets, by ReLUs, which have either."""
        if not planes < len(self._planes) or not pairs < len(self._pairs):
            raise ProofError(
                self._source, f"a row names {'pairs' if planes < len(self._planes) else 'planes'} that are not there"
            )
        one, other = self._planes[planes], self._pairs[pairs]
        if set(one) & set(other):
            raise ProofError(self._source, "a row names planes and pairs of one ReLU")
        return {**one, **other}

    def refutations(
        self, by: Evaluation, cells: Cells, cell: Index, objective: Objective, slopes: Slopes | None, which: Integers
    ) -> Floats:
        """Upper bounds on the cells given for rows, each by the sets that it names, ``[R, 2]`` of planes and of pairs, 0 for none: ``[R]``."""
        value = np.zeros(len(cell))
        for planes, pairs in np.unique(which, axis=0).tolist():
            some = np.flatnonzero((which == (planes, pairs)).all(1))
            mine = None if slopes is None else slopes.take(some)
            beside = self.named(planes, pairs)
            value[some] = by.refutations(cells, cell[some], objective.take(some), mine, beside)
        return value

    def add(self, rule: int, taken: Taken, prover: Prover, cells: Cells) -> None:
        """Take the next set, made to hold on one cell."""
        if rule == PLANES:
            count, planes = planes_of(taken, prover.evaluation, cells, self._source)
            self._planes.append(planes)
            prover.counts.planes += count
        else:
            count, pairs = pairs_of(taken, prover, cells, self._source)
            self._pairs.append(pairs)
            prover.counts.pairs += count
