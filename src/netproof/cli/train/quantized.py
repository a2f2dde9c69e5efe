"""``netproof train quantized``: fixed-point networks, trained as the integers they are deployed as."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.cli.arguments.help import LEARNING
from netproof.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from netproof.formats.fixed_point import FixedPoint
    from netproof.formats.images.set import ImageSet
    from netproof.training.quantized.networks import QuantizedNetwork
    from netproof.training.quantized.train import Epoch

_CHECKPOINT = "checkpoint.pt"

Kind = Annotated[str, typer.Argument(metavar="KIND", help="perceptron or residual.")]
Images = Annotated[
    Path,
    typer.Option("--images", metavar="PATH", help="Images: CIFAR .tar.gz, TinyImageNet .zip, folder by class, or IDX."),
]
Labels = Annotated[Path | None, typer.Option("--labels", metavar="FILE", help="Labels, of IDX images.")]
Validation = Annotated[
    Path | None, typer.Option("--validation", metavar="PATH", help="Images to judge by in the end (default: none).")
]
ValidationLabels = Annotated[
    Path | None, typer.Option("--validation-labels", metavar="FILE", help="Their labels, of IDX images.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of checkpoint and network.")]
Hidden = Annotated[
    str, typer.Option("--hidden", metavar="N,...", help="Hidden layers of a perceptron.", show_default=True)
]
Channels = Annotated[
    str, typer.Option("--channels", metavar="N,...", help="Channels of a residual network's stages.", show_default=True)
]
Blocks = Annotated[
    str, typer.Option("--blocks", metavar="N,...", help="Blocks of a residual network's stages.", show_default=True)
]
Deploy = Annotated[
    bool,
    typer.Option(
        "--deploy", help="Activations of 8 bits, and TensorFlow Lite and QDQ files of the same integers, too."
    ),
]
Radius = Annotated[
    float,
    typer.Option("--radius", metavar="R", help="Grey levels that interval bounds are trained to withstand (0: none)."),
]
Epochs = Annotated[int, typer.Option("--epochs", metavar="N", help="Passes over the images.")]
Batch = Annotated[int, typer.Option("--batch", metavar="N", help="Images per step.", rich_help_panel=LEARNING)]
LearningRate = Annotated[
    float, typer.Option("--learning-rate", metavar="R", help="Of Adam; it falls to 0.", rich_help_panel=LEARNING)
]


def quantized(
    kind: Kind,
    *,
    images: Images,
    out: Out,
    labels: Labels = None,
    validation: Validation = None,
    validation_labels: ValidationLabels = None,
    hidden: Hidden = "64",
    channels: Channels = "8,16",
    blocks: Blocks = "1,1",
    deploy: Deploy = False,
    bits: o.Bits = None,
    input_bits: o.InputBits = None,
    weight_integer_bits: o.WeightIntegerBits = None,
    bias_integer_bits: o.BiasIntegerBits = None,
    activation_integer_bits: o.ActivationIntegerBits = None,
    radius: Radius = 0.0,
    epochs: Epochs = 30,
    batch: Batch = 64,
    learning_rate: LearningRate = 4e-3,
    seed: o.Seed = None,
    device: o.TrainingDevice = "cpu",
    threads: o.Threads = None,
    as_json: o.Json = False,
) -> None:
    """Train a fixed-point network whose integers netproof verifies bit for bit.

    Weights, biases and activations have --bits bits (2 to 8), images are taken as the grey levels they are. With --deploy runtimes
    compute these integers. The same command again goes on where it was stopped, and arrives at the same network.
    """
    widths = o.widths_of(bits, input_bits, weight_integer_bits, bias_integer_bits, activation_integer_bits)
    sizes = {"perceptron": [_numbers("--hidden", hidden, least=0)]}
    sizes["residual"] = [_numbers("--channels", channels), _numbers("--blocks", blocks)]
    if kind not in sizes:
        raise InputError(kind, "is no kind of network that is trained", f"give {' or '.join(sizes)}")
    if len({len(part) for part in sizes[kind]}) > 1:
        raise InputError("--blocks", "there are not as many numbers as --channels has", "give one number per stage")
    o.use_threads(threads)

    from netproof.cli.terminal.output import check_folder, print_json
    from netproof.cli.terminal.progress import progress
    from netproof.cli.terminal.stop import stoppable
    from netproof.files.lock import FolderLock
    from netproof.formats.images.sources import read_image_set
    from netproof.training.limits import enough_memory
    from netproof.training.quantized.files import compare_files, write_files
    from netproof.training.quantized.train import QuantizedTraining, train_quantized

    training = QuantizedTraining(epochs, batch, learning_rate, radius, 0 if seed is None else seed, device)
    found = read_image_set(images, labels, split="train")
    judged = None if validation is None else read_image_set(validation, validation_labels, split="test")
    if validation is None and validation_labels is not None:
        raise InputError("--validation-labels", "is given without --validation", "give both")
    if judged is not None:
        _check_validation(judged, found, widths)
    check_folder(out, "--out")
    lock = FolderLock(out)
    checkpoint = out / _CHECKPOINT
    try:
        standing = "; run the same command again to go on from the last checkpoint"
        with (
            stoppable(lambda: standing),
            enough_memory(),
            progress("training", epochs, None, every=1.0) as display,
        ):

            def show(epoch: Epoch) -> None:
                done = epoch.number
                text = f"loss {epoch.loss:.4f}, {epoch.accuracy:.1%} correct"
                display.show(done, text, title=f"epoch {done}/{epochs}", due=done == epochs)

            network = train_quantized(
                _maker(kind, sizes[kind], found, widths, deploy=deploy),
                found.images,
                found.labels,
                training,
                checkpoint=checkpoint,
                resume=True,
                progress=show,
            )
            written = write_files(network, out)
            compare_files(network, out, [part.images for part in (found, judged) if part is not None])
    finally:
        lock.release()
    shares = [None if part is None else _accuracy(network, part) for part in (found, judged)]
    if as_json:
        print_json(
            {
                "networks": [str(path) for path in written],
                "epochs": epochs,
                "images": len(found),
                "accuracy": shares[0],
                "validation_images": None if judged is None else len(judged),
                "validation_accuracy": shares[1],
            }
        )
        return
    count = len(found) + (0 if judged is None else len(judged))
    typer.echo(f"written: {', '.join(map(str, written))}")
    typer.echo(f"{len(found)} images trained on: {shares[0]:.1%} classified correctly")
    if judged is not None:
        typer.echo(f"{len(judged)} images of {judged.source}: {shares[1]:.1%} classified correctly")
    whose = "every file computes" if deploy else "the file computes"
    typer.echo(f"{whose} the integers of the training, bit for bit, on all {count} images")


def _numbers(option: str, text: str, least: int = 1) -> list[int]:
    """Positive numbers with commas between them."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(parts) < least or not all(
        part.isascii() and part.isdigit() and len(part) < 6 and int(part) for part in parts
    ):
        raise InputError(
            option, f"is '{text[:40]}'", "give whole numbers from 1 with commas between them, 8,16 for instance"
        )
    return [int(part) for part in parts]


