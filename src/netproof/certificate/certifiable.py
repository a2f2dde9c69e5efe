"""Which networks certificates can be about."""

from __future__ import annotations

from netproof.errors import InputError
from netproof.network import Network


def check_certifiable(network: Network, source: str) -> None:
    """Raise :class:`InputError` for a network that no certificate can be about: one whose file has no second reader."""
    if network.runtime and network.content[4:8] != b"TFL3":
        raise InputError(
            source,
            f"{network.path} is read as '{network.runtime}' computes it, and such verdicts have no certificates yet",
            "leave it out; a witness is replayed before it is reported",
        )
