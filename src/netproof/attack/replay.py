"""Replaying what may be a witness of a query over the real numbers: onnxruntime on the CPU, no tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from netproof.bounds.region import box_region, node_intervals
from netproof.errors import QueryError
from netproof.graph.graph import Graph
from netproof.network import Member
from netproof.operators.activations.curves.exponentials import Log
from netproof.operators.activations.curves.powers import Power
from netproof.operators.activations.pairs.quotient import Quotient
from netproof.operators.hulls.quotient_hull import keeps_sign
from netproof.property import exact_condition, float_above, float_below
from netproof.query import Query, Witness

if TYPE_CHECKING:
    from numpy.typing import NDArray


def replays(query: Query, witness: Witness) -> bool:
    """Whether a witness of a query over the real numbers holds when it is evaluated anew."""
    return Replayer(query).holds(witness)


#: of inputs, by the names that onnxruntime has for types
_KINDS: dict[str, Any] = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(float16)": np.float16}


class Replayer:
    """Checks points against a query as others would: with the file, a public runtime and exact comparisons.

    A coordinate whose interval holds no float32 value (a decimal constant, often) cannot be met by any float32
    input. There the nearest float32 value is what the runtime is given, and the interval's own end is what the
    witness has. Because these differ, such a witness must also be proved: an enclosure of the network's real
    outputs at the witness itself has to meet the condition.

    Parameters
    ----------
    query : on a network that keeps its file (:attr:`netproof.Network.content`)
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._sessions: dict[bytes, Any] = {}
        lower, upper = _inner_box(query)
        self._between = lower > upper
        nearest = ((query.lower + query.upper) / 2).float()
        self.lower = torch.where(self._between, nearest, lower)
        self.upper = torch.where(self._between, nearest, upper)

    @property
    def possible(self) -> bool:
        """Whether there is a file to evaluate, and the box is one that float32 can hold."""
        finite = torch.isfinite(self.lower) & torch.isfinite(self.upper)
        network = self._query.network
        return bool(network.content or network.members) and bool(finite.all())

    def holds(self, witness: Witness) -> bool:
        """Whether the witness is one of this query, its input taken as it is."""
        again = self.first(witness.input[None])
        return again is not None and again.exact == witness.exact and torch.equal(again.output, witness.output)

    def first(self, points: Tensor) -> Witness | None:
        """The first of the points ``[B, n]`` that is a witness; they are moved into the box first."""
        if not self.possible:
            return None
        for point in points:
            x = self._in_its_type(torch.minimum(torch.maximum(point.detach().cpu().float(), self.lower), self.upper))
            if x is None:
                continue
            y = self._evaluate(x.numpy())
            if y is None:
                continue
            exact = self.exact(x)
            image = [Fraction(value) for value in y.tolist()]
            if (
                self._query.admits(exact, image)
                and self._has_value(exact)
                and (not bool(self._between.any()) or self._proved(exact))
            ):
                return Witness(x, torch.from_numpy(y), tuple(exact))
        return None

    def _in_its_type(self, x: Tensor) -> Tensor | None:
        """The point itself, or one nearby of float16 numbers where an input takes no others; None where that is outside."""
        network = self._query.network
        if network.members:
            narrow = any(feed.type == "float16" for member in network.members for feed in member.feeds)
        else:
            narrow = self._session(network.content).get_inputs()[0].type == "tensor(float16)"
        if not narrow:
            return x
        x = x.half().float()
        return x if bool(((x >= self.lower) & (x <= self.upper)).all()) else None

    def exact(self, x: Tensor) -> list[Fraction]:
        """What a point ``[n]`` stands for: itself, with an end of its interval for every coordinate whose interval holds no float32."""
        exact = [Fraction(value) for value in x.tolist()]
        if bool(self._between.any()):
            lower, upper = _exact_box(self._query)
            for i in self._between.nonzero()[:, 0].tolist():
                exact[i] = min(max(exact[i], lower[i]), upper[i])
        return exact

    def _has_value(self, x: list[Fraction]) -> bool:
        """Whether the network has a value at a real input: a runtime goes on with infinities where it has none."""
        part = self._query.part
        if part is not None and getattr(part.stated, "arithmetic", part.arithmetic) != "real":
            return True  # of numbers of a type infinities are some
        graph = self._query.network.graph
        gaps = [i for i in graph.activations if isinstance(graph.activation(i), Power | Log | Quotient)]
        if not gaps:
            return True
        intervals = self._intervals(graph, x)
        return not any(_may_lack(graph, i, *intervals[graph.nodes[i].operands[0]]) for i in gaps)

    @staticmethod
    def _intervals(graph: Graph, x: list[Fraction]) -> list[tuple[Tensor, Tensor]]:
        """Enclosures of all nodes' values at a real input."""
        lower = torch.tensor([[float_below(value) for value in x]], dtype=torch.float64)
        upper = torch.tensor([[float_above(value) for value in x]], dtype=torch.float64)
        return node_intervals(graph, box_region(graph, lower, upper))

    def _proved(self, x: list[Fraction]) -> bool:
        """Whether the real outputs at a real input meet the condition, whatever they are within an enclosure."""
        low, high = self._intervals(self._query.network.graph, x)[-1]
        if not bool((torch.isfinite(low) & torch.isfinite(high)).all()):
            return False
        ends = [Fraction(v) for v in low[0].tolist()], [Fraction(v) for v in high[0].tolist()]
        condition = exact_condition(self._query)
        return any(all(c.holds_between(x, *ends) for c in conjunction) for conjunction in condition)

    def _evaluate(self, x: NDArray[np.float32]) -> NDArray[np.floating[Any]] | None:
        network = self._query.network
        if network.members:
            return self._evaluate_members(x, network.members)
        session = self._session(network.content)
        given = session.get_inputs()[0]
        shape = network.input_shape
        kind = _KINDS.get(given.type, np.float32)
        (result,) = self._run(session, None, {given.name: x.astype(kind).reshape(shape)})
        y = np.asarray(result).reshape(-1)
        y = y.astype(np.float32) if y.dtype == np.float16 else y
        return y if y.size == network.outputs and np.isfinite(y).all() else None

    def _evaluate_members(self, x: NDArray[np.float32], members: Sequence[Member]) -> NDArray[np.floating[Any]] | None:
        """What all models give, one after the other; each is evaluated by itself."""
        values = []
        for member in members:
            session = self._session(member.content)
            given = {f.name: x[list(f.places)].astype(f.type).reshape(f.shape) for f in member.feeds}
            taken = {value.name for value in session.get_inputs()}
            given = {name: value for name, value in given.items() if name in taken}
            results = self._run(session, list(member.results), given)
            values += [np.asarray(result).reshape(-1) for result in results]
        if not all(np.isfinite(value).all() for value in values):
            return None
        narrow = all(value.dtype in (np.float16, np.float32) for value in values)
        joined: NDArray[np.floating[Any]] = np.concatenate(values).astype(np.float32 if narrow else np.float64)
        return joined

    def _session(self, content: bytes) -> Any:
        if content not in self._sessions:
            self._sessions[content] = _session(self._query, content)
        return self._sessions[content]

    def _run(self, session: Any, names: list[str] | None, given: dict[str, NDArray[Any]]) -> list[Any]:
        try:
            results: list[Any] = session.run(names, given)
        except Exception as error:  # noqa: BLE001 - onnxruntime has no exception type of its own
            raise _refused(self._query, error) from None
        return results


