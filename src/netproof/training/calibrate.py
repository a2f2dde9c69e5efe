"""Statistics of batch norms for networks that were not trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def calibrate(network: nn.Module, images: Tensor) -> None:
    """Set the mean and the variance of every batch norm to those of what reaches it on ``images`` ``[N, C, H, W]``.

    Its outputs are then standard (mean 0, variance 1 per channel) on these images, as they are in training, and a
    network with random weights neither explodes nor dies out with depth. The network is left in evaluation mode.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # keep nothing of earlier statistics
    network.train()
    with torch.no_grad():
        network(images)
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
