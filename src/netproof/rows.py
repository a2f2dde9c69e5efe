"""Batches: dataclasses whose tensors share their first axis; and a place where rows come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

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

    def written(self, rows: Tensor, other: Self) -> Self:
        """As :meth:`put`, in these very tensors, which are changed."""

        def changed(part: Any, new: Any) -> Any:
            if (part is None) != (new is None):
                raise ValueError("batches of which one has what the other has not")
            if isinstance(part, Tensor):
                part[rows] = new
                return part
            if isinstance(part, Rows):
                return part.written(rows, new)
            if isinstance(part, (tuple, list)):
                return _like(part, [changed(one, its) for one, its in zip(part, new, strict=True)])
            if isinstance(part, Mapping):
                return {key: changed(one, new[key]) for key, one in part.items()}
            return part

        fields = self.__dataclass_fields__
        return type(self)(*(changed(getattr(self, name), getattr(other, name)) for name in fields))

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


class Movable(Protocol):
    """What :class:`Slots` needs of batches; any :class:`Rows` with a length has it."""

    @property
    def bytes(self) -> int: ...

    def __len__(self) -> int: ...

    def take(self, rows: Tensor) -> Self: ...

    def written(self, rows: Tensor, other: Self) -> Self: ...

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self: ...


K = TypeVar("K", bound=Movable)


class Slots(Generic[K]):
    """Rows that come and go without moving the others.

    A row has a slot, a number, until it is removed; then the slot is used again, the lowest free ones first. What is kept of
    many rows is copied only when there are more than ever before, and then there is room for twice as many.
    """

    def __init__(self) -> None:
        self._store: K | None = None
        self._used = torch.zeros(0, dtype=torch.bool)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What the rows that are there occupy."""
        return 0 if self._store is None else self._store.bytes // len(self._used) * self._count

    @property
    def slots(self) -> Tensor:
        """``[B]`` int64, the slots in use, ascending."""
        return self._used.nonzero()[:, 0]

    @property
    def by_slot(self) -> K:
        """Rows by their slots; there is something else in slots that are not in use. Rows have been there before."""
        assert self._store is not None
        return self._store

    def add(self, batch: K) -> Tensor:
        """Keep rows: their slots, ``[B]``."""
        missing = self._count + len(batch) - len(self._used)
        if missing > 0:
            more = max(missing, len(self._used))
            filler = batch.take(torch.zeros(more, dtype=torch.int64))
            self._store = filler if self._store is None else type(batch).concatenate([self._store, filler])
            self._used = torch.cat([self._used, torch.zeros(more, dtype=torch.bool)])
        slots = (~self._used).nonzero()[: len(batch), 0]
        if len(batch):
            self._store = self.by_slot.written(slots, batch)
        self._used[slots] = True
        self._count += len(batch)
        return slots

    def read(self, slots: Tensor) -> K:
        """A copy of the rows in slots in use, which stay."""
        return self.by_slot.take(slots)

    def remove(self, slots: Tensor) -> None:
        """Free slots in use, each named once."""
        self._used[slots] = False
        self._count -= len(slots)
