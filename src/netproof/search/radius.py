"""The largest radius at which a sample is robust: exactly over the integers, to a stated accuracy over the real numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike
from torch import Tensor

from netproof.arguments.numbers import Number, whole_number
from netproof.arguments.words import shown
from netproof.effort.questions import RADIUS
from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms
from netproof.local_robustness import robustness
from netproof.network import Network, check_network
from netproof.processes import clock
from netproof.query import Query, Result, Verdict, Witness
from netproof.search.verify import refuted_quickly, verify, verify_attacked
from netproof.settings import Settings, settings_of

if TYPE_CHECKING:
    from netproof.search.integer.nearest import Nearest

#: seconds for one image over the real numbers, where nothing is said: the last bit of a radius can take for ever
REAL_TIMEOUT = 60.0


@dataclass(frozen=True, eq=False)
class RadiusResult:
    """Outcome of :func:`largest_radius`.

    Attributes
    ----------
    radius : the largest radius proved robust, in whole grey levels over the integers; -1 where the sample itself is
        misclassified, or another output is as large as the label's
    witness : a counterexample at ``witness_radius``, if one was found
    witness_radius : the smallest radius with a witness, or None
    exact : whether ``radius`` is known to be the largest (a witness one radius further, or none possible), over the real
        numbers to the accuracy asked for
    seconds, queries : effort
    reason : why the answer is not exact, if it is not
    proved : the result at ``radius``, where the settings ask for proofs
    """

    radius: int | Fraction
    witness: Witness | None
    witness_radius: int | Fraction | None
    exact: bool
    seconds: float
    queries: int
    reason: str = ""
    proved: Result | None = None

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        from netproof.pictures.notebook import radius_html

        return radius_html(self)


@on_own_terms
def largest_radius(
    network: Network,
    image: ArrayLike | Tensor,
    label: int,
    settings: Settings | None = None,
    *,
    limit: Number | None = None,
    accuracy: Number | None = None,
    scale: Number | None = None,
    mean: Number | Sequence[Number] | None = None,
    std: Number | Sequence[Number] | None = None,
    clip: tuple[Number, Number] | None = None,
    norm: str = "linf",
) -> RadiusResult:
    """Find the largest radius at which an image is robust: ``r`` with a proof at ``r`` and a witness at ``r + 1``.

    Over the real numbers the witness is at most the accuracy beyond the proof.

    Robustness is monotone in the radius, so a proof settles all smaller radii and a witness all larger ones. CROWN and
    attacks bracket ``r`` first, attacks at ever smaller radii as long as they find something. Complete queries go down from
    there, and the first that ends with a proof is the last one, as a rule the only search.

    Parameters
    ----------
    network : over the integers, whose radii are whole grey levels, or over the real numbers
    image, label : the sample, as for :func:`netproof.robustness`
    settings : ``timeout`` is for the whole search (without settings :data:`REAL_TIMEOUT` over the real numbers); an exact ``engine``
        decides what CROWN and attacks leave open
    limit : do not look beyond this radius; defaults to the width of the input range (real networks: of ``clip``, or of 8-bit
        images; 1 where there is none)
    accuracy : how far apart proof and witness may be (real networks), in the unit of the radius; by default a tenth of a grey
        level of 8-bit images, 0.001 of others
    scale, mean, std, clip : as for :func:`netproof.robustness` (real networks)
    norm : as for :func:`netproof.robustness`. Radii in ``l1`` and ``l2`` are bracketed as those over the real numbers are, over the
        integers between whole ones, and decided by bounds and search in less cases than boxes are

    Raises
    ------
    QueryError : an accuracy that is not above 0, or of an integer network, and as :func:`netproof.robustness`
    """
    check_network(network)
    given = settings
    settings = settings_of(settings)
    arguments: dict[str, Any] = {"scale": scale, "mean": mean, "std": std, "clip": clip}
    if network.graph.arithmetic is not Arithmetic.INTEGER:
        from netproof.search.bracket import bracketed_radius

        limited = given or replace(settings, timeout=REAL_TIMEOUT)
        return bracketed_radius(network, image, label, limited, (limit, accuracy), arguments | {"norm": norm})
    stated = [word for word, value in {**arguments, "accuracy": accuracy}.items() if value is not None]
    if stated:
        problem = f"{network.path} is an integer network, whose radii are whole grey levels"
        raise QueryError("radius", problem, f"leave {', '.join(stated)} out")
    if norm != "linf":
        from netproof.search.bracket import bracketed_radius

        limited = given or replace(settings, timeout=REAL_TIMEOUT)
        return bracketed_radius(network, image, label, limited, (limit, None), {"norm": norm})
    return _over_integers(network, image, label, settings, limit)


def nearest_of(query: Query, settings: Settings) -> Nearest:
    """Attacks on a sample, anywhere in a query's box."""
    from netproof.search.integer.nearest import Nearest

    return Nearest(query, settings.seed)