def _maker(
    kind: str, sizes: list[list[int]], images: ImageSet, widths: FixedPoint, *, deploy: bool
) -> Callable[[], QuantizedNetwork]:
    from netproof.training.quantized.deployed import deployed_perceptron, deployed_residual
    from netproof.training.quantized.networks import perceptron, residual

    channels, rows, columns = images.images.shape[1:]
    shape, classes = (channels, rows, columns), len(images.classes)
    if deploy:
        if kind == "perceptron":
            return lambda: deployed_perceptron(shape, sizes[0], classes, widths)
        return lambda: deployed_residual(shape, sizes[0], sizes[1], classes, widths)
    if kind == "perceptron":
        return lambda: perceptron(shape, sizes[0], classes, widths)
    return lambda: residual(shape, sizes[0], sizes[1], classes, widths)


def _check_validation(judged: ImageSet, found: ImageSet, widths: FixedPoint) -> None:
    """Refuse images to judge by that are not like those trained on, before anything is trained."""
    from netproof.formats.images.set import check_same_classes

    check_same_classes(judged, found)
    given, taken = ("x".join(map(str, part.images.shape[1:])) for part in (judged, found))
    largest = (1 << widths.input_bits) - 1
    if given != taken or not len(judged):
        problem, hint = f"holds {len(judged)} images of {given}, those to train on are {taken}", "give others"
    elif len(judged.classes) > len(found.classes):
        problem = f"has {len(judged.classes)} classes, the images to train on have {len(found.classes)}"
        hint = "give images of the same classes"
    elif int(judged.images.max()) > largest:
        problem = (
            f"has grey levels up to {int(judged.images.max())}, inputs of {widths.input_bits} bits hold 0 to {largest}"
        )
        hint = "give more --input-bits, or images of fewer grey levels"
    else:
        return
    raise InputError(judged.source, problem, hint)


def _accuracy(network: QuantizedNetwork, images: ImageSet) -> float:
    from netproof.training.quantized.train import integer_outputs

    return float((integer_outputs(network, images.images).argmax(1) == images.labels).mean())
