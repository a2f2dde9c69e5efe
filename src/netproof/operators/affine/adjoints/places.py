"""The adjoint of a convolution over two axes as one matrix product per row and tap, for small maps of many channels.

Every product is one of matrices ``[columns * B, C_out]`` and ``[C_out, C_in]``, which in float64 is faster than unfolding
where the matrices are large against the map.
"""

from __future__ import annotations

from torch import Tensor


def adjoint_by_place(
    v: Tensor,
    taps: Tensor,
    extents: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> Tensor:
    """``A' v``.

    Parameters
    ----------
    v : ``[B, C_out, h, w]``
    taps : the weight, ``[kernel, kernel, C_out, C_in]``
    extents : ``(H, W)`` of the result
    padding : before the first row and column

    Returns
    -------
    ``[B, C_in, H, W]``
    """
    count, channels, bottom, right = v.shape
    inputs = taps.shape[3]
    (rows, columns), (down, across) = extents, stride
    # Places first, so that the columns of one row are one matrix.
    places = v.permute(2, 3, 0, 1).contiguous()
    # What the rows and columns of the result leave when divided by the stride goes first: a tap reaches one class only.
    classes = v.new_zeros(down, across, -(-rows // down), -(-columns // across), count, inputs)
    for i in range(taps.shape[0]):
        for j in range(taps.shape[1]):
            above, before = i * dilation[0] - padding[0], j * dilation[1] - padding[1]
            # Columns x with 0 <= x * across + before < columns.
            first, last = max(0, -(before // across)), min(right, -((before - columns) // across))
            if first >= last:
                continue
            start, column = divmod(first * across + before, across)
            for y in range(max(0, -(above // down)), min(bottom, -((above - rows) // down))):
                row, line = divmod(y * down + above, down)
                target = classes[line, column, row, start : start + last - first]
                target.view(-1, inputs).addmm_(places[y, first:last].view(-1, channels), taps[i, j])
    shape = (count, inputs, classes.shape[2] * down, classes.shape[3] * across)
    return classes.permute(4, 5, 2, 0, 3, 1).reshape(shape)[:, :, :rows, :columns]
