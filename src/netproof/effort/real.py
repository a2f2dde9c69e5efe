"""How much work searches of networks over the real numbers and their attacks are worth; see :mod:`netproof.effort`."""

from __future__ import annotations

from dataclasses import dataclass

from netproof.graph.budget import Budget


@dataclass(frozen=True)
class RealEffort:
    """Queries on real networks (:mod:`netproof.search.real.decide`).

    Attributes
    ----------
    quick, long : restarts and steps of the attack before anything else, and of the one on what the root leaves open
    nearest : cases on which the long one comes before anything else as well, where a network has signs
    few_inputs : with at most so many inputs that vary, the box is split
    boxes_first : of a network that is small enough for linear programs of all subproblems, signs are split where so many boxes have
        not closed a good part
    some_inputs, many_features, share_of_boxes : with at most so many inputs and more than so many unstable features too, for
        this share of the time unless that closes a good part of the box
    least_memory : bytes that open subproblems may occupy in any case
    cropped_from, cropped : a graph of so many numbers is cut down to what its outputs asked about depend on, where that is at
        most this share of it
    """

    quick: tuple[int, int] = (4, 20)
    long: tuple[int, int] = (20, 60)
    nearest: int = 2
    few_inputs: int = 8
    boxes_first: int = 4096
    some_inputs: int = 64
    many_features: int = 400
    share_of_boxes: float = 0.5
    least_memory: int = 1 << 20
    cropped_from: int = 1 << 16
    cropped: float = 0.75


@dataclass(frozen=True)
class BoxEffort:
    """Splits of the input box (:mod:`netproof.search.real.input_split`).

    Attributes
    ----------
    bounded, refined, refined_features : what one batch of boxes may occupy: where constraints are bounded, and where both
        ends of ranges are, of at most so many features
    most_features : a box with more unstable features is split at once, to begin with
    formed : boxes after which those get ranges of their own, where less than ``worth`` is closed by then
    few_inputs : with at most so many inputs that vary, only where that costs less than halving
    look_ahead : inputs that are tried out for a split
    worth : the share of the region that has to be closed for boxes to be worth more time
    narrow : boxes narrower than this share of their magnitude are not split any more
    touches, touched : bounds up to so much, relative to thresholds, may be 0 but for rounding; so many boxes of a batch are
        looked at
    negligible : what the account of rounding may add to a bound, in parts of it, for the whole region's to be used on parts
    """

    bounded: Budget = Budget(24 << 20)
    refined: Budget = Budget(24 << 20, least=4, most=2048)
    refined_features: int = 64
    few_inputs: int = 8
    most_features: int = 400
    formed: int = 64
    look_ahead: int = 5
    worth: float = 0.25
    narrow: float = 1e-11
    touches: float = 1e-9
    touched: int = 16
    negligible: float = 1e-8


@dataclass(frozen=True)
class ChainEffort:
    """Splits of the input box of networks side by side that are chains (:mod:`netproof.search.real.chains`).

    Attributes
    ----------
    least : how many networks there are at the least
    widest : features that a layer has at the most, filled up to a multiple of 8
    boxes : that can be open, and so how often a box is split at the most
    at_once, seconds : boxes of one call at the most; a call that takes longer than so many seconds is not made longer
    worth : the share of the region that has to be closed for boxes to be worth more time, where that is asked
    narrow : boxes narrower than this share of their magnitude are not split any more
    near : a point that lacks no more than this is worth a replay
    compiling : seconds that have to be left where the loop is not compiled yet, which takes a third of that
    """

    least: int = 2
    widest: int = 128
    boxes: int = 160
    at_once: int = 256
    seconds: float = 0.1
    worth: float = 0.25
    narrow: float = 1e-11
    near: float = 1e-7
    compiling: float = 20.0


@dataclass(frozen=True)
class BoxesEffort:
    """Many boxes at once (:mod:`netproof.search.real.together`).

    Attributes
    ----------
    batch, tensors : what one batch may occupy, and tensors of the largest node that each box needs
    few_inputs : with at most so many that vary, linear forms tell more than they cost, and boxes are split
    depth, parts : a box is split so often at most, and given up with more parts left
    """

    few_inputs: int = 16
    depth: int = 16
    parts: int = 32
    batch: Budget = Budget(64 << 20, most=512)
    tensors: int = 128


@dataclass(frozen=True)
class RangeEffort:
    """Splits of ranges (:mod:`netproof.search.real.range_split`).

    Attributes
    ----------
    root_steps, steps : on multipliers, at the root and in a subproblem
    lines_share : the share of the time that ranges by lines may take, before anything is split
    weight_steps : on weights of constraints
    look_ahead : candidate splits tried out per subproblem
    look_ahead_coupled : on networks with products so many by gaps, and so many by heights
    batch, tensors : what one batch may occupy, and how many tensors of all features each row needs
    """

    root_steps: int = 60
    steps: int = 25
    lines_share: float = 0.7
    weight_steps: int = 12
    look_ahead: int = 4
    look_ahead_coupled: tuple[int, int] = (2, 2)
    batch: Budget = Budget(128 << 20, least=2, most=128, whole=True)
    tensors: int = 40


