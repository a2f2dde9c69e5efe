"""``run.json``: what a folder's results are results of."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from netproof.benchmarks.base import ABSENT
from netproof.errors import InputError
from netproof.files.durable import write_json
from netproof.files.opened import open_file
from netproof.runs.machine import machine
from netproof.version import netproof_version

FILE = "run.json"
#: how many changed files a message names
_SHOWN = 5


@dataclass(frozen=True)
class RunRecord:
    """The content of ``run.json``.

    Attributes
    ----------
    benchmark : its name
    files : SHA-256 of every file the answers depend on (decompressed where it is gzip), by its role (with its path in the
        benchmark's folder where there are many); or :data:`netproof.benchmarks.base.ABSENT`
    invocations : one entry per ``bench run`` on this folder: settings, version, machine, wall time
        (None where it was killed)
    instances : what each instance's name stands for (:meth:`netproof.benchmarks.base.Benchmark.listed`)
    doubtful : names that mean nothing where ``instances`` is not on record; not written
    asked : the names of all instances that the invocations were to answer; None in the records of earlier versions
    about : what reports say of each instance (:meth:`netproof.benchmarks.base.Benchmark.about`)
    """

    benchmark: str
    files: Mapping[str, str]
    invocations: tuple[Mapping[str, object], ...] = ()
    instances: Mapping[str, str] = field(default_factory=dict)
    doubtful: frozenset[str] = frozenset()
    asked: tuple[str, ...] | None = None
    about: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def wall_seconds(self) -> float | None:
        """Wall time of all invocations; None where one of them was killed."""
        total = 0.0
        for invocation in self.invocations:
            seconds = invocation.get("wall_seconds")
            if not isinstance(seconds, (int, float)):
                return None
            total += seconds
        return total

    @property
    def has_ended(self) -> bool:
        """Whether the last invocation noted its end; it was stopped all the same where not all that it was asked is answered."""
        return bool(self.invocations) and isinstance(self.invocations[-1].get("wall_seconds"), (int, float))

    @property
    def asked_of_some(self) -> bool:
        """Whether the last invocation was to answer only some instances of its benchmark."""
        settings = self.invocations[-1].get("settings") if self.invocations else None
        return isinstance(settings, dict) and settings.get("only") is not None

    def asked_of(self, instances: Iterable[str]) -> tuple[str, ...] | None:
        """What was to be answered, of a benchmark with these instances; None where that is not known.

        Earlier versions noted no names, but whether only some were chosen.
        """
        if self.asked is not None:
            return self.asked
        every = tuple(instances)
        settings = [invocation.get("settings") for invocation in self.invocations]
        whole = any(isinstance(each, dict) and "only" in each and each["only"] is None for each in settings)
        return every if every and whole else None

    @property
    def conditions(self) -> str:
        """In words, what the last invocation ran with."""
        last = self.invocations[-1] if self.invocations else {}
        settings, machine_ = last.get("settings"), last.get("machine")
        parts = [f"netproof {last.get('netproof', 'of unknown version')}"]
        if isinstance(settings, dict):
            shown = {name: settings.get(name) for name in ("timeout", "seed", "jobs")}
            parts += [f"{name} {value:g}" for name, value in shown.items() if isinstance(value, (int, float))]
        engine = settings.get("engine") if isinstance(settings, dict) else None
        if isinstance(engine, str) and engine != "auto":
            parts.append(f"engine {engine}")
        device = settings.get("device") if isinstance(settings, dict) else None
        if isinstance(device, str) and device != "cpu":
            parts.append(f"device {device}")
        if isinstance(machine_, dict) and "cores" in machine_:
            parts.append(f"cores {machine_['cores']}")
        return ", ".join(parts)

    def started(self, settings: Mapping[str, object]) -> RunRecord:
        """This record with one more invocation, as far as it is known when it starts."""
        invocation = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "netproof": netproof_version(),
            "machine": machine(),
            "settings": dict(settings),
            "wall_seconds": None,
        }
        return replace(self, invocations=(*self.invocations, invocation))

    def ended(self, wall_seconds: float) -> RunRecord:
        """This record with the wall time of its last invocation."""
        last = {**self.invocations[-1], "wall_seconds": round(wall_seconds, 3)}
        return replace(self, invocations=(*self.invocations[:-1], last))

    def check_same_run(self, folder: Path, other: RunRecord) -> None:
        """Raise :class:`InputError` where ``other``, which is to be written, is not a continuation of this."""
        hint = "give another folder with --out, or remove this one"
        if self.benchmark != other.benchmark:
            raise InputError(folder, f"holds results of benchmark '{self.benchmark}', not of '{other.benchmark}'", hint)
        known = self._files_as_in(folder, other)
        changed = sorted(
            role
            for role in {*known, *other.files}
            if known.get(role) != other.files.get(role) and ABSENT not in (known.get(role), other.files.get(role))
        )
        if changed:
            shown = ", ".join(changed[:_SHOWN]) + (f" and {len(changed) - _SHOWN} more" if changed[_SHOWN:] else "")
            raise InputError(folder, f"holds results of other files: {shown} differ (SHA-256)", hint)
        self.check_same_instances(folder, other)

    def check_same_instances(self, folder: Path, other: RunRecord) -> None:
        """Raise :class:`InputError` where a name may stand for another instance here than in ``other``."""
        hint = "give another folder with --out, or remove this one"
        if not self.instances and other.doubtful:
            raise InputError(
                folder,
                f"is of an earlier netproof, which could give one name to two instances, such as '{min(other.doubtful)}'",
                hint,
            )
        if self.instances:
            changed = sorted(
                name
                for name in {*self.instances, *other.instances}
                if self.instances.get(name) != other.instances.get(name)
            )
            if changed:
                here, there = (known.get(changed[0], "none") for known in (self.instances, other.instances))
                problem = f"holds results of another list: '{changed[0]}' is {here} there, {there} here"
                raise InputError(folder, problem, hint)

    def continued(self, other: RunRecord) -> RunRecord:
        """This record, gone on with by ``other``: what was hashed once stays on record where it is absent now."""
        before = self._files_as_in(Path(), other)
        known = {role: value for role, value in before.items() if other.files.get(role) == ABSENT}
        # What an earlier version was asked is only known where everything is asked now.
        unknown = self.asked is None and other.asked_of_some
        asked = tuple(dict.fromkeys((*(self.asked or ()), *(other.asked or ()))))
        return replace(
            other,
            files={**other.files, **known},
            invocations=(*self.invocations, *other.invocations),
            asked=None if unknown or other.asked is None else asked,
            about={**self.about, **other.about},
        )

    def _files_as_in(self, folder: Path, other: RunRecord) -> Mapping[str, str]:
        """The hashes by the roles that ``other`` has: earlier versions had the name of a file in the place of its path.

        Raises :class:`InputError` where several files of one name differ, so that not all of their hashes are known.
        """
        if self.instances or not other.instances:
            return self.files
        known = dict(self.files)
        seen: dict[str, str] = {}
        for role, value in other.files.items():
            kind, _, path = role.partition(" ")
            short = f"{kind} {PurePosixPath(path).name}" if path else role
            if seen.setdefault(short, value) != value:
                raise InputError(
                    folder,
                    f"is of an earlier netproof, which did not tell files of one name apart, such as {short}",
                    "give another folder with --out, or remove this one",
                )
            found = self.files.get(short, self.files.get(f"{short}.gz"))
            if found is not None:
                known[role] = found
        used = {name for short in seen for name in (short, f"{short}.gz")}
        return {role: value for role, value in known.items() if role in other.files or role not in used}

    def write(self, folder: Path) -> None:
        """Write ``run.json``, whole or not at all."""
        write_json(
            folder / FILE,
            {
                "benchmark": self.benchmark,
                "files": dict(self.files),
                **({"instances": dict(self.instances)} if self.instances else {}),
                **({} if self.asked is None else {"asked": list(self.asked)}),
                **({"about": {name: dict(words) for name, words in self.about.items()}} if self.about else {}),
                "invocations": [dict(i) for i in self.invocations],
            },
        )

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read ``run.json``; raises :class:`InputError` where it is missing or not one."""
        path = folder / FILE
        try:
            with open_file(path) as stream:
                document = json.loads(stream.read().decode("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            if folder.is_file():
                hint = f"give the folder of a run{f': {folder.parent}' if (folder.parent / FILE).is_file() else ''}"
                raise InputError(folder, "is a file, and no folder of a run", hint) from None
            problem = "holds no benchmark run (no run.json)" if folder.is_dir() else "no such folder"
            raise InputError(
                folder, problem, "give a folder that 'netproof bench run' or 'robust --out' wrote"
            ) from None
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from None
        except (ValueError, RecursionError):
            raise InputError(path, "is not JSON", "remove the folder and run the benchmark again") from None
        hint = "give a folder that 'netproof bench run' or 'robust --out' wrote"
        if not isinstance(document, dict) or not isinstance(document.get("benchmark"), str):
            raise InputError(path, "names no benchmark", hint)
        files, invocations = document.get("files"), document.get("invocations")
        if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
            raise InputError(path, "its 'files' is not a table of hashes", hint)
        if not isinstance(invocations, list) or not all(isinstance(i, dict) for i in invocations):
            raise InputError(path, "its 'invocations' is not a list of objects", hint)
        instances = document.get("instances", {})
        if not isinstance(instances, dict) or not all(isinstance(v, str) for v in instances.values()):
            raise InputError(path, "its 'instances' is not a table of names", hint)
        asked = document.get("asked")
        if "asked" in document and (
            not isinstance(asked, list)
            or not all(isinstance(name, str) for name in asked)
            or len(set(asked)) != len(asked)
        ):
            raise InputError(path, "its 'asked' is not a list of names", hint)
        about = document.get("about", {})
        if not isinstance(about, dict) or not all(
            isinstance(words, dict) and all(isinstance(word, str) for word in words.values())
            for words in about.values()
        ):
            raise InputError(path, "its 'about' is not a table of words", hint)
        return cls(
            document["benchmark"],
            files,
            tuple(invocations),
            instances,
            asked=None if asked is None else tuple(asked),
            about=about,
        )
