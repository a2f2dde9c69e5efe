"""The adjoint of a convolution over two axes as one matrix product per place and tap, for adjoints that are local.

The coefficients of a feature of an early layer are 0 outside a small window of every layer before it. Here only the
places inside the window cost anything, and every product is one of matrices ``[places * B, C_out]`` and
``[C_out, C_in]``, which also makes float64 on small maps faster than unfolding them.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: rows and columns, each ``(first, last + 1)``
Window = tuple[tuple[int, int], tuple[int, int]]


def support(v: Tensor) -> Window:
    """The smallest window outside of which ``v`` ``[B, C, H, W]`` is 0; empty where all of it is."""
    rows, columns = v.shape[2:]
    flat = v.reshape(-1, rows * columns)
    # Not a number counts as something.
    some = torch.linalg.vector_norm(flat, ord=torch.inf, dim=0).view(rows, columns) != 0
    ends = []
    for axis in (1, 0):
        where = some.any(axis).nonzero()[:, 0]
        ends.append((int(where[0]), int(where[-1]) + 1) if len(where) else (0, 0))
    return ends[0], ends[1]


def adjoint_by_place(
    v: Tensor,
    taps: Tensor,
    window: Window,
    extents: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """``A' v`` for coefficients that are 0 outside a window.

    Parameters
    ----------
    v : ``[B, C_out, h, w]``
    taps : the weight, ``[kernel, kernel, C_out, C_in]``
    window : of :func:`support`
    extents : ``(H, W)`` of the result
    padding : before the first row and column

    Returns
    -------
    ``[B, C_in, H, W]``
    """
    (top, bottom), (left, right) = window
    count, channels, inputs = v.shape[0], v.shape[1], taps.shape[3]
    (height, width), (down, across) = extents, stride
    # The result is 0 but for a window of its own, which begins at a multiple of the stride.
    reach = [(kernel - 1) * step for kernel, step in zip(taps.shape[:2], dilation, strict=True)]
    low = [
        max(0, first * step - pad) // step * step for first, step, pad in zip((top, left), stride, padding, strict=True)
    ]
    high = [
        min(extent, (last - 1) * step - pad + far + 1)
        for last, step, pad, far, extent in zip((bottom, right), stride, padding, reach, extents, strict=True)
    ]
    rows, columns = (max(0, end - start) for start, end in zip(low, high, strict=True))
    # Places first, so that the columns of one row are one matrix.
    places = v[:, :, top:bottom, left:right].permute(2, 3, 0, 1).contiguous()
    # What the rows and columns of the result leave when divided by the stride goes first: a tap reaches one class only.
    classes = v.new_zeros(down, across, -(-rows // down), -(-columns // across), count, inputs)
    for i in range(taps.shape[0]):
        for j in range(taps.shape[1]):
            above, before = i * dilation[0] - padding[0] - low[0], j * dilation[1] - padding[1] - low[1]
            # Columns x with 0 <= x * across + before < columns.
            first, last = max(left, -(before // across)), min(right, -((before - columns) // across))
            if first >= last:
                continue
            start, column = divmod(first * across + before, across)
            for y in range(max(top, -(above // down)), min(bottom, -((above - rows) // down))):
                row, line = divmod(y * down + above, down)
                target = classes[line, column, row, start : start + last - first]
                source = places[y - top, first - left : last - left]
                target.view(-1, inputs).addmm_(source.view(-1, channels), taps[i, j])
    shape = (count, inputs, classes.shape[2] * down, classes.shape[3] * across)
    inside = classes.permute(4, 5, 2, 0, 3, 1).reshape(shape)[:, :, :rows, :columns]
    if (rows, columns) == (height, width):
        return inside
    x = v.new_zeros(count, inputs, height, width)
    x[:, :, low[0] : low[0] + rows, low[1] : low[1] + columns] = inside
    return x
