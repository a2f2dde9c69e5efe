"""``run.json``: what a folder's results are results of."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from netproof.benchmarks.base import ABSENT
from netproof.errors import InputError
from netproof.runs.durable import write_json
from netproof.runs.provenance import machine, netproof_version

FILE = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """The content of ``run.json``.

    Attributes
    ----------
    benchmark : its name
    files : SHA-256 of every file the answers depend on (decompressed where it is gzip), by its role; or
        :data:`netproof.benchmarks.base.ABSENT`
    invocations : one entry per ``bench run`` on this folder: settings, version, machine, wall time
        (None where it was killed)
    """

    benchmark: str
    files: Mapping[str, str]
    invocations: tuple[Mapping[str, object], ...] = ()

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
        mend = "give another folder with --out, or remove this one"
        if self.benchmark != other.benchmark:
            raise InputError(folder, f"holds results of benchmark '{self.benchmark}', not of '{other.benchmark}'", mend)
        changed = sorted(
            role
            for role in {*self.files, *other.files}
            if self.files.get(role) != other.files.get(role)
            and ABSENT not in (self.files.get(role), other.files.get(role))
        )
        if changed:
            raise InputError(folder, f"holds results of other files: {', '.join(changed)} differ (SHA-256)", mend)

    def continued(self, other: RunRecord) -> RunRecord:
        """This record, gone on with by ``other``: what was hashed once stays on record where it is absent now."""
        known = {role: value for role, value in self.files.items() if other.files.get(role) == ABSENT}
        return RunRecord(other.benchmark, {**other.files, **known}, (*self.invocations, *other.invocations))

    def write(self, folder: Path) -> None:
        """Write ``run.json``, whole or not at all."""
        write_json(
            folder / FILE,
            {
                "benchmark": self.benchmark,
                "files": dict(self.files),
                "invocations": [dict(i) for i in self.invocations],
            },
        )

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read ``run.json``; raises :class:`InputError` where it is missing or not one."""
        path = folder / FILE
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            problem = "holds no benchmark run (no run.json)" if folder.is_dir() else "no such folder"
            raise InputError(folder, problem, "give a folder that 'netproof bench run' wrote") from None
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from None
        except (ValueError, RecursionError):
            raise InputError(path, "is not JSON", "remove the folder and run the benchmark again") from None
        mend = "give a folder that 'netproof bench run' wrote"
        if not isinstance(document, dict) or not isinstance(document.get("benchmark"), str):
            raise InputError(path, "names no benchmark", mend)
        files, invocations = document.get("files"), document.get("invocations")
        if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
            raise InputError(path, "its 'files' is not a table of hashes", mend)
        if not isinstance(invocations, list) or not all(isinstance(i, dict) for i in invocations):
            raise InputError(path, "its 'invocations' is not a list of objects", mend)
        return cls(document["benchmark"], files, tuple(invocations))
