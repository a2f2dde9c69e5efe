"""ArgMax and ArgMin: where the largest entry along an axis is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from netproof.formats.onnx.arithmetic import scaled
from netproof.formats.onnx.call import Call, Constant, NodeError, Translate, Value, Variable, normalized
from netproof.operators.activations.jumps.step import Step
from netproof.operators.affine.block_linear import BlockLinear
from netproof.operators.affine.sum import Sum

#: entries that are compared with one another, pair by pair
_MOST_ENTRIES = 256


def _place(sign: int) -> Translate:
    """The place of the first largest (``sign`` 1) or smallest (-1) entry, or of the last one.

    Every pair of entries is compared. The first largest one is not beaten by any before it, nor surpassed by one behind it, and
    so it wins all of its pairs, which no other does; half a pair less tells it from the others, whatever these win.
    """

    def translate(call: Call) -> Value:
        value = call.operand(0)
        (axis,) = normalized([call.integer("axis", 0)], len(value.shape))
        last = call.flag("select_last_index")
        entries = value.shape[axis]
        kept = call.flag("keepdims", default=True)
        shape = tuple(1 if a == axis else e for a, e in enumerate(value.shape) if kept or a != axis)
        if not entries:
            raise NodeError("the place of a largest entry among none", "export the network again")
        if isinstance(value, Constant):
            return Constant(_known(sign * value.array, axis, last).reshape(shape))
        if entries == 1:
            return Constant(np.zeros(shape, np.int64))
        if entries > _MOST_ENTRIES:
            raise NodeError(f"the largest of {entries} entries, of which every pair is compared", "leave it out")
        return _compared(call, value, axis, sign, last, shape)

    return translate


def _known(array: NDArray[Any], axis: int, last: bool) -> NDArray[np.int64]:
    turned = np.flip(array, axis) if last else array
    places: NDArray[np.int64] = turned.argmax(axis).astype(np.int64)
    return array.shape[axis] - 1 - places if last else places


def _compared(call: Call, value: Variable, axis: int, sign: int, last: bool, shape: tuple[int, ...]) -> Variable:
    entries = value.shape[axis]
    first, second = np.triu_indices(entries, 1)
    # [rows, entries], the axis being the last one.
    index = np.moveaxis(np.arange(value.size).reshape(value.shape), axis, -1).reshape(-1, entries)
    rows = len(index)
    call.translation.allocate(2 * len(first) * (rows + entries))
    earlier, later = (call.select(value, index[:, side], part=name) for side, name in ((first, "a"), (second, "b")))
    # Whether the later one of a pair wins: it has to be larger, or at least as large where the last one is asked for.
    signs = (-sign, sign)
    difference = call.add(Sum(signs), (earlier.node, later.node), earlier.shape, "difference")
    wins = call.add(Step(0.0, float(last), 1.0), (difference.node,), difference.shape, "later")
    weight = torch.zeros(entries, len(first), dtype=torch.float64)
    pairs = torch.arange(len(first))
    weight[torch.from_numpy(second), pairs] = 1.0
    weight[torch.from_numpy(first), pairs] = -1.0
    counted = call.add(BlockLinear(weight[None], rows, (rows, entries)), (wins.node,), (rows, entries), "wins")
    # Of entry k those before it are k, and those behind it as many pairs as count for it unless lost.
    threshold = np.broadcast_to(np.arange(entries) - 0.5, (rows, entries))
    above = scaled(call, counted, 1.0, -threshold, "above")
    largest = call.add(Step(0.0, 0.0, 1.0), (above.node,), (rows, entries), "largest")
    places = torch.arange(entries, dtype=torch.float64)[None, None]
    place = call.add(BlockLinear(places, rows, shape), (largest.node,), shape)
    if rows == 1:
        call.translation.largest[place.node] = Variable(largest.node, (entries,))
    return place


OPERATORS: dict[str, Translate] = {"ArgMax": _place(1), "ArgMin": _place(-1)}
