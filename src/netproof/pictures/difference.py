"""The colours of what differs between two images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: where the pixel became brighter, and where darker
BRIGHTER, DARKER = (202, 62, 28), (24, 92, 168)


def difference_colours(change: NDArray[np.int64]) -> NDArray[np.int64]:
    """The colours of a difference ``[rows, columns]`` or ``[rows, columns, 3]``, as ``[rows, columns, 3]`` from 0 to 255.

    Of grey images orange is brighter and blue is darker, at full strength for the largest change; of colour images each
    channel is drawn around mid-grey.
    """
    strength = change / max(1, int(np.abs(change).max()))
    if change.ndim == 3:
        return np.rint(128 + 127 * strength).astype(np.int64)
    share = np.abs(strength)[..., None]
    colour = np.where(strength[..., None] > 0, np.array(BRIGHTER), np.array(DARKER))
    shaded: NDArray[np.float64] = 255 + share * (colour - 255)
    return np.rint(shaded).astype(np.int64)
