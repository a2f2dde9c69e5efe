"""The operators of ONNX that are known: what each becomes is said where it is translated."""

from __future__ import annotations

from netproof.formats.onnx import arithmetic as onnx_arithmetic
from netproof.formats.onnx import linear as onnx_linear
from netproof.formats.onnx import shapes as onnx_shapes
from netproof.formats.onnx import windows as onnx_windows
from netproof.formats.onnx.call import Translate
from netproof.formats.onnx.nodes import activations as onnx_activations
from netproof.formats.onnx.nodes import curves as onnx_curves
from netproof.formats.onnx.nodes import logic as onnx_logic
from netproof.formats.onnx.nodes import norms as onnx_norms
from netproof.formats.onnx.nodes import pieces as onnx_pieces
from netproof.formats.onnx.nodes import softmax as onnx_softmax
from netproof.formats.onnx.nodes import sums as onnx_sums
from netproof.formats.onnx.nodes.places import argmax as onnx_argmax
from netproof.formats.onnx.nodes.places import known as onnx_known
from netproof.formats.onnx.nodes.places import resize as onnx_resize

#: operators of ONNX that are known, by name
OPERATORS: dict[str, Translate] = {
    **onnx_activations.OPERATORS,
    **onnx_argmax.OPERATORS,
    **onnx_arithmetic.OPERATORS,
    **onnx_curves.OPERATORS,
    **onnx_known.OPERATORS,
    **onnx_linear.OPERATORS,
    **onnx_logic.OPERATORS,
    **onnx_norms.OPERATORS,
    **onnx_pieces.OPERATORS,
    **onnx_resize.OPERATORS,
    **onnx_shapes.OPERATORS,
    **onnx_softmax.OPERATORS,
    **onnx_sums.OPERATORS,
    **onnx_windows.OPERATORS,
}
