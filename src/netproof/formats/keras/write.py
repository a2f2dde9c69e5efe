"""Writer for the weights of multi-layer perceptrons, in the layout of Keras that :mod:`netproof.formats.keras.read` reads."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.files.opened import write_bytes


def write_keras_h5(path: str | Path, layers: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]]) -> None:
    """Write ``(kernel [n_in, n_out], bias [n_out])`` per layer, whole or not at all.

    Raises :class:`netproof.errors.InputError` where that fails.
    """
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        names = [f"dense_{number}" for number in range(1, len(layers) + 1)]
        file.attrs["layer_names"] = np.array(names, "S")
        for name, (kernel, bias) in zip(names, layers, strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/kernel:0", f"{name}/bias:0"], "S")
            group.create_dataset(f"{name}/kernel:0", data=kernel)
            group.create_dataset(f"{name}/bias:0", data=bias)
    write_bytes(path, stream.getvalue())
