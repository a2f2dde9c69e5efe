"""One question cut into pieces: boxes that cover its boxes, cut again where one takes long.

The way is that of H. Wu et al., "Parallelization Techniques for Verifying Neural Networks", FMCAD 2020: a piece gets a share of
time, and where that does not suffice it is halved, and its halves get half as much again. A question is refuted where all of its
pieces are, and one witness in one piece answers it.

Nothing here knows who decides a piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from netproof.graph.graph import Arithmetic
from netproof.query import Query, Question
from netproof.result import Result, Verdict

#: seconds that a piece gets at first, and how much more its halves get
_SHARE, _GROWTH = 2.0, 1.5


@dataclass(frozen=True, eq=False)
class Piece:
    """A box within one box of a question.

    Attributes
    ----------
    part : which box of the question
    lower, upper : ``[n_input]``, ends included
    cuts : how often it was cut
    """

    part: int
    lower: Tensor
    upper: Tensor
    cuts: int = 0

    @property
    def share(self) -> float:
        """Seconds that deciding it may take before it is cut."""
        return float(_SHARE * _GROWTH**self.cuts)

    def of(self, question: Question) -> Query:
        """What is asked about this piece: the question about its box, and no other."""
        return replace(question.parts[self.part], lower=self.lower, upper=self.upper)

    def halves(self, whole: Query) -> tuple[Piece, Piece] | None:
        """Two pieces that cover this one, cut where its box is widest as compared with the whole one; None for a point.

        Over the integers the halves have no input in common, over the real numbers the cut itself.
        """
        reach = whole.upper - whole.lower
        relative = torch.where(
            reach > 0, (self.upper - self.lower) / reach.clamp(min=torch.finfo(reach.dtype).tiny), -1.0
        )
        for place in relative.argsort(descending=True, stable=True).tolist():
            low, high = float(self.lower[place]), float(self.upper[place])
            middle = low + (high - low) / 2
            if whole.network.graph.arithmetic is Arithmetic.INTEGER:
                middle, beyond = float(int(middle // 1)), float(int(middle // 1)) + 1
                if not low <= middle < high:
                    continue
            else:
                beyond = middle
                if not low < middle < high:
                    continue
            upper, lower = self.upper.clone(), self.lower.clone()
            upper[place], lower[place] = middle, beyond
            return (
                replace(self, upper=upper, cuts=self.cuts + 1),
                replace(self, lower=lower, cuts=self.cuts + 1),
            )
        return None


class Pieces:
    """What is known of a question, piece by piece.

    Attributes
    ----------
    answer : the verdict, and what it rests on, as soon as it is known: a witness, or that every piece is refuted
    open : how many pieces are handed out
    refuted : how many are
    subproblems : of all answers together
    """

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answer: Result | None = None
        self.open = self.refuted = self.subproblems = 0
        self._failed: Result | None = None

    def first(self, wanted: int) -> list[Piece]:
        """The pieces to begin with: as many as are wanted, or a few more, unless there are no more inputs."""
        found = [Piece(place, query.lower, query.upper) for place, query in enumerate(self.question.parts)]
        while len(found) < wanted:
            cut = [piece.halves(self.question.parts[piece.part]) or (piece,) for piece in found]
            if all(len(parts) == 1 for parts in cut):
                break
            # Cutting to have something for everyone is no reason to let any of them take longer.
            found = [replace(part, cuts=0) for parts in cut for part in parts]
        self.open = len(found)
        return found

    def decided(self, piece: Piece, result: Result) -> Sequence[Piece]:
        """Take the answer about a piece that was handed out; the pieces to hand out for it."""
        self.subproblems += result.subproblems
        self.open -= 1
        if self.answer is not None:
            return ()
        if result.verdict is Verdict.UNSAT:
            self.refuted += 1
        elif result.verdict in (Verdict.SAT, Verdict.MISCLASSIFIED):
            self.answer = replace(result, part=piece.part)
        else:
            halves = piece.halves(self.question.parts[piece.part]) if result.verdict is Verdict.TIMEOUT else None
            if halves is not None:
                self.open += 2
                return halves
            self._failed = self._failed or result
        if not self.open and self.answer is None:
            self.answer = self._failed or Result(Verdict.UNSAT, 0.0, "search")
        return ()
