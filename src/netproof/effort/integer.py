"""How much work searches of integer networks and their attacks are worth; see :mod:`netproof.effort`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from netproof.graph.budget import Budget


@dataclass(frozen=True)
class Effort:
    """How much work a subproblem of an integer network is worth; the same for every network.

    Attributes
    ----------
    root_steps : first-order steps at the root
    steps : first-order steps in a subproblem where there is no interior point solver
    iterations : interior point iterations for what first-order steps leave open
    batch : subproblems bounded at once
    look_ahead : candidate splits tried out where there is no interior point solver
    attacked : whether the attacks that come first have been made, in vain, so that a proof is what is likely, and a long one
    """

    root_steps: int = 20
    steps: int = 20
    iterations: int = 20
    batch: int = 64
    look_ahead: int = 8
    attacked: bool = False


@dataclass(frozen=True)
class IntegerEffort:
    """The search on an integer network (:mod:`netproof.search.integer.engine`, :mod:`netproof.search.integer.decide`).

    Attributes
    ----------
    root_rows : output cases bounded at once at the root
    goal : a bound this far below 0 in floating point is worth the exact evaluation
    ahead, ahead_with_envelopes : subproblems that alignments may be ahead of the search, which they otherwise follow; with envelopes
        the first comes after eight, the second where most proofs have ended
    behind : subproblems that alignments stay behind the search where attacks were made before it: most proofs have ended by then
    steps, steps_with_envelopes : of alignment that take about as long as a subproblem, without envelopes and with them
    level, level_with_envelopes : subproblems that take about as long as a level of a dive
    long : subproblems after which a search on a box of few points is ended by evaluating all of them
    dive_from : a dive begins where this many times as many subproblems are open as it takes: the best of them say something
    restart : subproblems of a case after which its search begins anew with tighter ranges; half as many with envelopes, as each
        takes longer
    first_dive : subproblems beyond the root after which dives begin, without waiting for a restart, where there are envelopes:
        subproblems are few then
    enveloped : activations of a graph, the output's included, up to which subproblems are bounded by envelopes of the first
    parts : into how many subproblems those that are bounded at once are split together, at least, where there are envelopes
    judged, least_closed : subproblems after which envelopes are judged beside linear programs, again and again, and the share that they
        have to close
    programs_from : subproblems after which linear programs, where there are any, are tried although no attack begins at their points
    bounded, tensors : what subproblems that are bounded at a time may keep in memory, and how many tensors of all nodes each takes:
        ranges, hulls, multipliers, and what they are improved with
    """

    root_rows: int = 1024
    goal: float = -0.01
    ahead: float = 20
    ahead_with_envelopes: float = 44
    behind: float = 150
    steps: int = 4
    steps_with_envelopes: int = 12
    level: float = 16
    level_with_envelopes: float = 4
    long: int = 128
    dive_from: int = 4
    restart: int = 256
    first_dive: float = 48
    enveloped: int = 3
    parts: int = 8
    judged: int = 64
    least_closed: float = 0.05
    programs_from: int = 64
    bounded: Budget = Budget(256 << 20, whole=True)
    tensors: int = 24


@dataclass(frozen=True)
class HalvesEffort:
    """Halving boxes of few inputs (:mod:`netproof.search.integer.boxes`).

    Attributes
    ----------
    inputs, features : free inputs at the most, and features of activations at the least
    rows : boxes that are bounded at once
    look : the share of the time from which on it is asked whether enough has been refuted to go on: the square of the share that is spent
    replayed : points that are looked at for a witness, of each batch
    width : what the width of an input counts beside its share of the bound
    """

    inputs: int = 64
    features: int = 4096
    rows: int = 32
    look: float = 0.1
    replayed: int = 4
    width: float = 1e-9


@dataclass(frozen=True)
class DiveEffort:
    """Dives (:mod:`netproof.search.integer.dive`).

    Attributes
    ----------
    beam : subproblems kept at each level
    most_cuts : ranges cut at once, at most
    paces : steps left undecided per cut; one dive after the other takes the next
    most, least : the largest and the smallest share of a search's work that dives may take
    descent_every : levels from one descent to the next
    """

    beam: int = 8
    most_cuts: int = 20
    paces: tuple[float, ...] = (32.0, 64.0, 128.0)
    most: float = 0.3
    least: float = 0.05
    descent_every: int = 4


@dataclass(frozen=True)
class IntegerAttackEffort:
    """Attacks on integer networks (:mod:`netproof.search.integer.attacks`, ``attack/align.py``, ``attack/lattice.py``).

    Attributes
    ----------
    starts_per_case, most_starts : starting points of the attack that goes from corner to corner
    sign_widths : how wide slopes are at first, in steps of an activation; one walk after the other takes the next
    sign_narrow : the share of a walk after which they are as they are
    sign_first, sign_last : the length of a step, in parts of the box, at first and what is left of it at the end; one grey level at least
    settled, settle_rounds : inputs that settle pre-activations, and rounds of least squares
    settle_floor, settle_slack : inputs that are worth nothing move as if they were worth this share of the mean, and how much neurons may miss
        their thresholds
    settle_margin : what rounding the inputs may move a pre-activation by, in lengths of an input's column
    corners, corner_tensors : what a step of it may keep in memory, and how many tensors of all nodes that is for each: their
        values, what they are handed, slopes
    replayed : and what replaying points may
    align_starts, align_chains : distinct corners that alignment starts from, and chains it runs
    align_steps, align_doublings : annealing steps until staircases are hard, at first, and how often later rounds have twice as many
    align_soft : every other round hardens at half the pace, and ends after this share: most witnesses are found early, and the slower the more
    roundings, descents, descent_steps : roundings of each real point, points to descend from, and steps
    temperatures : one chain in so many runs at each; which one finds a witness depends on the network
    proposals : of a chain, in each step
    whole : an input this close to a whole number is simply rounded, in grey levels
    tenure : steps for which an input does not step back
    """

    starts_per_case: int = 32
    most_starts: int = 512
    sign_widths: tuple[float, ...] = (20.0, 60.0, 6.0)
    sign_narrow: float = 0.7
    sign_first: float = 0.5
    sign_last: float = 0.05
    settled: int = 200
    settle_rounds: int = 12
    settle_floor: float = 0.3
    settle_slack: float = 600.0
    settle_margin: float = 0.33
    corners: Budget = Budget(384 << 20, whole=True, size=4)
    corner_tensors: int = 3
    replayed: Budget = Budget(256 << 20, whole=True)
    align_starts: int = 8
    align_chains: int = 32
    align_steps: int = 1000
    align_doublings: int = 2
    align_soft: float = 0.3
    roundings: int = 4
    descents: int = 4
    descent_steps: int = 40
    temperatures: tuple[float, ...] = (0.005, 0.02, 0.1, 0.3)
    proposals: int = 48
    whole: float = 0.02
    tenure: int = 10


@dataclass(frozen=True)
class AnnealEffort:
    """Annealing as a compiled loop (:mod:`netproof.attack.annealing`).

    Attributes
    ----------
    stages : of a chain, in which hardness and temperature are the same; time is looked at after each
    hottest, coldest : temperatures, in units of the last accumulators
    near : a point whose deficiency by softer steps is no more is looked at as it is
    lengths : proposals of the chains that follow one another, and how near the one before has to have come; the first are towards
        so many ``cases``, the others towards the one that came nearest
    cases : that the first chains go towards
    of_a_step : proposals that take as long as a step of an alignment with tensors
    most_neurons, most_layers, most_weight, largest : of what is annealed; more takes longer than tensors, or does not fit
    """

    stages: int = 50
    hottest: float = 1.0
    coldest: float = 0.003
    near: float = 3.0
    lengths: tuple[tuple[int, float], ...] = (
        (200_000, math.inf),
        (1_000_000, 40.0),
        (4_000_000, 16.0),
    )
    cases: int = 2
    of_a_step: int = 3000
    most_neurons: int = 256
    most_layers: int = 4
    most_weight: float = 2.0**15
    largest: int = 1 << 22


@dataclass(frozen=True)
class OrderEffort:
    """Conditions on the order of outputs of one staircase (:mod:`netproof.conditions.order`).

    Attributes
    ----------
    price : of a range of an output to start multipliers from, relative to the difference of the two pre-activations; with prices
        two Fashion-MNIST queries took 33 and 561 subproblems that were open after 43,000 (docs/experiments.md)
    directions : weights of rival and label in an attack's objective; different starts take different ones in turns
    """

    price: float = 8.0
    directions: tuple[tuple[float, float], ...] = (
        *((1.0, 1.0),) * 4,
        (1.0, 0.5),
        (0.5, 1.0),
        (1.0, 0.0),
        (0.0, 1.0),
    )


@dataclass(frozen=True)
class BranchingEffort:
    """Scores of splits at the point of a linear program (:mod:`netproof.search.branching`).

    Attributes
    ----------
    move : weight of the way a pre-activation has to move
    larger : weight of the better half
    """

    move: float = 0.5
    larger: float = 0.1


@dataclass(frozen=True)
class ApproachEffort:
    """Sign walks and settled points (:mod:`netproof.attack.approach`).

    Attributes
    ----------
    cases, first_steps : conjunctions that are gone after, and steps of the short walks that choose them
    starts, steps : walks towards each, and their steps
    kept : walks whose ends are settled, and that go on to smaller radii
    shrunk, radii : witnesses that are moved towards the image, and to how many radii at a time: to all of 8-bit images
    """

    cases: int = 9
    first_steps: int = 12
    starts: int = 8
    steps: int = 40
    kept: int = 24
    shrunk: int = 8
    radii: int = 256


INTEGER = IntegerEffort()
HALVES = HalvesEffort()
DIVE = DiveEffort()
INTEGER_ATTACK = IntegerAttackEffort()
ANNEAL = AnnealEffort()
APPROACH = ApproachEffort()
ORDER = OrderEffort()
BRANCHING = BranchingEffort()
