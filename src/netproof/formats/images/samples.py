"""Images with labels, as pixels of a network of integers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netproof.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from netproof.network import Network


def check_index(index: int, held: int, source: str | Path) -> None:
    """Raise :class:`InputError` where there is no image of this number."""
    if not 0 <= index < held:
        held_there, hint = (
            (f"{held} images", f"give 0 to {held - 1}") if held != 1 else ("one image", "give 0, or leave it out")
        )
        raise InputError("--index", f"there is no sample {index}: {source} holds {held_there}", hint)


def check_labels(labels: int, images: int, label_source: str | Path, image_source: str | Path) -> None:
    """Raise :class:`InputError` where there are not exactly as many labels as images.

    Labels that are left over are refused as well: whichever file they are of, it is not the one of these images, and
    the first of them may be labels of others.
    """
    if labels != images:
        problem = f"holds {labels} labels for the {images} images in {image_source}"
        raise InputError(label_source, problem, "give the labels that belong to these images")


def as_codes(image: NDArray[Any], network: Network) -> NDArray[Any]:
    """An image as a network of integers takes it: bytes, 0 to 255, are pixels.

    Where an input's codes are signed, pixel 0 is the least of them. Codes of 16 bits are no pixels: bytes are taken as they are.
    """
    import numpy as np

    least = int(network.lower.min())
    return image.astype(np.int64) + min(least, 0) if image.dtype == np.uint8 and least >= -128 else image


@dataclass(frozen=True, eq=False)
class Samples:
    """Images with their labels.

    Raises (:meth:`read`, :meth:`check`) :class:`InputError` naming file, item and hint.
    """

    path: Path
    images: NDArray[np.integer]
    labels: NDArray[np.integer]

    @classmethod
    def read(cls, images: Path, labels: Path) -> Samples:
        from netproof.formats.images.arrays import images_of, labels_of, read_whole_numbers
        from netproof.formats.images.idx import read_images, read_labels

        is_array, are_arrays = (path.suffix.lower() == ".npy" for path in (images, labels))
        samples = cls(
            images,
            images_of(read_whole_numbers(images), images) if is_array else read_images(images),
            labels_of(read_whole_numbers(labels), labels) if are_arrays else read_labels(labels),
        )
        held = len(samples.images)
        if held == 0:
            raise InputError(images, "holds no images", "give a file with at least one")
        check_labels(len(samples.labels), held, labels, images)
        return samples

    def check(self, index: int) -> None:
        """Make sure that there is such a sample."""
        check_index(index, len(self.images), self.path)

    def label(self, index: int) -> int:
        return int(self.labels[index])

    def image(self, index: int, network: Network) -> Tensor:
        """An image as the network's input, a tensor of its own (float64); see :func:`as_codes`."""
        import torch

        return torch.from_numpy(as_codes(self.images[index], network).astype("float64"))

    def check_size(self, network: Network) -> None:
        """Make sure that the images are of the size the network takes."""
        size = self.images[0].size
        if size != network.inputs:
            raise InputError(
                self.path,
                f"its images have {size} pixels ({' x '.join(map(str, self.images.shape[1:]))}), the network in {network.path} takes "
                f"{network.inputs}",
                "use images of the data set the network was trained on",
            )

    def check_network(self, network: Network) -> None:
        """Make sure that a network takes these images, and takes them as grey levels."""
        self.check_size(network)
        from netproof.graph.graph import Arithmetic

        if network.graph.arithmetic is not Arithmetic.INTEGER:
            problem = "is not an integer network, so its inputs are no grey levels"
            raise InputError(network.path, problem, "give a property file")
