"""HDF5 files that are good but for one change, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from netproof.errors import FormatError
from netproof.formats.keras.read import read_keras_h5

if TYPE_CHECKING:
    import h5py

Change = Callable[["h5py.File"], None]


def changed(path: Path, change: Change) -> Path:
    import h5py

    with h5py.File(path, "r+") as file:
        change(file)
    return path


def refused(path: Path, *parts: str) -> None:
    """A FormatError that names the file, all the parts, and a hint; in one line."""
    with pytest.raises(FormatError) as raised:
        read_keras_h5(path)
    assert raised.value.source == str(path)
    assert raised.value.problem and raised.value.hint
    assert str(raised.value).isprintable()
    for part in parts:
        assert part in str(raised.value)
