"""Benchmarks in the form of VNN-COMP: a folder with ``instances.csv``, networks in ONNX, properties in VNN-LIB."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from netproof.benchmarks.base import ABSENT, Benchmark, Instance, OpenBenchmark, content_hash
from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError, NetproofError

if TYPE_CHECKING:
    from netproof.formats.instances import ListedInstance as Line
    from netproof.network import Network
    from netproof.query import Question

#: how a folder is named instead of a benchmark
PREFIX = "vnncomp:"
#: of an instance's name, in characters: file systems take 255, of which endings need some
_LONGEST_NAME = 200
#: of networks that are held at once
_NETWORKS = 64


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
            for role, path in _roles(line):
                if not path.is_file():
                    raise InputError(path, f"no such file (line {line.line} of {found['instances']})", "put it there")
                found[role] = path
        return found

    def check(self, data: DataFolders) -> None:
        self._lines(data)

    def hashes(self, data: DataFolders) -> Mapping[str, str]:
        hashes = {"instances": content_hash(self._list(data))}
        for line in self._lines(data):
            for role, path in _roles(line):
                if role not in hashes:
                    hashes[role] = _hash_if_there(path)
        return hashes

    def instances(self, data: DataFolders) -> tuple[Instance, ...]:
        return tuple(instance for instance, _ in self._named(data))

    def listed(self, data: DataFolders) -> Mapping[str, str]:
        return {instance.name: f"line {line.line}: {' '.join(line.listed)}" for instance, line in self._named(data)}

    def doubtful(self, data: DataFolders) -> frozenset[str]:
        named = self._named(data)
        before = _earlier_names([line for _, line in named])
        changed = [pair for pair in zip(before, (i.name for i, _ in named), strict=True) if pair[0] != pair[1]]
        return frozenset(name for pair in changed for name in pair)

    def open(self, data: DataFolders, *, deadline: float | None = None) -> OpenBenchmark:
        named = self._named(data)
        return _OpenVnncomp(
            {instance.network: line.network for instance, line in named},
            {instance.name: line.property for instance, line in named},
            {instance.name: line.networks for instance, line in named if line.networks},
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
        lines = self._lines(data)
        names = distinct_names([f"{_stem(line.network)}-{_stem(line.property)}" for line in lines])
        return [
            (Instance(name, str(line.network), group, name.removeprefix(f"{group}-")), line)
            for name, line, group in zip(names, lines, (_stem(line.network) for line in lines), strict=True)
        ]


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


def distinct_names(wished: Sequence[str]) -> list[str]:
    """Distinct names, by position: valid file names on any file system, without what a shell or a table takes for
    something else.

    The first to ask for a name gets it; later ones get a number that makes a name nobody else asks for. Names that
    differ in case alone count as equal.
    """
    names = [_file_name(name) for name in wished]
    everybody, taken = {name.lower() for name in names}, set[str]()
    numbers: dict[str, int] = {}
    distinct = []
    for wish in names:
        name, number = wish, numbers.get(wish.lower(), 1)
        while name.lower() in taken or (name != wish and name.lower() in everybody):
            number += 1
            name = f"{wish}-{number}"
        numbers[wish.lower()] = number
        taken.add(name.lower())
        distinct.append(name)
    return distinct


def _file_name(name: str) -> str:
    if not re.match(r"[A-Za-z0-9_]", name):
        name = f"_{name}"
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


def _earlier_names(lines: Sequence[Line]) -> list[str]:
    """What versions without :meth:`VnncompBenchmark.listed` called these instances, one name for several at times."""
    names = []
    taken: dict[str, int] = {}
    for line in lines:
        stem = f"{_stem(line.network)}-{_stem(line.property)}"
        taken[stem] = taken.get(stem, 0) + 1
        names.append(stem if taken[stem] == 1 else f"{stem}-{taken[stem]}")
    return names


def _roles(line: Line) -> tuple[tuple[str, Path], ...]:
    """The files of an instance, by what they are and where the list says that they are."""
    network, property_ = (PurePosixPath(name) for name in line.listed)
    networks = tuple((f"network {path.parent.name}/{path.name}", path) for _, path in line.networks)
    return (*(networks or ((f"network {network}", line.network),)), (f"property {property_}", line.property))


def _hash_if_there(path: Path) -> str:
    try:
        return content_hash(path)
    except InputError:
        return ABSENT


def _loaded(path: Path, deadline: float | None) -> Network | Exception:
    """A network, or why there is none: whatever a file does to its reader, other instances are to be answered."""
    from netproof.formats.load import load

    try:
        return load(path, deadline=deadline)
    except NetproofError as error:
        return error
    except Exception as error:  # noqa: BLE001 - of memory, of recursion, a defect of a reader
        return InputError(path, f"cannot be read ({type(error).__name__}: {error})", "check the file")


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    for suffix in (".onnx", ".vnnlib"):
        name = name.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", name)


class _OpenVnncomp(OpenBenchmark):
    """Networks are read when an instance first needs them, and the latest are kept."""

    def __init__(
        self,
        networks: Mapping[str, Path],
        properties: Mapping[str, Path],
        several: Mapping[str, Sequence[tuple[str, Path]]],
    ) -> None:
        self._paths = networks
        self._properties = properties
        self._several = several
        self._held: dict[str, Network | Exception] = {}

    @property
    def networks(self) -> Mapping[str, Network]:
        models = {name: self._network(name) for name in self._paths}
        return {name: model for name, model in models.items() if not isinstance(model, Exception)}

    def prepare(self, instance: Instance, *, deadline: float | None = None) -> bool:
        if self._later(instance):
            return True  # its networks belong to its query, and are read with it
        return not isinstance(self._network(instance.network, deadline), Exception)

    def question(self, instance: Instance, *, deadline: float | None = None) -> Question:
        from netproof.formats.vnnlib.read import read_vnnlib

        if self._later(instance):
            return self._of_later_version(instance, deadline)
        network = self._network(instance.network, deadline)
        if isinstance(network, Exception):
            raise network.with_traceback(None)
        return read_vnnlib(self._properties[instance.name], deadline=deadline).question(network)

    def sources(self, instance: Instance) -> tuple[Path, Path] | None:
        network = self._paths[instance.network]
        # A query in VNN-LIB 2.0 is no file that certificates are about.
        if self._later(instance) or not isinstance(network, Path):
            return None
        return network, self._properties[instance.name]

    def _later(self, instance: Instance) -> bool:
        """Whether the instance's property is a query in VNN-LIB 2.0."""
        from netproof.formats.vnnlib.text import is_later

        try:
            return instance.name in self._several or is_later(self._properties[instance.name])
        except InputError:
            return False  # what is wrong with the file is said where it is read

    def _of_later_version(self, instance: Instance, deadline: float | None) -> Question:
        from netproof.formats.vnnlib.second.ask import ask
        from netproof.formats.vnnlib.second.files import files_of
        from netproof.formats.vnnlib.second.read import read_statement

        statement = read_statement(self._properties[instance.name], deadline=deadline)
        listed = self._several.get(instance.name, self._paths[instance.network])
        files = files_of(statement, listed if isinstance(listed, Path) else dict(listed))
        asked = ask(statement, files, deadline=deadline)
        return asked.property.question(asked.network)

    def _network(self, name: str, deadline: float | None = None) -> Network | Exception:
        """A network, held; one that was not read in the time there was is not tried again, which would take as long."""
        held = self._held.pop(name, None)
        if held is None:
            if len(self._held) >= _NETWORKS:
                del self._held[next(iter(self._held))]
            held = _loaded(self._paths[name], deadline)
        self._held[name] = held
        return held


