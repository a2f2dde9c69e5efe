"""The version of the program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def netproof_version() -> str:
    """The installed version; a source tree that was never installed says so."""
    try:
        return version("netproof")
    except PackageNotFoundError:
        return "0+uninstalled"
