"""Whether what an exporter wrote is what a module computes: exporters follow one run, and keep whatever that run took for fixed.

A module whose ``forward`` takes a value of its argument into Python (``if x.sum() > 0``, ``float(x[0])``, ``x.numpy()``) computes one
thing for the input that was traced and another for others; so does one that counts its calls, or draws numbers in Python. Neither
leaves a trace in the file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Evaluate = Callable[[tuple[Tensor, ...]], NDArray[np.float64] | None]

#: so many random inputs are compared; one call of a module each, and one more
_SAMPLES = 4
#: outputs may differ by this part of the largest one: what rounding in float16 comes to in a deep network, far below what a branch does
_TOLERANCE = 0.02
#: the ways in which a tensor's numbers become Python's, by the names of the methods of ``Tensor``
_READS = {
    "__bool__": "bool", "is_nonzero": "bool", "item": "item", "__float__": "float", "__int__": "int", "__index__": "index",
    "__complex__": "complex", "tolist": "tolist", "numpy": "numpy", "__array__": "numpy", "__contains__": "in",
    "equal": "equal", "allclose": "allclose",
}  # fmt: skip


def values_read(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> str:
    """How ``forward`` takes a value of its arguments into Python first, as ``bool`` of a tensor; empty where it does not.

    What a branch depends on is read before the branch is taken, so that one run tells it, whatever the input. A
    module that does not run on a subclass of ``Tensor`` tells nothing.
    """
    found: list[str] = []

    class Watched(Tensor):
        """A tensor that says when its numbers are read; whatever is computed of it is one, too."""

        @classmethod
        def __torch_function__(
            cls, function: Any, types: Any, given: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None
        ) -> Any:
            read = _READS.get(getattr(function, "__name__", ""))
            if read is not None:
                found.append(read)
            return super().__torch_function__(function, types, given, dict(named or {}))  # type: ignore[no-untyped-call]

    # What a module raises here it raises again when it is exported.
    with suppress(Exception), torch.random.fork_rng(devices=[]):
        _run(module, tuple(argument.as_subclass(Watched) for argument in arguments))
    return found[0] if found else ""


def disagreement(module: torch.nn.Module, arguments: tuple[Tensor, ...], data: bytes) -> str:
    """How an exported network (ONNX) differs from its module at random inputs; empty where it does not, or cannot be compared."""
    with torch.random.fork_rng(devices=[]):
        return _disagreement(module, arguments, _runtime(data))


def _disagreement(module: torch.nn.Module, arguments: tuple[Tensor, ...], evaluate: _Evaluate | None) -> str:
    generator = torch.Generator().manual_seed(0)
    differ = compared = 0
    for sample in range(_SAMPLES):
        given = tuple(_drawn(argument, sample, generator) for argument in arguments)
        try:
            first, again = (_outputs(_run(module, given)) for _ in range(2))
        except Exception:  # noqa: BLE001 - a module may refuse such an input
            continue
        if len(first) != len(again) or not _near(first, again):
            return "it computes two things of one input, one call after the other"
        written = None if evaluate is None else evaluate(given)
        if written is None or len(written) != len(first) or not np.isfinite(first).all():
            continue
        compared += 1
        differ += not _near(first, written)
    # One of them may lie next to a jump, where the last bit decides.
    if differ and 2 * differ >= compared:
        return f"what PyTorch exports has other outputs than the module at {differ} of {compared} random inputs"
    return ""


def _drawn(argument: Tensor, sample: int, generator: torch.Generator) -> Tensor:
    """A random argument: between 0 and 1 and standard normal ones, in turns and each time larger."""
    draw = torch.rand if sample % 2 == 0 else torch.randn
    numbers = draw(argument.shape, generator=generator, dtype=torch.float64) * 4.0 ** (sample // 2)
    return numbers.to(argument)


def _run(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> object:
    """A module's result in evaluation mode; what trained before does so afterwards."""
    training = {one: one.training for one in module.modules()}
    # A compiled module would be compiled for these tensors, which takes longer than all the rest.
    stance: Any = getattr(torch.compiler, "set_stance", None)
    eager: AbstractContextManager[Any] = nullcontext() if stance is None else stance("force_eager")
    module.eval()
    try:
        with warnings.catch_warnings(), torch.no_grad(), eager:
            warnings.simplefilter("ignore")
            return module(*arguments)
    finally:
        for one, was in training.items():
            one.training = was


def _outputs(result: object) -> NDArray[np.float64]:
    """All floats of a result, one after the other."""
    found = [tensor.detach().cpu().double().reshape(-1) for tensor in _tensors(result) if tensor.is_floating_point()]
    return torch.cat(found).numpy() if found else np.zeros(0)


def _tensors(result: object) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping | Sequence) and not isinstance(result, str | bytes):
        for one in result.values() if isinstance(result, Mapping) else result:
            yield from _tensors(one)


def _near(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether outputs are equal but for the rounding of a network's own type, which both arrays are given in float64."""
    if np.array_equal(first, second, equal_nan=True):
        return True
    scale = np.abs(first).max(initial=0.0)
    return bool(np.abs(first - second).max() <= _TOLERANCE * scale)


def _runtime(data: bytes) -> _Evaluate | None:
    """What onnxruntime computes with a model; None where it cannot, or another number of arguments is wanted."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001 - a model that it has no kernels for; its errors have no common type
        return None
    names = [one.name for one in session.get_inputs()]

    def evaluate(arguments: tuple[Tensor, ...]) -> NDArray[np.float64] | None:
        if len(names) != len(arguments):
            return None
        try:
            results = session.run(None, {name: one.cpu().numpy() for name, one in zip(names, arguments, strict=True)})
        except Exception:  # noqa: BLE001 - as above
            return None
        floats = [np.asarray(one, np.float64).reshape(-1) for one in results if np.asarray(one).dtype.kind == "f"]
        return np.concatenate(floats) if floats else np.zeros(0)

    return evaluate
