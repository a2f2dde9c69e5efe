"""How much work bounds are worth: how multipliers are chosen and ranges made smaller; see :mod:`netproof.effort`."""

from __future__ import annotations

from dataclasses import dataclass

from netproof.graph.budget import Budget


@dataclass(frozen=True)
class Rates:
    """What Adam's steps are like (:mod:`netproof.bounds.multipliers.adam`).

    Attributes
    ----------
    first, second : what is kept of the moments in every step
    shrink : factor of the lengths from step to step
    tiny : added to the root of the second moment
    compact : the share of rows that have to be done before the batch goes on without them
    """

    first: float
    second: float
    shrink: float
    tiny: float
    compact: float = 0.2


@dataclass(frozen=True)
class RangeStepEffort:
    """Steps on multipliers of the hulls over ranges (:mod:`netproof.bounds.multipliers.ranges`).

    Attributes
    ----------
    length : of the first step, in parts of a multiplier's usual size
    rates : of the steps
    """

    length: float = 0.02
    rates: Rates = Rates(first=0.9, second=0.99, shrink=0.95, tiny=1e-12, compact=0.25)


@dataclass(frozen=True)
class LineStepEffort:
    """Steps on lines of activations of every kind (:mod:`netproof.bounds.multipliers.lines`).

    Attributes
    ----------
    length : of the first step, of a way of 1 from one line to the other
    steps, range_steps : for a bound of cases, and for an end of a range
    layer_share : a layer is left out that would take more than this share of the time
    rates : of the steps
    batch, tensors : ends of ranges bounded at once, and tensors of all features that each needs
    cut : an end of a range has a price where so much of the range was cut off, as a part of it
    tie : the least price, in parts of what arrives, so that it is on one side of 0
    """

    length: float = 0.1
    cut: float = 0.1
    tie: float = 1e-4
    steps: int = 12
    range_steps: int = 8
    layer_share: float = 0.4
    batch: Budget = Budget(96 << 20, most=64, whole=True)
    tensors: int = 10
    rates: Rates = Rates(first=0.9, second=0.999, shrink=0.97, tiny=1e-12)


@dataclass(frozen=True)
class SignStepEffort:
    """Steps on slopes and multipliers of signs (:mod:`netproof.bounds.multipliers.sign_steps`).

    Attributes
    ----------
    lengths : of the first steps of alpha, of beta in parts of the largest number that arrives at a feature, and of theta
    rates : of the steps
    """

    lengths: tuple[float, float, float] = (0.1, 0.25, 0.1)
    rates: Rates = Rates(first=0.9, second=0.999, shrink=0.98, tiny=1e-8)


@dataclass(frozen=True)
class PlaneEffort:
    """Upper planes of neurons (:mod:`netproof.bounds.multipliers.planes`).

    Attributes
    ----------
    steps, trial : on prices, at the root of a search and whenever they are chosen anew; after so many at the root planes have to be better
        than chords for there to be more
    prices : length of the first step of prices
    rates : of the steps
    worth : the share of a root's bound that planes have to take off to be used
    parts, first, growth : prices are chosen anew for so many of the worst open parts when so many have been bounded, and then
        each time when there are so many times as many
    largest, entries : numbers of a dense matrix of an activation's features, and entries that are not 0, that are still few enough
    rows : planes whose offsets are made certain side by side
    """

    steps: int = 60
    trial: int = 20
    prices: float = 0.03
    rates: Rates = Rates(first=0.9, second=0.999, shrink=0.98, tiny=1e-8)
    worth: float = 0.002
    parts: int = 32
    first: int = 1024
    growth: float = 2.0
    largest: int = 1 << 23
    entries: int = 1 << 20
    rows: int = 256


@dataclass(frozen=True)
class GivenEffort:
    """Ranges where a case holds (:mod:`netproof.bounds.ranges.given`).

    Attributes
    ----------
    passes, gain : over the last activation, as long as each takes this share off the root's bound
    rounds, steps : of each pass, and steps on multipliers for all ends in each
    batch, tensors : ends bounded at once, and float64 tensors of the largest node that each needs
    """

    passes: int = 2
    gain: float = 0.01
    rounds: int = 3
    steps: int = 10
    batch: Budget = Budget(256 << 20, least=8, most=512)
    tensors: int = 12


