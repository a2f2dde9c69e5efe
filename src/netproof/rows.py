"""Batches: dataclasses whose tensors share their first axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self


class Rows:
    """What a dataclass of tensors can do because row ``b`` of all of them belongs together.

    Fields are tensors ``[B, ...]``, batches themselves, lists, tuples or mappings of these, or None; what is anything else (a number, an
    operator) is the same for all rows. Fields are given to the constructor by position.
    """

    __dataclass_fields__: Mapping[str, Any]

    def _each(self, change: Callable[[Any], Any]) -> Self:
        return type(self)(*(change(getattr(self, name)) for name in self.__dataclass_fields__))

    def take(self, rows: Tensor) -> Self:
        """The rows selected by an index or mask tensor."""

        def taken(part: Any) -> Any:
            if isinstance(part, Tensor):
                return part[rows]
            if isinstance(part, Rows):
                return part.take(rows)
            return _inside(part, taken)

        return self._each(taken)

    def to(self, dtype: torch.dtype, device: torch.device | str = "cpu") -> Self:
        """The same on a device, numbers that are not whole in another dtype (rounded: fit for searching, not for deciding)."""
        target = torch.device(device)

        def moved(part: Any) -> Any:
            if isinstance(part, Tensor):
                return part.to(target, dtype if part.is_floating_point() else None)
            if isinstance(part, Rows):
                return part.to(dtype, target)
            return _inside(part, moved)

        return self._each(moved)

    def put(self, rows: Tensor, other: Self) -> Self:
        """A copy with other rows in the place of those with indices ``rows``."""

        def replaced(part: Any, new: Any) -> Any:
            if isinstance(part, Tensor):
                return part.index_copy(0, rows, new)
            if isinstance(part, Rows):
                return part.put(rows, new)
            if isinstance(part, (tuple, list)):
                return _like(part, [replaced(one, its) for one, its in zip(part, new, strict=True)])
            if isinstance(part, Mapping):
                return {key: replaced(one, new[key]) for key, one in part.items()}
            return part

        fields = self.__dataclass_fields__
        return type(self)(*(replaced(getattr(self, name), getattr(other, name)) for name in fields))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """The rows of several batches, at least one, which agree in all that is not of rows."""

        def stacked(several: Sequence[Any]) -> Any:
            first = several[0]
            if isinstance(first, Tensor):
                return torch.cat(list(several))
            if isinstance(first, Rows):
                return type(first).concatenate(several)
            if isinstance(first, (tuple, list)):
                return _like(first, [stacked(column) for column in zip(*several, strict=True)])
            if isinstance(first, Mapping):
                return {key: stacked([one[key] for one in several]) for key in first}
            return first

        return cls(*(stacked([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    @property
    def bytes(self) -> int:
        """Bytes that the tensors occupy."""

        def counted(part: Any) -> int:
            if isinstance(part, Tensor):
                return part.numel() * part.element_size()
            if isinstance(part, Rows):
                return part.bytes
            if isinstance(part, (tuple, list)):
                return sum(counted(one) for one in part)
            if isinstance(part, Mapping):
                return sum(counted(one) for one in part.values())
            return 0

        return sum(counted(getattr(self, name)) for name in self.__dataclass_fields__)


def _inside(part: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(part, (tuple, list)):
        return _like(part, [change(one) for one in part])
    if isinstance(part, Mapping):
        return {key: change(one) for key, one in part.items()}
    return part


def _like(part: tuple[Any, ...] | list[Any], values: list[Any]) -> Any:
    """Values in a container of the same type; a named tuple takes them one by one."""
    return type(part)(*values) if hasattr(part, "_fields") else type(part)(values)
