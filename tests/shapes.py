"""Checking, while tests run, that tensors have the shapes and the kinds of numbers that signatures say.

Signatures of ``bounds`` and ``operators`` say ``Float[Tensor, "B n"]`` in jaxtyping's words. The package itself never imports
jaxtyping: what is annotated is text, and the names in it are for type checkers. With ``NETPROOF_SHAPES=1`` in the environment tests
give those names a meaning and have every call in both rooms checked, which takes several times as long:

    NETPROOF_SHAPES=1 python -m pytest tests/soundness/test_bounds_dual.py
"""

from __future__ import annotations

import builtins
import os
import sys

ROOMS = ["netproof.bounds", "netproof.operators"]
NAMES = "Bool", "Float", "Float64", "Int", "Int8", "Int64"


def check_where_wanted() -> None:
    """To be called before anything of netproof is imported."""
    if not os.environ.get("NETPROOF_SHAPES"):
        return
    import jaxtyping

    assert not any(name in sys.modules for name in ROOMS), "imported too early to be checked"
    for name in NAMES:
        # Where the text of an annotation is read, names that a module lacks are looked up here.
        setattr(builtins, name, getattr(jaxtyping, name))
    jaxtyping.install_import_hook(ROOMS, "beartype.beartype")
