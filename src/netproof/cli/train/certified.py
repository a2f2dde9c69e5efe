"""``netproof train certified``: CROWN-IBP mixed with adversarial training."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import image_options as i
from netproof.cli.arguments import options as o
from netproof.cli.arguments.help import LEARNING
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.formats.images.set import ImageSet
    from netproof.making.boxes import Normalization
    from netproof.training.certified import Options
    from netproof.training.checkpoint import Plain as PlainValue
    from netproof.training.run import EpochRow, TrainingRun
    from netproof.training.trainable import TrainableNetwork

#: file systems take 255 bytes, and endings come after it
_LONGEST_NAME = 200
#: seconds after which a line is due even inside an epoch
_INTERVAL = 60.0

NetworkOrName = Annotated[
    str, typer.Argument(metavar="NETWORK", help="A network in ONNX to go on from, or an architecture by name.")
]
Width = Annotated[
    float, typer.Option("--width", metavar="W", help="Channels and neurons of the architecture, times this.")
]
Validation = Annotated[
    Path | None,
    typer.Option(
        "--validation", metavar="PATH", help="Images to judge by in the end (default: the archive's test part)."
    ),
]
ValidationLabels = Annotated[
    Path | None, typer.Option("--validation-labels", metavar="FILE", help="Their labels, of IDX images.")
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="WORD", help="Of the files written (default: the network's own).")
]
Plain = Annotated[
    bool,
    typer.Option(
        "--plain", help="Train at the images alone: no bound, no adversarial points.", rich_help_panel=LEARNING
    ),
]
Epochs = Annotated[int, typer.Option("--epochs", metavar="N", help="Passes over the images.")]
Warmup = Annotated[
    float | None,
    typer.Option(
        "--warmup", metavar="N", help="Epochs of plain training to begin with (default: 5 %).", rich_help_panel=LEARNING
    ),
]
Ramp = Annotated[
    float | None,
    typer.Option(
        "--ramp", metavar="N", help="Epochs over which the radius grows (default: 40 %).", rich_help_panel=LEARNING
    ),
]
Kappa = Annotated[
    str,
    typer.Option(
        "--kappa",
        metavar="A,B",
        help="First and last weight of the loss at the images themselves.",
        rich_help_panel=LEARNING,
    ),
]
Beta = Annotated[
    str,
    typer.Option(
        "--beta",
        metavar="A,B",
        help="First and last share of CROWN-IBP in the bound; the rest is IBP.",
        rich_help_panel=LEARNING,
    ),
]
Adversarial = Annotated[
    float,
    typer.Option(
        "--adversarial",
        metavar="S",
        help="Share of adversarial points in the loss at the images.",
        rich_help_panel=LEARNING,
    ),
]
AttackSteps = Annotated[
    int,
    typer.Option(
        "--attack-steps",
        metavar="N",
        help="Steps of gradient ascent to an adversarial point.",
        rich_help_panel=LEARNING,
    ),
]
Batch = Annotated[int, typer.Option("--batch", metavar="N", help="Images per step.", rich_help_panel=LEARNING)]
LearningRate = Annotated[
    float,
    typer.Option("--learning-rate", metavar="R", help="Of Adam; a tenth of it at the end.", rich_help_panel=LEARNING),
]
Augment = Annotated[
    bool,
    typer.Option(
        "--augment", help="Shift images by up to 4 pixels, and mirror half of them.", rich_help_panel=LEARNING
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of checkpoint, log and networks.")]


def certified(
    network: NetworkOrName,
    *,
    images: i.Images,
    out: Out,
    labels: i.Labels = None,
    crop: i.Crop = None,
    unchecked: i.Unchecked = False,
    validation: Validation = None,
    validation_labels: ValidationLabels = None,
    width: Width = 1.0,
    name: Name = None,
    radius: i.Radius = "1/255",
    mean: i.Mean = None,
    std: i.Std = None,
    plain: Plain = False,
    epochs: Epochs = 100,
    warmup: Warmup = None,
    ramp: Ramp = None,
    kappa: Kappa = "1,0.5",
    beta: Beta = "1,0",
    adversarial: Adversarial = 0.5,
    attack_steps: AttackSteps = 7,
    batch: Batch = 128,
    learning_rate: LearningRate = 5e-4,
    augment: Augment = False,
    seed: o.Seed = None,
    device: o.TrainingDevice = "cpu",
    threads: o.Threads = None,
    as_json: o.Json = False,
) -> None:
    """Train a network whose robustness can be proved: CROWN-IBP, mixed with adversarial training.

    The same command again goes on where it was stopped, and arrives at the same network.
    """
    from netproof.training.certified import Options
    from netproof.training.schedule import Schedule

    eps = i.radius_of(radius)
    if plain:
        kappa, adversarial = "1,1", 0.0
    schedule = Schedule(
        epochs=epochs,
        warmup=0.05 * epochs if warmup is None else warmup,
        ramp=0.4 * epochs if ramp is None else ramp,
        radius=eps,
        kappa=_pair("--kappa", kappa),
        beta=_pair("--beta", beta),
        learning_rate=learning_rate,
    )
    options = Options(schedule, batch, adversarial, attack_steps, augment, 0 if seed is None else seed)
    o.use_threads(threads)

    from netproof.cli.terminal.output import check_folder, print_json
    from netproof.cli.terminal.progress import progress
    from netproof.cli.terminal.stop import stoppable
    from netproof.device import find_device, plain_products
    from netproof.files.lock import FolderLock
    from netproof.formats.images.set import check_same_classes
    from netproof.formats.images.sources import read_image_set
    from netproof.training.certified import CertifiedTraining, Inputs, accuracy
    from netproof.training.limits import enough_memory
    from netproof.training.run import TrainingRun

    target = find_device(device)
    found = read_image_set(images, labels, split="train", crop=crop, check=not unchecked)
    judged = _validation(validation, validation_labels, images, crop, unchecked)
    if judged is not None:
        check_same_classes(judged, found)
    with enough_memory():
        own, content = _network(network, found, width, options.seed)
    name = own if name is None else _checked(name)
    normalization = i.normalization_of(own, found.images.shape[1], mean, std)
    model = _trainable(network, content)
    for each in (found, judged):
        if each is not None:
            _check_images(network, model, each)
    model = model.to(target)
    training = CertifiedTraining(model, Inputs(found, normalization, target), options)

    def standing() -> str:
        return f" in epoch {int(training.epoch) + 1}; run the same command again to go on from the last checkpoint"

    check_folder(out, "--out")
    lock = FolderLock(out)
    try:
        # The same steps have to give the same numbers, or a training that was stopped would end elsewhere.
        with stoppable(standing), plain_products(target), enough_memory():
            run = TrainingRun(training, out, _identity(content, found, normalization, options))
            if run.resumed:
                typer.echo(f"going on after step {run.resumed} of {training.steps}", err=True)
            length = training.steps_per_epoch
            with progress("training", training.steps, run.resumed, every=_INTERVAL) as display:
                for step, _ in enumerate(run.run(), run.resumed + 1):
                    epoch = f"epoch {step / length:.3g}/{training.steps // length}"
                    display.show(step, _latest(run), title=epoch, due=step % length == 0)
            written = run.write_networks(name)
    finally:
        lock.release()
    shares = None
    if judged is not None and len(judged):
        with plain_products(target), enough_memory():
            shares = accuracy(model.graph(), Inputs(judged, normalization, target), eps)
    if as_json:
        print_json(_to_json(written, run, shares, normalization, eps))
    else:
        typer.echo(_render_text(written, shares, judged, normalization, eps))


def _latest(run: TrainingRun) -> str:
    """What the last epoch came to, once there is one."""
    if not run.rows:
        return ""
    row = run.rows[-1]
    return f"radius {row.radius:.4f}, loss {row.loss:.3f}, correct {row.correct:.1%}, proved {row.proved:.1%}"


def _to_json(
    written: list[Path],
    run: TrainingRun,
    shares: tuple[float, float] | None,
    normalization: Normalization,
    radius: float,
) -> dict[str, object]:
    last: EpochRow = run.rows[-1]
    return {
        "networks": [str(path) for path in written],
        "radius": radius,
        "mean": list(normalization.mean),
        "std": list(normalization.std),
        "epochs": last.epoch,
        "loss": last.loss if math.isfinite(last.loss) else None,
        "correct": None if shares is None else shares[0],
        "proved_in_float32": None if shares is None else shares[1],
    }


def _render_text(
    written: list[Path],
    shares: tuple[float, float] | None,
    judged: ImageSet | None,
    normalization: Normalization,
    radius: float,
) -> str:
    lines = [f"written: {', '.join(map(str, written))}; inputs of {i.normalization_text(normalization)}"]
    if shares is not None and judged is not None:
        lines.append(
            f"{len(judged)} images of {judged.source}: {shares[0]:.1%} classified correctly, {shares[1]:.1%} robust at "
            f"radius {radius:.4g} by the training's own bound (float32: 'netproof bench table' proves it)"
        )
    return "\n".join(lines)


def _network(argument: str, images: ImageSet, width: float, seed: int) -> tuple[str, bytes]:
    """The name of a network and its ONNX file."""
    path = Path(argument)
    if path.name.removesuffix(".gz").endswith(".onnx"):
        if width != 1:
            raise InputError("--width", f"{path} has a width of its own", "leave the option out")
        from netproof.files.opened import read_bytes

        return path.name.removesuffix(".gz").removesuffix(".onnx"), read_bytes(path, "network file")
    from netproof.training.architectures import architecture
    from netproof.training.export import onnx_model

    rows, columns = images.images.shape[2:]
    layout = architecture(argument)
    channels = layout.input_shape[0]
    if images.images.shape[1] != channels:
        raise InputError(
            images.source,
            f"has images of {images.images.shape[1]} channels, {argument} takes {channels}",
            "give others",
        )
    built = layout.reduced(width, input_shape=(channels, rows, columns), classes=len(images.classes))
    # The published name is for the published layout alone, because recipes go by it.
    name = layout.name if built == layout else f"{argument}-{width:g}"
    return name, onnx_model(built.build(seed))


def _trainable(argument: str, content: bytes) -> TrainableNetwork:
    from netproof.training.trainable import trainable

    return trainable(Path(argument), content)


def _check_images(argument: str, model: TrainableNetwork, images: ImageSet) -> None:
    """Refuse images that the network does not take, those to judge by before hours of training, too."""
    from netproof.making.generate import check_classes

    if len(images) == 0 or model.inputs != images.images[0].size:
        shape = "x".join(map(str, images.images.shape[1:]))
        raise InputError(
            argument,
            f"takes {model.inputs} inputs, the images of {images.source} are {shape}",
            "give others, or --crop",
        )
    check_classes(images, argument, model.outputs)


def _validation(
    path: Path | None, labels: Path | None, images: Path, crop: int | None, unchecked: bool
) -> ImageSet | None:
    from netproof.formats.images.digits import NAME as DIGITS
    from netproof.formats.images.sources import read_image_set

    if path is None:
        archive = images.name.lower().endswith((".tar.gz", ".tgz", ".zip")) and not images.is_dir()
        if labels is not None:
            raise InputError("--validation-labels", "is given without --validation", "give both")
        if not archive and str(images) != DIGITS:
            return None
        path = images
    return read_image_set(path, labels, split="test", crop=crop, check=not unchecked)


def _identity(
    content: bytes, images: ImageSet, normalization: Normalization, options: Options
) -> dict[str, PlainValue]:
    pixels = hashlib.sha256(images.images.tobytes())
    pixels.update(images.labels.tobytes())
    return {
        "network": hashlib.sha256(content).hexdigest(),
        "images": pixels.hexdigest(),
        "mean": str(normalization.mean),
        "std": str(normalization.std),
        **{name: str(value) for name, value in asdict(options).items() if name != "schedule"},
        **{name: str(value) for name, value in asdict(options.schedule).items()},
    }


def _checked(name: str) -> str:
    if not 0 < len(name) <= _LONGEST_NAME or Path(name).name != name or not name.isprintable() or name.startswith("."):
        raise InputError("--name", f"'{name[:60]}' is no name of a file", "give a word without slashes")
    return i.network_name(Path(name))


def _pair(option: str, text: str) -> tuple[float, float]:
    numbers = i.numbers_of(option, text)
    if len(numbers) != 2:
        raise InputError(option, f"is '{text[:40]}'", "give two numbers with a comma between them")
    return numbers[0], numbers[1]