def _over_integers(
    network: Network, image: ArrayLike | Tensor, label: int, settings: Settings, limit: Number | None
) -> RadiusResult:
    begun = clock.now()
    deadline = begun + settings.timeout
    widest = int((network.upper - network.lower).max())
    furthest = widest if limit is None else min(_checked(limit), widest)

    def query(radius: int) -> Query:
        return robustness(network, image, label, radius, name=f"radius {radius}")

    start = query(0)
    assert start.sample is not None
    if start.misclassified:
        return RadiusResult(-1, None, None, True, clock.now() - begun, 1)
    known = _Bracket(start.sample.image, furthest + 1)
    queries = 1 + _from_below(known, query)
    attacks = nearest_of(query(furthest), settings) if settings.attack and furthest else None
    if attacks is not None:
        queries += _from_above(known, attacks, furthest, deadline)
    results: dict[int, Result] = {}
    undecided = ""
    while known.proved + 1 < known.refuted:
        remaining = deadline - clock.now()
        if remaining <= 0:
            undecided = "the time limit was reached"
            break
        asked = known.next(remaining)
        if asked is None:
            break
        radius, share = asked
        queries += 1
        # An exact engine that was asked for decides what bounds and attacks leave.
        own = attacks is None or settings.engine not in ("auto", "bab")
        decide = verify if own else verify_attacked
        result = results[radius] = decide(query(radius), replace(settings, timeout=share))
        known.learn(radius, result.verdict, result.witness, share)
        if not result.verdict.decided:
            undecided = result.reason
        elif result.witness is not None and attacks is not None:
            attacks.learn(result.witness.input)
            queries += _from_above(known, attacks, furthest, deadline)
    exact = known.proved + 1 == known.refuted and (known.witness is not None or known.proved >= widest)
    if not exact and not undecided:
        undecided = f"only radii up to {furthest} were looked at"
    if settings.proofs and known.proved not in results:
        # CROWN settled it, so that this is quick.
        results[known.proved] = verify(query(known.proved), settings)
    return RadiusResult(
        known.proved,
        known.witness,
        None if known.witness is None else known.refuted,
        exact,
        clock.now() - begun,
        queries,
        "" if exact else undecided,
        results.get(known.proved),
    )


def _from_below(known: _Bracket, query: Callable[[int], Query]) -> int:
    """Learn the largest radius that CROWN proves; how many queries that took."""
    queries, radius, beyond = 0, 1, known.refuted
    while known.proved + 1 < beyond:
        queries += 1
        if refuted_quickly(query(radius)):
            known.proved = radius
        else:
            beyond = radius
        radius = min(2 * radius, known.refuted - 1) if beyond == known.refuted else (known.proved + beyond) // 2
    return queries


def _from_above(known: _Bracket, attacks: Nearest, furthest: int, deadline: float) -> int:
    """Learn the smallest radius at which attacks find a witness; how many they were.

    CROWN proves about half of the radius, as a rule, so that twice as much is where a first witness is looked for.
    """
    count, radius = 0, min(2 * known.proved + 2, furthest)
    known.learn_witness(attacks.witness)
    while known.witness is None and clock.now() < deadline:
        count += 1
        attacks.attack(radius, deadline)
        known.learn_witness(attacks.witness)
        if radius == furthest:
            break
        radius = min(radius + radius // 2, furthest)
    while known.witness is not None and known.proved + 1 < known.refuted and clock.now() < deadline:
        count += 1
        if not attacks.attack(known.refuted - 1, deadline):
            break
        known.learn_witness(attacks.witness)
    return count


class _Bracket:
    """What is known of a radius: the class is kept at ``proved``, and is not at ``refuted``, where there is a ``witness``."""

    def __init__(self, pixels: Tensor, refuted: int) -> None:
        self.proved, self.refuted = 0, refuted
        self.witness: Witness | None = None
        self._pixels = pixels
        # with how much time radii were not decided; refutations in a row
        self._tried: dict[int, float] = {}
        self._refutations = 0

    def learn(self, radius: int, verdict: Verdict, found: Witness | None, seconds: float | None = None) -> None:
        """Take in the answer at a radius, of a complete query with its seconds."""
        if verdict is Verdict.UNSAT:
            self.proved = max(self.proved, radius)
        elif verdict is Verdict.SAT:
            self.learn_witness(found)
        elif seconds is not None:
            self._tried[radius] = seconds
        if seconds is not None:
            self._refutations = self._refutations + 1 if verdict is Verdict.SAT else 0

    def learn_witness(self, found: Witness | None) -> None:
        """Take in a witness, which may lie closer than the radius that was asked about."""
        if found is None:
            return
        distance = int((found.input.to(self._pixels.dtype) - self._pixels).abs().max())
        if distance < self.refuted:
            self.refuted, self.witness = distance, found

    def next(self, remaining: float) -> tuple[int, float] | None:
        """The radius to ask about, and with how much of the seconds that remain; None where no more comes of it.

        All of them go to the smallest one that is open, most to the first, half to any other.
        """
        smallest = self.proved + 1
        tried = [radius for radius in self._tried if smallest <= radius < self.refuted]
        hard = min(tried, default=self.refuted)
        if smallest < hard:
            # Below a witness a little at a time, and more where many follow; halfway down where there is none, or time
            # was not enough.
            near = self.witness is not None and not tried
            down = hard - (1 << max(self._refutations - 2, 0)) if near else (self.proved + hard) // 2
            radius = max(down, smallest)
            share = 1.0 if radius == smallest else RADIUS.first if near else 0.5
            return radius, share * remaining
        if max(tried) + 1 < self.refuted:
            return (max(tried) + self.refuted) // 2, remaining / 2
        return (smallest, remaining) if remaining > RADIUS.again * self._tried[smallest] else None


def _checked(limit: Number) -> int:
    found = whole_number(limit)
    if found is None or found < 0:
        raise QueryError("radius", f"the limit is {shown(limit)}", "give a whole number of grey levels, 0 or more")
    return found