@dataclass(frozen=True)
class PairEffort:
    """Unstable features that are bounded in pairs (:mod:`netproof.bounds.joint`).

    Attributes
    ----------
    most : features of an activation that are paired, those with the largest gaps
    layer_share : an activation gets none with less than this share of all gaps
    steps : on slopes, for the ends of sums and differences
    batch, tensors : ends bounded at once, and float64 tensors of the largest node that each needs
    lengths : the same as of steps without pairs
    raising : length of the first step of slopes of upper lines
    smoothed : corners that are worse by this share of the best one's value have a say in derivatives
    growth : where there are no planes, pairs are chosen anew each time when there are so many times as many subproblems
    worth : a search goes on without pairs that take less than this share off the bound at its root
    """

    most: int = 96
    layer_share: float = 0.03
    lengths: tuple[float, float, float] = (0.02, 0.12, 0.1)
    raising: float = 0.008
    smoothed: float = 0.01
    growth: float = 8.0
    worth: float = 0.1
    steps: int = 6
    batch: Budget = Budget(64 << 20, least=8)
    tensors: int = 6


@dataclass(frozen=True)
class MixtureEffort:
    """Weights of the constraints of a conjunction (:mod:`netproof.bounds.multipliers.mixture`).

    Attributes
    ----------
    steps : of multiplicative weights, where bounds of the constraints are given
    crown_steps, length : of Adam on CROWN bounds of the mixture, and how far the first one goes
    rates : of these steps, which do not depend on how large the constraints are
    """

    steps: int = 30
    crown_steps: int = 11
    length: float = 0.5
    rates: Rates = Rates(first=0.8, second=0.95, shrink=0.9, tiny=1e-12)


@dataclass(frozen=True)
class InteriorEffort:
    """The interior-point method (:mod:`netproof.bounds.multipliers.interior`).

    Attributes
    ----------
    start : the barrier's weight to begin with
    step_fraction : how much of the way to the boundary a step may go
    close : the gap to end with, in parts of the bound: for whether a bound falls below 0, the optimum need not be known well
    largest : neurons of a system that is solved; larger ones are left to first-order steps
    """

    start: float = 0.01
    step_fraction: float = 0.98
    close: float = 0.25
    largest: int = 256


@dataclass(frozen=True)
class ScoreEffort:
    """Scores of splits of signs (:mod:`netproof.bounds.ranges.branching`).

    Attributes
    ----------
    between : the weight of scores by lines between the slopes
    """

    between: float = 1e-3


@dataclass(frozen=True)
class SplitEffort:
    """What one split is worth: steps on the multipliers of both halves, and candidates that are tried out."""

    steps: int
    look_ahead: int


@dataclass(frozen=True)
class EndEffort:
    """Ends of ranges by splits of signs (:mod:`netproof.bounds.ends.end_search`).

    Attributes
    ----------
    root_steps, warm_steps, leaf_steps : on the whole region, on it where slopes are known, and on a part with nothing left to split
    deep, shallowly, deeply : a part that was split so often is deep; splits of parts that are not, and of those that are
    first, last : splits for every end, to begin with and to end with
    batch, tensors : parts bounded at once, and float64 tensors of the largest node for each
    near, nearer : an end within this share of the range's width from a value that is attained is not searched for any longer; in layers of
        few features
    margin : below the target by this share of a typical width is enough for the search in float32 to stop
    proven_first : parts whose bounds are proven at once, to see how long that takes
    """

    root_steps: int = 20
    warm_steps: int = 2
    leaf_steps: int = 60
    deep: int = 6
    shallowly: SplitEffort = SplitEffort(steps=1, look_ahead=2)
    deeply: SplitEffort = SplitEffort(steps=2, look_ahead=3)
    first: int = 8
    last: int = 1 << 20
    batch: Budget = Budget(256 << 20, least=8, most=512)
    tensors: int = 12
    near: float = 0.02
    nearer: float = 0.002
    margin: float = 1e-5
    proven_first: int = 128


