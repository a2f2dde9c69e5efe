"""What a repository promises of its networks: named questions in ``netproof.toml``, or in ``pyproject.toml`` under ``[tool.netproof]``.

A promise is a table ``[queries.NAME]`` with a network and either images and a radius, or a property; ``[defaults]`` has what all of
them share. Nothing in the file is skipped: a word that is not known is refused, and so is what a word cannot be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from netproof.arguments.words import described, listed, meant, printable, shown
from netproof.asking.images import ImageSource, Preparation
from netproof.asking.names import verdict_hint
from netproof.asking.tables import ALTERNATIVES, LIMITS, OF_IMAGES, WIDTHS, check_words
from netproof.errors import FormatError, InputError
from netproof.files.opened import read_bytes
from netproof.formats.fixed_point import FixedPoint
from netproof.formats.images.digits import NAME as DIGITS
from netproof.settings import Settings

FILE, PROJECT = "netproof.toml", "pyproject.toml"
#: what can be expected of images, and of a property
EXPECTED = ("robust", "vulnerable", "misclassified"), ("unsat", "sat")
_LIMIT = 1 << 24
_GIB, _LONGEST = 2**30, 300


@dataclass(frozen=True)
class Promise:
    """One named question.

    Attributes
    ----------
    name : of its table
    place : the file and the table, as errors call it
    network, widths, runtime : the network and how it is read
    property : a VNN-LIB file; None where it is about images
    source, prepared, indices, every : the images, as a command's options name them
    eps, norm : the radius, as text, and what it is one in
    expect : the verdict that is promised
    requirements : what the promise is there for
    """

    name: str
    place: str
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
        for name in (FILE, PROJECT):
            if is_promises(folder / name):
                return folder / name
    problem = f"there is no {FILE} here or above, and no {PROJECT} with [tool.netproof]"
    raise InputError(start, problem, "write one (docs/ci.md), or name it with --config")


def is_promises(path: Path) -> bool:
    """Whether a file is one of promises: by its name, and of a project by what it has; raises :class:`FormatError`."""
    if not path.is_file() or path.name not in (FILE, PROJECT):
        return False
    if path.name == FILE:
        return True
    # Files of other tools' tables are no business of ours, not even where they are no TOML.
    if b"netproof" not in read_bytes(path, "project file", limit=_LIMIT):
        return False
    tools = _toml(path).get("tool", {})
    return isinstance(tools, dict) and "netproof" in tools


def read_promises(path: Path) -> tuple[Promise, ...]:
    """Read a file of promises; raises :class:`FormatError` naming the table and the word at fault."""
    document: object = _toml(path)
    if path.name == PROJECT:
        document = _within(_within(document, "tool"), "netproof")
        if not isinstance(document, dict):
            raise FormatError(path, "'tool.netproof' is no table", "write [tool.netproof.queries.NAME] (docs/ci.md)")
    assert isinstance(document, dict)
    for word in document:
        if word not in ("queries", "defaults"):
            hint = meant(word, ("queries", "defaults"), {"query": "queries", "default": "defaults"})
            raise FormatError(
                path, f"'{printable(word)[:40]}' is no table of it", f"{hint}: [queries.NAME], [defaults]"
            )
    queries, defaults = document.get("queries", {}), document.get("defaults", {})
    if not isinstance(queries, dict) or not queries:
        raise FormatError(path, "promises nothing", "write a table [queries.NAME] (docs/ci.md)")
    if not isinstance(defaults, dict):
        raise FormatError(path, "'defaults' is no table", "write [defaults]")
    place = f"{path}, [defaults]"
    if "property" in defaults:
        raise FormatError(place, "'property' is what a query is about", "write it into the queries")
    check_words(place, defaults, by_property=False)
    return tuple(_promise(path, name, table, defaults) for name, table in queries.items())


def files_of(promise: Promise) -> dict[str, Path]:
    """The files that a promise names, by the words of its table."""
    found = {"network": promise.network, "property": promise.property}
    if promise.source is not None:
        digits = str(promise.source.path) == DIGITS
        found |= {"labels": promise.source.labels, "images": None if digits else promise.source.path}
    return {word: file for word, file in found.items() if file is not None}


def check_files(promises: Iterable[Promise]) -> None:
    """Make sure that the files which promises name are there; raises :class:`FormatError` naming the table and the word."""
    for promise in promises:
        for word, file in files_of(promise).items():
            if not _is_there(file, folders=word == "images"):
                problem = f"'{word}' is {printable(str(file))[:_LONGEST]}, which is not there"
                raise FormatError(promise.place, problem, "check the path: it begins at the folder of this file")


def _is_there(file: Path, *, folders: bool) -> bool:
    try:
        return file.exists() and (folders or not file.is_dir())
    except (OSError, ValueError):  # what no file can be called
        return False


def _within(document: object, word: str) -> object:
    return document.get(word, {}) if isinstance(document, dict) else None


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        found: dict[str, Any] = tomllib.loads(read_bytes(path, "file of promises", limit=_LIMIT).decode("utf-8-sig"))
    # A ValueError by itself is a number of too many digits.
    except (ValueError, RecursionError) as error:
        said = printable(" ".join(str(error).split()))[:120]
        if "twice" in said or "overwrite" in said:
            hint = "give every query a name of its own, and every word once"
            raise FormatError(path, f"has a table or a word twice ({said})", hint) from None
        raise FormatError(path, f"is no TOML ({said})", "mend that place") from None
    return found


def _promise(path: Path, name: str, table: object, defaults: Mapping[str, Any]) -> Promise:
    if not name.strip():
        raise FormatError(path, f"a query is called {shown(name)}", "give it a name: [queries.NAME]")
    if not isinstance(table, dict):
        problem = f"'queries.{printable(name)[:40]}' is {described(table)}, and no table"
        raise FormatError(path, problem, "write [queries.NAME]")
    place = f"{path}, [queries.{printable(name)}]"
    by_property = "property" in table
    check_words(place, table, by_property=by_property)
    for given in (defaults, table):
        for pair in ALTERNATIVES:
            if all(word in given for word in pair):
                where = place if given is table else f"{path}, [defaults]"
                raise FormatError(where, f"has '{pair[0]}' and '{pair[1]}'", "give one of the two")
    table = _with_defaults(table, defaults, by_property=by_property)
    for word in ("network", *(("property",) if by_property else ("images", "eps"))):
        if word not in table:
            raise FormatError(place, f"has no '{word}'", "give a network, and images with eps, or a property")
    common = _common(path, name, place, table, EXPECTED[by_property])
    if by_property:
        return replace(common, property=_beside(path, table["property"]))
    if "target" in table and table["target"] == table.get("label"):
        raise FormatError(place, f"'target' is {table['target']}, the label itself", "give another class")
    indices = table.get("index", [])
    return replace(
        common,
        source=_source(path, table),
        prepared=Preparation(
            _text(table.get("scale")),
            _texts(table.get("mean")),
            _texts(table.get("std")),
            _ends(table.get("clip")),
            table.get("layout"),
        ),
        indices=(indices,) if isinstance(indices, int) else tuple(indices),
        every=table.get("all", False),
        eps=str(table["eps"]),
        target=table.get("target"),
        top=table.get("top", 1),
        norm=table.get("norm", "linf"),
    )


def _with_defaults(table: Mapping[str, Any], defaults: Mapping[str, Any], *, by_property: bool) -> dict[str, Any]:
    """A query's words, and those of the defaults that it leaves open."""
    # What is said of images for all is nothing to a property.
    shared = {word: value for word, value in defaults.items() if not (by_property and word in OF_IMAGES)}
    for one, other in ALTERNATIVES:
        if one in table:
            shared.pop(other, None)
        if other in table:
            shared.pop(one, None)
    return {**shared, **table}


def _common(path: Path, name: str, place: str, table: Mapping[str, Any], expected: Sequence[str]) -> Promise:
    """What promises of both kinds have."""
    expect = table.get("expect", expected[0])
    if expect not in expected:
        raise FormatError(place, f"'expect' is '{printable(expect)[:40]}'", verdict_hint(expect, expected))
    given = {word: table[word] for word in LIMITS if word in table}
    if "memory" in given:
        given["memory"] = int(given["memory"] * _GIB)
    widths = {word: table[word] for word in WIDTHS if word in table}
    required = table.get("requirement", [])
    try:
        settings, read_as = Settings(**given), FixedPoint(**widths) if widths else None
    except InputError as error:
        raise FormatError(place, f"{listed([*given, *widths], 'and')}: {error.problem}", error.hint) from None
    return Promise(
        name, place, _beside(path, table["network"]), read_as, table.get("runtime"), settings, expect,
        (required,) if isinstance(required, str) else tuple(required),
    )  # fmt: skip


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


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(part) for part in value) if isinstance(value, list) else (str(value),)


def _ends(value: list[object] | None) -> tuple[str, str] | None:
    return None if value is None else (str(value[0]), str(value[1]))
