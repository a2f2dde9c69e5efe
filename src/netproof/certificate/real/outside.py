"""Certificates made of another tool's leaves (:mod:`netproof.certificate.real.leaves`)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from netproof.certificate.checker.real.check import evaluation_of, root_of
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import Part, read_property
from netproof.certificate.checker.real.tree import Case
from netproof.certificate.real.contents import NAMES, RealCertificate, arrays_of
from netproof.certificate.real.deadline import Deadline
from netproof.certificate.real.grown.grow import Grower
from netproof.certificate.real.grown.rows import RowTable, arrays_of_rows
from netproof.certificate.real.grown.seeds import Claim, Maker, Places, Seed
from netproof.certificate.real.grown.staged import staged
from netproof.certificate.real.grown.written import written
from netproof.certificate.real.leaves import Leaf, Trees
from netproof.errors import FormatError


def certificate_of_leaves(
    network: bytes,
    property_: bytes,
    leaves: Sequence[Leaf],
    *,
    source: str,
    producer: str = "",
    deadline: float = math.inf,
) -> RealCertificate:
    """The certificate of ``unsat`` that leaves lead to; where they leave something open it is split further.

    Parameters
    ----------
    network, property_ : (decompressed) contents of the files
    source : how errors call the leaves
    deadline : by ``time.monotonic()``

    Raises
    ------
    FormatError : leaves that are about something else, files that the checker does not read
    NoEvidenceError : they do not lead to one
    """
    asked = read_property(property_, "the property")
    with np.errstate(all="ignore"):
        until = Deadline(source, deadline)
        evaluation = evaluation_of(network, asked, Float64(), until.look)
        if (evaluation.network.inputs, evaluation.network.outputs) != (asked.inputs, asked.outputs):
            raise FormatError("the property", "is about another network", "give the files that belong together")
        for leaf in leaves:
            if leaf.part >= len(asked.parts) or (leaf.case or 0) >= len(asked.parts[leaf.part].cases):
                raise FormatError(source, "names a part or case that the property has not", "count both from 0")
        width = max((len(case) for part in asked.parts for case in part.cases), default=1) or 1
        maker = Maker(evaluation, RowTable(), width, until)
        arrays: dict[str, list[int]] = {name: [] for name in NAMES if not name.startswith(("witness", "row"))}
        for number, part in enumerate(asked.parts):
            _add(maker, part, [leaf for leaf in leaves if leaf.part == number], arrays)
    rows = arrays_of_rows(maker.table.rows, width)
    return RealCertificate(
        hashlib.sha256(network).hexdigest(),
        hashlib.sha256(property_).hexdigest(),
        asked.inputs,
        asked.outputs,
        "unsat",
        arrays_of(**arrays, **rows),
        Path(source).name,
        producer,
    )


def _add(maker: Maker, part: Part, leaves: Sequence[Leaf], arrays: dict[str, list[int]]) -> None:
    """The arrays of one part."""
    network = maker.evaluation.network
    before = len(arrays["stage"])
    cells = staged(maker.evaluation, root_of(maker.evaluation, part), arrays)
    trees = Trees(network.sizes, network.inputs, maker.deadline)
    count = len(part.cases)
    if all(leaf.case is None for leaf in leaves):
        root, tree = trees.root(leaves), [0] * count
        seeds = [Seed([Claim(goal, root) for goal in range(count)], np.zeros(0, np.int64), {})]
    else:
        mine = [[leaf for leaf in leaves if leaf.case in (None, case)] for case in range(count)]
        tree = list(range(count))
        seeds = [Seed([Claim(case, trees.root(own))], np.zeros(0, np.int64), {}) for case, own in enumerate(mine)]
    trace = trees.trace()
    for seed in seeds:
        seed.open = trace.open.get(seed.claims[0].trace or 0, seed.open)
    places: list[Places] = []
    for case in part.cases:
        width = max(1, len(case))
        if any(len(leaf.weights) not in (0, width) for leaf in leaves if leaf.case == len(places)):
            raise FormatError(
                maker.source, f"has other weights than the {width} of case {len(places)}", "give one each"
            )
        places.append(Places(np.arange(width), np.ones(width)))
    Grower(maker, [Case(case, len(network.nodes) - 1) for case in part.cases], places, trace).grow(cells, seeds)
    arrays["cases"].append(count)
    arrays["stages"].append(len(arrays["stage"]) - before)
    arrays["tree"] += tree
    for name, values in written(seeds).items():
        arrays[name] += values
