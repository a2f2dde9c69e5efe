"""Random float networks in ONNX with a property each, at whose edge the truth is known from HiGHS.

A case is a network of a random kind, one or several boxes, and a condition whose thresholds are moved until they are
just out of reach or just within it. How far the constraints of a conjunction can be met together is an integer
program of its own here: matrices taken from the graph as it is read (not simplified), ranges by plain interval
arithmetic in NumPy, each ReLU with a binary variable. It shares nothing with the engine's bounds and search. Networks
with smooth activations, products, or jumps have no such program; there only what a point attains is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from differential import operator_maker
from differential.onnx_maker import Maker
from netproof.formats.onnx.read import read_onnx
from netproof.graph.graph import Graph
from netproof.network import Network
from netproof.operators.activations.abs import Abs
from netproof.operators.activations.clip import Clip
from netproof.operators.activations.jumps.floor import Floor
from netproof.operators.activations.jumps.step import Step
from netproof.operators.activations.jumps.table import Table
from netproof.operators.activations.leaky_relu import LeakyReLU
from netproof.operators.activations.relu import ReLU
from netproof.operators.base import Affine
from netproof.property import Box, LinearConstraint, Property, PropertyPart
from onnx_models import model, node

Array = NDArray[np.float64]

KINDS = ("perceptron", "wide", "convolution", "residual", "mixture", "smooth", "operators")
#: unstable neurons beyond which no integer program is made
_MOST_BINARIES = 28
#: how far a value in float32 may be from what it means, for its size
_OF_FLOAT32 = 1e-4


@dataclass(frozen=True, eq=False)
class Part:
    """A box (float32 ends) and conjunctions, each of rows ``outputs @ y + inputs @ x >= threshold``."""

    lower: Array
    upper: Array
    conjunctions: tuple[tuple[Array, Array, Array], ...]


@dataclass(frozen=True, eq=False)
class FloatCase:
    """A network and what is asked of it.

    ``parts`` have a box each and conditions; ``data`` is the model.
    """

    name: str
    kind: str
    data: bytes
    parts: tuple[Part, ...]


def random_case(seed: int, number: int) -> FloatCase:
    """Case ``number`` of a seed."""
    random = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    maker = _network(kind, random)
    inputs = int(np.prod(maker.start))
    made = model(maker.nodes, maker.start, maker.constants)
    parts = tuple(_part(random, inputs, 3) for _ in range(1 + int(random.random() < 0.25)))
    return FloatCase(f"random-{seed}-{number}", kind, bytes(made.SerializeToString()), parts)


def _network(kind: str, random: np.random.Generator) -> Maker:
    seed = int(random.integers(1 << 31))
    if kind in ("perceptron", "wide"):
        size = int(random.integers(2, 6)) if kind == "perceptron" else int(random.integers(9, 13))
        maker = Maker(seed, (1, size))
        for _ in range(int(random.integers(1, 4))):
            width = int(random.integers(3, 8))
            gemm = maker.add("Gemm", maker.value, maker.constant(size, width, scale=size**-0.5), maker.constant(width))
            operator, options = maker.pick(
                ("Relu", {}),
                ("Relu", {}),
                ("Abs", {}),
                ("LeakyRelu", {"alpha": maker.pick(0.1, 0.1, -0.5, 2.5)}),
                ("Clip", {"min": -0.25, "max": 0.75}),
            )
            maker.value = maker.activation(operator, gemm, **options)
            size = width
        maker.shape = (1, size)
        maker.nodes.append(node("Gemm", [maker.value, maker.constant(size, 3), maker.constant(3)], ["y"]))
        return maker
    side = 3 if kind == "residual" else int(random.integers(3, 5))
    maker = Maker(seed, (1, 2, side, side))
    if kind == "operators":
        for _ in range(int(random.integers(2, 6))):
            operator_maker.grow(maker)
        maker.finish()
        return maker
    choices: Sequence[str] = {
        "convolution": ("conv", "norm", "piecewise", "pool"),
        "residual": ("residual", "norm", "piecewise", "residual"),
        "mixture": ("conv", "piecewise", "transposed", "concat", "permute", "scale", "pool", "residual"),
        "smooth": ("conv", "activation", "activation", "residual", "scale"),
    }[kind]
    for _ in range(int(random.integers(2, 5))):
        maker.grow(choices)
    maker.finish()
    return maker


def _part(random: np.random.Generator, inputs: int, outputs: int) -> Part:
    center = random.normal(size=inputs) * 0.5
    radius = 10.0 ** random.uniform(-2.5, -0.2) * random.random(inputs)
    # Many inputs fixed, so that few vary in some cases and the box is split there.
    if inputs > 8:
        radius[random.random(inputs) < random.choice([0.0, 0.5, 0.8])] = 0.0
    lower, upper = ((center + sign * radius).astype(np.float32).astype(np.float64) for sign in (-1, 1))
    conjunctions = []
    for _ in range(int(random.integers(1, 4))):
        rows = int(random.choice([1, 1, 2, 3]))
        c = random.integers(-3, 4, size=(rows, outputs)) / 2.0
        d = np.zeros((rows, inputs))
        if random.random() < 0.25:
            d[:, random.integers(inputs)] = random.integers(-2, 3, size=rows) / 4.0
        conjunctions.append((c, d, random.normal(size=rows) * 0.1))
    return Part(lower, upper, tuple(conjunctions))


def property_of(case: FloatCase) -> Property:
    """The property as a reader would make it: exact numbers, constraints without any coefficient kept."""
    parts = []
    for part in case.parts:
        box = Box(tuple(map(Fraction, part.lower.tolist())), tuple(map(Fraction, part.upper.tolist())))
        condition = tuple(
            tuple(
                LinearConstraint(_pairs(d_row), _pairs(c_row), Fraction(t))
                for c_row, d_row, t in zip(c, d, threshold.tolist(), strict=True)
            )
            for c, d, threshold in part.conjunctions
        )
        parts.append(PropertyPart(box, condition))
    return Property(case.name, len(case.parts[0].lower), 3, tuple(parts))


def _pairs(row: Array) -> tuple[tuple[int, Fraction], ...]:
    return tuple((i, Fraction(value)) for i, value in enumerate(row.tolist()) if value)


def moved(case: FloatCase, shifts: Sequence[Sequence[float]]) -> FloatCase:
    """The case with every threshold of each conjunction raised by a number, per part and conjunction."""
    parts = tuple(
        replace(
            part,
            conjunctions=tuple((c, d, t + shift) for (c, d, t), shift in zip(part.conjunctions, row, strict=True)),
        )
        for part, row in zip(case.parts, shifts, strict=True)
    )
    return replace(case, parts=parts)


def read(case: FloatCase, folder: Any) -> Network:
    path = folder / f"{case.name}.onnx"
    path.write_bytes(case.data)
    return read_onnx(path)


def read_plain(case: FloatCase, folder: Any) -> Graph:
    return read_onnx(folder / f"{case.name}.onnx", simplified=False).graph


def at_a_jump(graph: Graph, x: Array) -> bool:
    """Whether some value that jumps does so within what float32 rounds at a point ``[n]``: runtimes differ there, and rightly."""
    values = graph.values(torch.from_numpy(np.asarray(x, dtype=np.float64)).flatten())
    for index in graph.activations:
        activation = graph.activation(index)
        if isinstance(activation, Step | Floor | Table):
            operand = values[graph.nodes[index].operands[0]]
            off = _OF_FLOAT32 * (1 + operand.abs())
            ends = activation.evaluate(operand - off), activation.evaluate(operand + off)
            if not torch.equal(*ends):
                return True
    return False


def slack_at(graph: Graph, conjunction: tuple[Array, Array, Array], x: Array) -> Array:
    """By how much points ``[B, n]`` meet a conjunction: the smallest of ``c y + d x - t``, ``[B]``."""
    c, d, t = conjunction
    y = graph.evaluate(torch.from_numpy(x)).numpy()
    spare: Array = (y @ c.T + x @ d.T - t).min(1)
    return spare


def best_point(graph: Graph, part: Part, conjunction: tuple[Array, Array, Array], random: Any) -> tuple[Array, float]:
    """The point that meets a conjunction best, of many tried and climbed from; and by how much it does."""
    lower, upper = torch.from_numpy(part.lower), torch.from_numpy(part.upper)
    c, d, t = (torch.from_numpy(array) for array in conjunction)
    spread = random.random((256, len(lower)))
    spread[::4] = spread[::4].round()
    x = lower + torch.from_numpy(spread) * (upper - lower)
    best, value = x[0], -np.inf
    for step in range(40):
        x = torch.minimum(torch.maximum(x, lower), upper).requires_grad_(True)
        spare = (graph.evaluate(x) @ c.T + x @ d.T - t).amin(1)
        (slope,) = torch.autograd.grad(spare.sum(), x)
        x, spare = x.detach(), spare.detach()
        top = int(spare.argmax())
        if float(spare[top]) > value:
            best, value = x[top].clone(), float(spare[top])
        x = x + 0.4 * 0.88**step * (upper - lower) * slope.sign()
    return best.numpy(), value


def largest_slack(graph: Graph, part: Part, conjunction: tuple[Array, Array, Array]) -> tuple[Array, float] | None:
    """By how much a conjunction can be met on a part's box, and where, by HiGHS; None where that is not told.

    The value is an upper bound (HiGHS's own dual bound) up to its tolerances.
    """
    import highspy

    encoding = _encode(graph, part)
    if encoding is None:
        return None
    forms, offsets, columns, rows = encoding
    c, d, t = conjunction
    inputs, size = len(part.lower), len(columns)
    solver = highspy.Highs()
    for name, value in (
        ("output_flag", False), ("threads", 1), ("time_limit", 20.0), ("mip_rel_gap", 0.0), ("mip_abs_gap", 1e-7),
        ("mip_feasibility_tolerance", 1e-9), ("primal_feasibility_tolerance", 1e-9),
    ):  # fmt: skip
        solver.setOptionValue(name, value)
    slack = size
    for low, high, binary in [*columns, (-1e7, 1e7, False)]:
        solver.addVar(low, high)
        if binary:
            solver.changeColIntegrality(solver.getNumCol() - 1, highspy.HighsVarType.kInteger)
    for low, row in rows:
        (index,) = row.nonzero()
        solver.addRow(low, highspy.kHighsInf, len(index), index.astype(np.int32), row[index])
    for c_row, d_row, threshold in zip(c, d, t, strict=True):
        row = np.zeros(size + 1)
        row[: forms.shape[1]] = c_row @ forms
        row[:inputs] += d_row
        row[slack] = -1.0
        (index,) = row.nonzero()
        solver.addRow(
            float(threshold - c_row @ offsets), highspy.kHighsInf, len(index), index.astype(np.int32), row[index]
        )
    solver.changeColCost(slack, 1.0)
    solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    x = np.array(solver.getSolution().col_value[:inputs])
    information = solver.getInfo()
    # Without a neuron whose sign is open the program is a linear one, and has no bound beside its value.
    most = (
        information.mip_dual_bound if any(binary for _, _, binary in columns) else information.objective_function_value
    )
    return np.clip(x, part.lower, part.upper), float(most)


def _encode(
    graph: Graph, part: Part
) -> tuple[Array, Array, list[tuple[float, float, bool]], list[tuple[float, Array]]] | None:
    """Outputs as forms in columns (inputs first), the columns, and rows ``row . columns >= low``."""
    columns: list[tuple[float, float, bool]] = [
        (float(a), float(b), False) for a, b in zip(part.lower, part.upper, strict=True)
    ]
    rows: list[tuple[float, dict[int, float]]] = []
    values: list[tuple[list[dict[int, float]], Array, Array, Array]] = []  # forms, offsets, ends of intervals
    values.append(([{i: 1.0} for i in range(len(columns))], np.zeros(len(columns)), part.lower, part.upper))
    for at in graph.nodes[1:]:
        operands = [values[i] for i in at.operands]
        if isinstance(at.operator, Affine):
            values.append(_affine(at.operator, at.size, operands))
            continue
        ((forms, offsets, low, high),) = operands
        kinks: Sequence[tuple[float, float]]
        if isinstance(at.operator, ReLU):
            kinks, base, alpha = ((0.0, 1.0),), None, 0.0
        elif isinstance(at.operator, Abs):
            kinks, base, alpha = ((0.0, 1.0),), None, -1.0
        elif isinstance(at.operator, LeakyReLU) and at.operator.alpha < 1:
            kinks, base, alpha = ((0.0, 1.0),), None, at.operator.alpha
        elif isinstance(at.operator, Clip) and np.isfinite([at.operator.low, at.operator.high]).all():
            kinks, base, alpha = ((at.operator.low, 1.0), (at.operator.high, -1.0)), at.operator.low, 0.0
        else:
            return None
        images, constants = [], []
        for form, offset, a, b in zip(forms, offsets, low, high, strict=True):
            image: dict[int, float] = {}
            constant = base or 0.0
            for kink, sign in kinks:
                # max(v, alpha v) of v = form + offset - kink.
                c, left, right = offset - kink, a - kink, b - kink
                if left >= 0 or right <= 0:
                    slope = 1.0 if left >= 0 else alpha
                    _add(image, form, sign * slope)
                    constant += sign * slope * c
                    continue
                h, z = len(columns), len(columns) + 1
                columns += [(min(0.0, alpha * left), max(right, alpha * left), False), (0.0, 1.0, True)]
                reach = 1.0 - alpha
                rows.append((c, _row({h: 1.0}, form, -1.0)))  # h >= v
                rows.append((alpha * c, _row({h: 1.0}, form, -alpha)))  # h >= alpha v
                rows.append((-alpha * c, _row({h: -1.0, z: reach * right}, form, alpha)))  # h <= alpha v + reach u z
                rows.append(
                    (-c + reach * left, _row({h: -1.0, z: reach * left}, form, 1.0))
                )  # h <= v - reach l (1 - z)
                image[h] = image.get(h, 0.0) + sign
            images.append(image)
            constants.append(constant)
        f = at.operator.evaluate
        ends = [f(torch.from_numpy(end)).numpy() for end in (low, high)]
        # Where the function falls and rises again, its least value is at the kink.
        least = np.where((low < 0) & (high > 0) & (alpha < 0), 0.0, np.minimum(*ends))
        values.append((images, np.array(constants), least - 1e-9, np.maximum(*ends) + 1e-9))
    if sum(binary for _, _, binary in columns) > _MOST_BINARIES:
        return None
    forms, offsets, _, _ = values[-1]
    size = len(columns)
    dense = [(low, _dense(row, size + 1)) for low, row in rows]
    return np.stack([_dense(form, size) for form in forms]), offsets, columns, dense


def _affine(operator: Affine, size: int, operands: list[Any]) -> tuple[list[dict[int, float]], Array, Array, Array]:
    zeros = [torch.zeros(len(o[1]), dtype=torch.float64) for o in operands]
    offsets = operator.forward(*zeros).numpy()
    low, high = offsets.copy(), offsets.copy()
    forms: list[dict[int, float]] = [{} for _ in range(size)]
    offset = offsets.copy()
    for number, (images, constants, lower, upper) in enumerate(operands):
        n = len(constants)
        basis = [z.expand(n, -1) for z in zeros]
        basis[number] = torch.eye(n, dtype=torch.float64)
        matrix = operator.forward_linear(*basis).numpy().T  # [size, n]
        offset = offset + matrix @ constants
        low = low + matrix.clip(min=0) @ lower + matrix.clip(max=0) @ upper
        high = high + matrix.clip(min=0) @ upper + matrix.clip(max=0) @ lower
        for i, j in zip(*matrix.nonzero(), strict=True):
            _add(forms[i], images[j], float(matrix[i, j]))
    return forms, offset, low - 1e-9, high + 1e-9


def _add(form: dict[int, float], other: dict[int, float], factor: float) -> None:
    for column, value in other.items():
        form[column] = form.get(column, 0.0) + factor * value


def _row(row: dict[int, float], form: dict[int, float], factor: float) -> dict[int, float]:
    _add(row, form, factor)
    return row


def _dense(form: dict[int, float], size: int) -> Array:
    row = np.zeros(size)
    for column, value in form.items():
        row[column] = value
    return row
