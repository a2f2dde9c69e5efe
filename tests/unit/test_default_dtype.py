"""No number's kind depends on what the calling program made PyTorch's default.

``torch.zeros(3)`` is float32 in one program and float64 in another. What searches is float32 and what decides is float64
here, so every tensor that is made from nothing says which it is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import netproof

SOURCE = Path(netproof.__file__).parent
#: what makes a tensor of PyTorch's default kind where no kind is given
FACTORIES = {"empty", "eye", "linspace", "logspace", "normal", "ones", "rand", "randn", "scalar_tensor", "zeros"}
#: what does so where its numbers are floats
BY_VALUE = {"arange", "as_tensor", "full", "tensor"}
#: training is a command, whose process is its own
EXEMPT = {"training"}


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "torch"
        ):
            yield node


def _may_be_float(value: ast.expr) -> bool:
    """Whether a literal has a float in it, or ``torch.inf``; of a name nothing is known, and integers are usual."""
    return any(
        (isinstance(part, ast.Constant) and isinstance(part.value, float))
        or (isinstance(part, ast.Attribute) and part.attr in ("inf", "nan", "pi"))
        for part in ast.walk(value)
    )


def unnamed(tree: ast.AST) -> list[int]:
    """The lines on which a tensor's kind is left to the default."""
    lines = []
    for call in _calls(tree):
        assert isinstance(call.func, ast.Attribute)
        name = call.func.attr
        if any(keyword.arg in ("dtype", "out", None) for keyword in call.keywords):
            continue
        if name in FACTORIES or (name in BY_VALUE and any(_may_be_float(value) for value in call.args)):
            lines.append(call.lineno)
    return lines


def test_finds_what_it_looks_for():
    code = (
        "torch.zeros(3)\ntorch.full((2,), torch.inf)\ntorch.tensor([1.0])\n"
        "torch.tensor([1])\ntorch.zeros(3, dtype=x.dtype)\ntorch.arange(3)"
    )
    assert unnamed(ast.parse(code)) == [1, 2, 3]


def test_every_tensor_made_from_nothing_names_its_kind():
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in EXEMPT
        for line in unnamed(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, f"give a dtype: {', '.join(found)}"