@dataclass(frozen=True)
class SignEffort:
    """Splits of signs (:mod:`netproof.search.real.relu_split`).

    Attributes
    ----------
    root_steps, steps : on multipliers, at the root and in a subproblem
    polished, polish : every so many splits a subproblem gets more steps, and how many
    look_ahead : candidate splits tried out per subproblem
    batch, tensors : what one batch may occupy, and tensors of the largest node that each row needs
    judged : a search is judged after so many subproblems for each case
    patience : and so many times its time of grace is what it is judged by to begin with
    leaf_rounds : rounds of optimization that a subproblem with nothing left to split gets before its linear program is solved
    """

    root_steps: int = 40
    steps: int = 2
    polished: int = 8
    polish: int = 20
    look_ahead: int = 3
    batch: Budget = Budget(256 << 20, least=4, most=256)
    tensors: int = 12
    judged: int = 64
    patience: float = 4.0
    leaf_rounds: int = 2


@dataclass(frozen=True)
class LoopEffort:
    """Compiled loops for bounds by signs (:mod:`netproof.bounds.loops`).

    Attributes
    ----------
    loading, compiling : seconds that there have to be left for loops that are kept, and for those that have to be compiled first
    """

    loading: float = 8.0
    compiling: float = 40.0


@dataclass(frozen=True)
class LeafEffort:
    """Linear programs of leaves (:mod:`netproof.search.real.programs.leaf`).

    Attributes
    ----------
    largest_program : numbers in the matrix of a program that is still written down
    rows : rows that are passed back at once
    tolerance : by how much HiGHS may miss a row or a reduced cost; the least that it takes is 1e-10
    within : how far below 0 a program may end that shows nothing, of the largest values that constraints and splits can have
    seconds : the longest that one program may take
    memory : bytes that the solver may occupy at most
    failures : how often the solver may fail before it is not asked any more
    """

    largest_program: int = 1 << 22
    rows: int = 256
    tolerance: float = 1e-9
    within: float = 1e-8
    seconds: float = 10.0
    memory: int = 1 << 30
    failures: int = 2


@dataclass(frozen=True)
class ProgramEffort:
    """Linear programs of all subproblems (:mod:`netproof.search.real.programs.split`), on small networks.

    Attributes
    ----------
    most_features, most_goals, largest_program : open features, constraints of all cases, and numbers of a program that are still
        few enough
    look_ahead : features that are tried out for a split
    at_once : subproblems whose halves are bounded together
    tolerance : by how much HiGHS may miss a row or a reduced cost
    seconds : the longest that the programs of one step may take
    """

    most_features: int = 160
    most_goals: int = 64
    largest_program: int = 1 << 15
    look_ahead: int = 10
    at_once: int = 8
    tolerance: float = 1e-8
    seconds: float = 10.0


@dataclass(frozen=True)
class TouchEffort:
    """Strict constraints in rational numbers (:mod:`netproof.search.real.touch`).

    Attributes
    ----------
    seconds, share : the most that one call takes, and the share of the time: what touches nothing is for the search
    bends : that are split where bounds do not tell, at most: up to 2 to that many linear programs
    """

    seconds: float = 5.0
    share: float = 0.05
    bends: int = 6


@dataclass(frozen=True)
class TableEffort:
    """Tables, case by case (:mod:`netproof.search.real.tables`).

    Attributes
    ----------
    places : of one question, at most
    least_share : seconds that each row gets, if there are any left
    """

    places: int = 1 << 14
    least_share: float = 1.0


@dataclass(frozen=True)
class RoundEffort:
    """Rounds of searches and better ranges (:mod:`netproof.search.real.rounds`), chosen on ``oval21``, ``cifar10_resnet``,
    ``mnist_fc`` and their like.

    Attributes
    ----------
    easy : subproblems of the first search
    alpha_steps, alpha_share : steps for ranges by slopes, and their share of the time
    first_round, round_growth : the first round takes so many times as long as ranges by slopes did, and every further one so
        many times as long as the one before it
    begin_share, round_share, falling_share, falling : a round's largest share: to begin with, later, and where the bound falls
        to this part of itself each time
    shortest : a further round may be shorter than that, down to this part of the one before it, where the bound falls so far
    worthwhile : the last round is the one after which more than this share is left of the gaps before it
    search_share : the time of grace of a search after a round against that of the round
    grace_share, long_share, long_layer_share : where a first round would be too long: the time of grace of a search, then the
        share of one long round, and the share of that which one layer may take
    cell_share : the ranges of a cell take this share
    """

    easy: int = 100
    alpha_steps: int = 12
    alpha_share: float = 0.15
    first_round: float = 6.0
    round_growth: float = 3.0
    begin_share: float = 0.25
    round_share: float = 0.12
    falling_share: float = 0.4
    falling: float = 0.5
    shortest: float = 0.33
    worthwhile: float = 0.85
    search_share: float = 0.5
    grace_share: float = 0.05
    long_share: float = 0.65
    long_layer_share: float = 0.25
    cell_share: float = 0.03


