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
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Evaluate = Callable[[tuple[Tensor, ...]], NDArray[np.float64] | None]

#: sizes of random inputs, of each of which some are compared; one call of a module each, and one more
_SIZES, _SAMPLES = (1.0, 4.0, 1 / 16), 2
#: outputs may differ by this part of the largest one: what rounding comes to in a deep network, in few bits and in others
_TOLERANCES = {torch.float16: 0.02, torch.bfloat16: 0.02}
_TOLERANCE = 2e-4
#: functions that hand numbers, or the memory they are in, to Python, by their names
_READS = {
    "__bool__": "bool", "is_nonzero": "bool", "item": "item", "__float__": "float", "__int__": "int", "__index__": "index",
    "__complex__": "complex", "__contains__": "in", "equal": "equal", "allclose": "allclose",
    "tolist": "tolist", "numpy": "numpy", "__array__": "numpy", "__dlpack__": "dlpack", "from_dlpack": "dlpack", "to_dlpack": "dlpack",
    "data_ptr": "data_ptr", "__repr__": "repr", "storage": "storage", "untyped_storage": "storage", "_typed_storage": "storage", "__reduce_ex__": "pickle",
}  # fmt: skip
#: operators whose result is a number of Python's, or has a shape that depends on numbers; and one that raises by them
_TAGS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_RAISES = ("aten::_linalg_check_errors",)
_SOFTPLUS = "a softplus with a threshold"
#: what the older exporter writes down as something else
INEXACT = (_SOFTPLUS, "cosine_similarity")
#: beyond it PyTorch's softplus is its operand; beyond this default that makes no difference in float32
_THRESHOLD = 20
#: what they are called where that is not their name
_WORDS = {
    "_local_scalar_dense": "item",
    "index": "indexing by truth values",
    "_unique2": "unique",
    "_linalg_check_errors": "linalg",
}
#: of operators that take other operands as well, those on which the shape depends
_PLACES: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "aten::index": lambda given: [
        one for one in given[1] if one is not None and one.dtype in (torch.bool, torch.uint8)
    ],
    "aten::masked_select": lambda given: given[1],
}


