"""Replaying what may be a witness of a real query: with onnxruntime on the CPU, and no tolerance."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from netproof.errors import QueryError
from netproof.property import PropertyQuery
from netproof.query import Query, Witness

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Replayer:
    """Checks points against a query as other people would: the file, their runtime, exact comparisons.

    Parameters
    ----------
    query : on a network that keeps its file (:attr:`netproof.Network.content`)
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._session: Any = None
        self.lower, self.upper = _inner_box(query)

    @property
    def possible(self) -> bool:
        """Whether the box holds float32 values at all, and there is a file to evaluate."""
        return bool(self._query.network.content) and bool((self.lower <= self.upper).all())

    def first(self, points: Tensor) -> Witness | None:
        """The first of the points ``[B, n]`` that is a witness; they are moved into the box first."""
        if not self.possible:
            return None
        for point in points:
            x = torch.minimum(torch.maximum(point.detach().cpu().float(), self.lower), self.upper)
            y = self._evaluate(x.numpy())
            if y is not None and self._holds(x, y):
                return Witness(x, torch.from_numpy(y))
        return None

    def _evaluate(self, x: NDArray[np.float32]) -> NDArray[np.float32] | None:
        if self._session is None:
            self._session = _session(self._query)
        given = self._session.get_inputs()[0]
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in given.shape]
        kind = np.float64 if given.type == "tensor(double)" else np.float32
        y = np.asarray(self._session.run(None, {given.name: x.astype(kind).reshape(shape)})[0]).reshape(-1)
        if y.size != self._query.network.outputs or not np.isfinite(y).all():
            return None
        return y

    def _holds(self, x: Tensor, y: NDArray[np.float32]) -> bool:
        point = [Fraction(value) for value in x.tolist()]
        image = [Fraction(value) for value in y.tolist()]
        if isinstance(self._query, PropertyQuery):
            return self._query.part.holds(point, image)
        inside = all(
            Fraction(low) <= value <= Fraction(high)
            for low, value, high in zip(self._query.lower.tolist(), point, self._query.upper.tolist(), strict=True)
        )
        return inside and any(_meets(c, point, image) for c in self._query.condition)


def _meets(conjunction: Any, x: list[Fraction], y: list[Fraction]) -> bool:
    rows = conjunction.coefficients.tolist()
    inputs = conjunction.input_coefficients
    for i, (row, threshold) in enumerate(zip(rows, conjunction.threshold.tolist(), strict=True)):
        left = sum((Fraction(c) * v for c, v in zip(row, y, strict=True) if c), Fraction(0))
        if inputs is not None:
            left += sum((Fraction(c) * v for c, v in zip(inputs[i].tolist(), x, strict=True) if c), Fraction(0))
        if left < Fraction(threshold):
            return False
    return True


def _inner_box(query: Query) -> tuple[Tensor, Tensor]:
    """The largest float32 box inside the query's."""
    if isinstance(query, PropertyQuery):
        lower, upper = query.part.box.inner_float32
        return torch.from_numpy(lower.copy()), torch.from_numpy(upper.copy())
    lower, upper = query.lower.float(), query.upper.float()
    infinite = torch.tensor(torch.inf)
    return (
        torch.where(lower.double() < query.lower, torch.nextafter(lower, infinite), lower),
        torch.where(upper.double() > query.upper, torch.nextafter(upper, -infinite), upper),
    )


def _session(query: Query) -> Any:
    """An onnxruntime session on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(query.network.content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime has no exception type of its own
        detail = " ".join(str(error).split())[:200]
        raise QueryError(query.name, f"onnxruntime does not evaluate {query.network.path} ({detail})", "export it again") from None
