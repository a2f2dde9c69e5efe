"""What XNNPACK's delegate leaves to LiteRT's other kernels, which round in another way.

LiteRT hands operators to the delegate one by one, and says nothing where it declines one. The conditions were read in the delegate's
source (``xnnpack_delegate.cc``: what it checks of tensors, biases and pools) and found again in ai-edge-litert 2.3.0.
"""

from __future__ import annotations

from collections.abc import Sequence

from netproof.formats.tflite.schema import OperatorInfo, TensorInfo

_PRODUCTS = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
#: the version of FULLY_CONNECTED that stands for sparse weights, whatever its weights are
_SPARSE = 8


def reason_left(info: OperatorInfo, tensors: Sequence[TensorInfo]) -> str:
    """Why the delegate leaves an operator to others whose integers may differ; empty where it does not."""
    products = info.name in _PRODUCTS
    if info.name == "FULLY_CONNECTED" and info.version == _SPARSE:
        return f"it has version {_SPARSE}, that of sparse weights"
    for place, number in enumerate((*info.inputs, *info.outputs)):
        if number < 0 or (products and place == 1 and tensors[number].kind == "INT8"):
            continue
        tensor = tensors[number]
        # Also where there is one scale, which lies along no axis.
        if tensor.kind in ("INT8", "UINT8") and tensor.axis != 0:
            return f"tensor '{tensor.name}' is quantized along axis {tensor.axis}"
    if products and len(info.inputs) > 2 and info.inputs[2] >= 0:
        bias = tensors[info.inputs[2]]
        if not len(bias.scale):
            return "its bias has no scale"
        if len(bias.shape) != 1:
            return f"its bias has {len(bias.shape)} axes"
    return ""


def pool_is_left(kernel: tuple[int, int], stride: tuple[int, int]) -> bool:
    """Whether it leaves a pool to others: one whose windows lie apart."""
    return any(step > size for size, step in zip(kernel, stride, strict=True))
