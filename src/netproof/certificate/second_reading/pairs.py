"""Whether an affine map is a combination of two values, the same in every feature."""

from __future__ import annotations

import numpy as np

from netproof.certificate.second_reading.reading import Floats


def combined(found: Floats, first: Floats, second: Floats) -> tuple[int, int] | None:
    """Whole numbers with ``found = f first + g second`` in all entries ``[B, n]``; None where there are none.

    Two entries with different ratios of the two tell what they have to be; the others are then compared. Everything is a
    whole number that float64 holds, and products are taken of numbers of any size.
    """
    if not found.shape == first.shape == second.shape:
        return None
    a, b, c = (part.reshape(-1) for part in (first, second, found))
    some = np.flatnonzero((a != 0) | (b != 0))
    if not len(some):
        return None
    i = int(some[0])
    others = some[a[some] * b[i] != b[some] * a[i]]
    if not len(others):
        return None
    j = int(others[0])
    (ai, bi, ci), (aj, bj, cj) = ([int(part[k]) for part in (a, b, c)] for k in (i, j))
    below = ai * bj - aj * bi
    above = ci * bj - cj * bi, ai * cj - aj * ci
    if below == 0 or any(part % below for part in above):
        return None
    f, g = (part // below for part in above)
    whole = f * a.astype(object) + g * b.astype(object)
    return (f, g) if bool((whole == c.astype(object)).all()) else None
