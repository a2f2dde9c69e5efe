"""The checker: recomputes what a certificate claims, in exact integer arithmetic.

docs/certificates.md says what has to hold; this module and the few it uses are written to be read beside it.

*What has to be trusted* for an accepted certificate to be true:

* that the reader of the network (``formats/``) and a second reader, which shares nothing with it (``second_reading/``), do not
  both misunderstand its file in the same way;
* the exact evaluation of the graph's operators: ``forward_absolute``, ``adjoint``, ``adjoint_absolute``, ``offset`` of affine
  nodes (``operators/``); that the graph's integers stay below 2**52 (``graph/exactness.py``);
* what the property means: ``robustness`` (``local_robustness.py``) and ``Query`` (``query.py``), ``Network.classify``; of a property that is given
  beside the certificate, its reader (``formats/vnnlib/``), ``Property.holds`` and ``Property.over_integers``
  (``property.py``);
* this room: ``evaluate.py`` (intervals and bounds), ``prices.py`` (the same of rows with prices), ``cases.py`` (what a case
  implies), and this module (the tree);
* float64 sums and products of integers that stay below 2**53 (the argument is in ``evaluate.py``), in PyTorch and NumPy;
* SHA-256, by which network and certificate name each other.

Not trusted, and not used: everything that searches (``bounds/``, ``search/``, ``attack/``, ``exact/``), whatever wrote the
certificate, and the certificate itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.certificate.bundle import Bundle, fault_of_bundle
from netproof.certificate.checker.cases import Cases, query_of, tensor
from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.checker.refute import Rows
from netproof.certificate.checker.region import Cuts, Region
from netproof.certificate.contents import (
    CUT,
    EMPTY,
    LEAF,
    POINTS,
    SPLIT,
    Certificate,
    Integers,
    RobustnessProperty,
    children_of,
    fault_of,
    levels_of,
)
from netproof.certificate.format import MEMORY
from netproof.certificate.real.contents import RealCertificate
from netproof.certificate.real.witness import RealWitness
from netproof.certificate.second_reading.compare import confirm
from netproof.certificate.sets import SetCertificate
from netproof.certificate.statement import check_statement
from netproof.certificate.witness import WitnessDocument, read_evidence
from netproof.errors import CertificateError, ProofError
from netproof.files.opened import as_path
from netproof.host import on_own_terms
from netproof.network import Network, check_network
from netproof.property import Property
from netproof.query import Query, sample_of

#: a node of kind "points" has at most so many, and all of them together
_MOST_POINTS, _ALL_POINTS = 4096, 1 << 24
#: nodes are taken together as long as they have no more cuts, which bounds what checking them allocates
_CUTS_AT_ONCE = 1 << 18


@dataclass(frozen=True, eq=False)
class Checked:
    """A certificate that proves its claim.

    Attributes
    ----------
    certificate : what was checked
    query : the property on its network: the box and the condition
    claim : ``"unsat"`` or ``"sat"``
    leaves, cuts, splits, nodes, points : how many of them the proof has (0 for a witness)
    seconds : what checking took
    second_reading : what was compared with a second reading of the network's file; empty where the network was made in
        memory
    parts : of a certificate of several parts, what was checked of each; certificate and query are then those of the
        first, and the numbers are sums
    norm : of a witness document, what its radius is one in; query is about the box of that radius, in which the ball lies
    """

    certificate: Certificate
    query: Query
    claim: str
    leaves: int
    cuts: int
    splits: int
    nodes: int
    points: int
    seconds: float
    second_reading: str = ""
    parts: tuple[Checked, ...] = ()
    norm: str = "linf"


@on_own_terms
def check(
    certificate: Certificate | Bundle | WitnessDocument | str | PathLike[str],
    network: Network,
    *,
    memory: int = MEMORY,
    asked: Property | None = None,
) -> Checked:
    """Check that a certificate proves its claim about a network.

    Parameters
    ----------
    certificate : a certificate, one of several parts, or a witness document, or the path of its file
    network : the network, loaded with the bit widths that the certificate states
    memory : the most bytes for the certificate's arrays, and again for the regions of two levels of its trees
    asked : the property that it has to answer, every part of it; None for whatever the certificate itself states

    Raises
    ------
    ProofError : it does not prove its claim; names the first node, by number, that is not proved
    CertificateError : it cannot be used: damaged, inconsistent, about another network, or too large for ``memory``; or a
        second reading of the network's file finds another network
    """
    start = time.perf_counter()
    source = "certificate"
    check_network(network)
    if not isinstance(certificate, (Certificate, Bundle, WitnessDocument)):
        source = str(as_path(certificate, "certificate"))
        found = read_evidence(source, memory=memory)
        if isinstance(found, SetCertificate):
            raise CertificateError(source, "is about a finite set of inputs", "call netproof.check_set")
        if isinstance(found, RealWitness):
            raise CertificateError(source, "is a witness of a float network", "replay it with 'netproof check'")
        if isinstance(found, RealCertificate):
            hint = "check it with netproof.check_evidence, against the files of network and property"
            raise CertificateError(source, "is about a network of real numbers", hint)
        certificate = found
    if isinstance(certificate, WitnessDocument):
        parts: tuple[Certificate, ...] = (certificate.certificate,)
        checked = [_check(parts[0], certificate, network, source, memory)]
    elif isinstance(certificate, Certificate):
        parts = (certificate,)
        checked = [_check(certificate, None, network, source, memory)]
    else:
        fault = fault_of_bundle(certificate.parts)
        if fault:
            raise CertificateError(source, f"is inconsistent: {fault}", "make it anew")
        parts = certificate.parts
        checked = [_check(part, None, network, f"{source}, part {i}", memory) for i, part in enumerate(parts)]
    if asked is not None:
        check_statement(asked, parts, network, source)
    seconds = time.perf_counter() - start
    if len(checked) == 1:
        return replace(checked[0], seconds=seconds)
    return Checked(
        certificate=parts[0],
        query=checked[0].query,
        claim="unsat",
        leaves=sum(c.leaves for c in checked),
        cuts=sum(c.cuts for c in checked),
        splits=sum(c.splits for c in checked),
        nodes=sum(c.nodes for c in checked),
        points=sum(c.points for c in checked),
        seconds=seconds,
        parts=tuple(checked),
        second_reading=checked[0].second_reading,
    )


def _check(
    certificate: Certificate, document: WitnessDocument | None, network: Network, source: str, memory: int
) -> Checked:
    fault = fault_of(certificate)
    if fault:
        raise CertificateError(source, f"is inconsistent: {fault}", "make it anew")
    query = query_of(certificate, network, source)
    read_again = confirm(network)
    if query.misclassified:
        label = sample_of(query).label
        raise ProofError(source, f"the network takes the image itself for class {query.prediction}, not {label}")
    if certificate.claim == "sat":
        _replay(certificate, document, query, source)
    else:
        _Proof(certificate, query, source).check(memory)
    kind = certificate.arrays["kind"]
    return Checked(
        certificate=certificate,
        query=query,
        claim=certificate.claim,
        leaves=int((kind == LEAF).sum()),
        cuts=len(certificate.arrays["cut_row"]),
        splits=int((kind == SPLIT).sum()),
        nodes=len(kind),
        points=int((kind == POINTS).sum()),
        seconds=0.0,
        second_reading=read_again,
        norm="linf" if document is None else document.norm,
    )


def _replay(certificate: Certificate, document: WitnessDocument | None, query: Query, source: str) -> None:
    """Evaluate the network at a witness, and compare with what a document says of it."""
    x = tensor(certificate.arrays["witness"])
    if not bool(((x >= query.lower) & (x <= query.upper)).all()):
        raise ProofError(source, "the witness is not in the input set")
    if not bool(query.refuted_by(x)):
        raise ProofError(source, "the output at the witness meets none of the cases")
    if document is not None and not _is_near(certificate, document.norm):
        raise ProofError(source, f"the witness is not in the input set: it is beyond the radius in {document.norm}")
    if document is not None:
        moved = (x - tensor(certificate.arrays["image"])).abs()
        found = (
            tuple(int(y) for y in query.network.graph.evaluate(x).tolist()),
            int(query.network.classify(x)),
            int((moved > 0).sum()),
            int(moved.max()),
        )
        if found != (document.output, document.predicted, document.changed, document.largest_change):
            raise ProofError(source, "the witness is one, but its output, class or changes are not those stated")


def _is_near(certificate: Certificate, norm: str) -> bool:
    """Whether a witness is within the radius of its image, in another norm than the maximum's, by Python's own integers."""
    about = certificate.property
    if norm == "linf" or not isinstance(about, RobustnessProperty):
        return norm == "linf"
    pairs = zip(certificate.arrays["witness"].tolist(), certificate.arrays["image"].tolist(), strict=True)
    moves: list[int] = [abs(x - at) for x, at in pairs]
    if norm == "l1":
        return sum(moves) <= about.radius
    return sum(move * move for move in moves) <= about.radius**2


class _Proof:
    """The trees of an ``unsat`` certificate on its network."""

    def __init__(self, certificate: Certificate, query: Query, source: str) -> None:
        arrays, kind = certificate.arrays, certificate.arrays["kind"]
        self._arrays, self._query, self._source = arrays, query, source
        self._net = ExactNetwork(query.network, source)
        self._check_features()
        self._cases = Cases(self._net, query, arrays["form"], source)
        self._rows = Rows(certificate, self._net, self._cases, source)
        # Where in the arrays of leaves, splits and cuts the entries of each node begin.
        self._leaf, self._split = _before(kind == LEAF), _before(kind == SPLIT)
        self._cut = (int(arrays["common"].sum()) + _before(arrays["cut_count"]))[_before(kind == CUT)]
        self._points_left = _ALL_POINTS
        # Without splits of inputs all regions share the box.
        self._shared = not bool((arrays["split_activation"] == 0).any()) and bool(self._net.stairs)

    def _check_features(self) -> None:
        """Everything the file says about activations and features must be there in the network."""
        arrays, sizes = self._arrays, np.array(self._net.sizes)
        fits = len(arrays["kept"]) == len(sizes) - 1
        if fits:
            owner = np.repeat(np.arange(1, len(sizes)), arrays["kept"])
            fits = bool(((np.diff(arrays["kept_feature"]) > 0) | (np.diff(owner) > 0)).all())
            for activation, feature in (
                (owner, arrays["kept_feature"]),
                (arrays["cut_activation"], arrays["cut_feature"]),
                (arrays["split_activation"], arrays["split_feature"]),
            ):
                fits = fits and bool(((feature >= 0) & (feature < sizes[activation])).all())
        if not fits:
            raise CertificateError(self._source, "names features that the network does not have", "make it anew")

    def check(self, memory: int) -> None:
        """Raise :class:`ProofError` unless every case is refuted."""
        cases = len(self._query.condition)
        levels = levels_of(self._arrays["kind"], cases)
        widest = max((stop - start for start, stop in levels), default=0)
        # The regions of one level, those of the next in pieces, and these put together; two ends of 8 bytes.
        needed = 3 * widest * 16 * sum(self._net.sizes[1 if self._shared else 0 :])
        if needed > memory:
            raise CertificateError(
                self._source,
                f"has trees {widest} nodes wide, whose regions need {needed} bytes, more than are allowed",
                "allow more memory, if you trust its sender",
            )
        region = self._common(self._net.whole(self._query.lower, self._query.upper))
        region, case = region.repeated(cases, shared=self._shared), torch.arange(cases)
        for number, (start, stop) in enumerate(levels):
            region, case = self._level(number, start, stop, region, case)

    def _common(self, region: Region) -> Region:
        """Check the groups of common cuts; each is applied before the next one is checked."""
        stop = 0
        for group, count in enumerate(self._arrays["common"].tolist()):
            start, stop = stop, stop + count
            at = np.arange(start, stop)
            cuts, row = self._cuts(np.zeros(count, np.int64), at), self._arrays["cut_row"][at]
            if bool(region.empty()):
                return region
            bound = self._rows.bounds(region, torch.tensor([-1]), cuts, row)
            for i in (~(bound < 0)).nonzero()[:1, 0].tolist():
                raise ProofError(self._source, f"common cuts, group {group}: {_words(cuts, row, bound, i)}")
            region = region.take(torch.zeros(1, dtype=torch.int64))
            region.restrict(cuts)
            region = self._net.propagate(region)
        return region

    def _level(self, level: int, start: int, stop: int, region: Region, case: Tensor) -> tuple[Region, Tensor]:
        """Check the nodes of one level; returns the regions and the cases of the next one."""
        below, cases = [], []
        for first, last in self._portions(start, stop):
            nodes = np.arange(first, last)
            at = torch.from_numpy(nodes - start)
            closed = self._cases.close(region.take(at), case[at])
            fault = self._first_fault(nodes, closed, case[at])
            if fault is not None:
                i, words = fault
                about = _case_words(self._query, int(case[at][i]))
                raise ProofError(self._source, f"node {first + i} (level {level}, {about}): {words}")
            parent, moves = self._moves(nodes)
            below.append(closed.take(parent))
            below[-1].restrict(moves)
            cases.append(case[at][parent])
        return Region.concatenate(below), torch.cat(cases)

    def _portions(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Nodes ``start .. stop - 1`` in portions, each as large as time is saved by it and memory allows."""
        while start < stop:
            within = int(np.searchsorted(self._cut, self._cut[start] + _CUTS_AT_ONCE, side="right")) - 1
            last = min(stop, start + self._rows.at_once, max(within, start + 1))
            yield start, last
            start = last

    def _first_fault(self, nodes: Integers, region: Region, case: Tensor) -> tuple[int, str] | None:
        """The first of some nodes that is not proved on its closure, by position, and why; None where all are."""
        kind, alive = self._arrays["kind"][nodes], ~region.empty().numpy()
        faults = [(int(i), "the region is not empty") for i in np.flatnonzero(alive & (kind == EMPTY))[:1]]
        for cuts, row in (self._leaves_of(nodes, alive), self._cuts_of(nodes, alive)):
            bound = self._rows.bounds(region, case, cuts, row)
            wrong = (~(bound < 0)).nonzero()[:1, 0].tolist()
            faults += [(int(cuts.node[i]), _words(cuts, row, bound, i)) for i in wrong]
        for i in np.flatnonzero(alive & (kind == POINTS)).tolist():
            box = 0 if self._shared else i
            fault = self._points(region.lower[box], region.upper[box], int(case[i]))
            if fault:
                faults.append((i, fault))
                break
        return min(faults, default=None)

    def _leaves_of(self, nodes: Integers, alive: NDArray[np.bool_]) -> tuple[Cuts, Integers]:
        """The leaves among nodes as whole sets to be refuted, with their rows."""
        at = np.flatnonzero(alive & (self._arrays["kind"][nodes] == LEAF))
        node = torch.from_numpy(at)
        whole = Cuts(node, torch.full_like(node, -1), node, node, node.double())
        return whole, self._arrays["leaf_row"][self._leaf[nodes[at]]]

    def _cuts_of(self, nodes: Integers, alive: NDArray[np.bool_]) -> tuple[Cuts, Integers]:
        """The cuts of cut nodes among nodes, with their rows."""
        at = np.flatnonzero(alive & (self._arrays["kind"][nodes] == CUT))
        first, after = self._cut[nodes[at]], self._cut[nodes[at] + 1]
        cut = _ranges(first, after - first)
        return self._cuts(np.repeat(at, after - first), cut), self._arrays["cut_row"][cut]

    def _cuts(self, node: Integers, cut: Integers) -> Cuts:
        arrays = self._arrays
        names = ("cut_activation", "cut_feature", "cut_side")
        activation, feature, side = (torch.from_numpy(arrays[name][cut]) for name in names)
        return Cuts(torch.from_numpy(node), activation, feature, side, tensor(arrays["cut_end"][cut]))

    def _moves(self, nodes: Integers) -> tuple[Tensor, Cuts]:
        """The children of nodes: which node each comes from (by position), and what the nodes do to their regions."""
        kind = self._arrays["kind"][nodes]
        children = children_of(kind)
        parent, first_child = np.repeat(np.arange(len(nodes)), children), _before(children)[:-1]
        cuts, _ = self._cuts_of(nodes, np.ones(len(nodes), bool))
        cuts = replace(cuts, node=torch.from_numpy(first_child)[cuts.node])
        split = np.flatnonzero(kind == SPLIT)
        low, entry = torch.from_numpy(first_child[split]), self._split[nodes[split]]
        activation, feature = (torch.from_numpy(self._arrays[n][entry]) for n in ("split_activation", "split_feature"))
        point, zero = tensor(self._arrays["split_point"][entry]), torch.zeros_like(low)
        below = Cuts(low, activation, feature, zero + 1, point - 1)
        above = Cuts(low + 1, activation, feature, zero, point)
        return torch.from_numpy(parent), Cuts.concatenate(cuts, below, above)

    def _points(self, lower: Tensor, upper: Tensor, case: int) -> str:
        """Evaluate every point of a box; what is wrong with that as a proof, or the empty string."""
        free = (lower < upper).nonzero()[:, 0]
        extents = [int(e) for e in (upper - lower + 1)[free].tolist()]
        count = math.prod(extents)
        if count > _MOST_POINTS:
            return f"its box has {count} points, more than {_MOST_POINTS}"
        self._points_left -= count
        if self._points_left < 0:
            return f"with it more than {_ALL_POINTS} points are to be evaluated"
        strides = torch.tensor([math.prod(extents[i + 1 :]) for i in range(len(extents))], dtype=torch.int64)
        for first in range(0, count, self._rows.at_once):
            number = torch.arange(first, min(count, first + self._rows.at_once))
            x = lower.repeat(len(number), 1)
            x[:, free] += number[:, None] // strides % torch.tensor(extents, dtype=torch.int64)
            if bool(self._query.condition[case].holds(self._net.graph.evaluate(x)).any()):
                return "one of its points meets the case"
        return ""


