"""Does a file compute the same on every processor? What was found while it was read."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False)
class Processors:
    """Operators whose integers depend on the processor, by the names of their values.

    Attributes
    ----------
    saturating : products of unsigned codes and signed weights whose sums by twos can leave 16 bits: x86 processors without VNNI
        cut them off
    on_arm : operators that 64-bit ARM computes by another rule, with the number of arguments on which it differs
    signed : operators of ``int8`` that x86 has in ``uint8``, with floats in which the zero point counts
    """

    saturating: list[str] = field(default_factory=list)
    on_arm: list[tuple[str, int]] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)

    def differences(self) -> tuple[str, ...]:
        """What may differ, in sentences; none where it was proved that nothing does."""
        said = []
        if self.saturating:
            said.append(
                f"x86 processors without VNNI may cut off sums of {_listed(self.saturating)}: pairs of products can leave 16 "
                "bits there (quantize with reduce_range, or deploy with VNNI or on ARM)"
            )
        for name, count in self.on_arm:
            said.append(
                f"64-bit ARM rounds '{name}' by another rule, as its source has it: it differs on {count} arguments"
            )
        if self.signed:
            said.append(
                f"codes of int8 are uint8 on x86 and, as sources have it, int8 on 64-bit ARM, where floats of {_listed(self.signed)} "
                "can be rounded otherwise"
            )
        return tuple(said)


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")
