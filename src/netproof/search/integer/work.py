"""When a search stops for attacks: after so much work, not after so much time, so that it takes the same way in every run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from netproof.effort.integer import INTEGER, INTEGER_ATTACK


@dataclass(frozen=True)
class AlignmentLength:
    """Steps of an alignment, and in how many of them staircases would harden."""

    steps: int
    hardening: int


@dataclass
class Work:
    """What a search has done beyond its root, in subproblems or what takes about as long.

    Attributes
    ----------
    enveloped : whether subproblems are bounded by envelopes, and so take several times as long
    attacked : whether attacks were made before the search
    root : subproblems that were bounded before
    aligned, dived : work of alignments and of dives
    rounds : alignments
    first_dive : subproblems after which dives begin
    tried, closed : subproblems that envelopes were used on after linear programs, and what they closed, since they were last judged
    gained : by how much their bounds were smaller than the programs' there, all together
    """

    enveloped: bool
    attacked: bool = False
    root: int = 0
    aligned: float = 0.0
    dived: float = 0.0
    rounds: int = 0
    first_dive: float = math.inf
    tried: int = 0
    closed: int = 0
    gained: float = 0.0

    @property
    def next_alignment(self) -> AlignmentLength:
        """In turns one that ends while staircases are soft, at half the pace, and one until they are hard; up to a limit the next two are
        twice as long."""
        again, number = divmod(self.rounds, 2)
        whole = INTEGER_ATTACK.align_steps << min(again, INTEGER_ATTACK.align_doublings)
        hardening = whole if number else 2 * whole
        steps = hardening if number else int(INTEGER_ATTACK.align_soft * hardening)
        return AlignmentLength(steps, hardening)

    @property
    def until_restart(self) -> int:
        """Subproblems of a case after which its search begins anew."""
        return INTEGER.restart // 2 if self.enveloped else INTEGER.restart

    def is_time_to_align(self, count: int) -> bool:
        """Whether, with ``count`` subproblems bounded, alignments would not have had more than these by then, or little more."""
        ahead = INTEGER.ahead_with_envelopes if self.enveloped else INTEGER.ahead
        if self.attacked:
            ahead = -INTEGER.behind
        return count - self.root + ahead >= self.aligned + self._worth(self.next_alignment.steps)

    def align(self) -> AlignmentLength:
        """Note that the next alignment begins."""
        length = self.next_alignment
        self.aligned += self._worth(length.steps)
        self.rounds += 1
        return length

    def is_time_to_dive(self, count: int, share: float) -> bool:
        """Whether, with ``count`` subproblems bounded, dives have not had their share of all work."""
        done = count - self.root
        return done >= self.first_dive and self.dived < share * (done + self.aligned + self.dived)

    def dive(self) -> None:
        """Note that a dive goes one level down."""
        self.dived += INTEGER.level_with_envelopes if self.enveloped else INTEGER.level

    def compare(self, programs: Tensor, envelopes: Tensor, left: int) -> None:
        """Take in the bounds of subproblems, ``[B]``, by linear programs and then by envelopes, which leave so many open.

        Where nearly all stay open, at bounds that are no smaller, the next batches are bounded without envelopes: on
        4-bit networks at small radii, and where ranges have been cut often, they take three quarters of the work in vain.
        """
        self.tried += len(programs)
        self.closed += len(programs) - left
        self.gained += float((programs - envelopes).sum())
        if self.tried >= INTEGER.judged:
            if self.closed < INTEGER.least_closed * self.tried and self.gained <= 0:
                self.enveloped = False
            self.tried, self.closed, self.gained = 0, 0, 0.0

    def _worth(self, steps: int) -> float:
        return steps / (INTEGER.steps_with_envelopes if self.enveloped else INTEGER.steps)
