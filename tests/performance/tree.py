"""What a step of the tree costs, by how much is open: ``python -m performance.tree`` (in tests/); a few seconds."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from netproof.rows import Rows
from netproof.search.tree import WorstFirst

STEPS, TAKEN = 40, 64


@dataclass(frozen=True, eq=False)
class Subproblems(Rows):
    """Subproblems of 4 kB."""

    case: Tensor
    value: Tensor
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.case)


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    for count in (200, 2000, 20000):
        tree: WorstFirst[Subproblems] = WorstFirst(1 << 40)
        case = torch.zeros(count, dtype=torch.int64)
        numbers = torch.rand(count, 1000, generator=generator)
        tree.add(Subproblems(case, torch.rand(count, generator=generator), numbers))
        begun = time.process_time()
        for _ in range(STEPS):
            taken = tree.pop(TAKEN)
            value = torch.rand(2 * TAKEN, generator=generator)
            tree.add(Subproblems(taken.case.repeat(2), value, taken.numbers.repeat(2, 1)))
        milliseconds = (time.process_time() - begun) / STEPS * 1e3
        sys.stdout.write(f"{count} open: {milliseconds:.2f} ms a step\n")


if __name__ == "__main__":
    main()
