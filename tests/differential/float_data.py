"""Published float networks and properties: ranges against sampled points, and thresholds that a point attains."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from netproof.bounds.boxes import refine_with_account
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.multipliers.signs import is_piecewise_linear
from netproof.bounds.ranges.forms import form_ranges
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.ranges.refine_alpha import refine_by_alpha
from netproof.bounds.region import Region, box_region, node_intervals, propagate_intervals
from netproof.conditions.conditions import Conditions
from netproof.formats.instances import read_instances
from netproof.formats.onnx.read import read_onnx
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.graph.graph import Graph
from netproof.network import Network
from netproof.query import Conjunction, Query, Verdict
from netproof.search.verify import verify
from netproof.settings import Settings

#: folders with an instance list each, as in the published repositories
FOLDERS = (
    "cifar10_resnet", "sri_resnet_a", "sri_resnet_b", "vnncomp/acasxu", "vnncomp/mnist_fc", "vnncomp/oval21",
    "vnncomp/rl_benchmarks", "vnncomp/collins_rul_cnn", "vnncomp/tllverifybench", "vnncomp/cifar_biasfield",
    "vnncomp/test",
)  # fmt: skip
#: inputs up to which linear forms are carried forwards, boxes are refined in batches
_FEW = 64
#: neurons per activation that points are driven towards, and steps
_DRIVEN, _STEPS = 12, 6


@dataclass(frozen=True)
class Instance:
    """A network and a property in a folder."""

    folder: str
    network: Path
    statement: Path

    @property
    def name(self) -> str:
        names = [path.name.removesuffix(".gz").rsplit(".", 1)[0] for path in (self.network, self.statement)]
        return f"{self.folder}:{names[0]}:{names[1]}"


def instances(data: Path, folders: Sequence[str] = FOLDERS) -> list[Instance]:
    """Every instance of the folders that are there, in an order that mixes them."""
    found = []
    for folder in folders:
        for path in sorted((data / folder).glob("*instances.csv*"))[:1]:
            found += [Instance(folder, line.network, line.property) for line in read_instances(path)]
    return sorted(dict.fromkeys(found), key=lambda item: zlib.crc32(item.name.encode()))


@lru_cache(maxsize=2)
def _network(path: Path) -> Network:
    return read_onnx(path)


def queries(instance: Instance) -> Sequence[Query]:
    """The queries of the boxes of a property."""
    return read_vnnlib(instance.statement).queries(_network(instance.network))


def claimed_ranges(graph: Graph, box: Region, seconds: float) -> Iterator[tuple[str, Region]]:
    """Every kind of ranges that the engine computes on a box, each begun from the one before it."""
    yield "intervals", box
    few = graph.input.size <= _FEW
    if few:
        box = form_ranges(graph, box)
        yield "forms", box
        yield "boxes", refine_with_account(graph, box)[0]
    propagate = form_ranges if few else propagate_intervals
    crown = refine_ranges(graph, box, time.monotonic() + seconds, propagate)
    yield "crown", crown
    if is_piecewise_linear(graph, crown):
        alpha = refine_by_alpha(graph, crown, 8, time.monotonic() + seconds)
        yield "alpha", alpha
        yield "splits", SplitRefiner(graph).refine(alpha, 2 * seconds)


def points_of(graph: Graph, region: Region, generator: torch.Generator, margins: Conditions | None = None) -> Tensor:
    """Points of a one-row box, ``[B, n]`` float64: uniform, corners, climbed to a condition and to ends of ranges."""
    lower, upper = region.lower[0], region.upper[0]
    count = 24
    spread = torch.rand(count, len(lower), generator=generator, dtype=torch.float64)
    spread[: count // 2] = spread[: count // 2].round()
    sets = [lower + spread * (upper - lower), lower[None], upper[None], (lower + upper)[None] / 2]
    if margins is not None:
        every = torch.arange(len(margins))[:12]
        start = lower + torch.rand(len(every), len(lower), generator=generator, dtype=torch.float64) * (upper - lower)
        sets.append(_climb(start, lower, upper, lambda x: margins.margins(x, graph.evaluate(x), every).amin(-1)))
    for k, index in enumerate(graph.activations):
        operand = graph.nodes[index].operands[0]
        width = region.range_upper[k][0] - region.range_lower[k][0]
        # Neurons with narrow ranges are as likely to betray an error as wide ones.
        chosen = torch.randperm(len(width), generator=generator)[:_DRIVEN]
        sign = torch.randint(0, 2, (len(chosen),), generator=generator).double() * 2 - 1
        start = lower + torch.rand(len(chosen), len(lower), generator=generator, dtype=torch.float64) * (upper - lower)

        def driven(x: Tensor, operand: int = operand, chosen: Tensor = chosen, sign: Tensor = sign) -> Tensor:
            return graph.values(x)[operand][torch.arange(len(chosen)), chosen] * sign

        sets.append(_climb(start, lower, upper, driven))
    x = torch.cat(sets)
    return torch.minimum(torch.maximum(x, lower), upper)


def _climb(x: Tensor, lower: Tensor, upper: Tensor, height) -> Tensor:  # type: ignore[no-untyped-def]
    for step in range(_STEPS):
        x.requires_grad_(True)
        (slope,) = torch.autograd.grad(height(x).sum(), x)
        moved = x.detach() + 0.7**step * (upper - lower) * slope.sign()
        x = torch.minimum(torch.maximum(moved, lower), upper)
    return x.detach()


def outside(graph: Graph, region: Region, values: Sequence[Tensor], rounding: Rounding) -> list[str]:
    """Which neurons leave their range by more than the evaluation of the points can be off."""
    wrong = []
    for k, index in enumerate(graph.activations):
        operand = graph.nodes[index].operands[0]
        off = rounding.gamma * rounding.magnitude[operand] + 1e-300
        if (more := rounding.offset[operand]) is not None:
            off = off + more
        value = values[operand]
        beyond = torch.maximum(region.range_lower[k] - value, value - region.range_upper[k]) - off
        if bool((beyond > 0).any()):
            row, feature = divmod(int(beyond.argmax()), beyond.shape[1])
            wrong.append(f"activation {k} feature {feature} leaves its range by {float(beyond[row, feature]):.3g}")
    return wrong


def check_ranges(instance: Instance, seconds: float, most_boxes: int = 3) -> tuple[list[str], dict[str, float]]:
    """Points of the boxes of an instance against every kind of ranges: what is wrong, and figures."""
    wrong, figures = [], {"points": 0.0, "ranges": 0.0}
    for number, query in enumerate(queries(instance)[:most_boxes]):
        graph = query.network.graph
        box = box_region(graph, query.lower[None], query.upper[None])
        generator = torch.Generator().manual_seed(number)
        rounding = Rounding.of(graph, box)
        x = points_of(graph, box, generator, Conditions.of(graph, query.condition) if query.condition else None)
        values = graph.values(x)
        for node, (low, high) in enumerate(node_intervals(graph, box)):
            beyond = torch.maximum(low - values[node], values[node] - high)
            if bool((beyond > rounding.gamma * rounding.magnitude[node] + 1e-300).any()):
                wrong.append(f"box {number}: intervals of node {node}")
        for kind, region in claimed_ranges(graph, box, seconds):
            wrong += [f"box {number}, {kind}: {text}" for text in outside(graph, region, values, rounding)]
            figures["ranges"] += sum(r.shape[1] for r in region.range_lower) * len(x)
        figures["points"] += len(x)
    return wrong, figures


def check_attained(instance: Instance, seconds: float) -> tuple[list[str], dict[str, float]]:
    """A condition that a known point meets, with hardly anything to spare, must not be refuted."""
    wrong, figures = [], {"asked": 0.0, "sat by itself": 0.0}
    every = queries(instance)
    for number, query in enumerate(every[:2]):
        if not query.condition:
            continue
        graph = query.network.graph
        region = box_region(graph, query.lower[None], query.upper[None])
        constraints = Conditions.of(graph, query.condition)
        x = points_of(graph, region, torch.Generator().manual_seed(number), constraints)[27:]
        y = graph.evaluate(x)
        spare = torch.stack(
            [constraints.margins(x, y, torch.full((len(x),), i)).amin(1) for i in range(len(constraints))], 1
        )
        row, case = divmod(int(spare.argmax()), len(constraints))
        reached = constraints.margins(x[row : row + 1], y[row : row + 1], torch.tensor([case]))[0]
        rounding = Rounding.of(graph, region)
        old = query.condition[case]
        # What the evaluation of the point itself may be off by.
        off = rounding.gamma * (old.coefficients.abs() @ rounding.magnitude[-1] + old.threshold.abs()) * 2
        if old.input_coefficients is not None:
            off = off + rounding.gamma * (old.input_coefficients.abs() @ rounding.magnitude[0]) * 2
        if (more := rounding.offset[-1]) is not None:
            off = off + old.coefficients.abs() @ more
        threshold = torch.minimum(old.threshold, old.threshold + reached[: len(old.threshold)] - off)
        figures["sat by itself"] += bool((reached >= 0).all())
        planted = Conjunction(old.coefficients, threshold, old.input_coefficients)
        asked = replace_condition(query, planted)
        figures["asked"] += 1
        if verify(asked, Settings(timeout=seconds, attack=False)).verdict is Verdict.UNSAT:
            wrong.append(f"box {number}, conjunction {case}: unsat, but a point attains it")
        if bool((reached >= off).all()):
            whole = replace(query)
            if verify(whole, Settings(timeout=seconds, attack=False)).verdict is Verdict.UNSAT:
                wrong.append(f"box {number}: unsat, but a point meets the property itself")
    return wrong, figures


def replace_condition(query: Query, conjunction: Conjunction) -> Query:
    return Query(query.network, query.lower, query.upper, (conjunction,), query.name)
