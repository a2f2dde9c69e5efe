"""The answers of ``netproof supports``, each made of the table that decides it."""

from __future__ import annotations

from collections.abc import Callable


def _opsets() -> list[str]:
    from netproof.formats.onnx.container.file import NEWEST_OPSET, OLDEST_OPSET

    return [str(OLDEST_OPSET), str(NEWEST_OPSET)]


def _types() -> list[str]:
    """``real``, and the float types that networks are read in and whose rounding is bounded."""
    from netproof.bounds.deciding.evaluated import FLOAT_TYPES
    from netproof.formats.onnx.container.file import FLOATS

    return ["real", *sorted(set(FLOATS.values()) & set(FLOAT_TYPES))]


def _operators() -> list[str]:
    """Those that answers are sound for in all types stand alone; the others with the one type."""
    from netproof.formats.onnx.nodes.table import OPERATORS
    from netproof.formats.vnnlib.second.files import EVALUATED

    return [name if name in EVALUATED else f"{name} real" for name in sorted(OPERATORS)]


def _versions() -> list[str]:
    from netproof.formats.vnnlib.second.read import VERSIONS

    return [VERSIONS[0], VERSIONS[-1]]


def _arithmetic() -> list[str]:
    from netproof.formats.vnnlib.second.polynomials import MOST_FACTORS

    return ["BND", "OUTC", "LIN", *(["POLY"] if MOST_FACTORS > 1 else [])]


#: by the standard's name of what is asked. Any number of networks, inputs, outputs and hidden values are one graph
#: (formats/vnnlib/second/product.py), and constraints may name all of them; disjunctions are written out as cases
#: (formats/vnnlib/formulas.py); certificates are not in the standard's format
CAPABILITIES: dict[str, Callable[[], list[str]]] = {
    "onnx-opset-versions": _opsets,
    "onnx-element-types": _types,
    "onnx-operators": _operators,
    "onnx-operators-unsat-proofs": list,
    "vnnlib-versions": _versions,
    "hidden-node-theories": lambda: ["NH", "H"],
    "multiple-input-output-theories": lambda: ["SIO", "MIO"],
    "multiple-network-theories": lambda: ["SNET", "MENET", "MINET", "MNET"],
    "multiple-node-comparison-theories": lambda: ["SNC", "MNC"],
    "arithmetic-complexity-theories": _arithmetic,
    "optimised-disjunctive-reasoning": lambda: ["false"],
    "serialise-assignments": lambda: ["true"],
    "unsat-proofs": lambda: ["false"],
}
