"""Train a small quantized residual network on digits, prove what it does around held-out images, check the proofs.

The digits are scikit-learn's (8x8 pixels), their ink as grey levels of 6 bits, 0 to 63. The network has weights and
activations of 6 bits, a stem and two residual blocks of 8 and 16 channels, and is trained with interval bounds
(``netproof train quantized``). Every robust or vulnerable verdict leaves a certificate, which is checked again from
its file.

With scikit-learn installed, and from the root of the repository::

    python examples/quantized_residual.py --out demo-output/residual
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

import netproof
from netproof.cli.main import run
from netproof.formats.images.idx import read_images, read_labels, write_idx

INPUT_BITS = 6
#: images kept out of training
HELD_OUT = 297


def write_digits(folder: Path) -> None:
    """IDX files of the images to train on and of those held out."""
    data = load_digits()
    grey = np.round(data.images * ((1 << INPUT_BITS) - 1) / 16).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(grey))
    for name, chosen in (("test", order[:HELD_OUT]), ("train", order[HELD_OUT:])):
        write_idx(folder / f"{name}-images", grey[chosen])
        write_idx(folder / f"{name}-labels", data.target[chosen].astype(np.uint8))


def train(folder: Path, epochs: int, radius: float) -> Path:
    """The network, trained by the command; the same call again goes on where it was stopped."""
    command = [
        "train",
        "quantized",
        "residual",
        "--images",
        folder / "train-images",
        "--labels",
        folder / "train-labels",
    ]
    command += ["--validation", folder / "test-images", "--validation-labels", folder / "test-labels"]
    command += ["--input-bits", INPUT_BITS, "--radius", radius, "--epochs", epochs, "--out", folder / "network"]
    code = run([str(part) for part in command])
    if code:
        sys.exit(code)
    return folder / "network" / "network.onnx"


def verify(network: netproof.Network, folder: Path, count: int, radius: int, timeout: float) -> None:
    """Verdicts for the first held-out images, their certificates, and what it took."""
    images, labels = read_images(folder / "test-images"), read_labels(folder / "test-labels")
    settings = netproof.Settings(timeout=timeout, proofs=True)
    verdicts: Counter[str] = Counter()
    seconds, checking, sizes = [], [], []
    for index in range(count):
        query = netproof.robustness(network, torch.from_numpy(images[index].copy()), int(labels[index]), radius)
        begun = time.perf_counter()
        result = netproof.verify(query, settings)
        seconds.append(time.perf_counter() - begun)
        verdict = result.verdict.for_robustness
        verdicts[verdict] += 1
        if verdict in ("robust", "vulnerable"):
            file = folder / "certificates" / f"{index}-{radius}.npcert"
            file.parent.mkdir(exist_ok=True)
            netproof.write_certificate(file, netproof.certificate_of(query, result))
            checked = netproof.check(file, network)  # raises where it proves nothing
            checking.append(checked.seconds)
            sizes.append(file.stat().st_size)
    print(f"radius {radius} of {(1 << INPUT_BITS) - 1}, {count} images: {dict(sorted(verdicts.items()))}")
    print(
        f"  verdicts     {sum(seconds):.1f} s, median {statistics.median(seconds):.2f} s, longest {max(seconds):.1f} s"
    )
    if checking:
        print(f"  certificates {len(checking)}, all checked in {sum(checking):.1f} s, longest {max(checking):.2f} s")
        print(f"               {sum(sizes) / 1000:.0f} kB, largest {max(sizes) / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a quantized residual network on digits and verify it.")
    parser.add_argument("--out", type=Path, default=Path("demo-output/residual"), help="folder of everything made")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--training-radius", type=float, default=2)
    parser.add_argument("--radii", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--images", type=int, default=50, help="held-out images to verify")
    parser.add_argument("--timeout", type=float, default=30, help="seconds per image")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    write_digits(options.out)
    network = netproof.load(train(options.out, options.epochs, options.training_radius))
    for radius in options.radii:
        verify(network, options.out, options.images, radius, options.timeout)


if __name__ == "__main__":
    main()
