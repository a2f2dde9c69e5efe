"""The version of the program."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def netproof_version() -> str:
    """The installed version; a source tree that was never installed says so. Read once: a run writes it into thousands of certificates."""
    try:
        return version("netproof")
    except PackageNotFoundError:
        return "0+uninstalled"
