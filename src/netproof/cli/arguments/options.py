"""Options that several commands share."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netproof.cli.arguments.help import SEARCH, WIDTHS
from netproof.errors import InputError
from netproof.settings import Settings

if TYPE_CHECKING:
    from netproof.formats.fixed_point import FixedPoint

_SCHEME = "default: the AAAI 2021 scheme's"

NetworkPath = Annotated[Path, typer.Argument(metavar="NETWORK", help=".onnx, .pt2, .tflite, or Keras weights (.h5).")]
ImagesPath = Annotated[Path, typer.Option("--images", metavar="FILE", help="Images, IDX (plain or .gz) or .npy.")]
LabelsPath = Annotated[Path, typer.Option("--labels", metavar="FILE", help="Their labels, IDX (plain or .gz) or .npy.")]
Runtime = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="RULE",
        help="Whose integers a quantized file stands for (default: tflm; onnxruntime).",
        rich_help_panel=SEARCH,
    ),
]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape", metavar="NAME=1x3x32x32", help="Shape of an ONNX input with dynamic axes; may be repeated."
    ),
]
Bits = Annotated[
    int | None,
    typer.Option(
        "--bits", metavar="N", help=f"Width of weights, biases, activations ({_SCHEME}, 6).", rich_help_panel=WIDTHS
    ),
]
InputBits = Annotated[
    int | None,
    typer.Option("--input-bits", metavar="N", help=f"Width of an input value ({_SCHEME}, 8).", rich_help_panel=WIDTHS),
]
WeightIntegerBits = Annotated[
    int | None,
    typer.Option(
        "--weight-integer-bits", metavar="N", help=f"Integer bits of weights ({_SCHEME}, 1).", rich_help_panel=WIDTHS
    ),
]
BiasIntegerBits = Annotated[
    int | None,
    typer.Option(
        "--bias-integer-bits", metavar="N", help=f"Integer bits of biases ({_SCHEME}, 2).", rich_help_panel=WIDTHS
    ),
]
ActivationIntegerBits = Annotated[
    int | None,
    typer.Option(
        "--activation-integer-bits",
        metavar="N",
        help=f"Integer bits of activations ({_SCHEME}, 2).",
        rich_help_panel=WIDTHS,
    ),
]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="S", help="Seconds for one query (default: 600).")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="Seed of every random choice (default: 0).", rich_help_panel=SEARCH),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="auto, bab (search), smt (bit-vectors) or milp (default: auto).",
        rich_help_panel=SEARCH,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", help="Processor threads to use (default: 1).", rich_help_panel=SEARCH),
]
Memory = Annotated[
    float | None,
    typer.Option("--memory", metavar="GIB", help="Memory for one query, in GiB (default: 2).", rich_help_panel=SEARCH),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where float networks are searched: cpu, cuda, cuda:N or auto (default: cpu).",
        rich_help_panel=SEARCH,
    ),
]
TrainingDevice = Annotated[
    str,
    typer.Option(
        "--device", metavar="NAME", help="Where PyTorch computes: cpu, cuda, cuda:N or auto.", rich_help_panel=SEARCH
    ),
]
Trace = Annotated[
    Path | None,
    typer.Option(
        "--trace", metavar="FILE", help="Write there how the search goes on, as JSON lines.", rich_help_panel=SEARCH
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the data (default: $NETPROOF_DATA, then ~/.cache/netproof)."),
]


def shapes_of(given: list[str] | None) -> dict[str, tuple[int, ...]] | None:
    """Shapes by the names of inputs; raises :class:`InputError`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for text in given or []:
        name, _, listed = text.rpartition("=")
        extents = listed.split("x")
        usable = all(part.isascii() and part.isdigit() and len(part) < 10 and int(part) for part in extents)
        if not name or not usable or name in shapes:
            problem = f"'{name}' has two shapes" if name in shapes else f"'{text[:80]}' is no name with a shape"
            raise InputError("--shape", problem, "give NAME=1x3x32x32")
        shapes[name] = tuple(map(int, extents))
    return shapes or None


def widths_of(
    bits: int | None,
    input_bits: int | None,
    weight_integer_bits: int | None,
    bias_integer_bits: int | None,
    activation_integer_bits: int | None,
) -> FixedPoint:
    """The bit widths of the options given, defaults elsewhere; raises :class:`InputError`."""
    from netproof.formats.fixed_point import FixedPoint

    given = {
        "bits": bits,
        "input_bits": input_bits,
        "weight_integer_bits": weight_integer_bits,
        "bias_integer_bits": bias_integer_bits,
        "activation_integer_bits": activation_integer_bits,
    }
    return FixedPoint(**{name: width for name, width in given.items() if width is not None})


def settings_of(
    timeout: float | None,
    seed: int | None,
    engine: str | None = None,
    *,
    proofs: bool = False,
    memory: float | None = None,
    device: str | None = None,
) -> Settings:
    """The settings of the options given; raises :class:`InputError`, also for an engine that is not there or gives
    no proofs where proofs are wanted. Whether a device exists is checked where it is used."""
    if timeout is not None and not 0 < timeout < math.inf:
        raise InputError("--timeout", f"the time limit is {timeout:g}", "give a positive number of seconds")
    if seed is not None and seed < 0:
        raise InputError("--seed", f"the seed is {seed}", "give a whole number, 0 or more")
    if memory is not None and not 1 / 1024 <= memory < 1 << 20:
        raise InputError("--memory", f"the memory limit is {memory:g} GiB", "give a number of GiB, 0.001 or more")
    default = Settings()
    settings = Settings(
        timeout=default.timeout if timeout is None else timeout,
        seed=default.seed if seed is None else seed,
        engine=default.engine if engine is None else engine,
        proofs=proofs,
        memory=default.memory if memory is None else int(memory * 2**30),
        device=default.device if device is None else device,
    )
    if engine is not None:
        from netproof.exact.registry import check_engine

        check_engine(settings.engine)
    return settings


def check_threads(threads: int | None) -> None:
    """Refuse a thread count that is none, or more than there are processors; raises :class:`InputError`."""
    cores = os.cpu_count() or 1
    if threads is not None and not 1 <= threads <= cores:
        raise InputError(
            "--threads", f"the number of threads is {threads}", f"give 1 to {cores}, this machine's processors"
        )


def use_threads(threads: int | None) -> None:
    """Restrict this process to so many threads, by default to one.

    The matrices of small networks gain little from more threads, and where other work wants the
    cores, threads waiting for each other cost a hundredfold.
    """
    from netproof.processes.inside import start_pytorch

    check_threads(threads)
    start_pytorch(threads or 1)
