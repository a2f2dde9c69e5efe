"""What every search on a real network is given, whatever it splits."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from netproof.attack.real import PointAttack
from netproof.bounds.backward import Maximum, box_maximum
from netproof.conditions.conditions import Conditions
from netproof.graph.graph import Graph
from netproof.search.proofs.journal import Journal
from netproof.search.real.touch import Touch


@dataclass(frozen=True, eq=False)
class Problem:
    """Cases to refute on parts of a region, and with what.

    Attributes
    ----------
    graph : float64
    constraints : of all cases, float64
    attack : to try points on; None where witnesses are not looked for
    memory : bytes that open subproblems may occupy
    device : where multipliers are optimized and splits are chosen, in float32; what they give is decided on the CPU, and
        kept there
    touch : decides in rational numbers where a bound is 0, or next to it; None where that is not wanted
    record : where searches record themselves, if anywhere
    maximum : over the inputs that count, for searches over signs
    """

    graph: Graph
    constraints: Conditions
    attack: PointAttack | None
    memory: int
    device: torch.device | str = "cpu"
    touch: Touch | None = None
    record: Journal | None = None
    maximum: Maximum = box_maximum
