"""How much work questions of several parts, of many inputs and about radii are worth; see :mod:`netproof.effort`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PartsEffort:
    """Questions of several parts (:mod:`netproof.search.verify`).

    Attributes
    ----------
    least_share : seconds that a part gets at the least, so that parts which bounds decide are decided in their turn
    again : undecided parts are asked again where each can have so many times the time it had
    """

    least_share: float = 0.1
    again: float = 1.25


@dataclass(frozen=True)
class EnumerationEffort:
    """Finite sets, input by input (:mod:`netproof.search.enumeration`).

    Attributes
    ----------
    inputs, numbers : inputs that are made at a time, and how many numbers they may have together
    compared, one_in, least : of a set about one input in so many is evaluated by the graph itself as well, which takes as long as forty
        others: ``least`` and ``compared`` are how few and how many there are
    """

    inputs: int = 1024
    numbers: int = 1 << 23
    compared: int = 64
    one_in: int = 32
    least: int = 1


@dataclass(frozen=True)
class RadiusEffort:
    """Largest radii (:mod:`netproof.search.radius`, :mod:`netproof.search.bracket`).

    Attributes
    ----------
    first : the share of the time that the radius below a witness gets, if others are open, too: it takes about three times as long
        as the one below it, and only it makes the answer exact
    again : a radius that was not decided is tried again with so many times as much time
    first_share : over the real numbers the first radius asked about is one in so many of the largest
    half : the largest share of the time that is left for one of several radii
    brief, longer : in a ball the first share of the time for a radius, and how much it grows where all radii were looked at
    apart : in a ball, how close a radius that is not decided gets to one that is proved before others have more time, as a part of it
    ahead : in a ball, one in so many of the radii between a proof and a witness is asked about next, once bounds had all of them
    bounds, soon : in a ball, no radius has less than so many times what bounds took where they were enough, or that had no end
    attacked : in a ball, the share of the time for witnesses that come before anything is asked, or of one that was found
    starts : in a ball, from how many witnesses nearer ones are looked for at first
    steps : of the grid of radii in one of the accuracy: more than two, so that one which cannot be decided is no matter
    """

    first: float = 0.7
    again: float = 1.5
    first_share: int = 256
    half: float = 0.5
    brief: float = 0.03
    longer: float = 4.0
    apart: float = 0.1
    ahead: int = 8
    bounds: float = 2.0
    soon: float = 3.0
    attacked: float = 0.2
    starts: int = 5
    steps: int = 4


@dataclass(frozen=True)
class NearerEffort:
    """Witnesses nearer to the center of a ball (:mod:`netproof.attack.nearer`).

    Attributes
    ----------
    radii, less : so many smaller balls are looked at in each round, by up to this part smaller than the witness's own
    finer, least : by so much less where none of them has one, until it would be less than this
    mixtures : of the way to the center and of the one along the boundary
    widths, directions : of slopes of a network of integers, in steps, and of its conditions' directions: one pull for each pair
    rounds : at the most
    """

    radii: int = 24
    less: float = 0.7
    finer: float = 8.0
    least: float = 1e-3
    mixtures: tuple[float, ...] = (0.0, 0.1, 0.3, 0.6, 1.0)
    widths: tuple[float, ...] = (1.0, 6.0, 20.0)
    directions: int = 2
    rounds: int = 60


@dataclass(frozen=True)
class TogetherEffort:
    """Parts about real networks that are bounded side by side before any is asked by itself.

    Attributes
    ----------
    least : so many parts at least
    share : of the time, at most
    """

    least: int = 4
    share: float = 0.5


PARTS = PartsEffort()
ENUMERATION = EnumerationEffort()
RADIUS = RadiusEffort()
NEARER = NearerEffort()
TOGETHER = TogetherEffort()
