"""How much memory a real query takes at least, estimated before anything of that size is made.

The machine's own memory is meant, and no other: weights, ranges, decisions and open subproblems are there whatever device
searches. A GPU holds the network and one batch in float32 on top, which is neither estimated nor limited; where it does
not suffice, the query ends with ``unknown`` and says so (:mod:`netproof.search.real.decide`).
"""

from __future__ import annotations

from netproof.effort.bounding import REFINE
from netproof.errors import InputError
from netproof.operators.base import Affine
from netproof.query import Query
from netproof.settings import Settings

#: bytes per parameter: weights and their absolute values in float64 and float32 (twice: search and attack), and one copy
#: in another order
_PER_PARAMETER = 2 * 8 + 2 * 2 * 4 + 8
#: per feature: ranges, intervals, magnitudes and errors in float64, and a handful of rows that are optimized in float32
_PER_FEATURE = 10 * 8 + 4 * 6 * 4
#: per feature of the largest layer: eight rows of CROWN, six tensors each
_PER_LARGEST = 8 * 6 * 8
#: per coefficient of a constraint: in float64 as read and stacked, and in float32
_PER_COEFFICIENT = 2 * 8 + 4


def needed_memory(query: Query) -> int:
    """Bytes of the machine's memory that the network, the constraints and the smallest batches of bounds occupy, about."""
    graph = query.network.graph
    numbers = sum(p.numel() for n in graph.nodes if isinstance(n.operator, Affine) for _, p in n.operator.parameters())
    features = graph.features
    needed = _PER_PARAMETER * numbers + _PER_FEATURE * features + _PER_LARGEST * graph.widest
    if graph.input.size <= REFINE.few_inputs:
        needed += 8 * (graph.input.size + 3) * features
    width = max((len(c.threshold) for c in query.condition), default=0)
    of_inputs = any(c.input_coefficients is not None for c in query.condition)
    each = graph.output.size + 1 + (graph.input.size if of_inputs else 0)
    return needed + _PER_COEFFICIENT * len(query.condition) * width * each


def check_memory(query: Query, settings: Settings) -> int:
    """The bytes that are left for open subproblems; raises :class:`InputError` where a query needs more than the limit."""
    needed = needed_memory(query)
    if needed > settings.memory:
        raise InputError(
            query.network.path or "the network",
            f"a query on it needs about {_size(needed)} of memory, the limit is {_size(settings.memory)}",
            f"allow more (--memory {-(-needed // 2**20) / 1024:.3g}, or Settings.memory) or take a smaller network",
        )
    return settings.memory - needed


def _size(number: int) -> str:
    return f"{number / 2**30:.2f} GiB" if number >= 1 << 30 else f"{number / 2**20:.1f} MiB"
