"""Where float32 is computed: a device by its name, and products there that are float32 products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from netproof.errors import InputError
from netproof.graph.graph import Arithmetic
from netproof.network import Network
from netproof.settings import check_device_name

CPU = torch.device("cpu")
_HINT = "give cpu, or auto for a GPU where there is one"


def find_device(name: str) -> torch.device:
    """The device of a name, as :attr:`netproof.Settings.device` takes it.

    ``auto`` is the first GPU that PyTorch can use, and the CPU where there is none.

    Raises
    ------
    InputError : no such name; a GPU that is not there, or that PyTorch cannot use
    """
    check_device_name(name)
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return CPU
    if not torch.cuda.is_available():
        built = torch.version.cuda is not None
        problem = "no GPU that PyTorch can use is there" if built else "this PyTorch is built without CUDA"
        raise InputError("--device", f"'{name}' cannot be used: {problem}", _HINT)
    device = torch.device("cuda" if name == "auto" else name)
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        there = "GPU 0 alone" if count == 1 else f"GPUs 0 to {count - 1}"
        raise InputError("--device", f"'{name}' cannot be used: PyTorch sees {there}", _HINT)
    try:
        # One product: what is there may still be too old for this PyTorch, or taken by somebody else.
        one = torch.ones(1, 1, device=device, dtype=torch.float32)
        float((one @ one).sum())
    except RuntimeError as error:
        detail = str(error).strip().split("\n", 1)[0][:120]
        raise InputError("--device", f"'{name}' cannot be used: {detail}", _HINT) from None
    return torch.device("cuda", index)


def device_text(name: str) -> str:
    """A device in words, for a record of what a result was obtained with: ``cpu``, or a GPU's number and model.

    Raises as :func:`find_device`.
    """
    device = find_device(name)
    return "cpu" if device == CPU else f"{device} ({torch.cuda.get_device_name(device)})"


@contextmanager
def plain_products(device: torch.device) -> Iterator[None]:
    """Within this block, products and convolutions of float32 numbers on a GPU are not shortened to TF32, and repeat
    themselves.

    PyTorch knows these as settings of the whole process; they are as they were afterwards. Nothing is touched where the
    device is the CPU.
    """
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    precision, before = torch.get_float32_matmul_precision(), (cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = False, True, False
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark = before
        torch.set_float32_matmul_precision(precision)


def check_device(name: str, network: Network) -> None:
    """Refuse a GPU that was asked for by name where it would not be used.

    Raises
    ------
    InputError : as :func:`find_device`, or an integer network, whose search is exact arithmetic on the CPU
    """
    if name not in ("cpu", "auto") and network.graph.arithmetic is Arithmetic.INTEGER:
        raise InputError(
            "--device",
            f"{network.path or 'the network'} is an integer network, which is searched on the CPU alone",
            "leave it out, or give auto",
        )
    find_device(name)
