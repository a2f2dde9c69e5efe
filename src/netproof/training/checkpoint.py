"""Checkpoints of training: written whole or not at all, and taken up only by the run that wrote them.

What makes two runs the same run, its *identity* (options, data, seed), stands in the file. A run that continues
from a checkpoint gives the same network as one that was never interrupted, as long as everything random follows from
the seed and the epoch, and the rest of the state is here. Nothing in a checkpoint is executed when it is read.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes, write_bytes

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


def read_checkpoint(path: str | Path, identity: Mapping[str, Plain]) -> tuple[int, dict[str, Any]]:
    """The epochs done and the state in a checkpoint of the run ``identity``, its tensors on the CPU.

    Raises
    ------
    FormatError : a file that is missing, damaged or no checkpoint
    InputError : a checkpoint of another run; names what differs
    """
    data = read_bytes(path, "checkpoint")
    try:
        document = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, TypeError, LookupError,
        AttributeError, OSError, MemoryError, AssertionError, ArithmeticError, ImportError,
    ):  # fmt: skip
        raise FormatError(path, "is no checkpoint, or a damaged one", "train from the beginning") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise FormatError(path, "is no checkpoint of netproof", "train from the beginning")
    epoch, state, held = (document.get(key) for key in ("epoch", "state", "identity"))
    if (
        not is_count(epoch)
        or not isinstance(state, dict)
        or not isinstance(held, dict)
        or not all(value is None or isinstance(value, (str, int, float)) for value in held.values())
    ):
        raise FormatError(path, "is a damaged checkpoint", "train from the beginning")
    # What a hash stands for may differ because of an option (weights are drawn from the seed): options are named first.
    for name in sorted({*map(str, held), *identity}, key=lambda name: (_is_hash(identity.get(name)), name)):
        if held.get(name) != identity.get(name):
            raise InputError(
                path,
                f"belongs to another run: its {name} is {str(held.get(name))[:60]}, here {str(identity.get(name))[:60]}",
                "continue with the options and the data it was begun with, or train from the beginning",
            )
    return epoch, state


def restore(network: nn.Module, optimizer: torch.optim.Adam, state: Mapping[str, Any]) -> None:
    """Bring a network and its optimizer to the state that :meth:`state_dict` of both gave in the run before.

    Options of the optimizer stay as they are; they follow from the run's own. Nothing is changed where something is wrong.

    Parameters
    ----------
    state : the entries ``network`` and ``optimizer``

    Raises
    ------
    ValueError : what is not there, or is not of the shape and type that this network's has
    """
    weights = _checked("network", state.get("network"), network.state_dict())
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise ValueError("weights that are not finite")
    saved = state.get("optimizer")
    entries = saved.get("state") if isinstance(saved, dict) else None
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not isinstance(entries, dict) or set(entries) != set(range(len(parameters))):
        raise ValueError("the optimizer's state of other parameters")
    moments = {}
    for number, parameter in enumerate(parameters):
        expected = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
        moments[number] = _checked(f"parameter {number}", entries[number], expected)
        if not 1 <= float(moments[number]["step"]) < math.inf:
            raise ValueError(f"a number of steps for parameter {number} that is none")
    network.load_state_dict(weights)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


def is_count(value: object) -> TypeGuard[int]:
    """Whether something read from a file is a whole number of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _checked(what: str, found: object, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, where they are those expected by name, shape and type."""
    if not isinstance(found, dict) or set(found) != set(expected):
        raise ValueError(f"other entries for {what}")
    for name, own in expected.items():
        value = found[name]
        if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
            raise ValueError(f"no numbers as '{name}' of {what}")
        if value.shape != own.shape or value.dtype != own.dtype:
            raise ValueError(
                f"'{name}' of {what} as {value.dtype} {tuple(value.shape)}, not {own.dtype} {tuple(own.shape)}"
            )
    return dict(found)


def _is_hash(value: Plain) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")