def values_read(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> str:
    """How ``forward`` takes a value of its arguments into Python first, as ``item`` of a tensor, or what else PyTorch's older exporter
    is known to write down as something else; empty where it does not.

    What a branch depends on is read before the branch is taken, so that one run tells it, whatever the input. A number is read,
    and so is how many of them are in a result (``len(torch.nonzero(x > 1))``), or that they are none an operator takes.
    """
    follower = _Follower(arguments)
    try:
        with torch.random.fork_rng(devices=[]), follower:
            _run(module, arguments)
    except Exception:  # noqa: BLE001 - what a module raises
        if not follower.found and _runs(module, arguments):
            return "ways that cannot be followed"
        # What it raises here it raises again when it is exported.
    return follower.found


def _runs(module: torch.nn.Module, arguments: tuple[Tensor, ...]) -> bool:
    with suppress(Exception), torch.random.fork_rng(devices=[]):
        _run(module, arguments)
        return True
    return False


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator, whoever calls it."""

    def __init__(self, follower: _Follower) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._follower = follower

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._follower.operator(func, args, dict(kwargs or {}))


class _Follower(TorchFunctionMode):
    """Follows what is computed of some tensors, by the memory that numbers are in, while a module runs.

    Attributes
    ----------
    found : how a number of theirs was read first, empty where none was
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self.found = ""
        self._own = 0
        self._known: set[int] = set()
        #: so that no memory is used again
        self._kept: list[object] = []
        self._operators = _Operators(self)
        self._take(tensors)

    def __enter__(self) -> Any:
        self._operators.__enter__()  # type: ignore[no-untyped-call]
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *given: Any) -> None:
        super().__exit__(*given)  # type: ignore[no-untyped-call]
        self._operators.__exit__(*given)  # type: ignore[no-untyped-call]

    def _memory(self, tensor: Tensor) -> tuple[int, object]:
        """Which memory a tensor's numbers are in, and what keeps it."""
        try:
            memory = tensor.untyped_storage()
        except (RuntimeError, NotImplementedError):  # a sparse one has several
            return id(tensor), tensor
        return memory._cdata, memory

    def _take(self, values: object) -> None:
        self._own += 1
        for tensor in _all_tensors(values):
            number, memory = self._memory(tensor)
            if number not in self._known:
                self._known.add(number)
                self._kept.append(memory)
        self._own -= 1

    def _depends(self, values: object) -> bool:
        self._own += 1
        found = any(self._memory(tensor)[0] in self._known for tensor in _all_tensors(values))
        self._own -= 1
        return found

    def _read(self, word: str) -> None:
        self.found = self.found or _WORDS.get(word, word)

    def operator(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call an operator; what it makes or changes depends on what it takes."""
        depends = self._depends((args, kwargs))
        name = func._schema.name
        if depends and (any(tag in func.tags for tag in _TAGS) or name in _RAISES):
            places = _PLACES.get(name)
            if places is None or self._depends(places(args)):
                self._read(name.partition("::")[2])
        if depends and name == "aten::softplus" and len(args) > 2 and args[2] < _THRESHOLD:
            # The older exporter leaves the threshold out.
            self._read(_SOFTPLUS)
        result = func(*args, **kwargs)
        if depends:
            changed = [
                value
                for value, one in zip(args, func._schema.arguments, strict=False)
                if one.alias_info is not None and one.alias_info.is_write
            ]
            self._take((result, changed, kwargs.get("out")))
        return result

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if self._own:
            return func(*args, **named)
        depends, name = self._depends((args, named)), getattr(func, "__name__", "")
        if depends and name == "cosine_similarity":
            # For the older exporter eps is below the product of both norms, for PyTorch below each of them.
            self._read(name)
        if depends and name in _READS:
            self._read(_READS[name])
        before = self.found
        result = func(*args, **named)
        if name == "one_hot" and named.get("num_classes", args[1] if len(args) > 1 else -1) != -1:
            # It makes sure that no number is too large, and does nothing else with them.
            self.found = before
        if depends:
            # Copies that no operator makes: torch.tensor(x), copy.deepcopy(x).
            self._take(result)
        return result


def _all_tensors(values: object) -> Iterator[Tensor]:
    """The tensors in arguments or results, however they are nested."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple | dict):
        for one in values.values() if isinstance(values, dict) else values:
            yield from _all_tensors(one)


def disagreement(module: torch.nn.Module, arguments: tuple[Tensor, ...], data: bytes) -> str:
    """How an exported network (ONNX) differs from its module at random inputs; empty where it does not, or cannot be compared."""
    with torch.random.fork_rng(devices=[]):
        return _disagreement(module, arguments, _runtime(data))


def _disagreement(module: torch.nn.Module, arguments: tuple[Tensor, ...], evaluate: _Evaluate | None) -> str:
    generator = torch.Generator().manual_seed(0)
    tolerance = max((_TOLERANCES.get(one.dtype, _TOLERANCE) for one in arguments), default=_TOLERANCE)
    differ = compared = 0
    for size in _SIZES:
        of_size = []
        for sample in range(_SAMPLES):
            given = tuple(_drawn(argument, sample, size, generator) for argument in arguments)
            try:
                first, again = (_outputs(_run(module, given)) for _ in range(2))
            except Exception:  # noqa: BLE001 - a module may refuse such an input
                continue
            if len(first) != len(again) or not _near(first, again, tolerance):
                return "it computes two things of one input, one call after the other"
            written = None if evaluate is None else evaluate(given)
            if written is None or len(written) != len(first) or not np.isfinite(first).all():
                continue
            of_size.append(not _near(first, written, tolerance))
        compared += len(of_size)
        # One of them may lie next to a jump, where the last bit decides.
        differ += sum(of_size) if sum(of_size) > 1 else 0
    if differ:
        return f"what PyTorch exports has other outputs than the module at {differ} of {compared} random inputs"
    return ""


def _drawn(argument: Tensor, sample: int, size: float, generator: torch.Generator) -> Tensor:
    """A random argument of a size: from 0 on and normal, in turns."""
    draw = torch.rand if sample % 2 == 0 else torch.randn
    return (draw(argument.shape, generator=generator, dtype=torch.float64) * size).to(argument)


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


def _near(first: NDArray[np.float64], second: NDArray[np.float64], tolerance: float) -> bool:
    """Whether outputs are equal but for the rounding of a network's own type, which both arrays are given in float64."""
    if np.array_equal(first, second, equal_nan=True):
        return True
    scale = np.abs(first).max(initial=0.0)
    return bool(np.abs(first - second).max() <= tolerance * scale)


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
