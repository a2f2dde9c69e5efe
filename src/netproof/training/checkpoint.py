"""Checkpoints of training: written whole or not at all, and taken up only by the run that wrote them.

What makes two runs the same run, its *identity* (options, data, seed), stands in the file. A run that continues
from a checkpoint gives the same network as one that was never interrupted, as long as everything random follows from
the seed and the epoch, and the rest of the state is here. Nothing in a checkpoint is executed when it is read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from netproof.errors import FormatError, InputError
from netproof.formats.files import read_bytes, write_bytes

_FORMAT = "netproof checkpoint 1"
#: what identities are made of
Plain = str | int | float | bool | None


def write_checkpoint(path: str | Path, identity: Mapping[str, Plain], epoch: int, state: Mapping[str, Any]) -> None:
    """Write a checkpoint after ``epoch`` epochs; the one before stays until this one is on the disk.

    ``state`` holds tensors, numbers, text, and lists and dictionaries of these (``state_dict()`` of models and
    optimizers). Raises :class:`InputError` where it cannot be written.
    """
    stream = io.BytesIO()
    torch.save({"format": _FORMAT, "identity": dict(identity), "epoch": epoch, "state": dict(state)}, stream)
    write_bytes(path, stream.getvalue())


def read_checkpoint(
    path: str | Path, identity: Mapping[str, Plain], device: torch.device | str = "cpu"
) -> tuple[int, dict[str, Any]]:
    """The epochs done and the state in a checkpoint of the run ``identity``, its tensors on ``device``.

    Raises
    ------
    FormatError : a file that is missing, damaged or no checkpoint
    InputError : a checkpoint of another run; names what differs
    """
    data = read_bytes(path, "checkpoint")
    try:
        document = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except (
        pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, TypeError, LookupError,
        AttributeError, OSError, MemoryError, AssertionError, ArithmeticError, ImportError,
    ):  # fmt: skip
        raise FormatError(path, "is no checkpoint, or a damaged one", "train from the beginning") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise FormatError(path, "is no checkpoint of netproof", "train from the beginning")
    epoch, state, held = (document.get(key) for key in ("epoch", "state", "identity"))
    if not isinstance(epoch, int) or epoch < 0 or not isinstance(state, dict) or not isinstance(held, dict):
        raise FormatError(path, "is a damaged checkpoint", "train from the beginning")
    for name in sorted({*map(str, held), *identity}):
        if held.get(name) != identity.get(name):
            raise InputError(
                path,
                f"belongs to another run: its {name} is {str(held.get(name))[:60]}, here {str(identity.get(name))[:60]}",
                "continue with the options and the data it was begun with, or train from the beginning",
            )
    return epoch, state
