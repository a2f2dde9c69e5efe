"""Whether the search on a network takes a device."""

from __future__ import annotations

from netproof.device import find_device
from netproof.errors import InputError
from netproof.graph.graph import Arithmetic
from netproof.network import Network


def check_device(name: str, network: Network) -> None:
    """Refuse a GPU that was asked for by name where it would not be used.

    Raises
    ------
    InputError : as :func:`netproof.device.find_device`, or an integer network, whose search is exact arithmetic on the CPU
    """
    if name not in ("cpu", "auto") and network.graph.arithmetic is Arithmetic.INTEGER:
        raise InputError(
            "--device",
            f"{network.path or 'the network'} is an integer network, which is searched on the CPU alone",
            "leave it out, or give auto",
        )
    find_device(name)
