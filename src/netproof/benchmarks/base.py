"""What every benchmark offers, whatever its format.

A benchmark knows its instances without opening anything heavy; opening it gives queries. Both
objects travel between processes, so they hold nothing but plain values.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.benchmarks.data import DataFolders
from netproof.errors import InputError, TimeLimitError
from netproof.files.opened import read_bytes

if TYPE_CHECKING:
    from netproof.network import Network
    from netproof.query import Query, Question


#: in the place of the hash of a file that is missing or unreadable, where a benchmark can do without it
ABSENT = "absent"


def content_hash(path: Path) -> str:
    """The SHA-256 of a file, decompressed; of an ONNX network that keeps numbers in files beside it, of all of them together.

    Raises :class:`netproof.errors.InputError` for what is missing or unreadable.
    """
    data = read_bytes(path, "data file")
    if path.name.lower().removesuffix(".gz").endswith(".onnx"):
        from netproof.formats.onnx.container.external import sha256_of

        return sha256_of(path, data)
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Instance:
    """One question of a benchmark.

    Attributes
    ----------
    name : how results call it; unique in the benchmark, usable as a file name
    network : which of the benchmark's networks it asks about
    group : the block of the authors' table it belongs to
    sample : what the table calls it inside that block
    hardness : how long it is thought to take, beside others of the benchmark: several processes begin with the longest
    """

    name: str
    network: str
    group: str
    sample: int | str
    hardness: float = 0.0


class OpenBenchmark(ABC):
    """A benchmark whose files have been read."""

    @property
    @abstractmethod
    def networks(self) -> Mapping[str, Network]:
        """The networks, by the name that :attr:`Instance.network` uses."""

    def prepare(self, instance: Instance, *, deadline: float | None = None) -> bool:
        """Read ahead what an instance shares with others, such as its network, until a deadline (by :func:`time.monotonic`);
        returns whether that is possible.

        Raises nothing: what is wrong with it, a deadline that was over included, is raised by :meth:`question`.
        """
        return True

    @abstractmethod
    def question(self, instance: Instance, *, deadline: float | None = None) -> Question:
        """The question that an instance asks; if it was prepared, only the question itself is read now.

        Raises
        ------
        InputError : data that does not fit
        TimeLimitError : the deadline (by :func:`time.monotonic`) was over before the question was read
        """

    def sources(self, instance: Instance) -> tuple[Path, Path] | None:
        """The files of an instance's network and property, where it has both: certificates about float networks name them."""
        return None

    def query(self, instance: Instance, *, deadline: float | None = None) -> Query:
        """The instance's question as a single query; raises as :meth:`question`, and :class:`InputError` where it has
        several parts."""
        question = self.question(instance, deadline=deadline)
        if len(question.parts) > 1:
            problem = f"asks about {len(question.parts)} boxes, which is more than one query"
            raise InputError(instance.name, problem, "choose instances of one box")
        return question.parts[0]


class UnreadBenchmark(OpenBenchmark):
    """A benchmark that there was no time to read: all its instances have run out of time."""

    def __init__(self, error: TimeLimitError) -> None:
        self._error = error

    @property
    def networks(self) -> Mapping[str, Network]:
        return {}

    def prepare(self, instance: Instance, *, deadline: float | None = None) -> bool:
        return False

    def question(self, instance: Instance, *, deadline: float | None = None) -> Question:
        raise self._error.with_traceback(None)


class Benchmark(ABC):
    """A published set of instances.

    Attributes
    ----------
    name : by which ``netproof bench`` knows it
    description : one line for ``netproof bench list``
    certifiable : whether its networks are integer networks, whose certificates need no property's file
    authors : whose verdicts :meth:`published` gives; empty where there are none
    """

    name: str
    description: str
    authors: str = ""
    certifiable: bool = True

    @abstractmethod
    def files(self, data: DataFolders) -> Mapping[str, Path]:
        """Every file an instance's answer depends on, by the name results record.

        Raises :class:`netproof.errors.InputError` naming the first that is missing.
        """

    def check(self, data: DataFolders) -> None:
        """Raise :class:`netproof.errors.InputError` where no run can begin: by default where any file is missing."""
        self.files(data)

    def hashes(self, data: DataFolders) -> Mapping[str, str]:
        """The SHA-256 of all that answers depend on, as results record it: that of :meth:`files` by :func:`content_hash`.

        :data:`ABSENT` for what only some instances need and cannot have. Raises :class:`netproof.errors.InputError` for
        what else is missing or unreadable.
        """
        return {role: content_hash(path) for role, path in self.files(data).items()}

    def listed(self, data: DataFolders) -> Mapping[str, str]:
        """What each name that was made up here stands for: a place in a list, and its files.

        A run keeps it, so that its rows never pass for those of other instances.
        """
        return {}

    def about(self, data: DataFolders) -> Mapping[str, Mapping[str, str]]:
        """What results say of each instance by its name where this benchmark is not known: ``network``, ``group``, ``radius``,
        ``norm`` and ``label``, each where there is one."""
        return {}

    def known(self, data: DataFolders) -> frozenset[str]:
        """The names that results of earlier runs can be about; more than :meth:`instances` where these are a choice."""
        return frozenset(instance.name for instance in self.instances(data))

    def doubtful(self, data: DataFolders) -> frozenset[str]:
        """Names that runs without such a record may have given to other instances."""
        return frozenset()

    @abstractmethod
    def instances(self, data: DataFolders) -> tuple[Instance, ...]:
        """All instances, the easier ones first where that is known."""

    def select(self, instances: Sequence[Instance], pattern: str | None) -> tuple[Instance, ...]:
        """The instances a pattern names: an exact name, a glob (``*``, ``?``, ``[``), or a part of the name.

        Raises :class:`netproof.errors.InputError` where it names none.
        """
        if pattern is None:
            return tuple(instances)
        exact = tuple(i for i in instances if i.name == pattern)
        if exact:
            return exact
        if any(c in pattern for c in "*?["):
            chosen = tuple(i for i in instances if fnmatchcase(i.name, pattern))
        else:
            chosen = tuple(i for i in instances if pattern in i.name)
        if not chosen:
            example = f", for example {instances[0].name}" if instances else ""
            raise InputError("--only", f"no instance matches '{pattern}'", f"give a part of a name or a glob{example}")
        return chosen

    @abstractmethod
    def open(self, data: DataFolders, *, deadline: float | None = None) -> OpenBenchmark:
        """Read networks and samples.

        Raises
        ------
        InputError : where there could be no answer at all
        TimeLimitError : the deadline (by :func:`time.monotonic`) was over before the networks were read
        """

    def published(self, data: DataFolders) -> Mapping[str, str]:
        """The authors' verdict of each instance by its name: robust, vulnerable, misclassified or timeout.

        Empty where nothing was published. Raises :class:`netproof.errors.InputError` where the
        file is missing or damaged.
        """
        return {}
