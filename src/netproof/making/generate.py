"""Making a benchmark: which images, which boxes, one VNN-LIB file for each, and the list of instances.

The steps are those of the generator of ``cifar100_tinyimagenet_resnet`` (VNN-COMP 2022), so that its seeds give its
files: the images are shuffled by a fixed permutation; of the positions in it that were *selected* for a network, a
seeded permutation chooses some; their boxes become properties, in the order of the positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes, write_bytes
from netproof.formats.images.set import ImageSet
from netproof.formats.vnnlib.write import robustness_vnnlib
from netproof.making.boxes import image_box
from netproof.making.recipes import Recipe

#: seed of the permutation that the published generator shuffles every test set by
SHUFFLE_SEED = 111
#: NumPy's generator takes seeds below this
_SEEDS = 1 << 32


@dataclass(frozen=True, eq=False)
class Shuffled:
    """A set of images in shuffled order, which positions count in.

    Attributes
    ----------
    images : in their own order
    seed : of the permutation
    """

    images: ImageSet
    seed: int = SHUFFLE_SEED

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Which image stands at each position."""
        return _permutation(len(self.images), self.seed)

    @cached_property
    def name_index(self) -> NDArray[np.int64]:
        """The number ``idx`` in the name of a position's property.

        It is the inverse permutation, as in the published names. The image itself is number ``order[position]``.
        """
        return np.argsort(self.order)

    def image(self, position: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.images.images[self.order[position]]
        return image

    def label(self, position: int) -> int:
        return int(self.images.labels[self.order[position]])


@dataclass(frozen=True)
class Generated:
    """One instance that was written: the files' paths as the list has them, and the time limit."""

    network: str
    property_file: str
    timeout: float

    @property
    def row(self) -> str:
        """The line of the list, without its end."""
        return f"{self.network},{self.property_file},{self.timeout:g}"


def choose(selected: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` of the selected positions (all of them where there are no more), in their order.

    Raises :class:`InputError` for a seed that NumPy's generator does not take.
    """
    chosen = set(_permutation(len(selected), seed)[:count].tolist())
    return [position for number, position in enumerate(selected) if number in chosen]


def property_name(network: str, images: Shuffled, position: int, radius: float) -> str:
    """The file name of a property."""
    return f"{network}_prop_idx_{images.name_index[position]}_sidx_{position}_eps_{radius:.4f}.vnnlib"


def generate(
    network: str,
    images: Shuffled,
    selected: Sequence[int],
    recipe: Recipe,
    *,
    radius: float,
    seed: int,
    outputs: int,
    folder: Path,
) -> Iterator[Generated]:
    """Write the properties of one network into ``folder / "vnnlib"``, each file whole or not at all.

    Parameters
    ----------
    network : the name of its file, without the suffix
    images : the images in shuffled order
    selected : positions to choose from
    recipe : how many, for how long, how normalized
    radius : of values in [0, 1]
    seed : of the choice
    outputs : number of classes

    Raises
    ------
    InputError : positions or labels that there are none of; files that cannot be written; see :func:`image_box`
    """
    check_selected(network, images.images, selected)
    check_classes(images.images, network, outputs)
    (folder / "vnnlib").mkdir(parents=True, exist_ok=True)
    for position in choose(selected, recipe.count, seed):
        lower, upper = image_box(images.image(position), radius, recipe.normalization)
        text = robustness_vnnlib(lower, upper, images.label(position), outputs, title=recipe.title)
        name = f"vnnlib/{property_name(network, images, position, radius)}"
        write_bytes(folder / name, text.encode("ascii"))
        yield Generated(f"onnx/{network}.onnx", name, recipe.timeout)


def write_instances(path: Path, instances: Sequence[Generated]) -> None:
    """Write the list of instances whole or not at all; raises :class:`InputError` where that fails."""
    write_bytes(path, "".join(f"{instance.row}\n" for instance in instances).encode("utf-8"))


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy's generator does not take; raises :class:`InputError`."""
    if not 0 <= seed < _SEEDS:
        raise InputError("the seed", f"is {seed}", f"give a whole number from 0 to {_SEEDS - 1}")


def check_selected(network: str, images: ImageSet, selected: Sequence[int]) -> None:
    """Refuse selected positions that there are no images at; raises :class:`InputError`."""
    wrong = next((p for p in selected if not 0 <= p < len(images)), None)
    if wrong is not None:
        raise InputError(
            network, f"position {wrong} is selected, there are {len(images)} images", "give the images it is from"
        )


def check_classes(images: ImageSet, network: str, outputs: int) -> None:
    """Refuse images of more classes than a network has outputs; raises :class:`InputError`."""
    if len(images.classes) > outputs:
        raise InputError(
            images.source,
            f"has {len(images.classes)} classes, {network} has {outputs} outputs",
            "give the images that the network is for",
        )


def read_selected(path: str | Path) -> list[int]:
    """A list of selected positions, one per line; raises :class:`FormatError`."""
    lines = read_bytes(path, "list of selected images", limit=1 << 24).decode("utf-8-sig", "replace").split()
    wrong = next((line for line in lines if not (line.isascii() and line.isdigit() and len(line) < 10)), None)
    if wrong is not None or not lines:
        problem = "selects nothing" if wrong is None else f"'{wrong[:20]}' is no position"
        raise FormatError(path, problem, "give one whole number per line")
    positions = [int(line) for line in lines]
    if len(set(positions)) != len(positions):
        raise FormatError(path, "lists a position twice", "give every position once")
    return positions


def write_selected(path: Path, positions: Sequence[int]) -> None:
    """Write such a list; raises :class:`InputError` where that fails."""
    write_bytes(path, "".join(f"{position}\n" for position in positions).encode("ascii"))


def _permutation(count: int, seed: int) -> NDArray[np.int64]:
    """NumPy's legacy permutation, which is the same in every release (NEP 19)."""
    check_seed(seed)
    return np.random.RandomState(seed).permutation(count).astype(np.int64)
