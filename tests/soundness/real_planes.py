"""Planes for tests, and networks that have some."""

from __future__ import annotations

import numpy as np
import pytest

from netproof.certificate.checker.real.bound import Evaluation, Objective
from netproof.certificate.checker.real.joint.sets import Sets
from netproof.certificate.checker.real.network import read_network
from netproof.certificate.checker.real.nodes import RELU
from netproof.certificate.checker.real.numbers import arithmetic_of
from netproof.certificate.checker.real.tree import Prover, Rows
from netproof.certificate.real.contents import PLANES, Taken, arrays_of
from soundness.real_evidence import Builder, perceptron


def plane(relu: int, feature: int, entries=(), *, exponent=0, right=0, left=0):
    """One plane; ``entries`` are columns with whole numbers."""
    return relu, feature, exponent, right, left, tuple(sorted(dict(entries).items()))


def arrays_of_sets(*sets) -> dict[str, list[int]]:
    """The arrays of sets of planes, which are all stages."""
    planes = [one for some in sets for one in some]
    columns = [[column for column, _ in one[5]] for one in planes]
    steps = [np.diff([-1, *some]).tolist() for some in columns]
    return {
        "stages": [len(sets)],
        "stage": [PLANES] * len(sets),
        "plane_count": [len(some) for some in sets],
        "plane_relu": [one[0] for one in planes],
        "plane_feature": [one[1] for one in planes],
        "plane_exponent": [one[2] for one in planes],
        "plane_right": [one[3] for one in planes],
        "plane_left": [one[4] for one in planes],
        "plane_entries": [len(one[5]) for one in planes],
        "plane_step": [step for some in steps for step in some],
        "plane_value": [value for one in planes for _, value in one[5]],
    }


def summed(rng: np.random.Generator) -> bytes:
    """Two layers with a sum around the second one."""
    made = Builder([1, 3], dtype=np.float64)

    def dense(at, before, after):
        numbers = rng.normal(size=(before, after)), rng.normal(size=after) * 0.3
        return made.node("Gemm", at, *map(made.constant, numbers))

    first = made.node("Relu", dense("x", 3, 5))
    second = made.node("Relu", made.node("Add", dense(made.node("Relu", dense(first, 5, 5)), 5, 5), first))
    return made.bytes(dense(second, 5, 2))


def curved(rng: np.random.Generator) -> bytes:
    """A logistic function before ReLUs."""
    made = Builder([1, 3], dtype=np.float64)
    weights = [rng.normal(size=shape) for shape in ((3, 4), (4, 5), (5, 2))]
    at = made.node("Sigmoid", made.node("MatMul", "x", made.constant(weights[0])))
    at = made.node("Gemm", at, made.constant(weights[1]), made.constant(-weights[1].sum(0) / 2))
    return made.bytes(made.node("MatMul", made.node("Relu", at), made.constant(weights[2])))


def bare(rng: np.random.Generator) -> bytes:
    """ReLUs of the inputs themselves, and of products: no affine map is before them."""
    made = Builder([1, 3], dtype=np.float64)
    weights = [made.constant(rng.normal(size=(3, 3))) for _ in range(3)]
    first = made.node("Relu", "x")
    product = made.node("Mul", made.node("MatMul", first, weights[0]), made.node("MatMul", "x", weights[1]))
    return made.bytes(made.node("MatMul", made.node("Relu", product), weights[2]))


ARITHMETICS = ("float64", "arb", "rational")
#: networks of three inputs
MAKERS = {
    "two layers": lambda rng: perceptron(rng, (3, 5, 5, 2)),
    "three layers": lambda rng: perceptron(rng, (3, 4, 4, 4, 2), dtype=np.float64),
    "16 orders": lambda rng: perceptron(rng, (3, 4, 4, 2), spread=16.0, dtype=np.float64),
    "sum": summed,
    "curve": curved,
    "bare": bare,
}


def evaluation_of(data: bytes, inputs: int, numbers) -> Evaluation:
    return Evaluation(read_network(data, inputs, numbers, "n"), numbers)


def added(evaluation: Evaluation, cells, *sets) -> Sets:
    """Sets of planes on a cell."""
    found = Sets("certificate")
    taken = Taken(arrays_of(**arrays_of_sets(*sets)))
    with np.errstate(all="ignore"):
        for some in sets:
            prover = prover_of(evaluation, found)
            found.add(PLANES, taken, prover, cells)
            assert prover.counts.planes == len(some)
    return found


