"""Nodes of the graph of a quantized network, with what each of their features can be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.call import NodeError, Shape, Translation
from netproof.formats.onnx.container.text import printable
from netproof.formats.onnx.quantized.values import Codes, Quantization, Sums, single
from netproof.formats.tflite.staircases import staircase_between, staircase_of_table, with_fitting_hull
from netproof.operators.activations.staircase import Staircase
from netproof.operators.affine.scale import Scale
from netproof.operators.affine.select import Select
from netproof.operators.base import Affine

Whole = NDArray[np.int64]


class Build:
    """Appends to the graph of a translation; ``single_consumers`` are the values that one DequantizeLinear alone takes."""

    def __init__(self, translation: Translation) -> None:
        self.translation = translation

    # -- affine maps

    def affine(self, name: str, operator: Affine, operands: tuple[Sums, ...], shape: Shape) -> Sums:
        """An affine map of values."""
        self.translation.reserve(shape)
        self.translation.allocate(8 * int(np.prod(shape, dtype=object)))
        self.translation.ledger.workspace(8 * operator.workspace())
        self.translation.ledger.nodes(1)
        node = self.translation.builder.add(printable(name), operator, *(operand.node for operand in operands))
        center = operator.forward(*((v.low + v.high) / 2 for v in operands))
        radius = operator.forward_absolute(*((v.high - v.low) / 2 for v in operands))
        return Sums(node, shape, center - radius, center + radius)

    def products(self, name: str, operator: Affine, operand: Sums, shape: Shape) -> Sums:
        """Sums of products, which a runtime adds up in 32 bits: no part of them may leave these."""
        found = self.affine(name, operator, (operand,), shape)
        largest = operator.forward_absolute(torch.maximum(operand.low.abs(), operand.high.abs()))
        if float((largest + operator.offset_absolute()).max()) >= 2**31:
            raise NodeError("a sum can leave 32 bits, where runtimes wrap around", "use smaller weights")
        return found

    def less(self, codes: Codes, zero: int) -> Sums:
        """Codes less a zero point."""
        if codes.offset == zero:
            return codes
        scale = Scale(codes.size, single(1), single(codes.offset - zero))
        return self.affine(f"node {codes.node}/less {zero}", scale, (codes,), codes.shape)

    def selected(self, name: str, value: Sums, index: NDArray[np.int64]) -> Sums:
        """Features of a value by index, 0 where it is -1, in the shape of ``index``."""
        flat = np.ascontiguousarray(index).reshape(-1)
        if len(flat) == value.size and bool((flat == np.arange(value.size)).all()):
            return Sums(value.node, index.shape, value.low, value.high)
        self.translation.allocate(2 * (flat.size + value.size))
        operator = Select(torch.from_numpy(flat.astype(np.int64)), value.size, index.shape)
        return self.affine(name, operator, (value,), index.shape)

    def expanded(self, name: str, value: Sums, shape: Shape) -> Sums:
        """A value broadcast to a shape."""
        if value.shape == shape:
            return value
        self.translation.reserve(shape)
        return self.selected(name, value, np.broadcast_to(np.arange(value.size).reshape(value.shape), shape))

    # -- staircases

    def steps(self, name: str, staircase: Staircase, value: Sums, how: Quantization, computed: int) -> Codes:
        """Codes that a staircase gives: features less the zero point."""
        self.translation.reserve(value.shape)
        self.translation.ledger.nodes(1)
        self.translation.allocate(2 * staircase.thresholds.numel())
        fitting = with_fitting_hull(staircase, value.size)
        node = self.translation.builder.add(printable(name), fitting, value.node)
        low, high = staircase.output_range(value.low, value.high)
        return Codes(node, value.shape, low, high, how.kind, how.zero, computed)

    def rounded(
        self, name: str, sums: Sums, channels: int, function: Callable[[Whole], Whole], how: Quantization, computed: int
    ) -> Codes:
        """Codes of sums: ``function`` takes ``[channels, K]`` and gives what is clamped, the zero point left out."""
        low = sums.low.reshape(channels, -1).amin(1).numpy().astype(np.int64)
        high = sums.high.reshape(channels, -1).amax(1).numpy().astype(np.int64)
        least, largest = (end - how.zero for end in how.ends)
        self.translation.allocate(4 * 255 * channels)
        staircase = staircase_between(lambda acc: np.clip(function(acc), least, largest), low, high)
        return self.steps(f"{name}/codes", staircase, sums, how, computed)

    def tabulated(
        self, name: str, codes: Codes, tables: Whole, places: NDArray[np.intp], how: Quantization, computed: int
    ) -> Codes:
        """A function of each code: row ``places[i]`` of ``tables`` ``[m, 256]`` of raw codes; one place stands for all."""
        places = _runs(places)
        self.translation.allocate(256 * len(places))
        first = codes.ends[0] - codes.offset
        # What cannot be reached does not matter; it is what its neighbours are.
        low, high = (end - codes.ends[0] for end in codes.largest)
        reach = np.clip(np.arange(256), low, high)
        tables = (tables - how.zero)[:, reach]
        falling: NDArray[np.bool_] = np.any(np.diff(tables) < 0, axis=1)
        value: Sums = codes
        if bool(falling.any()):
            # The same functions of what is mirrored at the middle of the codes, where they fall.
            turned = falling[places]
            tables = np.where(falling[:, None], tables[:, ::-1], tables)
            sign, shift = (
                torch.from_numpy(np.where(turned, end, start)) for end, start in ((-1.0, 1.0), (2.0 * first + 255, 0.0))
            )
            value = self.affine(f"{name}/turned", Scale(codes.size, sign, shift), (codes,), codes.shape)
        found = staircase_of_table(tables[places], first)
        if found is None:
            raise NodeError("it neither rises nor falls throughout", "only functions that keep an order are known")
        return self.steps(f"{name}/codes", found, value, how, computed)


def _runs(places: NDArray[np.intp]) -> NDArray[np.intp]:
    """One place for each run of equal ones, where all runs are of one length."""
    count = 1 + int(np.count_nonzero(np.diff(places)))
    if len(places) % count:
        return places
    rows = places.reshape(count, -1)
    return rows[:, 0] if bool((rows == rows[:, :1]).all()) else places
