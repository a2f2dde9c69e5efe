"""What a repository promises of its networks: named questions in ``netproof.toml``, or in ``pyproject.toml`` under ``[tool.netproof]``.

A promise is a table ``[queries.NAME]`` with a network and either images and a radius, or a property; ``[defaults]`` has what all of
them share. Nothing in the file is skipped: a word that is not known is refused.
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from netproof.asking.images import ImageSource, Preparation
from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.images.digits import NAME as DIGITS
from netproof.local_robustness import NORMS
from netproof.settings import Settings

FILE, PROJECT = "netproof.toml", "pyproject.toml"
_WIDTHS = tuple(FixedPoint().as_dict())
_LIMITS = {"timeout": (int, float), "memory": (int, float), "seed": (int,), "engine": (str,), "device": (str,)}
_IMAGES: Mapping[str, tuple[type, ...]] = {
    "images": (str,), "labels": (str,), "label": (int,), "index": (int, list), "all": (bool,), "eps": (str, int, float),
    "norm": (str,), "target": (int,), "top": (int,), "scale": (str, int, float), "mean": (str, int, float, list),
    "std": (str, int, float, list), "clip": (list,), "layout": (str,), "split": (str,), "crop": (int,), "unchecked": (bool,),
}  # fmt: skip
_EVERY: Mapping[str, tuple[type, ...]] = {
    "network": (str,), "property": (str,), "runtime": (str,), "expect": (str,), "requirement": (str, list),
    **dict.fromkeys(_WIDTHS, (int,)), **_LIMITS,
}  # fmt: skip
#: what can be expected of images, and of a property
EXPECTED = ("robust", "vulnerable", "misclassified"), ("unsat", "sat")
_GIB = 2**30


@dataclass(frozen=True)
class Promise:
    """One named question.

    Attributes
    ----------
    name : of its table
    network, widths, runtime : the network and how it is read
    property : a VNN-LIB file; None where it is about images
    source, prepared, indices, every : the images, as a command's options name them
    eps, norm : the radius, as text, and what it is one in
    expect : the verdict that is promised
    requirements : what the promise is there for
    """

    name: str
    network: Path
    widths: FixedPoint | None
    runtime: str | None
    settings: Settings
    expect: str
    requirements: tuple[str, ...] = ()
    property: Path | None = None
    source: ImageSource | None = None
    prepared: Preparation = field(default_factory=Preparation)
    indices: tuple[int, ...] = ()
    every: bool = False
    eps: str = ""
    target: int | None = None
    top: int = 1
    norm: str = "linf"


def find_promises(start: Path) -> Path:
    """The nearest file of promises, from a folder upwards; raises :class:`InputError` where there is none."""
    for folder in (start.absolute(), *start.absolute().parents):
        if (folder / FILE).is_file():
            return folder / FILE
        project = folder / PROJECT
        if project.is_file() and b"[tool.netproof" in read_bytes(project, "project file", limit=1 << 24):
            return project
    problem = f"there is no {FILE} here or above, and no {PROJECT} with [tool.netproof]"
    raise InputError(start, problem, "write one (docs/ci.md), or name it with --config")


def read_promises(path: Path) -> tuple[Promise, ...]:
    """Read a file of promises; raises :class:`FormatError` naming the table and the word at fault."""
    document = _toml(path)
    if path.name == PROJECT:
        tools = document.get("tool", {})
        document = tools.get("netproof", {}) if isinstance(tools, dict) else {}
        if not isinstance(document, dict):
            raise FormatError(path, "'tool.netproof' is no table", "write [tool.netproof.queries.NAME] (docs/ci.md)")
    unknown = sorted(set(document) - {"queries", "defaults"})
    if unknown:
        raise FormatError(path, f"'{unknown[0]}' is no table of it", "give [queries.NAME] and [defaults]")
    queries, defaults = document.get("queries", {}), document.get("defaults", {})
    if not isinstance(queries, dict) or not queries:
        raise FormatError(path, "promises nothing", "write a table [queries.NAME] (docs/ci.md)")
    if not isinstance(defaults, dict):
        raise FormatError(path, "'defaults' is no table", "write [defaults]")
    found = []
    for name, table in queries.items():
        if not isinstance(table, dict):
            raise FormatError(path, f"'queries.{name}' is no table", "write [queries.NAME]")
        # What is said of images for all is nothing to a property.
        shared = {word: value for word, value in defaults.items() if word not in _IMAGES or "property" not in table}
        found.append(_promise(path, name, {**shared, **table}))
    return tuple(found)


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        found: dict[str, Any] = tomllib.loads(read_bytes(path, "file of promises", limit=1 << 24).decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(path, f"is no TOML ({' '.join(str(error).split())[:80]})", "mend that place") from None
    return found


def _promise(path: Path, name: str, table: Mapping[str, Any]) -> Promise:
    place = f"{path}, [queries.{name}]"
    by_property = "property" in table
    _check_words(place, table, by_property=by_property)
    expected = EXPECTED[by_property]
    expect = table.get("expect", expected[0])
    if expect not in expected:
        raise FormatError(place, f"'expect' is '{expect[:40]}'", f"give {' or '.join(expected)}")
    widths = {word: table[word] for word in _WIDTHS if word in table}
    required = table.get("requirement", [])
    try:
        common = Promise(
            name, _beside(path, table["network"]), FixedPoint(**widths) if widths else None, table.get("runtime"),
            _settings(table), expect, tuple(str(word) for word in ([required] if isinstance(required, str) else required)),
        )  # fmt: skip
    except InputError as error:
        raise FormatError(place, error.problem, error.hint) from None
    if by_property:
        return _with(common, property=_beside(path, table["property"]))
    indices = table.get("index", [])
    indices = [indices] if isinstance(indices, int) else indices
    if not all(isinstance(index, int) and not isinstance(index, bool) for index in indices):
        raise FormatError(place, "'index' has what is no number of an image", "give whole numbers")
    return _with(
        common,
        source=_source(path, table),
        prepared=Preparation(
            _text(table.get("scale")),
            _texts(table.get("mean")),
            _texts(table.get("std")),
            _ends(place, table),
            table.get("layout"),
        ),
        indices=tuple(indices),
        every=table.get("all", False),
        eps=str(table["eps"]),
        target=table.get("target"),
        top=table.get("top", 1),
        norm=_norm(place, table),
    )


def _check_words(place: str, table: Mapping[str, Any], *, by_property: bool) -> None:
    """Refuse words that are not known or not of their type, and a table without what every promise says."""
    known = _EVERY if by_property else {**_EVERY, **_IMAGES}
    for word, value in table.items():
        kinds = known.get(word)
        if kinds is None:
            near = difflib.get_close_matches(word, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(sorted(known))}"
            why = ", of images, stands beside a property" if word in _IMAGES else " is not known"
            raise FormatError(place, f"'{word}'{why}", hint)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            words = " or ".join(kind.__name__ for kind in kinds)
            raise FormatError(place, f"'{word}' is {str(value)[:40]!r}", f"give {words}")
    for word in ("network", *(("property",) if by_property else ("images", "eps"))):
        if word not in table:
            raise FormatError(place, f"has no '{word}'", "give a network, and images with eps, or a property")


def _with(promise: Promise, **fields: Any) -> Promise:
    return replace(promise, **fields)


def _beside(path: Path, name: str) -> Path:
    """A file, from the folder that the promises lie in."""
    return path.absolute().parent / name


def _source(path: Path, table: Mapping[str, Any]) -> ImageSource:
    images = table["images"]
    labels = table.get("labels")
    return ImageSource(
        Path(images) if images == DIGITS else _beside(path, images),
        None if labels is None else _beside(path, labels),
        table.get("label"),
        table.get("split", "test"),
        table.get("crop"),
        not table.get("unchecked", False),
    )


def _norm(place: str, table: Mapping[str, Any]) -> str:
    norm: str = table.get("norm", NORMS[0])
    if norm not in NORMS:
        raise FormatError(place, f"'norm' is '{norm[:40]}'", f"give {', '.join(NORMS[:-1])} or {NORMS[-1]}")
    return norm


def _settings(table: Mapping[str, Any]) -> Settings:
    given = {word: table[word] for word in _LIMITS if word in table}
    if "memory" in given:
        if not math.isfinite(given["memory"]):
            raise InputError("memory", f"is {given['memory']}", "give a number of GiB")
        given["memory"] = int(given["memory"] * _GIB)
    return Settings(**given)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(part) for part in value) if isinstance(value, list) else (str(value),)


def _ends(place: str, table: Mapping[str, Any]) -> tuple[str, str] | None:
    ends = _texts(table.get("clip"))
    if ends and len(ends) != 2:
        raise FormatError(place, f"'clip' has {len(ends)} numbers", "give the least and the largest value")
    return (ends[0], ends[1]) if ends else None
