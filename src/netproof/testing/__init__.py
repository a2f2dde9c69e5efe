"""Assertions for tests of a project that ships a network, and its promises as tests (docs/ci.md).

Importing the package costs nothing: ``netproof.testing.plugin``, which pytest loads at its start, brings no PyTorch along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netproof.testing.assertions import assert_robust

__all__ = ["assert_robust"]

if not TYPE_CHECKING:  # or type checkers would take any name for granted

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'netproof.testing' has no attribute '{name}'")
        from netproof.testing.assertions import assert_robust

        globals()[name] = assert_robust  # found without this function from now on
        return assert_robust
