"""Parts of the search of float networks that can be switched off, each by a patch, and the benchmarks on which each plays a part.

No switch changes what is proved: what stands in the place of a part is either nothing or what was there before. What is not here because
there is nothing to switch off: conflicts (no-goods) were measured and not built, differences of two networks neither, and the cuts
of the integer program are no part of this search (docs/experiments.md, *What did not help*).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from netproof.bounds.chains import kernels
from netproof.bounds.deciding.rounding import Rounding
from netproof.bounds.ends.end_search import EndSearch
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.region import Region, propagate_intervals
from netproof.effort.real import BOX, BOXES, PROGRAM, SIGN
from netproof.formats.onnx import read
from netproof.graph.graph import Graph
from netproof.graph.passes.drop_dead import drop_dead
from netproof.operators.affine import convolution
from netproof.operators.affine.convolution import Convolution
from netproof.search import verify as door
from netproof.search.real import decide, input_split, relu_split, rounds, together
from netproof.search.real.chains import compiled as loops
from netproof.search.real.chains import split as chain_split
from netproof.search.real.programs import split as program_split
from netproof.search.real.programs.split import ProgramSplit
from netproof.search.real.relu_split import ReluSplit
from netproof.search.real.rounds import Rounds

#: a module or class, a name in it, and what takes its place
Patch = tuple[Any, str, Any]

#: kinds of benchmarks, by what decides them
SIGNS, RESIDUAL, FEW, TWO, MANY, WIDE = KINDS = (
    "signs",
    "residual networks",
    "few inputs",
    "two networks",
    "many boxes",
    "small and wide",
)

_KIND_OF = {
    "oval21": SIGNS,
    "mnist_fc": SIGNS,
    "cifar10_resnet": RESIDUAL,
    "sri_resnet_a": RESIDUAL,
    "sri_resnet_b": RESIDUAL,
    "acasxu": FEW,
    "isomorphic_acasxu_2026": TWO,
    "nn4sys_2023": MANY,
    "wide": WIDE,
}


@dataclass(frozen=True)
class Way:
    """One part switched off.

    Attributes
    ----------
    patches : made anew each time
    kinds : of benchmarks on which the part plays a part
    """

    patches: Callable[[], list[Patch]]
    kinds: tuple[str, ...]


def _always(value: object) -> property:
    """In the place of an attribute of objects: always the same value, whatever is written there."""
    return property(lambda _: value, lambda _, __: None)


def _as_they_were(_: object, region: Region, *__: object) -> Region:
    return region


def _all_proven() -> list[Patch]:
    """Every bound is proven in float64 as soon as it is there, which was so until searches went by float32."""
    sifted = ReluSplit._sifted

    def prove(self: EndSearch, _: int) -> bool:
        slots, rows = self._open.slots, self._open.by_slot
        waiting = slots[rows.value[slots] < rows.proven[slots]]
        for some in torch.split(waiting, self._rows) if len(waiting) else ():
            self._prove_some(some)
        return len(waiting) > 0

    return [
        (ReluSplit, "_sifted", lambda self, batch, *_: sifted(self, batch)),
        (EndSearch, "_prove_enough", prove),
    ]


def _adjoints_by_pytorch() -> list[Patch]:
    def transposed(self: Convolution, v: Any) -> Any:
        if v.requires_grad:
            return convolution._Transposed.apply(v, self)  # type: ignore[no-untyped-call]
        return self._transpose(v, self.weight)

    return [
        (Convolution, "_by", lambda self, _, v, __: transposed(self, v)),
        (Convolution, "_by_phases", transposed),
    ]


@functools.cache
def _walk_by_one_rule() -> Any:
    """The walk over boxes with as many rules as there are now, compiled by itself."""
    return loops.compiled_walk.__wrapped__()


def _no_forms() -> list[Patch]:
    def intervals(graph: Graph, region: Region, *_: object) -> Region:
        return propagate_intervals(graph, region)

    def nothing_kept(graph: Graph, region: Region, *_: object) -> tuple[Region, None]:
        return propagate_intervals(graph, region), None

    return [
        (decide, "form_ranges", intervals),
        (together, "form_ranges", intervals),
        (input_split, "ranges_and_forms", nothing_kept),
    ]


WAYS: dict[str, Way] = {
    "everything": Way(list, KINDS),
    # what stands in the place of cuts
    "no planes": Way(lambda: [(Rounds, "_planes", _always(False))], (SIGNS, RESIDUAL)),
    "no pairs": Way(lambda: [(rounds, "Pairing", lambda *_, **__: None)], (SIGNS, RESIDUAL)),
    # ranges, and how the time is shared
    "no ranges by splits": Way(lambda: [(SplitRefiner, "refine", _as_they_were)], (SIGNS, RESIDUAL)),
    "no ranges by slopes": Way(lambda: [(rounds, "refine_by_alpha", _as_they_were)], (SIGNS, RESIDUAL)),
    "layers by turns": Way(lambda: [(Rounds, "_worth", lambda *_: None)], (RESIDUAL,)),
    "no search kept": Way(lambda: [(Rounds, "_kept", _always(None))], (SIGNS, RESIDUAL)),
    "no ranges where a case holds": Way(
        lambda: [(Rounds, "_given", lambda _self, dual, rounding, *_: (dual, rounding))], (SIGNS, RESIDUAL)
    ),
    "no half-spaces": Way(lambda: [(Rounds, "_by_halves", lambda _self, _region, found, *_: found)], (SIGNS,)),
    # splits and steps
    "no many steps": Way(lambda: [(relu_split, "SIGN", replace(SIGN, polished=1 << 30))], (SIGNS, RESIDUAL)),
    "no look-ahead": Way(lambda: [(relu_split, "SIGN", replace(SIGN, look_ahead=1))], (SIGNS, RESIDUAL)),
    # kernels
    "all proven at once": Way(_all_proven, (SIGNS, RESIDUAL)),
    "PyTorch's adjoints": Way(_adjoints_by_pytorch, (SIGNS, RESIDUAL)),
    "no compiled loops": Way(lambda: [(rounds, "sign_loops", lambda: None)], (SIGNS, RESIDUAL)),
    # boxes
    "no linear forms": Way(_no_forms, (FEW, MANY)),
    "no ranges by CROWN in boxes": Way(
        lambda: [(input_split, "refine_with_account", lambda graph, region, *_: (region, Rounding.of(graph, region)))],
        (FEW,),
    ),
    "ends of boxes kept": Way(
        lambda: [(input_split, "_confined", lambda region, cases, *_: (region, cases))], (FEW, MANY)
    ),
    "no look-ahead in boxes": Way(lambda: [(input_split, "BOX", replace(BOX, look_ahead=1))], (FEW, MANY)),
    # two networks side by side
    "no compiled chains": Way(lambda: [(chain_split, "compiled_walk", lambda: None)], (TWO,)),
    # of three under unstable ReLUs the first alone, the chord's
    "one rule of slopes": Way(
        lambda: [(kernels, "RULES", 1), (chain_split, "compiled_walk", _walk_by_one_rule)], (TWO,)
    ),
    # many boxes
    "no boxes together": Way(lambda: [(door, "_refuted_together", lambda *_: iter(()))], (MANY,)),
    "boxes whole": Way(lambda: [(together, "BOXES", replace(BOXES, depth=0))], (MANY,)),
    "all of the graph": Way(
        lambda: [(together._Together, "_remaining", lambda _, lower, upper: (lower, upper))], (MANY,)
    ),
    # small and wide
    "no programs": Way(lambda: [(ProgramSplit, "is_for", lambda *_: False)], (WIDE,)),
    "no look-ahead in programs": Way(lambda: [(program_split, "PROGRAM", replace(PROGRAM, look_ahead=1))], (WIDE,)),
    # graphs
    "graphs as written": Way(lambda: [(read, "simplify", lambda graph, *_: drop_dead(graph))], (RESIDUAL, FEW, MANY)),
}


def kind_of(benchmark: str) -> str | None:
    """The kind of a benchmark; None where it is not known, and every way may concern it."""
    return _KIND_OF.get(benchmark)


def concerned(benchmark: str, ways: list[str]) -> list[str]:
    """Those of the ways that concern a benchmark, everything switched on before them."""
    kind = kind_of(benchmark)
    others = [way for way in ways if way != "everything"]
    return ["everything", *(way for way in others if kind is None or kind in WAYS[way].kinds)]
