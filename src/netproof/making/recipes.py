"""What is known of the published networks: how they were asked about in ``cifar100_tinyimagenet_resnet``.

Source: ``generate_properties.py`` and the instances of ``Lucas110550/CIFAR100_TinyImageNet_ResNet``. The published
properties there are those of seed 0, those of VNN-COMP 2022 those of seed 676744409.
"""

from __future__ import annotations

from dataclasses import dataclass

from netproof.making.boxes import CIFAR100, TINY_IMAGENET, Normalization


@dataclass(frozen=True)
class Recipe:
    """How properties of a network are made.

    Attributes
    ----------
    count : how many of the selected images are chosen
    timeout : seconds for each
    normalization : of the network's inputs
    title : heads its properties; the published ones of TinyImageNet say CIFAR100, too
    """

    count: int
    timeout: float
    normalization: Normalization
    title: str = "CIFAR100"


RADIUS = 1 / 255

RECIPES = {
    "CIFAR100_resnet_small": Recipe(10, 240, CIFAR100),
    "CIFAR100_resnet_medium": Recipe(24, 200, CIFAR100),
    "CIFAR100_resnet_large": Recipe(24, 200, CIFAR100),
    "CIFAR100_resnet_super": Recipe(16, 300, CIFAR100),
    "TinyImageNet_resnet_medium": Recipe(24, 200, TINY_IMAGENET),
}
