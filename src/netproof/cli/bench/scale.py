"""``netproof bench scale``: what a large network costs, without its data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments import options as o
from netproof.errors import InputError

if TYPE_CHECKING:
    from netproof.settings import Settings

Name = Annotated[
    str, typer.Argument(metavar="ARCHITECTURE", help="small, medium, tinyimagenet-medium, large or super.")
]
Radius = Annotated[float, typer.Option("--radius", metavar="R", help="Of pixels in [0, 1].")]
Width = Annotated[float, typer.Option("--width", metavar="F", help="So many times the channels and hidden neurons.")]

Properties = Annotated[
    list[Path] | None,
    typer.Option(
        "--property",
        metavar="FILE",
        help="Measure intervals, CROWN and a complete run on this property's box; repeat for several.",
    ),
]

#: images that batch norms are calibrated on
_IMAGES = 256


def scale(
    name: Name = "medium",
    *,
    radius: Radius = 1 / 255,
    width: Width = 1.0,
    properties: Properties = None,
    timeout: o.Timeout = None,
    seed: o.Seed = None,
    threads: o.Threads = None,
    as_json: o.Json = False,
) -> None:
    """Bound all margins of a residual network with random weights: time by layer, and peak memory.

    Weights are drawn from the seed, batch norms calibrated so that their outputs are standard, and so is an image. With
    --property: what intervals, CROWN and a complete run (default: 120 s) cost on its box, each in its own process.
    """
    from netproof.cli.terminal.output import print_json

    if properties:
        settings = o.settings_of(120.0 if timeout is None else timeout, seed)
        _measure(name, width, properties, settings, threads, as_json=as_json)
        return
    if timeout is not None:
        raise InputError("--timeout", "is for complete runs", "give a --property as well")
    if not 0 < radius <= 1:
        raise InputError("--radius", f"is {radius:g}", "give a number above 0 and at most 1")
    number = o.settings_of(None, seed).seed
    o.check_threads(threads)
    o.use_threads(1)

    import torch

    from netproof.formats.onnx.read import network_of
    from netproof.measure.scale import Layer, Margins, measure_root, table
    from netproof.training.architectures import architecture, parameter_count
    from netproof.training.calibrate import calibrate
    from netproof.training.export import onnx_model

    generator = torch.Generator().manual_seed(number)
    layout = architecture(name).reduced(width)
    model = layout.build(number)
    calibrate(model, torch.rand(_IMAGES, *layout.input_shape, generator=generator, dtype=torch.float32))
    network = network_of(Path(f"{layout.name}.onnx"), onnx_model(model))
    x = torch.rand(network.inputs, generator=generator, dtype=torch.float32).double()
    layers: list[Layer] = []
    margins: Margins | None = None
    for step in measure_root(network.graph, x, radius, threads or 1):
        if isinstance(step, Layer):
            layers.append(step)
            if not as_json:
                typer.echo(f"{step.name}: {step.seconds:.1f} s", err=True)
        else:
            margins = step
    assert margins is not None
    seconds, worked = (sum(layer.__dict__[part] for layer in layers) for part in ("seconds", "processor_seconds"))
    held = int((margins.lower > 0).sum())
    if as_json:
        print_json(
            {
                "architecture": layout.name,
                "parameters": parameter_count(model),
                "radius": radius,
                "threads": threads or 1,
                "seconds": round(seconds, 3),
                "processor_seconds": round(worked, 3),
                "peak_bytes": margins.peak_bytes,
                "margins": margins.lower.tolist(),
                "layers": [layer.__dict__ for layer in layers],
            }
        )
        return
    typer.echo(f"{layout.name}, {parameter_count(model)} parameters, radius {radius:g}\n")
    typer.echo(table(layers))
    typer.echo(
        f"\n{len(margins.lower)} margins, {held} of them positive, the smallest {float(margins.lower.min()):.4g}; "
        f"{seconds:.1f} s ({worked:.1f} s of processor time, {threads or 1} threads), "
        f"peak memory {margins.peak_bytes / 2**30:.2f} GiB"
    )


def _measure(
    name: str, width: float, properties: list[Path], settings: Settings, threads: int | None, *, as_json: bool
) -> None:
    from tempfile import TemporaryDirectory

    import torch

    from netproof.cli.terminal.output import print_json
    from netproof.cli.terminal.stop import stoppable
    from netproof.files.opened import read_bytes
    from netproof.making.recipes import RECIPES
    from netproof.measure.measure import cost_table, measure
    from netproof.training.architectures import architecture, parameter_count
    from netproof.training.calibrate import calibrate
    from netproof.training.export import write_onnx

    for path in properties:
        read_bytes(path, "property file")
    o.check_threads(threads)
    o.use_threads(threads)
    layout = architecture(name)
    normalization = RECIPES[layout.name].normalization
    generator = torch.Generator().manual_seed(settings.seed)
    images = torch.rand(_IMAGES, *layout.input_shape, generator=generator, dtype=torch.float32)
    model = layout.reduced(width).build(settings.seed)
    calibrate(model, torch.from_numpy(normalization.apply(images.numpy())))
    costs = []
    # In order: the process that measures does not hear Ctrl-C, and the network is in a folder of its own.
    with stoppable(lambda: ""), TemporaryDirectory() as folder:
        network = Path(folder) / f"{layout.name}.onnx"
        write_onnx(network, model)
        for cost in measure(network, properties, settings, threads or 1):
            costs.append(cost)
            typer.echo(f"{cost.property}: {cost.method} {cost.seconds:.1f} s", err=True)
    parameters = parameter_count(model)
    if as_json:
        costs_document = [cost.__dict__ for cost in costs]
        print_json(
            {
                "architecture": layout.name,
                "parameters": parameters,
                "timeout": settings.timeout,
                "costs": costs_document,
            }
        )
        return
    typer.echo(
        f"{layout.name}, {parameters} parameters, {threads or 1} threads, complete runs of at most {settings.timeout:g} s\n"
    )
    typer.echo(cost_table(costs))
