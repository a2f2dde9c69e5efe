"""Putting a mutant in the place of what it was made from, in a process that has loaded the package or has not."""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType


class Loaded:
    """All functions that the package has loaded by now, those of tests that hold them included."""

    def __init__(self, package: Path) -> None:
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
        for candidate in gc.get_objects():
            # By its type itself: others may answer isinstance with a warning.
            if type(candidate) is FunctionType and candidate.__code__.co_filename.startswith(str(package)):
                code = candidate.__code__
                self._functions[code.co_filename, code.co_name, code.co_firstlineno].append(candidate)

    def swap(self, file: Path, function: str, source: str) -> None:
        """Give all functions of that name in that file their code in ``source``.

        Whoever has taken hold of the function before, under another name or in a decorator, has the mutant too. Not for
        changes outside functions, which have had their effect when the module was loaded. Raises LookupError where
        nothing is changed.
        """
        old = _functions(compile(file.read_text(encoding="utf-8"), str(file), "exec", dont_inherit=True))
        new = _functions(compile(source, str(file), "exec", dont_inherit=True))
        changed = 0
        for (name, before), (_, after) in zip(old, new, strict=True):
            if name == function:
                for one in self._functions[str(file), before.co_name, before.co_firstlineno]:
                    one.__code__ = after
                    changed += 1
        if not changed:
            raise LookupError(f"{file}: no function {function} is loaded")


def assign(module: str, statement: str) -> None:
    """Run a changed assignment of a loaded module, for all modules of the package that have imported the name."""
    values = sys.modules[module].__dict__
    changed = dict(values)
    exec(statement, changed)
    package = module.partition(".")[0]
    names = [name for name, value in changed.items() if name in values and values[name] is not value]
    for name in names:
        old = values[name]
        for place, other in list(sys.modules.items()):
            if place.partition(".")[0] == package and other.__dict__.get(name) is old:
                setattr(other, name, changed[name])


def _functions(code: CodeType, scope: tuple[str, ...] = ()) -> list[tuple[str, CodeType]]:
    """The functions of a module and of its classes, in order, by their names with those of the classes."""
    found = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            name = (*scope, constant.co_name)
            if constant.co_flags & 0x2:  # CO_NEWLOCALS: a function; a class's body has none
                found.append((".".join(name), constant))
            else:
                found += _functions(constant, name)
    return found


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from another source than its file's."""

    def __init__(self, name: str, file: Path, source: str) -> None:
        self._name, self._file, self._source = name, file, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=str(self._file))
        spec.has_location = True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, str(self._file), "exec", dont_inherit=True), module.__dict__)

    def install(self) -> None:
        sys.meta_path.insert(0, self)
