"""Sample numbers in the compact form of a table: ``0-17, 19, 21-99``."""

from __future__ import annotations

from collections.abc import Sequence


def compress(samples: Sequence[int | str]) -> str:
    """Consecutive numbers as ranges; names are listed as they are. ``-`` where there are none.

    Two neighbours are written as ``4, 5``: a range would be no shorter.
    """
    parts: list[str] = []
    numbers = [s for s in samples if isinstance(s, int)]
    run: list[int] = []
    for number in [*sorted(set(numbers)), None]:
        if run and number != run[-1] + 1:
            parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(n) for n in run]
            run = []
        if number is not None:
            run.append(number)
    parts += [s for s in samples if isinstance(s, str)]
    return ", ".join(parts) or "-"
