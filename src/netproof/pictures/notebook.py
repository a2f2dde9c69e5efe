"""Results as notebooks show them: a small table, and where the question is about an image, image, difference and witness."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netproof.errors import InputError
from netproof.pictures.difference import difference_colours
from netproof.pictures.form import InputForm
from netproof.pictures.png import address

if TYPE_CHECKING:
    from netproof.query import Query
    from netproof.result import Result
    from netproof.search.radius import RadiusResult

_HEIGHT = 140
_LARGEST = 255


def result_html(result: Result) -> str:
    """A result: its verdict, cost, and pictures where there are some."""
    query = result.asked
    robust = query is not None and query.sample is not None
    verdict = result.verdict.for_robustness if robust else result.verdict.value
    facts = [("verdict", verdict), ("seconds", f"{result.seconds:.3g}"), ("method", result.method)]
    facts.append(("subproblems", str(result.subproblems)))
    if query is not None:
        facts.insert(0, ("question", query.name))
        if query.sample is not None:
            facts.append(("label", str(query.sample.label)))
    if result.bound is not None:
        facts.append(("best bound", f"{result.bound:.4g}"))
    if result.reason:
        facts.append(("reason", result.reason))
    return _table(facts) + ("" if query is None else _pictures(query, result))


def radius_html(result: RadiusResult) -> str:
    """A largest radius: between which proof and which witness it lies, and what that cost."""
    proved = "none: the sample itself is not robust" if result.radius < 0 else _number(result.radius)
    facts = [("proved robust at", proved)]
    if result.witness_radius is not None:
        facts.append(("witness at", _number(result.witness_radius)))
    facts += [
        ("exact", "yes" if result.exact else "no"),
        ("seconds", f"{result.seconds:.3g}"),
        ("queries", str(result.queries)),
    ]
    if result.reason:
        facts.append(("reason", result.reason))
    return _table(facts)


def _number(value: int | Fraction) -> str:
    """A radius, exactly, and as a decimal where it is a fraction."""
    return str(value) if value == int(value) else f"{value} ({float(value):.6g})"


def _table(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in facts
    )
    return f"<table>{rows}</table>"


def _pictures(query: Query, result: Result) -> str:
    """The image, and beside it what a witness changes; nothing where inputs are no image."""
    sample = query.sample
    if sample is None:
        return ""
    try:
        form = InputForm.of(query.network.input_shape)
    except InputError:
        return ""
    values = [sample.image.double().numpy()]
    names = [f"label {sample.label}"]
    if result.witness is not None:
        outputs = result.witness.output.double().numpy()
        others = np.where(np.arange(outputs.size) == sample.label, -np.inf, outputs)
        values.append(result.witness.input.double().numpy())
        names.append(f"class {int(others.argmax())}")
    least, largest = min(part.min() for part in values), max(part.max() for part in values)
    scale = _LARGEST / ((largest - least) or 1.0)
    planes = [form.planes(np.rint((part - least) * scale).clip(0, _LARGEST).astype(np.int64)) for part in values]
    shown = [plane for plane in planes if plane is not None]
    if len(shown) < len(values):
        return ""
    panels = [(shown[0], names[0])]
    if len(shown) == 2:
        change = form.planes(np.rint((values[1] - values[0]) * scale * 1000).astype(np.int64))
        assert change is not None
        panels += [(difference_colours(change), "difference"), (shown[1], names[1])]
    return '<div style="display:flex;gap:8px">' + "".join(_panel(*panel) for panel in panels) + "</div>"


def _panel(pixels: NDArray[np.int64], caption: str) -> str:
    return (
        f'<figure style="margin:0"><img src="{address(pixels)}" alt="{escape(caption)}" '
        f'style="height:{_HEIGHT}px;image-rendering:pixelated"><figcaption>{escape(caption)}</figcaption></figure>'
    )
