"""A second device for machines that have none: tensors that say they are elsewhere, and that tell when they are mixed.

Inside :class:`PretendDevice` PyTorch's device ``meta`` computes. A tensor that is moved or made there keeps its values, in a
tensor on the CPU that nobody sees, so that results are those of the CPU, bit for bit. What a GPU would refuse, or what the
rules for one forbid, raises :class:`WrongDeviceError`:

* an operation on tensors of both devices, other than moving and CPU scalars (a GPU takes CPU tensors as indices, too;
  each of them would be a transfer that nobody wrote down, so that these count as mixed);
* numbers of float64 on the device: what decides is computed on the CPU;
* products and convolutions of float32 matrices on the CPU: what searches is computed on the device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
_HEAVY = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "convolution", "convolution_backward")


class WrongDeviceError(AssertionError):
    """An operation that has no business on the devices that its tensors are on."""


class Elsewhere(Tensor):
    """A tensor on the device; ``value`` has its numbers."""

    value: Tensor

    @staticmethod
    def __new__(cls, value: Tensor) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls,
            value.shape,
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            device=DEVICE,
        )
        made.value = value
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise WrongDeviceError(f"{func} on a tensor of the device, outside of it")


class PretendDevice(TorchDispatchMode):
    """Within, :data:`DEVICE` computes; ``count`` is the number of its products and convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        there = [each for each in tensors if isinstance(each, Elsewhere)]
        here = [each for each in tensors if not isinstance(each, Elsewhere) and each.ndim]
        name = func.overloadpacket.__name__
        given = kwargs.get("device")
        target = bool(there) if given is None else torch.device(given) == DEVICE
        if there and here:
            raise WrongDeviceError(f"{name} of tensors on both devices: {[tuple(each.shape) for each in tensors]}")
        if name in _HEAVY:
            self.count += target
            if not target and all(each.dtype == torch.float32 for each in tensors):
                raise WrongDeviceError(f"{name} of float32 tensors on the CPU")
        if given is not None:
            kwargs["device"] = torch.device("cpu")
        unwrapped = tree_map(lambda each: each.value if isinstance(each, Elsewhere) else each, (args, kwargs))
        result = func(*unwrapped[0], **unwrapped[1])
        known = {id(each.value): each for each in there}

        def wrapped(each: Any) -> Any:
            if not isinstance(each, Tensor) or not target:
                return each
            if id(each) in known:  # an operation in place
                return known[id(each)]
            if each.dtype == torch.float64:
                raise WrongDeviceError(f"{name} makes float64 numbers on the device")
            return Elsewhere(each)

        return tree_map(wrapped, result)