#: name, what it is, its list. ``acasxu``: networks of Katz et al., CAV 2017; ``tllverifybench``: two-level lattices of
#: Ferlez and Shoukry; ``oval21``: radii found by binary search; ``sri_resnet_*``: residual networks of ETH SRI
_KNOWN = (
    (
        "acasxu",
        "2022: ACAS Xu: 186 instances on 45 collision avoidance networks, 5 inputs",
        "vnncomp/acasxu/instances.csv",
    ),
    ("mnist_fc", "2022: 90 instances on perceptrons of 256 x 2, 4 and 6, MNIST", "vnncomp/mnist_fc/instances.csv"),
    ("oval21", "2022: 30 instances on convolutional networks, CIFAR-10", "vnncomp/oval21/instances.csv"),
    (
        "rl_benchmarks",
        "2022: 296 instances on controllers from reinforcement learning",
        "vnncomp/rl_benchmarks/instances.csv",
    ),
    (
        "collins_rul_cnn",
        "2022: 62 instances on remaining useful life of machines, convolutional",
        "vnncomp/collins_rul_cnn/instances.csv",
    ),
    ("tllverifybench", "2022: 16 instances on two-level lattices, 2 inputs", "vnncomp/tllverifybench/instances.csv"),
    (
        "cifar_biasfield",
        "2022: 3 instances on bias fields over CIFAR-10 images, 16 inputs",
        "vnncomp/cifar_biasfield/instances.csv",
    ),
    ("test", "2022: 5 tiny instances that every tool must answer", "vnncomp/test/instances.csv"),
    (
        "cifar10_resnet",
        "2021: 72 instances on residual networks, CIFAR-10",
        "cifar10_resnet/cifar10_resnet_instances.csv",
    ),
    ("sri_resnet_a", "2022: 72 instances on a residual network, CIFAR-10", "sri_resnet_a/instances.csv"),
    ("sri_resnet_b", "2022: 72 instances on a residual network, CIFAR-10", "sri_resnet_b/instances.csv"),
    (
        "vit_2023",
        "2023: 100 instances on two vision transformers, CIFAR-10",
        "vnncomp/vit_2023/instances.csv",
    ),
    (
        "nn4sys_2023",
        "2023: 135 instances on networks in systems: indices, cardinalities, video streams",
        "vnncomp/nn4sys_2023/instances.csv",
    ),
    (
        "ml4acopf_2024",
        "2024: 69 instances on networks that compute the flow in power grids",
        "vnncomp/ml4acopf_2024/instances.csv",
    ),
    (
        "cgan_2023",
        "2023: 19 instances on a generator of images and a discriminator behind it",
        "vnncomp/cgan_2023/instances.csv",
    ),
    (
        "lsnc",
        "2024: 40 instances on Lyapunov functions of a controlled quadrotor",
        "vnncomp/lsnc/instances.csv",
    ),
    (
        "dist_shift_2023",
        "2023: 72 instances on a generator of digits and a classifier behind it",
        "vnncomp/dist_shift_2023/instances.csv",
    ),
    (
        "traffic_signs_recognition_2023",
        "2023: 45 instances on binarized networks for traffic signs",
        "vnncomp/traffic_signs_recognition_2023/instances.csv",
    ),
    (
        "yolo_2023",
        "2023: 36 instances on a small YOLO network",
        "vnncomp/yolo_2023/instances.csv",
    ),
    (
        "cctsdb_yolo_2023",
        "2023: 39 instances on a YOLO network and a patch whose place is an input",
        "vnncomp/cctsdb_yolo_2023/instances.csv",
    ),
    (
        "isomorphic_acasxu_2026",
        "2026: 50 instances on pairs of ACAS Xu networks, one of them perturbed (VNN-LIB 2.0)",
        "vnnlib2/vnncomp2026/isomorphic_acasxu_2026/instances.csv",
    ),
    (
        "monotonic_acasxu_2026",
        "2026: 50 instances on an ACAS Xu network at two inputs (VNN-LIB 2.0)",
        "vnnlib2/vnncomp2026/monotonic_acasxu_2026/instances.csv",
    ),
    (
        "adaptive_cruise_control_non_linear_2026",
        "2026: 50 instances on a cruise controller, polynomials of degree 2 (VNN-LIB 2.0)",
        "vnnlib2/vnncomp2026/adaptive_cruise_control_non_linear_2026/instances.csv",
    ),
)


def _places(path: str) -> tuple[str, ...]:
    """Where a list may lie: queries in VNN-LIB 2.0 also in a folder beside that of the data."""
    return (path, f"../{path}") if path.startswith("vnnlib2/") else (path,)


#: the benchmarks of VNN-COMP 2021 to 2026 that netproof knows by name, in the order of ``netproof bench list``
BENCHMARKS = tuple(
    VnncompBenchmark(name=name, description=f"VNN-COMP {description}", lists=_places(path))
    for name, description, path in _KNOWN
)
