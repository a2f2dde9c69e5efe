"""When a search stops for attacks: after so much work, not after so much time, so that it takes the same way in every run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netproof.effort.integer import INTEGER, INTEGER_ATTACK


@dataclass
class Work:
    """What a search has done beyond its root, in subproblems or what takes about as long.

    Attributes
    ----------
    enveloped : whether subproblems are bounded by envelopes, and so take several times as long
    root : subproblems that were bounded before
    aligned, dived : work of alignments and of dives
    rounds : alignments
    first_dive : subproblems after which dives begin
    """

    enveloped: bool
    root: int = 0
    aligned: float = 0.0
    dived: float = 0.0
    rounds: int = 0
    first_dive: float = math.inf

    @property
    def alignment_steps(self) -> int:
        """Steps of the next alignment: the first is short, and each later one twice as long as the last, up to a limit."""
        return INTEGER_ATTACK.align_steps << min(self.rounds, INTEGER_ATTACK.align_doublings)

    def is_time_to_align(self, count: int) -> bool:
        """Whether, with ``count`` subproblems bounded, alignments have not had more than their part of the work."""
        done = count - self.root
        return done >= INTEGER.first_alignment and done >= self.aligned + self._worth(self.alignment_steps)

    def align(self) -> int:
        """Note that an alignment begins; its steps."""
        steps = self.alignment_steps
        self.aligned += self._worth(steps)
        self.rounds += 1
        return steps

    def is_time_to_dive(self, count: int, share: float) -> bool:
        """Whether, with ``count`` subproblems bounded, dives have not had their share of all work."""
        done = count - self.root
        return done >= self.first_dive and self.dived < share * (done + self.aligned + self.dived)

    def dive(self) -> None:
        """Note that a dive goes one level down."""
        self.dived += INTEGER.level_with_envelopes if self.enveloped else INTEGER.level

    def _worth(self, steps: int) -> float:
        return steps / (INTEGER.steps_with_envelopes if self.enveloped else INTEGER.steps)