def _before(counts: NDArray[np.integer] | NDArray[np.bool_]) -> Integers:
    """Sums of the entries before each entry, and of all: ``[n]`` to ``[n + 1]``."""
    return np.concatenate([np.zeros(1, np.int64), counts.cumsum(dtype=np.int64)])


def _ranges(first: Integers, count: Integers) -> Integers:
    """``first[0] .. first[0] + count[0] - 1``, then those of the others."""
    return np.repeat(first - _before(count)[:-1], count) + np.arange(count.sum())


def _case_words(query: Query, case: int) -> str:
    sample = query.sample
    if sample is None:
        return f"case {case}"
    return f"class {case + (case >= sample.label)} instead of {sample.label}"


def _words(cuts: Cuts, row: Integers, bound: Tensor, i: int) -> str:
    """What is wrong with a leaf or a cut."""
    what = "a leaf"
    if int(cuts.activation[i]) > 0:
        side = "below" if int(cuts.side[i]) == 0 else "above"
        what = (
            f"a cut {side} {int(cuts.end[i])} at feature {int(cuts.feature[i])} of activation {int(cuts.activation[i])}"
        )
    if math.isinf(float(bound[i])):
        return f"{what}, for which no exact bound follows from row {int(row[i])}"
    return f"{what}, for which row {int(row[i])} gives the bound {float(bound[i]):g}, not below 0"
