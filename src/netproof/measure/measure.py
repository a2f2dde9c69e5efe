"""What one property costs on a large network: intervals, CROWN and complete runs, each in a process of its own.

A process of its own, because all that systems tell is the most memory that a process ever had resident.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import InputError
from netproof.processes.child import ChildError
from netproof.processes.spawned import Spawned
from netproof.settings import Settings

if TYPE_CHECKING:
    from netproof.query import Query

#: ``search`` is the complete run with its attacks switched off: networks that were not trained fall to them at once
METHODS = ("interval", "crown", "complete", "search")


@dataclass(frozen=True)
class Cost:
    """What one method took on one property.

    Attributes
    ----------
    property, method : which
    outcome : the verdict, or how many margins were proved
    seconds, processor_seconds : without reading network and property
    peak_bytes : of the whole process
    base_bytes : of it before it began, network and property read
    """

    property: str
    method: str
    outcome: str
    seconds: float
    processor_seconds: float
    peak_bytes: int
    base_bytes: int


def measure(network: Path, properties: list[Path], settings: Settings, threads: int) -> Iterator[Cost]:
    """Run every method on the box of every property, one after the other.

    The question is whether the class that the network itself gives the centre of the box can change: a network of the
    same shape with other weights has another opinion than the property's label.

    Raises :class:`InputError` for files that cannot be used, or where a process dies (out of memory, usually).
    """
    for path in properties:
        for method in METHODS:
            with closing(Spawned(_work, method, network, path, settings, threads)) as child:
                try:
                    answer = child.receive()
                except ChildError as death:
                    problem = f"{method}: its process died ({death}), perhaps out of memory"
                    raise InputError(path, problem, "use a machine with more, or a smaller network") from None
            if isinstance(answer, tuple):
                raise InputError(*answer)
            yield answer


def _work(pipe: Connection, method: str, network: Path, path: Path, settings: Settings, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    try:
        pipe.send(_cost(method, network, path, settings))
    except InputError as error:
        pipe.send((error.source, error.problem, error.hint))


def _cost(method: str, network: Path, path: Path, settings: Settings) -> Cost:
    from netproof.measure.scale import peak_memory

    query = _query(network, path)
    base = peak_memory()
    begun, worked = time.perf_counter(), time.process_time()
    outcome = _METHODS[method](query, settings)
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    return Cost(path.name, method, outcome, seconds, worked, peak_memory(), base)


def _query(network: Path, path: Path) -> Query:
    from netproof.formats.load import load
    from netproof.formats.vnnlib.read import read_vnnlib
    from netproof.local_robustness import robustness

    model = load(network)
    (asked, *_) = read_vnnlib(path).queries(model)
    centre = (asked.lower + asked.upper) / 2
    return robustness(model, centre, int(model.classify(centre)), box=(asked.lower, asked.upper), name=path.name)


def _interval(query: Query, settings: Settings) -> str:
    import torch

    from netproof.bounds.intervals import interval_lines
    from netproof.bounds.region import box_region
    from netproof.bounds.relaxation import Relaxation

    graph = query.network.graph
    with torch.no_grad():
        relaxation = Relaxation(graph, box_region(graph, query.lower[None], query.upper[None]))
        c = torch.cat([conjunction.coefficients for conjunction in query.condition])
        value = interval_lines(relaxation, c[None])
    # Not rounded outward: a figure of what intervals cost and give, not a proof.
    return f"{int((value < 0).sum())} of {len(c)} margins"


def _crown(query: Query, settings: Settings) -> str:
    from netproof.making.checks import crown_margins

    assert query.sample is not None
    value = crown_margins(query.network.graph, query.lower, query.upper, query.sample.label)
    return f"{int((value < 0).sum())} of {len(value)} margins"


def _complete(query: Query, settings: Settings) -> str:
    from netproof.search.verify import verify

    result = verify(query, settings)
    return f"{result.verdict.for_robustness} ({result.method or 'none'}, {result.subproblems} subproblems)"


def _search(query: Query, settings: Settings) -> str:
    return _complete(query, replace(settings, attack=False))


_METHODS = {"interval": _interval, "crown": _crown, "complete": _complete, "search": _search}


def cost_table(costs: list[Cost]) -> str:
    """The measurements as text, a line each."""
    lines = [f"{'method':<9} {'seconds':>8} {'processor s':>11} {'peak GiB':>8} {'before':>7}  outcome"]
    name = ""
    for cost in costs:
        if cost.property != name:
            name = cost.property
            lines.append(name)
        lines.append(
            f"{cost.method:<9} {cost.seconds:>8.2f} {cost.processor_seconds:>11.2f} {cost.peak_bytes / 2**30:>8.2f} "
            f"{cost.base_bytes / 2**30:>7.2f}  {cost.outcome}"
        )
    return "\n".join(lines)
