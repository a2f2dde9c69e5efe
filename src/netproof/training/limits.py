"""What a machine and a file can hold, checked before anything of that size is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from netproof.errors import InputError

#: parameters of a network that is trained: its file of float32 numbers has 1 GiB then, the most that is read
_MOST_PARAMETERS = 1 << 28
#: affine layers of a network that is trained: making more takes minutes, and no step of a training passes them
_MOST_LAYERS = 1000
#: beyond it every step leaves what float32 holds
LARGEST_RATE = 1e3
LARGEST_BATCH = 1 << 20


def check_size(name: str, make: Callable[[], nn.Module]) -> None:
    """Refuse a network with more parameters than can be handled, without making them; raises :class:`InputError`."""
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in make().parameters())
    if count > _MOST_PARAMETERS:
        raise InputError(
            name,
            f"would have {count} parameters, {_MOST_PARAMETERS} are the most",
            "give fewer layers, or narrower ones",
        )


def check_depth(name: str, layers: int) -> None:
    """Refuse a network with more affine layers than can be handled, before they are made; raises :class:`InputError`."""
    if layers > _MOST_LAYERS:
        raise InputError(name, f"would have {layers} layers, {_MOST_LAYERS} are the most", "give fewer of them")


@contextmanager
def enough_memory() -> Iterator[None]:
    """Within this block, running out of memory, the machine's or a GPU's, is an :class:`InputError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # PyTorch has a class of its own for GPUs; of the CPU's allocator only the message tells.
        told = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "allocate memory" in str(error)
        if not told:
            raise
        raise InputError(
            "training", "needs more memory than there is", "give a smaller --batch, or a smaller network"
        ) from None
