"""ONNX operators that take entries from known places, or put others there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from netproof.formats.onnx.call import Call, Constant, NodeError, Shape, Translate, Value, normalized
from netproof.formats.onnx.shapes import joined

#: for every axis of a value the places along it
_Places = tuple[NDArray[np.int64], ...]


def _gather(call: Call) -> Value:
    value, indices = call.operand(0), call.constant(1)
    (axis,) = normalized([call.integer("axis", 0)], len(value.shape))
    extent = value.shape[axis]
    if indices.dtype != np.int64 or bool(((indices < -extent) | (indices >= extent)).any()):
        raise NodeError(f"indices beyond the {extent} entries of axis {axis}", "export the network again")
    call.make((*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :]))
    return call.rearrange(value, lambda array: np.take(array, indices, axis))


def _gather_nd(call: Call) -> Value:
    value, indices = call.operand(0), call.constant(1)
    batch = call.integer("batch_dims", 0)
    rank, depth = len(value.shape), indices.shape[-1] if indices.ndim else 0
    if not 0 <= batch < min(rank, indices.ndim) or value.shape[:batch] != indices.shape[:batch]:
        raise NodeError(f"{batch} axes of {indices.shape} that are not those of {value.shape}", "export it again")
    if not 0 < depth <= rank - batch:
        raise NodeError(f"indices {indices.shape} that are no places of {value.shape}", "export the network again")
    places = _of_slices(call, indices, value.shape[batch:])
    if batch:
        call.translation.allocate(indices.ndim * indices.size)
        leading = np.indices(indices.shape[:-1])[:batch]
        places = (*leading, *places)
    call.make((*indices.shape[:-1], *value.shape[batch + depth :]))
    return call.rearrange(value, lambda array: array[places])


def _gather_elements(call: Call) -> Value:
    value, indices = call.operand(0), call.constant(1)
    places = _of_elements(call, indices, value.shape, call.integer("axis", 0))
    call.make(indices.shape)
    return call.rearrange(value, lambda array: array[places])


def _scatter_nd(call: Call) -> Value:
    """Slices of a value replaced by others at known places; where one place is named twice the result is not defined."""
    value, indices, updates = call.operand(0), call.constant(1), call.operand(2)
    depth = indices.shape[-1] if indices.ndim else 0
    if not 0 < depth <= len(value.shape):
        raise NodeError("indices that are no places of its first operand", "export the network again")
    if call.text("reduction", "none") != "none":
        raise NodeError("slices that are added up or compared instead of replaced")
    places = _of_slices(call, indices, value.shape)
    shape = (*indices.shape[:-1], *value.shape[depth:])
    if updates.shape != shape:
        raise NodeError(f"{updates.shape} numbers for places of {shape}", "export the network again")
    return _replaced(call, value, places, updates)


def _scatter_elements(call: Call) -> Value:
    """Entries of a value replaced by others at known places along an axis."""
    value, indices, updates = call.operand(0), call.constant(1), call.operand(2)
    if call.text("reduction", "none") != "none":
        raise NodeError("entries that are added up or compared instead of replaced")
    places = _of_elements(call, indices, value.shape, call.integer("axis", 0))
    if updates.shape != indices.shape:
        raise NodeError(f"{updates.shape} numbers for places of {indices.shape}", "export the network again")
    return _replaced(call, value, places, updates)


def _of_slices(call: Call, indices: NDArray[Any], extents: Shape) -> _Places:
    """Places in rows of ``indices [..., d]``, one for each of the first ``d`` axes."""
    call.translation.allocate(6 * indices.size)
    limits = np.array(extents[: indices.shape[-1]])
    if indices.dtype != np.int64 or bool(((indices < -limits) | (indices >= limits)).any()):
        raise NodeError(f"indices beyond {'x'.join(map(str, limits))} entries", "export the network again")
    counted = np.where(indices < 0, indices + limits, indices)
    return tuple(np.moveaxis(counted, -1, 0))


def _of_elements(call: Call, indices: NDArray[Any], extents: Shape, given: int) -> _Places:
    """Where entries of the shape of ``indices`` stand, whose place along one axis these say."""
    (axis,) = normalized([given], len(extents))
    if (
        indices.ndim != len(extents)
        or indices.dtype != np.int64
        or any(one > most for a, (one, most) in enumerate(zip(indices.shape, extents, strict=True)) if a != axis)
        or bool(((indices < -extents[axis]) | (indices >= extents[axis])).any())
    ):
        raise NodeError(f"indices {indices.shape} along axis {axis} that {extents} does not have", "export it again")
    # The place along every axis, and a row of them for each entry, which are compared.
    call.translation.allocate((3 * indices.ndim + 1) * indices.size)
    places: list[NDArray[np.int64]] = list(np.indices(indices.shape, dtype=np.int64))
    places[axis] = np.where(indices < 0, indices + extents[axis], indices)
    return tuple(places)


def _replaced(call: Call, value: Value, places: _Places, updates: Value) -> Value:
    """A value with others at some of its places, none of which is there twice."""
    rows = np.stack([axis.reshape(-1) for axis in places], -1)
    if len(np.unique(rows, axis=0)) < len(rows):
        raise NodeError("one place twice, where runtimes differ", "export the network again")
    call.make(value.shape)

    def replaced(arrays: list[NDArray[Any]]) -> NDArray[Any]:
        result: NDArray[Any] = arrays[0].copy()
        result[places] = arrays[1]
        return result

    if isinstance(value, Constant) and isinstance(updates, Constant):
        if value.array.dtype != updates.array.dtype:
            raise NodeError("operands of two types", "export the network again")
        return Constant(replaced([value.array, updates.array]))
    return joined(call, [value, updates], replaced)


OPERATORS: dict[str, Translate] = {
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
}
