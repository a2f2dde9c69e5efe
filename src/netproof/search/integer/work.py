"""When a search stops for attacks: after so much work, not after so much time, so that it takes the same way in every run."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    """

    enveloped: bool
    attacked: bool = False
    root: int = 0
    aligned: float = 0.0
    dived: float = 0.0
    rounds: int = 0
    first_dive: float = math.inf

    @property
    def next_alignment(self) -> AlignmentLength:
        """In turns one that ends while staircases are soft, at half the pace, and one until they are hard; up to a limit the next two are
        twice as long."""
        again, number = divmod(self.rounds, 2)
        whole = INTEGER_ATTACK.align_steps << min(again, INTEGER_ATTACK.align_doublings)
        hardening = whole if number else 2 * whole
        steps = hardening if number else int(INTEGER_ATTACK.align_soft * hardening)
        return AlignmentLength(steps, hardening)

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

    def _worth(self, steps: int) -> float:
        return steps / (INTEGER.steps_with_envelopes if self.enveloped else INTEGER.steps)
