"""Assertions for tests of a project that ships a network (docs/ci.md)."""

from netproof.testing.assertions import assert_robust

__all__ = ["assert_robust"]