@dataclass(frozen=True)
class PlanedEffort:
    """Searches with planes (:mod:`netproof.bounds.multipliers.planes`) that are good for one case.

    Attributes
    ----------
    cases : where more are open, they are searched together and without planes
    easy : subproblems for each case of a search without planes that comes before
    long_share : where planes help, the share of one long round of ranges on large networks
    trial : the share of the time after which cells, which come before a search with planes goes on, have to have closed as much
    """

    cases: int = 12
    easy: int = 60
    long_share: float = 0.15
    trial: float = 0.25


@dataclass(frozen=True)
class PairedEffort:
    """Searches with pairs of features (:mod:`netproof.bounds.joint`) that are good for one case.

    Attributes
    ----------
    prospect : where there will be better ranges, only a search gets them that would need no more than so many times the doublings of
        its subproblems that there is time for
    promising : the search that stood best goes on at once, and not after cells, where it needs no more than so many times the doublings
    hopeless : it does not go on at all where it needs so many times the doublings
    """

    prospect: float = 1.4
    promising: float = 1.25
    hopeless: float = 4.0


@dataclass(frozen=True)
class CellEffort:
    """Cells (:mod:`netproof.search.real.cells`), chosen on the same networks as rounds.

    Attributes
    ----------
    search_share, longest_search : a search's seconds of grace, and its most seconds, against those of the ranges before it
    closing : what a unit is worth by which the lower end of a feature rises of which the bound takes the lower line
    """

    search_share: float = 0.5
    longest_search: float = 4.0
    closing: float = 0.01


@dataclass(frozen=True)
class InterpolantEffort:
    """Half-spaces of a hidden layer's values (:mod:`netproof.search.real.interpolants`), chosen on ``mnist_fc``.

    Attributes
    ----------
    features, layers : a layer has at most so many features that are not off; so many such layers, the narrowest
    points, steps : of the region, and as many corners; steps for what linear forms leave open beyond them
    boxes, patience, gain, most_boxes, plenty : for every case so many boxes of values are bounded, and more as long as with so many
        times of them the gap grows by so much, up to the most; and a gap that is wide enough
    binding : boxes whose least value is within this part of the gap of the least of all are halved
    programs, corners, tolerance : linear programs for one half-space, corners that come in with each, and what may be left out of
        it before the last, in parts of the gap
    least_gap, widest, least_reach : gaps that are asked for, and what ranges leave open at the least, in parts of their width
    digits, least_weight : of coefficients, and below which part of the largest they are 0
    parting : the share of a search's time of grace that a half-space may take
    together : cases are asked for by one half-space, and layers further behind left alone, where no more than this share is open
    hopeless, attempts : the largest share of the way to a root's bound that is above 0, and half-spaces for one case
    """

    features: int = 64
    layers: int = 2
    points: int = 96
    steps: int = 20
    boxes: int = 128
    patience: int = 3
    gain: float = 1.02
    most_boxes: int = 2048
    plenty: float = 1.5
    binding: float = 0.05
    programs: int = 40
    corners: int = 16
    tolerance: float = 0.02
    least_gap: float = 0.01
    widest: float = 4.0
    least_reach: float = 1e-3
    digits: int = 12
    least_weight: float = 1e-4
    parting: float = 0.1
    together: float = 0.6
    hopeless: float = 0.97
    attempts: int = 4


@dataclass(frozen=True)
class RealAttackEffort:
    """Attacks on real networks (``attack/real.py``, ``attack/gradient.py``).

    Attributes
    ----------
    near : a point this close to meeting its case in float32 is worth a replay (relative to the size of the threshold)
    batch, kept : what the values of all rows that climb at once may occupy, and how many of each are kept for their gradients
    replays : of one batch of points, at most
    first_step, last_step : of gradient ascent, in parts of the box's width, or of a ball's radius
    sparse : so many coordinates share a step in l1
    inside : a ball's radius less this share is where points are looked for, since float32 rounds
    """

    near: float = 1e-5
    batch: Budget = Budget(128 << 20, whole=True, size=4)
    kept: int = 3
    replays: int = 8
    first_step: float = 0.5
    last_step: float = 0.01
    sparse: int = 8
    inside: float = 2e-5


@dataclass(frozen=True)
class BallEffort:
    """Bounds over balls (:mod:`netproof.search.real.ball`).

    Attributes
    ----------
    steps : of optimized lines, for every constraint that CROWN leaves open
    goal : a bound in float32 below that is low enough
    leaf_steps : on multipliers of a subproblem with nothing left to split
    """

    steps: int = 60
    goal: float = -1e-4
    leaf_steps: int = 400


REAL = RealEffort()
BOX = BoxEffort()
CHAINS = ChainEffort()
BOXES = BoxesEffort()
RANGE = RangeEffort()
SIGN = SignEffort()
LOOPS = LoopEffort()
LEAF = LeafEffort()
PROGRAM = ProgramEffort()
TOUCH = TouchEffort()
TABLES = TableEffort()
ROUND = RoundEffort()
PLANED = PlanedEffort()
PAIRED = PairedEffort()
CELL = CellEffort()
INTERPOLANT = InterpolantEffort()
REAL_ATTACK = RealAttackEffort()
BALL = BallEffort()