def prover_of(evaluation: Evaluation, sets: Sets, **rows) -> Prover:
    """Whoever takes sets of a certificate with such rows."""
    found = Prover(evaluation, Rows(arrays_of(**rows), evaluation.network.sizes), "certificate")
    found.sets = sets
    return found


def columns_of(network) -> list[int]:
    """Where the columns of the inputs and of every bend begin, and the end."""
    return np.cumsum([0, network.inputs, *(network.nodes[i].size for i in network.bends)]).tolist()


def slopes_of(network, k: int) -> np.ndarray:
    """The operand of bend ``k`` by columns, as far as it is a map of what is right before it."""
    begin, operand = columns_of(network), network.operands[k]
    found = np.zeros((network.nodes[operand].size, begin[k + 1]))
    places = {0: 0, **{node: begin[number + 1] for number, node in enumerate(network.bends)}}
    if operand in places:
        np.fill_diagonal(found[:, places[operand] :], 1.0)
        return found
    node = network.nodes[operand]
    for before, part in zip(node.operands, node.operator.adjoint(np.eye(node.size)), strict=True):
        if before in places:
            found[:, places[before] : places[before] + part.shape[1]] += np.asarray(part, np.float64)
    return found


def some_planes(rng: np.random.Generator, network, cells, *, good: bool) -> list:
    """Planes above most features of ReLUs: near the chord or the operand itself, or anything."""
    found = []
    for k, node in enumerate(network.bends):
        if network.nodes[node].bend != RELU:
            continue
        rows, width = slopes_of(network, k), columns_of(network)[k + 1]
        for j, row in enumerate(rows):
            low, high = cells.low[k][0, j], cells.high[k][0, j]
            if rng.random() < 0.2 or not low < 0 < high or not abs(row).max() < 2.0**20:
                continue
            if good:
                part = float(rng.choice([high / (high - low), 0.0, 1.0, rng.random()]))
                slope = row * part * (1 + (rng.random(width) < 0.3) * 0.5 * rng.normal(size=width))
                price, exponent = np.abs([1 - part, part] * (1 + 0.1 * rng.normal(size=2)) * rng.integers(0, 2)), 30
            else:
                exponent = int(rng.integers(0, 41))
                slope = rng.normal(size=width) * 10.0 ** rng.integers(-6, 4, size=width) * (rng.random(width) < 0.6)
                price = 10.0 ** rng.integers(-8, 3, size=2) * rng.integers(0, 2, size=2)
            whole = np.rint(np.ldexp(slope, exponent)).astype(np.int64)
            entries = {i: int(whole[i]) for i in np.flatnonzero(abs(whole) < 2**53)}
            right, left = (int(min(p * 2.0**exponent, 2**50)) for p in price)
            found.append(plane(k + 1, j, entries, exponent=exponent, right=right, left=left))
    return found


def numbers_of(name: str):
    if name == "arb":
        pytest.importorskip("flint")
    return arithmetic_of(name)


def points_of(rng: np.random.Generator, lower, upper, count: int) -> list[list[float]]:
    """Some corners, and points inside."""
    share = rng.random((count, len(lower)))
    share[::2] = np.rint(share[::2])
    return np.clip(lower + share * (upper - lower), lower, upper).tolist()


def box(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    center, reach = rng.normal(size=3) * 0.5, 2.0 ** -int(rng.integers(0, 4))
    return center - reach, center + reach


def bounds_of(evaluation: Evaluation, cells, c, sets: Sets, slopes, *, named=(1, 0)):
    """Upper bounds of objectives of outputs by rows that name two sets, and the values and errors that they are made of."""
    load = evaluation.numbers.load
    objective = Objective({len(evaluation.network.nodes) - 1: load(c)}, load(np.zeros(len(c))))
    which, cell = np.tile(named, (len(c), 1)), np.zeros(len(c), np.int64)
    with np.errstate(all="ignore"):
        return (
            sets.refutations(evaluation, cells, cell, objective, slopes, which),
            evaluation.bound(cells, cell, objective, slopes, sets.named(*named)),
        )


def changed_by_chance(rng: np.random.Generator, arrays: dict, large: int) -> dict:
    """Arrays with one to three entries changed, a little or altogether."""
    changed = {name: list(values) for name, values in arrays.items()}
    names = [name for name in arrays if len(arrays[name])]
    for _ in range(int(rng.integers(1, 4))):
        values = changed[str(rng.choice(names))]
        at = int(rng.integers(len(values)))
        near = values[at] + int(rng.integers(-2, 3))
        values[at] = [near, int(rng.integers(-(2**62), 2**62)), 0, large][int(rng.integers(4))]
    return changed