def _may_lack(graph: Graph, index: int, low: Tensor, high: Tensor) -> bool:
    """Whether an activation may have no value somewhere on ranges of its operand."""
    operator = graph.activation(index)
    if isinstance(operator, Quotient):
        return not bool(keeps_sign(low, high).all())
    assert isinstance(operator, Power | Log)
    undefined = operator.undefined(low, high)
    return undefined is not None and bool(undefined.any())


def _exact_box(query: Query) -> tuple[Sequence[Fraction], Sequence[Fraction]]:
    if query.part is not None:
        return query.part.box.lower, query.part.box.upper
    return [Fraction(v) for v in query.lower.tolist()], [Fraction(v) for v in query.upper.tolist()]


def _inner_box(query: Query) -> tuple[Tensor, Tensor]:
    """The largest float32 box inside the query's."""
    if query.part is not None:
        inner_lower, inner_upper = query.part.box.inner_float32
        return torch.from_numpy(inner_lower.copy()), torch.from_numpy(inner_upper.copy())
    lower, upper = query.lower.float(), query.upper.float()
    infinite = torch.tensor(torch.inf, dtype=torch.float32)
    return (
        torch.where(lower.double() < query.lower, torch.nextafter(lower, infinite), lower),
        torch.where(upper.double() > query.upper, torch.nextafter(upper, -infinite), upper),
    )


def _session(query: Query, content: bytes) -> Any:
    """An onnxruntime session on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime has no exception type of its own
        first = error
    # Its optimizer makes some files unusable that are not: a Pad goes into a pooling whose kernel is no larger.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - as above
        raise _refused(query, first) from None


def _refused(query: Query, error: Exception) -> QueryError:
    detail = " ".join(str(error).split())[:200]
    return QueryError(query.name, f"onnxruntime does not evaluate {query.network.path} ({detail})", "export it again")
