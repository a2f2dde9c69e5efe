"""The network that a command's options name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netproof.formats.fixed_point import FixedPoint
    from netproof.network import Network


def read_network(
    path: Path,
    widths: FixedPoint | None,
    runtime: str | None = None,
    shapes: dict[str, tuple[int, ...]] | None = None,
    deadline: float | None = None,
) -> Network:
    """Read the network of a command; raises :class:`InputError`, and :class:`TimeLimitError` where the deadline is over."""
    from netproof.formats.load import load

    return load(path, widths=widths, runtime=runtime, shapes=shapes, deadline=deadline)


def unread_document(path: Path) -> dict[str, object]:
    """The same of a network that there was no time to read: nothing of it is known but its file."""
    return {"file": str(path), "sha256": None, "scheme": None, "runtime": None, "arithmetic": None}


def network_document(network: Network) -> dict[str, object]:
    """How JSON output identifies a network."""
    return {
        "file": network.path,
        "sha256": network.sha256,
        "scheme": network.scheme,
        "runtime": network.runtime or None,
        "arithmetic": network.graph.arithmetic.value,
    }
