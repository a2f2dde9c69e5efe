"""What the root costs on a large network: ranges of every layer by CROWN, then all margins, with time and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.bounds.crown import crown_lines
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.objective import Objective
from netproof.bounds.ranges.refine import Limits, refine_layer, unstable_features
from netproof.bounds.region import Region, box_region, propagate_intervals
from netproof.bounds.relaxation import Relaxation
from netproof.graph.crop import Crop
from netproof.graph.graph import Graph


@dataclass(frozen=True)
class Layer:
    """What one layer took.

    Attributes
    ----------
    name : of the activation's node, or what was bounded instead
    features : how many there are
    before, after : how many of them had an open sign without refining its ranges, and with it
    seconds, processor_seconds : wall time, and the time of all threads together
    """

    name: str
    features: int
    before: int
    after: int
    seconds: float
    processor_seconds: float


@dataclass(frozen=True, eq=False)
class Margins:
    """The end of a measurement: lower bounds of ``y_label - y_j`` for all other outputs ``j``, ``[n - 1]``."""

    lower: Tensor
    peak_bytes: int


class _NoErrorTerm(Rounding):
    """An account that asks for nothing: bounds are what float64 computed."""

    def up_to(self, graph: Graph, region: Region, node: int) -> Rounding:
        return self

    def part(self, crop: Crop) -> Rounding:
        return self

    def weigh(self, node: int, source: Tensor) -> Tensor:
        return source.new_zeros(source.shape[:-1])

    def total(self, value: Tensor, constant: Tensor, weighed: Tensor) -> Tensor:
        return value


def measure_root(
    graph: Graph, x: Tensor, radius: float, threads: int = 1, *, error_term: bool = True
) -> Iterator[Layer | Margins]:
    """Bound all margins of a real graph (float64) in the box of a radius around ``x`` ``[n_input]``, layer by layer.

    Everything is rigorous, as in a verification, unless the error term of CROWN's bounds is left out, to see what it
    costs. The label is the largest output at ``x``. ``threads`` bound batches of features side by side.
    """
    label = int(graph.evaluate(x[None])[0].argmax())
    begun = _clock()
    region = box_region(graph, (x - radius)[None], (x + radius)[None])
    rounding = Rounding.begun(graph, region) if error_term else _NoErrorTerm((), (), 0.0, 0.0)
    first = [int(unstable_features(graph, region, k).sum()) for k in range(len(graph.activations))]
    yield Layer("intervals", sum(node.size for node in graph.nodes), sum(first), sum(first), *_since(begun))
    for k, index in enumerate(graph.activations):
        begun = _clock()
        before = int(unstable_features(graph, region, k).sum())
        rounding = rounding.up_to(graph, region, graph.nodes[index].operands[0])
        region = propagate_intervals(graph, refine_layer(graph, region, k, rounding, Limits(threads=threads)))
        after = int(unstable_features(graph, region, k).sum())
        yield Layer(graph.nodes[index].name, graph.nodes[index].size, before, after, *_since(begun))
    begun = _clock()
    c = torch.eye(graph.output.size, dtype=torch.float64)
    c[:, label] -= 1
    c = torch.cat([c[:label], c[label + 1 :]])
    objective = Objective({len(graph.nodes) - 1: c}, torch.zeros(len(c), dtype=torch.float64))
    rounding = rounding.up_to(graph, region, len(graph.nodes) - 1)
    value = crown_lines(Relaxation(graph, region), objective, rounding).value
    yield Layer("margins", len(c), len(c), int((value >= 0).sum()), *_since(begun))
    yield Margins(-value, peak_memory())


def table(layers: Sequence[Layer]) -> str:
    """The profile as text, a line per layer."""
    width = max(len(layer.name) for layer in layers)
    lines = [f"{'layer':<{width}}  features     open  refined   wall s  processor s"]
    lines += [
        f"{layer.name:<{width}}  {layer.features:>8}  {layer.before:>7}  {layer.after:>7}  {layer.seconds:>7.2f}"
        f"  {layer.processor_seconds:>11.2f}"
        for layer in layers
    ]
    return "\n".join(lines)


def peak_memory() -> int:
    """The most memory that this process has had resident so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(begun: tuple[float, float]) -> tuple[float, float]:
    now = _clock()
    return now[0] - begun[0], now[1] - begun[1]
