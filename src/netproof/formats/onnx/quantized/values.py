"""What a value of a quantized network is on its way into the graph: codes, numbers that codes stand for, or neither yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netproof.formats.onnx.call import Constant, NodeError, Variable
from netproof.formats.onnx.quantized.rules.rule import Rule

Whole = NDArray[np.int64]
Singles = NDArray[np.float32]

#: the least and the largest code, by the number that ONNX gives the type
ENDS = {2: (0, 255), 3: (-128, 127)}
UINT8, INT8, INT32 = 2, 3, 6
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Quantization:
    """Codes ``q`` of type ``kind`` stand for ``scale (q - zero)``; ``listed`` where the file has one of them as a list of one."""

    scale: np.float32
    zero: int
    kind: int
    listed: bool = field(default=False, compare=False)

    @property
    def ends(self) -> tuple[int, int]:
        return ENDS[self.kind]

    def unsigned(self) -> Quantization:
        """The same numbers by codes of uint8."""
        return self if self.kind == UINT8 else Quantization(self.scale, self.zero + 128, UINT8)


@dataclass(frozen=True, eq=False)
class Sums(Variable):
    """Whole numbers of any size; ``low`` and ``high`` ``[n]``, what each can be."""

    low: Tensor
    high: Tensor


@dataclass(frozen=True, eq=False)
class Codes(Sums):
    """Codes of 8 bits; features of the node are codes less ``offset``.

    Attributes
    ----------
    kind : the type in the file
    computed : the type in which onnxruntime has them, by which it decides what it fuses: it turns pairs of QuantizeLinear and
        DequantizeLinear of int8 into those of uint8, where a pair is all that there is
    rounded : whether a QuantizeLinear gives them, moved since or not
    """

    kind: int
    offset: int
    computed: int
    rounded: bool = False

    @property
    def ends(self) -> tuple[int, int]:
        return ENDS[self.kind]

    @property
    def largest(self) -> tuple[int, int]:
        """The least and the largest code that there is."""
        return int(self.low.min()) + self.offset, int(self.high.max()) + self.offset


@dataclass(frozen=True, eq=False)
class Real(Variable):
    """Numbers, each a function of a code.

    Attributes
    ----------
    codes : the codes
    table : ``[256]``, what the codes stand for, the least first, as the rule computes with numbers
    how : where the numbers are what one DequantizeLinear gives, its scale and zero point
    direct : whether a group can begin with them: onnxruntime sees that DequantizeLinear there
    paired : whether another QuantizeLinear and DequantizeLinear may come to stand right in front of a QuantizeLinear that takes them,
        once onnxruntime has left out what does nothing and moved what moves
    clip : what they were clipped to at last
    """

    codes: Codes
    table: NDArray[Any]
    how: Quantization | None
    direct: bool = True
    paired: bool = False
    clip: tuple[float, float] | None = None

    @property
    def plain(self) -> Quantization | None:
        """How, where a group can begin with it."""
        return self.how if self.direct else None


@dataclass(frozen=True, eq=False)
class Open(Variable):
    """What an operator gives of dequantized operands, before a QuantizeLinear says how it is rounded.

    Attributes
    ----------
    operator : as ONNX calls it
    close : the codes, for a quantization, a name, and the type that onnxruntime has them in
    fused : whether onnxruntime makes one operator of the group whose result has that type, or computes the same without
    unfused : the codes where it does not, for what clips them on the way as well; None where sums of floats would decide
    clip : what it is clipped to on the way, which has to be without effect where it is fused
    moved : whether it has got another shape since
    listed : whether an operand has a list of one for its scale or zero point
    """

    operator: str
    close: Callable[[Quantization, str, int], Codes]
    fused: Callable[[int], bool]
    unfused: Callable[[Quantization, str, int, tuple[float, float]], Codes] | None = None
    clip: tuple[float, float] | None = None
    moved: bool = False
    listed: bool = False


@dataclass(frozen=True, eq=False)
class Dequantized(Constant):
    """A constant that a DequantizeLinear gives: codes with scales ``[1]`` or, along ``axis``, ``[C]``."""

    codes: Whole
    scale: Singles
    zero: Whole
    axis: int
    kind: int
    listed: bool = False

    @cached_property
    def quantization(self) -> Quantization | None:
        """How, where one scale is for all."""
        if len(self.scale) != 1 or self.kind not in ENDS:
            return None
        return Quantization(self.scale[0], int(self.zero[0]), self.kind, self.listed)


def real_of(rule: Rule, codes: Codes, how: Quantization) -> Real:
    """What codes stand for."""
    low, high = codes.ends
    table = rule.dequantize(np.arange(low, high + 1), how.scale, how.zero)
    if not all(abs(number) <= _LARGEST for number in table.tolist()):
        raise NodeError("codes stand for numbers beyond float32", "quantize it again")
    return Real(-1, codes.shape, codes, table, how, paired=codes.rounded)


def single(number: float) -> Tensor:
    return torch.tensor([float(number)], dtype=torch.float64)
