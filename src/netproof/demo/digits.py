"""The network and the images that are shipped for the demo (see README.md beside this file)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.formats.images.idx import read_images, read_labels
from netproof.formats.keras.read import read_keras_h5
from netproof.network import Network


@dataclass(frozen=True, eq=False)
class Digits:
    """A network and digits it was not trained on.

    Attributes
    ----------
    network : 64 inputs (8-bit grey levels), 10 outputs
    images : ``[N, 8, 8]`` grey levels, 0 black and 255 white
    labels : ``[N]``
    predictions : ``[N]``, what the integer network says
    """

    network: Network
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    predictions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Tensor:
        """One image as the network takes it, ``[64]``."""
        return torch.from_numpy(self.images[index].reshape(-1).astype(np.float64))

    @property
    def right(self) -> int:
        """How many digits the network classifies as labelled."""
        return int((self.predictions == self.labels).sum())


def load_digits() -> Digits:
    """Read the shipped files; raises :class:`netproof.errors.FormatError` where the installation is damaged."""
    folder = files("netproof.demo")
    with as_file(folder / "digits.h5") as path:
        network = read_keras_h5(path)
    with as_file(folder / "digits-images-idx3-ubyte.gz") as path:
        images = read_images(path)
    with as_file(folder / "digits-labels-idx1-ubyte.gz") as path:
        labels = read_labels(path)
    predictions = network.classify(torch.from_numpy(images.reshape(len(images), -1).astype(np.float64)))
    return Digits(network, images, labels, predictions.numpy())
