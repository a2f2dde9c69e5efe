"""Benchmarks in the form of VNN-COMP: a folder with ``instances.csv``, networks in ONNX, properties in VNN-LIB."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.benchmarks.base import ABSENT, Benchmark, Instance, OpenBenchmark
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError, NetproofError
from netproof.formats.files import read_bytes

if TYPE_CHECKING:
    from netproof.formats.instances import Instance as Line
    from netproof.network import Network
    from netproof.query import Question

#: how a folder is named instead of a benchmark
PREFIX = "vnncomp:"


@dataclass(frozen=True)
class VnncompBenchmark(Benchmark):
    """The instances of one list.

    A network or a property that is missing or unreadable costs the instances that need it, and no others.

    Attributes
    ----------
    lists : where ``instances.csv`` is, as paths in a data folder; or one absolute path
    """

    name: str
    description: str
    lists: tuple[str, ...]
    authors: str = ""
    certifiable: bool = False

    def files(self, data: DataFolders) -> Mapping[str, Path]:
        found = {"instances": self._list(data)}
        for line in self._lines(data):
            for kind, path in (("network", line.network), ("property", line.property)):
                if not path.is_file():
                    raise InputError(path, f"no such file (line {line.line} of {found['instances']})", "put it there")
                found[f"{kind} {path.name}"] = path
        return found

    def check(self, data: DataFolders) -> None:
        self._lines(data)

    def hashes(self, data: DataFolders) -> Mapping[str, str]:
        hashes = {"instances": _hash(self._list(data))}
        for line in self._lines(data):
            for kind, path in (("network", line.network), ("property", line.property)):
                hashes[f"{kind} {path.name}"] = _hash_if_there(path)
        return hashes

    def instances(self, data: DataFolders) -> tuple[Instance, ...]:
        return tuple(instance for instance, _ in self._named(data))

    def open(self, data: DataFolders) -> OpenBenchmark:
        named = self._named(data)
        paths = {str(line.network): line.network for _, line in named}
        return _OpenVnncomp(
            {name: _loaded(path) for name, path in paths.items()},
            {instance.name: line.property for instance, line in named},
        )

    def _list(self, data: DataFolders) -> Path:
        if Path(self.lists[0]).is_absolute():
            return Path(self.lists[0])
        return data.find(self.lists, f"the list of instances of {self.name}")

    def _lines(self, data: DataFolders) -> list[Line]:
        from netproof.formats.instances import read_instances

        return read_instances(self._list(data))

    def _named(self, data: DataFolders) -> list[tuple[Instance, Line]]:
        """Instances by names of their own, usable as file names: network and property."""
        named: list[tuple[Instance, Line]] = []
        taken: dict[str, int] = {}
        for line in self._lines(data):
            stem = f"{_stem(line.network)}-{_stem(line.property)}"
            taken[stem] = taken.get(stem, 0) + 1
            name = stem if taken[stem] == 1 else f"{stem}-{taken[stem]}"
            instance = Instance(name, str(line.network), _stem(line.network), _stem(line.property))
            named.append((instance, line))
        return named


def folder_benchmark(name: str) -> VnncompBenchmark:
    """The benchmark of ``vnncomp:DIR``, any folder with ``instances.csv``.

    Raises
    ------
    InputError : no such folder, or no list in it
    """
    folder = Path(name.removeprefix(PREFIX)).absolute()
    if not folder.is_dir():
        raise InputError(folder, "no such folder", f"give {PREFIX}DIR, a folder with instances.csv")
    lists = sorted(folder.glob("*instances.csv")) or sorted(folder.glob("*instances.csv.gz"))
    if not lists:
        raise InputError(folder, "holds no instances.csv", "name the folder of a benchmark of VNN-COMP")
    return VnncompBenchmark(f"{PREFIX}{folder}", f"instances of {lists[0]}", (str(lists[0]),))


def _hash(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, "data file")).hexdigest()


def _hash_if_there(path: Path) -> str:
    try:
        return _hash(path)
    except InputError:
        return ABSENT


def _loaded(path: Path) -> Network | NetproofError:
    """A network, or why there is none."""
    from netproof.formats.load import load

    try:
        return load(path)
    except NetproofError as error:
        return error


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    for suffix in (".onnx", ".vnnlib"):
        name = name.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)


@dataclass(frozen=True, eq=False)
class _OpenVnncomp(OpenBenchmark):
    models: Mapping[str, Network | NetproofError]
    properties: Mapping[str, Path]

    @property
    def networks(self) -> Mapping[str, Network]:
        return {name: model for name, model in self.models.items() if not isinstance(model, NetproofError)}

    def question(self, instance: Instance) -> Question:
        from netproof.formats.vnnlib import read_vnnlib

        network = self.models[instance.network]
        if isinstance(network, NetproofError):
            raise network
        return read_vnnlib(self.properties[instance.name]).question(network)
