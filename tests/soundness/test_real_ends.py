"""Ends of ranges for which a search split the region: their parts become lemmas with trees, which the checker accepts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from netproof import Result, Verdict
from netproof.bounds.ends.refine_split import SplitRefiner
from netproof.bounds.ranges.refine import refine_ranges
from netproof.bounds.region import box_region, propagate_intervals
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.real.contents import SPLIT
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.make import evidence_of
from netproof.effort.bounding import END
from netproof.errors import ProofError
from netproof.result import Trace
from netproof.search.proofs.traced import _divided
from soundness.real_evidence import perceptron, property_text
from soundness.test_real_evidence import asked

INPUTS, REACH = 8, 0.35


def operands(network: bytes, x: np.ndarray) -> list[np.ndarray]:
    """What arrives at every ReLU at rows of inputs."""
    model = read_network(network, x.shape[1], Float64(), "network")
    values = [x]
    for node in model.nodes[1:]:
        parts = [values[i] for i in node.operands]
        value = np.maximum(parts[0], 0) if node.operator is None else node.operator.forward(*parts)
        offset = None if node.operator is None else node.operator.offset
        values.append(value if offset is None else value + offset)
    return [values[i] for i in model.operands]


def parted(tmp_path, monkeypatch):
    """A network, a property and a question, and a result whose record has ends of ranges by parts, and nothing else."""
    # It ends by the number of parts, on a machine of any speed.
    monkeypatch.setattr("netproof.bounds.ends.end_search.END", replace(END, last=16))
    network = perceptron(np.random.default_rng(3), (INPUTS, 10, 10, 10, 2))
    property_ = property_text([-REACH] * INPUTS, [REACH] * INPUTS, 2, [[((1.0, 0.0), 100.0)]])
    question = asked(tmp_path, network, property_)
    query = question.parts[0]
    graph = query.network.graph
    region = propagate_intervals(graph, box_region(graph, query.lower[None], query.upper[None]))
    region = refine_ranges(graph, region, math.inf, propagate_intervals)
    told = []
    SplitRefiner(graph, listen=told.append).refine(region, 600.0)
    sizes = tuple(graph.nodes[i].size for i in graph.activations)
    divided = _divided(told, sizes)
    assert divided and any(len(end.side) > 2 for end in divided)
    trace = Trace(sizes, {}, {}, {}, {}, {}, ("crown",), (), divided)
    return network, property_, question, Result(Verdict.UNSAT, 0.0, "search", trace=trace)


def test_parts_of_ends_become_lemmas_with_trees(tmp_path, monkeypatch):
    network, property_, question, result = parted(tmp_path, monkeypatch)
    made = decode(encode(evidence_of(network, property_, question, result)))
    for arithmetic in ("float64", "arb"):
        assert check_real(made, network, property_, arithmetic=arithmetic).counts.lemmas == len(
            made.arrays["lemma_relu"]
        )
    assert len(made.arrays["lemma_relu"]) > 3 and int((made.arrays["kind"] == SPLIT).sum()) > 2

    rng = np.random.default_rng(4)
    reached = operands(network, rng.uniform(-REACH, REACH, size=(5000, INPUTS)))
    lemmas = [made.arrays[f"lemma_{name}"] for name in ("relu", "feature", "side", "end", "exponent")]
    for relu, feature, side, end, exponent in zip(*(part.tolist() for part in lemmas), strict=True):
        values, limit = reached[relu - 1][:, feature], math.ldexp(end, -exponent)
        assert (values <= limit + 1e-9).all() if side else (values >= limit - 1e-9).all()

    # Ends that are further in than their trees show.
    moved = made.arrays["lemma_end"] - np.where(made.arrays["lemma_side"] == 1, 1, -1) * (
        np.int64(1) << made.arrays["lemma_exponent"].clip(max=50)
    )
    with pytest.raises(ProofError, match="of the lemmas of stage"):
        check_real(replace(made, arrays={**made.arrays, "lemma_end": moved}), network, property_)

    # Parts that are said to prove more than they do make no lemmas.
    wrong = tuple(
        replace(end, bound=end.bound - 10.0, side=0 * end.side[:1], slope=end.slope[:1], added=end.added[:1])
        for end in result.trace.divided
    )
    trace = replace(result.trace, divided=wrong)
    made = evidence_of(network, property_, question, replace(result, trace=trace))
    assert not len(made.arrays["lemma_relu"])
    check_real(made, network, property_)