@dataclass(frozen=True)
class TightenEffort:
    """Ranges of integer networks by bounds (:mod:`netproof.bounds.ranges.tighten`).

    Attributes
    ----------
    batch, tensors : objective rows bounded at once, each of which needs about so many tensors of the whole graph
    program_rows, program_iterations, program_close : rows of one interior-point solve, its iterations, and the gap it ends with
    """

    batch: Budget = Budget(1 << 30, most=4096, whole=True)
    tensors: int = 40
    program_rows: int = 64
    program_iterations: int = 20
    program_close: float = 0.002


@dataclass(frozen=True)
class RefineEffort:
    """Ranges by bounds, layer by layer (:mod:`netproof.bounds.ranges.refine` and what stands beside it).

    Attributes
    ----------
    batch, tensors : rows bounded at once, and float64 tensors of the largest node that each needs
    alpha_batch : the same where slopes are optimized, as if that kept no gradients
    far : an end so many times as far out as everything else that is known of a layer is bounded for its own sake
    layer_share : the share of the time left in a round of splits that one layer may take: what is gained in one makes all below easier
    narrow : of a layer with so few features that are not 0 everywhere ends are searched for beyond 0: later ranges are intervals over them
    tile_rows, tile_work : features in a tile at least, and at least so many values in all that bounding them passes through: a
        crop costs as much as bounding some features of the whole graph
    few_inputs : where a network has more inputs, affine forms cost more than they tell
    """

    batch: Budget = Budget(32 << 20, least=8)
    alpha_batch: Budget = Budget(64 << 20, least=8)
    tensors: int = 6
    far: float = 64.0
    layer_share: float = 0.4
    narrow: int = 8
    tile_rows: int = 64
    tile_work: int = 1_000_000
    few_inputs: int = 64


@dataclass(frozen=True)
class CondensedEffort:
    """Sums of images as one linear map (:mod:`netproof.bounds.condensed`).

    Attributes
    ----------
    share : so many images at least for each sum, and for each feature they are made of
    """

    share: int = 4


@dataclass(frozen=True)
class JointEffort:
    """Products bounded together (:mod:`netproof.operators.hulls.joint_hull`).

    Attributes
    ----------
    few_inputs, most : where at most so many inputs vary, products of one node that are at most so many
    """

    few_inputs: int = 8
    most: int = 256


@dataclass(frozen=True)
class NarrowEffort:
    """Ranges of many features through the lines of few (:mod:`netproof.bounds.narrow`).

    Attributes
    ----------
    share : a node is narrow that has no more than one feature for so many
    terms : features of it that may be added up
    batch, tensors : lines found at once, and float64 tensors of the largest node that each needs
    bytes, most_bytes : what sums of lines may occupy at once, and all lines together
    """

    share: int = 8
    terms: int = 4
    batch: Budget = Budget(32 << 20, least=8)
    tensors: int = 6
    bytes: int = 32 << 20
    most_bytes: int = 64 << 20


@dataclass(frozen=True)
class QuotientEffort:
    """Ranges of quotients (:mod:`netproof.bounds.ranges.quotients`).

    Attributes
    ----------
    most : quotients that one activation holds, if their ranges are bounded
    numbers, rounds : that each end is compared with side by side, and how often
    """

    most: int = 16
    numbers: int = 12
    rounds: int = 2


@dataclass(frozen=True)
class RationalEffort:
    """Bounds and linear programs in fractions (:mod:`netproof.bounds.rational`).

    Attributes
    ----------
    numbers, entries : nonzero numbers in the affine maps of a graph, and entries of the matrices that hold them, at most
    products : that finding the ranges of all features takes, at most; beyond that intervals have to do
    pivots : at most; a program that takes more is not decided
    """

    numbers: int = 4000
    entries: int = 1 << 20
    products: int = 200_000
    pivots: int = 400


RANGE_STEPS = RangeStepEffort()
LINE_STEPS = LineStepEffort()
SIGN_STEPS = SignStepEffort()
PLANE = PlaneEffort()
GIVEN = GivenEffort()
PAIR = PairEffort()
MIXTURE = MixtureEffort()
INTERIOR = InteriorEffort()
SCORE = ScoreEffort()
END = EndEffort()
TIGHTEN = TightenEffort()
REFINE = RefineEffort()
CONDENSED = CondensedEffort()
JOINT = JointEffort()
NARROW = NarrowEffort()
QUOTIENT = QuotientEffort()
RATIONAL = RationalEffort()
