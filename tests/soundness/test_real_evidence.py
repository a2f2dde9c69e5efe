"""Evidence of real searches on float networks: written, read back, and accepted by the checker in every arithmetic.

And whatever a record says, nothing but what the checker accepts comes of it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from netproof import Settings, Verdict
from netproof.certificate.checker.real.bound import Evaluation, Objective, Slopes
from netproof.certificate.checker.real.check import check_real
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.numbers import Float64
from netproof.certificate.checker.real.property import Constraint
from netproof.certificate.checker.real.tree import Case
from netproof.certificate.real.aligned import _operands_of_graph, _operands_of_network, aligned
from netproof.certificate.real.contents import CROWN, SPLIT
from netproof.certificate.real.format import decode, encode
from netproof.certificate.real.grown import staged
from netproof.certificate.real.grown.program import Programs
from netproof.certificate.real.make import _Part, evidence_of
from netproof.effort.real import ROUND
from netproof.errors import NoEvidenceError, ProofError
from netproof.formats.load import load
from netproof.formats.vnnlib.read import read_vnnlib
from netproof.result import Refutation
from netproof.search.real.programs.split import ProgramSplit
from netproof.search.verify import verify
from soundness.real_evidence import (
    Builder,
    attention,
    chain,
    gated,
    perceptron,
    property_text,
    residual,
    run,
    values_of,
)


def asked(tmp_path, network: bytes, property_: bytes):
    (tmp_path / "n.onnx").write_bytes(network)
    (tmp_path / "p.vnnlib").write_bytes(property_)
    return read_vnnlib(tmp_path / "p.vnnlib").question(load(tmp_path / "n.onnx"))


def climbed(network: bytes, center: np.ndarray, radius: float, weigh) -> float:
    """A large value of ``weigh(y)`` on a box: from the best of some corners, input after input."""
    rng = np.random.default_rng(0)
    corners = rng.choice([-1.0, 1.0], size=(60, len(center)))
    best = corners[weigh(run(network, center + radius * corners)).argmax()]
    for _ in range(2):
        for i in range(len(center)):
            tried = np.stack([best, best, best])
            tried[:, i] = -1.0, 0.0, 1.0
            best = tried[weigh(run(network, center + radius * tried)).argmax()]
    return float(weigh(run(network, (center + radius * best)[None]))[0])


def close_property(rng, network: bytes, inputs: int, outputs: int, radius: float, beyond: float) -> bytes:
    """Two cases that hold nowhere, of one constraint and of two, ``beyond`` what is reached in parts of the spread."""
    center = rng.normal(size=inputs).astype(np.float32).astype(np.float64)
    spread = float(np.ptp(run(network, center + radius * rng.choice([-1.0, 1.0], size=(60, inputs))), axis=0).max())
    c = rng.normal(size=(2, outputs)).astype(np.float32).astype(np.float64)
    c /= abs(c).max()
    c = np.rint(c * 64) / 64
    tops = [climbed(network, center, radius, lambda y, row=row: y @ row) for row in c]
    both = climbed(network, center, radius, lambda y: np.minimum(y @ c[0] - tops[0], y @ c[1] - tops[1]))
    first = [(tuple(c[0]), tops[0] + beyond * spread)]
    second = [(tuple(c[i]), tops[i] + both + beyond * spread) for i in range(2)]
    lower, upper = center - radius, center + radius
    return property_text(lower.tolist(), upper.tolist(), outputs, [first, second])


def moved(rng: np.random.Generator) -> bytes:
    """A network in which values are cut, put around with numbers, and set beside one another."""
    made = Builder([1, 6])

    def numbers(*values: int) -> str:
        return made.constant(np.array(values), np.int64)

    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((6, 6), (14, 8), (8, 2))]
    first = made.node("Relu", made.node("MatMul", "x", made.constant(weights[0])))
    cut = made.node("Slice", first, numbers(1), numbers(5), numbers(1))
    around = made.node("Pad", "x", numbers(0, 1, 0, 0), made.constant(np.float32(0.25)))
    joined = made.node(
        "Concat",
        around,
        cut,
        made.constant(np.float32([[0.5]])),
        made.node("Slice", cut, numbers(0), numbers(2), numbers(1)),
        axis=1,
    )
    second = made.node("Relu", made.node("MatMul", joined, made.constant(weights[1])))
    return made.bytes(made.node("MatMul", second, made.constant(weights[2])))


def shared(rng: np.random.Generator) -> bytes:
    """Means weighed by cubes of values near 200: quotients of numbers of about 10^7."""
    made = Builder([1, 3])
    weights, prices = rng.normal(size=(3, 5)).astype(np.float32), rng.normal(size=(5, 2)).astype(np.float32)
    hidden = made.node("Relu", made.node("MatMul", "x", made.constant(weights)))
    cubes = made.node("Pow", made.node("Add", hidden, made.constant(np.float32(200.0))), made.constant(np.float32(3.0)))
    total = made.node("MatMul", cubes, made.constant(np.ones((5, 1), np.float32)))
    return made.bytes(made.node("MatMul", made.node("Div", cubes, total), made.constant(prices)))


WAYS = {
    "moved": (lambda rng: (moved(rng), 6, 2), 0.2, 0.3),
    "root": (lambda rng: (perceptron(rng, (3, 6, 6, 2)), 3, 2), 0.3, 3.0),
    "boxes": (lambda rng: (perceptron(rng, (2, 8, 8, 8, 2)), 2, 2), 2.0, 0.05),
    "signs": (lambda rng: (perceptron(rng, (12, 10, 10, 10, 2)), 12, 2), 0.1, 0.1),
    "logistic": (lambda rng: (perceptron(rng, (3, 6, 6, 2), bend="Sigmoid"), 3, 2), 0.3, 0.2),
    "tangents": (lambda rng: (perceptron(rng, (20, 8, 8, 2), bend="Tanh"), 20, 2), 0.03, 0.3),
    "gated": (lambda rng: (gated(rng), 3, 2), 0.1, 0.3),
    "attention": (lambda rng: (attention(rng), 4, 2), 0.02, 0.5),
    "shared": (lambda rng: (shared(rng), 3, 2), 0.3, 0.2),
    "residual": (lambda rng: (residual(rng, normalized=False), 32, 2), 0.15, 0.15),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("way", WAYS)
def test_evidence_of_searches_is_accepted(way, seed, tmp_path):
    rng = np.random.default_rng(seed)
    make, radius, beyond = WAYS[way]
    network, inputs, outputs = make(rng)
    property_ = close_property(rng, network, inputs, outputs, radius, beyond)
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=20.0, proofs=True))
    if result.verdict is not Verdict.UNSAT:
        pytest.skip("sampling missed the largest value")
    made = evidence_of(network, property_, question, result, producer="a test")
    data = encode(made)
    assert data == encode(evidence_of(network, property_, question, result, producer="a test"))
    found = [check_real(decode(data), network, property_, arithmetic=a).counts for a in ("float64", "arb")]
    if inputs < 4 and way != "gated":
        found.append(check_real(decode(data), network, property_, arithmetic="rational").counts)
    assert all(counts.leaves == found[0].leaves for counts in found)
    assert all(abs(counts.closest - found[0].closest) < 1e-6 for counts in found)
    if way == "boxes":
        assert found[0].splits > 0 and (made.arrays["split_relu"] == 0).all()
    if way == "signs" and (made.arrays["kind"] == SPLIT).any():
        assert (made.arrays["split_relu"] > 0).all() and len(made.arrays["row_slope"])


@pytest.mark.parametrize("arithmetic", ["float64", "arb", "rational"])
def test_evidence_about_moved_values_is_none_of_what_they_reach(tmp_path, arithmetic):
    # The same trees and rows about thresholds that a point attains.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        network = moved(rng)
        center = rng.normal(size=6).astype(np.float32).astype(np.float64)
        top = float(values_of(network, center)[0])
        lower, upper = (center - 0.01).tolist(), (center + 0.01).tolist()
        beyond = property_text(lower, upper, 2, [[((1.0, 0.0), top + 5.0)]])
        question = asked(tmp_path, network, beyond)
        made = evidence_of(network, beyond, question, verify(question, Settings(timeout=20.0, proofs=True)))
        assert check_real(made, network, beyond, arithmetic=arithmetic).counts.leaves >= 1
        for below in (0.0, 1e-9, 0.5):
            reached = property_text(lower, upper, 2, [[((1.0, 0.0), math.nextafter(top, -math.inf) - below)]])
            false = replace(made, property_sha256=hashlib.sha256(reached).hexdigest())
            with pytest.raises(ProofError):
                check_real(false, network, reached, arithmetic=arithmetic)


def test_ranges_of_a_search_are_taken_where_the_checker_finds_them_and_nowhere_else(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    network = residual(rng, normalized=False)
    property_ = close_property(rng, network, 32, 2, 0.15, 0.15)
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=20.0, proofs=True))
    assert result.verdict is Verdict.UNSAT and result.trace is not None
    evaluation = Evaluation(read_network(network, 32, Float64(), "n"), Float64())
    root = evaluation.root(*(np.array([float(end) for end in ends]) for ends in question.parts[0].part.box.outer))
    whole, box = evaluation.derive(root, CROWN), result.trace.box
    assert len(box) == len(whole.low)
    monkeypatch.setattr(staged, "_MANY", 1)
    monkeypatch.setattr(staged, "_SAMPLE", 10**6)

    monkeypatch.setattr(staged, "FEW_INPUTS", 0)

    def taken(known):
        arrays = {"stage": []}
        found = staged.staged(evaluation, root, arrays, known)
        assert arrays["stage"] == [CROWN]
        return found

    # Wider than the checker's own by next to nothing, and with the same signs.
    found = taken(box)
    for a, b, c, d in zip(found.low, found.high, whole.low, whole.high, strict=True):
        is_open = (c < 0) & (d > 0)
        assert (((a < 0) & (b > 0)) == is_open).all()
        assert (
            (a <= c)[is_open].all()
            and (d <= b)[is_open].all()
            and (abs(a - c) + abs(b - d))[is_open].max(initial=0) < 1e-5
        )
    # An end that the rule does not come to: the checker's ranges are what is used.
    for k in range(1, len(box)):
        low, high = whole.low[k][0], whole.high[k][0]
        narrow = np.where((low < 0) & (high > 0), high / 2, high)
        if (narrow == high).all():
            continue
        other = taken([*box[:k], (box[k][0], narrow), *box[k + 1 :]])
        assert all((a == b).all() for a, b in zip((*other.low, *other.high), (*whole.low, *whole.high), strict=True))
    # Whole certificates are the same as without.
    plain = evidence_of(network, property_, question, replace(result, trace=replace(result.trace, box=())))
    assert encode(evidence_of(network, property_, question, result)) == encode(plain)
    # Trees that stay open on what was taken are grown anew, and nothing is left of them.
    arrays = _Part.arrays

    def failing(part):
        made = arrays(part)
        if part._trace.box:
            raise NoEvidenceError("a part", "its trees stay open")
        return made

    monkeypatch.setattr(_Part, "arrays", failing)
    assert encode(evidence_of(network, property_, question, result)) == encode(plain)
    with pytest.raises(NoEvidenceError):
        evidence_of(network, property_, question, result, deadline=0.0)


@pytest.mark.parametrize("seed", [2, 4])
def test_programs_of_all_subproblems_become_evidence(tmp_path, monkeypatch, seed):
    monkeypatch.setattr("netproof.search.real.rounds.ROUND", replace(ROUND, easy=1))
    found = []
    run = ProgramSplit.run
    monkeypatch.setattr(ProgramSplit, "run", lambda *given: found.append(run(*given)) or found[-1])
    network, property_, question, result = a_search(tmp_path, "signs", seed)
    assert result.verdict is Verdict.UNSAT and found[0].verdict is Verdict.UNSAT
    made = decode(encode(evidence_of(network, property_, question, result)))
    assert (made.arrays["split_relu"] > 0).all() and len(made.arrays["row_slope"])
    for arithmetic in ("float64", "arb"):
        check_real(made, network, property_, arithmetic=arithmetic)


@pytest.mark.parametrize(("way", "seed"), [("signs", 2)])
def test_slopes_of_ranges_become_lemmas(tmp_path, monkeypatch, way, seed):
    # With hardly any subproblems before ranges are refined, slopes are found for all of their ends.
    monkeypatch.setattr("netproof.search.real.rounds.ROUND", replace(ROUND, easy=1))
    monkeypatch.setattr(ProgramSplit, "is_for", lambda *_: False)
    network, property_, question, result = a_search(tmp_path, way, seed)
    assert result.verdict is Verdict.UNSAT and result.trace is not None and result.trace.ends
    made = decode(encode(evidence_of(network, property_, question, result)))
    lemmas = len(made.arrays["lemma_relu"])
    assert lemmas > 0 and set(made.arrays["lemma_relu"]) <= {2, 3, 4}
    for arithmetic in ("float64", "arb"):
        assert check_real(made, network, property_, arithmetic=arithmetic).counts.lemmas == lemmas
    # An end that is a little further in is not what its row proves.
    for side in (0, 1):
        ends, of_side = made.arrays["lemma_end"].copy(), made.arrays["lemma_side"] == side
        ends[of_side] -= np.where(side, 1, -1) * (1 << made.arrays["lemma_exponent"][of_side].clip(max=50)) // 16
        if of_side.any():
            with pytest.raises(ProofError, match="of the lemmas of stage"):
                check_real(replace(made, arrays={**made.arrays, "lemma_end": ends}), network, property_)


@pytest.mark.parametrize("seed", [1])
def test_lines_of_curves_become_lemmas(tmp_path, seed):
    rng = np.random.default_rng(seed)
    network = perceptron(rng, (20, 8, 8, 2), bend="Sigmoid")
    property_ = close_property(rng, network, 20, 2, 0.1, 0.1)
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=60.0, proofs=True))
    assert result.verdict is Verdict.UNSAT
    made = evidence_of(network, property_, question, result)
    # Of the second layer, by slopes of the curves of the first, which are others than those of ReLUs.
    assert len(made.arrays["lemma_relu"]) and (made.arrays["lemma_relu"] == 2).all()
    assert (made.arrays["row_slope"] > 0).any() and not made.arrays["row_added"].any()
    for arithmetic in ("float64", "arb"):
        counts = check_real(made, network, property_, arithmetic=arithmetic).counts
        assert counts.lemmas == len(made.arrays["lemma_relu"])


def a_search(tmp_path, way="signs", seed=1):
    rng = np.random.default_rng(seed)
    make, radius, beyond = WAYS[way]
    network, inputs, outputs = make(rng)
    property_ = close_property(rng, network, inputs, outputs, radius, beyond)
    question = asked(tmp_path, network, property_)
    return network, property_, question, verify(question, Settings(timeout=20.0, proofs=True))


def test_a_record_that_says_too_little_makes_no_evidence(tmp_path, monkeypatch):
    monkeypatch.setattr("netproof.certificate.real.grown.grow._MOST_BEYOND", {True: 20, False: 20})
    # Programs of all cells would do without it, as below.
    monkeypatch.setattr("netproof.certificate.real.grown.program._FEATURES", 0)
    network, property_, question, result = a_search(tmp_path, "signs", 2)
    trace = result.trace
    assert result.verdict is Verdict.UNSAT and trace is not None and len(trace.splits) > 3
    nothing = np.zeros(0, np.int64)
    false = {node: Refutation("crown", np.ones(2)) for node in trace.roots.values()}
    for wrong in (
        replace(trace, sizes=(3, 4)),
        replace(trace, splits={}, refuted={}),
        replace(trace, roots={}),
        replace(trace, splits={}, refuted=false, open={}),
        replace(trace, refuted={n: replace(r, weight=np.zeros(2)) for n, r in trace.refuted.items()}),
        replace(trace, open=dict.fromkeys(trace.open, nothing), splits={}),
    ):
        with pytest.raises(NoEvidenceError):
            evidence_of(network, property_, question, replace(result, trace=wrong))
    with pytest.raises(NoEvidenceError, match="left no record"):
        evidence_of(network, property_, question, replace(result, trace=None))
    with pytest.raises(NoEvidenceError, match="'unknown'"):
        evidence_of(network, property_, question, replace(result, verdict=Verdict.UNKNOWN))
    with pytest.raises(NoEvidenceError, match="time"):
        evidence_of(network, property_, question, result, deadline=0.0)


def test_another_property_makes_no_evidence(tmp_path):
    network, property_, question, result = a_search(tmp_path, "root")
    assert result.verdict is Verdict.UNSAT
    text = property_.decode()
    for other in (
        f"{text}(assert (<= X_0 1000.0))(assert (or (<= Y_0 1) (<= Y_1 1)))",
        text.replace("1", "2"),
        "(check-sat)",
    ):
        with pytest.raises(NoEvidenceError):
            evidence_of(network, other.encode(), question, result)


def test_witnesses_become_evidence(tmp_path):
    rng = np.random.default_rng(0)
    network = perceptron(rng, (3, 6, 6, 2))
    y = run(network, np.zeros((1, 3)))[0]
    property_ = property_text([-0.3] * 3, [0.7] * 3, 2, [[((1.0, 0.0), float(y[0]) - 0.01)]])
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=60.0))
    assert result.verdict is Verdict.SAT
    made = decode(encode(evidence_of(network, property_, question, result)))
    assert made.claim == "sat"
    for arithmetic in ("float64", "arb", "rational"):
        assert check_real(made, network, property_, arithmetic=arithmetic).part == 0


@pytest.mark.parametrize("strict", [False, True])
def test_what_float64_cannot_tell_from_its_threshold_has_evidence(tmp_path, strict):
    """The largest output of a network of two bends, and a threshold above it by 2^-70; or that itself, and a strict constraint."""
    network = chain([[[0.3], [-0.7]], [[1.1, 0.9]]], [[0.1, 0.2], [0.0]], dtype=np.float32)
    a, b, c, d, p, q = (Fraction(float(np.float32(x))) for x in (0.3, 0.1, -0.7, 0.2, 1.1, 0.9))
    top = max(p * max(a * x + b, 0) + q * max(c * x + d, 0) for x in (-1, 1))
    threshold = top if strict else top + Fraction(1, 1 << 70)
    data = property_text([-1.0], [1.0], 1, [[((1.0,), threshold)]])
    data = data.replace(b"(>= (+", b"(> (+") if strict else data
    question = asked(tmp_path, network, data)
    result = verify(question, Settings(timeout=60.0, proofs=True, attack=False))
    assert result.verdict is Verdict.UNSAT
    made = decode(encode(evidence_of(network, data, question, result)))
    for arithmetic in ("float64", "arb", "rational"):
        check_real(made, network, data, arithmetic=arithmetic)


def test_a_witness_of_the_runtime_alone_is_none_over_the_real_numbers(tmp_path):
    # In float32 1 + 2^-30 is 1, so that 1 >= 1 + 2^-30 is met by rounding alone.
    from soundness.real_evidence import Builder

    made = Builder([1, 1])
    a = made.node("Gemm", "x", made.constant([[2.0**-30]]), made.constant([1.0]), transB=1)
    network = made.bytes(made.node("Relu", a))
    property_ = property_text([-1.0], [-0.5], 1, [[((1.0,), 1.0)]])
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=20.0, proofs=True))
    if result.verdict is Verdict.SAT:
        with pytest.raises(NoEvidenceError, match="over the real numbers"):
            evidence_of(network, property_, question, result)
    else:
        made_ = evidence_of(network, property_, question, result)
        assert check_real(made_, network, property_, arithmetic="rational").counts.leaves == 1


def test_several_boxes_are_proved_one_after_the_other(tmp_path):
    rng = np.random.default_rng(2)
    network = perceptron(rng, (2, 8, 8, 2))
    lines = [
        "(declare-const X_0 Real)",
        "(declare-const X_1 Real)",
        "(declare-const Y_0 Real)",
        "(declare-const Y_1 Real)",
    ]
    y = run(network, rng.uniform(-1, 1, size=(500, 2)))
    top = float(y[:, 0].max() + 0.1 * np.ptp(y[:, 0]))
    boxes = [
        f"(and (>= X_0 {a}) (<= X_0 {a + 1}) (>= X_1 {b}) (<= X_1 {b + 1}) (>= Y_0 {top}))"
        for a in (-1, 0)
        for b in (-1, 0)
    ]
    property_ = "\n".join([*lines, f"(assert (or {' '.join(boxes)}))"]).encode()
    question = asked(tmp_path, network, property_)
    assert len(question.parts) == 4
    result = verify(question, Settings(timeout=20.0, proofs=True))
    assert result.verdict is Verdict.UNSAT
    made = evidence_of(network, property_, question, result)
    assert made.arrays["cases"].tolist() == [1, 1, 1, 1]
    assert len(check_real(made, network, property_).asked.parts) == 4


@pytest.mark.parametrize("inputs", [3, 20])
def test_networks_without_activations_have_evidence(tmp_path, inputs):
    """Constraints of which each is met and both are not: by a mixture of them. What cannot be closed is said."""
    weight = np.stack([np.arange(1.0, inputs + 1), -np.arange(1.0, inputs + 1) - 0.5])
    network = chain([weight], [np.zeros(2)])
    assert read_network(network, inputs, Float64(), "network").sizes == ()

    def asking(thresholds, rows):
        cases = [[(row, threshold) for row, threshold in zip(rows, thresholds, strict=True)]]
        return property_text([-1.0] * inputs, [1.0] * inputs, 2, cases)

    apart = asking([2.0, 0.5 * inputs - 1.5], [(1.0, 0.0), (0.0, 1.0)])
    question = asked(tmp_path, network, apart)
    result = verify(question, Settings(timeout=20.0, proofs=True, attack=False))
    assert result.verdict is Verdict.UNSAT
    made = decode(encode(evidence_of(network, apart, question, result)))
    check_real(made, network, apart)
    # Next to what is reached by less than rounding, with numbers so large that the checker does not look more closely.
    large = 2.0**40
    network = chain([large * weight[:1]], [np.zeros(1)])
    top = int(large) * inputs * (inputs + 1) // 2
    text = property_text([-1.0] * inputs, [1.0] * inputs, 1, [[((1.0,), 0.0)]])
    close = text[: text.rindex(b"(assert")] + f"(assert (> Y_0 {top}.0))\n".encode()
    question = asked(tmp_path, network, close)
    result = verify(question, Settings(timeout=20.0, proofs=True, attack=False))
    assert result.verdict is Verdict.UNSAT
    with pytest.raises(NoEvidenceError, match="nothing to split" if inputs > 16 else "bound does not close"):
        evidence_of(network, close, question, result)


def test_cases_that_say_ends_of_the_box_once_more_are_proved_with_the_others(tmp_path):
    rng = np.random.default_rng(2)
    network = perceptron(rng, (1, 6, 2))
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)(assert (>= X_0 -1))(assert (<= X_0 1))"
    property_ = (
        text + "(assert (or (>= Y_0 1e3) (and (<= X_0 1) (>= Y_1 1e3)) (and (<= X_0 9) (<= Y_1 -1e3))))"
    ).encode()
    question = asked(tmp_path, network, property_)
    result = verify(question, Settings(timeout=20.0, proofs=True))
    made = evidence_of(network, property_, question, result)
    assert made.arrays["cases"].tolist() == [3]
    check_real(made, network, property_)


@pytest.mark.parametrize("means", ["programs", "duals alone"])
def test_programs_make_evidence_without_a_record(tmp_path, monkeypatch, means):
    network, property_, question, result = a_search(tmp_path, "signs", 2)
    assert result.verdict is Verdict.UNSAT and result.trace is not None
    nothing = replace(result.trace, roots={}, splits={}, refuted={}, open={}, ends=(), divided=())
    if means == "duals alone":
        # No row but those of programs is tried.
        monkeypatch.setattr("netproof.certificate.real.grown.grow.Grower._bound", lambda *_: None)
    made = decode(encode(evidence_of(network, property_, question, replace(result, trace=nothing))))
    assert SPLIT in made.arrays["kind"] and made.arrays["row_base"].any()
    assert (made.arrays["row_base"] == 1).all() or means == "programs"
    for arithmetic in ("float64", "arb"):
        check_real(made, network, property_, arithmetic=arithmetic)


def test_a_program_of_an_empty_cell_refutes_it(tmp_path):
    # Of two ReLUs of one input either is above 1, and both are said to be below 0.
    made = Builder([1, 1])
    hidden = made.node("Relu", made.node("Gemm", "x", made.constant([[1.0, -1.0]]), made.constant([0.5, 0.5])))
    network = read_network(made.bytes(made.node("MatMul", hidden, made.constant([[1.0], [1.0]]))), 1, Float64(), "n")
    evaluation = Evaluation(network, Float64())
    cell = evaluation.root(np.array([-2.0]), np.array([2.0]))
    cell = replace(cell, high=(np.minimum(cell.high[0], -0.25),))
    case = Case((Constraint((), ((0, Fraction(1)),), Fraction(-1000), strict=False),), 3)
    with Programs(evaluation) as programs:
        dual = programs.solved(cell, 0, case, 1, math.inf)
    assert dual is not None and not dual.weight.any()
    bounds = []
    for sign in (1, -1):
        slopes = Slopes((None,), (sign * dual.multiplier[None],), np.ones(1, bool))
        bounds.append(evaluation.refutations(cell, np.zeros(1, np.int64), Objective({}, np.zeros(1)), slopes)[0])
    assert min(bounds) < -0.1


#: activations by ReLUs, and what the search knows as one of its own
BENDS = {
    "absolute": lambda made, at: made.node("Abs", at),
    "leaky": lambda made, at: made.node("LeakyRelu", at, alpha=0.25),
    "falling": lambda made, at: made.node("LeakyRelu", at, alpha=-0.5),
    "by constants": lambda made, at: made.node("PRelu", at, made.constant(np.linspace(-1, 2, 6))),
    "clip": lambda made, at: made.node("Clip", at, made.constant(-0.25), made.constant(0.75)),
    "hard": lambda made, at: made.node("HardSigmoid", at, alpha=0.5, beta=0.25),
    "equal": lambda made, at: made.node("Add", made.node("Relu", at), made.node("Relu", at)),
    "dead": lambda made, at: made.node("Relu", made.node("Add", at, made.constant([9.0, -9.0, 0.0, 0.0, 9.0, 0.0]))),
    "constant": lambda made, at: made.node(
        "Relu", made.node("Mul", at, made.constant([1.0, 0.0, 1.0, 1.0, 0.0, 1.0]))
    ),
}  # fmt: skip


def bent(rng, name: str, inputs: int) -> bytes:
    made, size = Builder([1, inputs]), inputs
    at = "x"
    for _ in range(2):
        weight, bias = rng.normal(size=(size, 6)) / size**0.5, rng.normal(size=6) * 0.3
        at, size = BENDS[name](made, made.node("Gemm", at, made.constant(weight), made.constant(bias))), 6
    return made.bytes(made.node("MatMul", at, made.constant(rng.normal(size=(6, 2)))))


def refuted(tmp_path, name: str, inputs: int, seed: int):
    """A network of such activations, and a property that is refuted, by as little to spare as sampling allows."""
    network = bent(np.random.default_rng(seed), name, inputs)
    for beyond in (0.02, 0.1, 0.4, 2.0, 10.0):
        rng = np.random.default_rng(seed)
        property_ = close_property(rng, network, inputs, 2, 1.5 if inputs == 2 else 0.2, beyond)
        question = asked(tmp_path, network, property_)
        result = verify(question, Settings(timeout=20.0, proofs=True))
        if result.verdict is Verdict.UNSAT:
            return network, property_, question, result
    raise AssertionError(name)


@pytest.mark.parametrize("inputs", [2, 18])
@pytest.mark.parametrize("name", BENDS)
def test_other_activations_have_evidence(tmp_path, name, inputs):
    network, property_, question, result = refuted(tmp_path, name, inputs, 3)
    made = decode(encode(evidence_of(network, property_, question, result)))
    for arithmetic in ("float64", "arb"):
        check_real(made, network, property_, arithmetic=arithmetic)


@pytest.mark.parametrize("name", ["absolute", "leaky", "equal", "dead", "clip"])
def test_splits_of_other_activations_are_followed(tmp_path, name):
    for seed in range(10):
        network, _, question, result = refuted(tmp_path, name, 18, seed)
        if result.trace is not None and len(result.trace.splits) > 2:
            break
    (query,) = question.parts
    graph, checked = query.network.graph, read_network(network, 18, Float64(), "n")
    trace = aligned(result.trace, graph, checked, np.full(18, -1.0), np.full(18, 1.0), lambda: None)
    assert trace.sizes == checked.sizes and len(trace.splits) == len(result.trace.splits)
    # The halves are the same points of the input.
    x = np.random.default_rng(1).normal(size=(50, 18))
    before, after = _operands_of_graph(graph, x), _operands_of_network(checked, x)
    for node, (k, feature, point, *halves) in trace.splits.items():
        old_k, old_feature, old_point, *old_halves = result.trace.splits[node]
        upper = (after[k][:, feature] > point) == (halves == old_halves)
        assert (upper == (before[old_k][:, old_feature] > old_point)).all()


def test_constraints_that_say_nothing_are_proved_by_themselves(tmp_path):
    rng = np.random.default_rng(4)
    network = perceptron(rng, (3, 6, 6, 2))
    property_ = close_property(rng, network, 3, 2, 0.3, 3.0).decode()
    # Beside the others a case that is false by itself, and one with something true by itself.
    more = "(and (>= (* 0.0 Y_0) 1.0)) (and (>= (* 0.0 Y_1) -1.0) (>= Y_0 1000000.0)) "
    data = property_.replace("(assert (or ", f"(assert (or {more}").encode()
    question = asked(tmp_path, network, data)
    result = verify(question, Settings(timeout=20.0, proofs=True))
    assert result.verdict is Verdict.UNSAT
    made = decode(encode(evidence_of(network, data, question, result)))
    assert made.arrays["cases"].tolist() == [4]
    check_real(made, network, data)
    assert check_real(made, network, data, arithmetic="rational").counts.leaves > 0


@pytest.mark.parametrize("way", ["boxes", "signs"])
def test_every_part_of_making_evidence_looks_at_the_deadline(tmp_path, monkeypatch, way):
    # One clock, which goes on by one at every look: whenever it ends there is no evidence, and one line says why.
    network, property_, question, result = a_search(tmp_path, way, 2)
    looks = [0]

    def clock() -> float:
        looks[0] += 1
        return float(looks[0])

    monkeypatch.setattr("netproof.certificate.real.deadline.time.monotonic", clock)
    whole = encode(evidence_of(network, property_, question, result))
    total = looks[0]
    # Every node of the network is a look, in every bound and every derivation of ranges.
    assert total > 50
    for last in (1, total // 5, total // 2, total - 1):
        looks[0] = 0
        with pytest.raises(NoEvidenceError, match="takes more time than it may"):
            evidence_of(network, property_, question, result, deadline=float(last))
        # Whoever would begin anew looks once more.
        assert looks[0] <= last + 2
    looks[0] = 0
    assert encode(evidence_of(network, property_, question, result, deadline=total + 1.0)) == whole
