"""Finding third-party data, which netproof does not ship."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netproof.errors import InputError

#: the environment variable that names the data folder
VARIABLE = "NETPROOF_DATA"


@dataclass(frozen=True)
class DataFolders:
    """The folders in which data files are looked for, in this order."""

    folders: tuple[Path, ...]

    @classmethod
    def locate(cls, given: str | Path | None = None, environment: Mapping[str, str] | None = None) -> DataFolders:
        """A folder the user names is the only one; else ``$NETPROOF_DATA``, then the user's cache directory.

        A file that is missing from a folder somebody named is an error, not a reason to take one
        of the same name from elsewhere. Raises :class:`InputError` where that folder is none.
        """
        environment = os.environ if environment is None else environment
        if given is not None:
            return cls((_folder(Path(given), "--data"),))
        folders = []
        if environment.get(VARIABLE):
            folders.append(_folder(Path(environment[VARIABLE]), f"${VARIABLE}"))
        cache = environment.get("XDG_CACHE_HOME") or str(Path("~").expanduser() / ".cache")
        return cls((*folders, Path(cache) / "netproof"))

    def find(self, candidates: Sequence[str], what: str) -> Path:
        """The first of ``candidates`` (paths inside a data folder) that exists, plain or with ``.gz``.

        ``what`` says in words what the file holds. Raises :class:`InputError` naming the file,
        where it was looked for, and what to do.
        """
        for folder in self.folders:
            for candidate in candidates:
                path = DataFolders((folder,)).held(candidate)
                if path is not None:
                    return path
        raise self._missing(candidates, what)

    def find_together(
        self, candidates: tuple[Sequence[str], Sequence[str]], whats: tuple[str, str]
    ) -> tuple[Path, Path]:
        """Two files that belong together: the first place of both lists, in one folder, of which both exist.

        Where there is no such pair, the first of each that exists, so that whoever reads them sees that they do not fit.
        Errors are those of :meth:`find`.
        """
        for folder in self.folders:
            for pair in zip(*candidates, strict=True):
                held = [DataFolders((folder,)).held(name) for name in pair]
                if held[0] is not None and held[1] is not None:
                    return held[0], held[1]
        return self.find(candidates[0], whats[0]), self.find(candidates[1], whats[1])

    def held(self, candidate: str) -> Path | None:
        """The file of one name, plain or with ``.gz``; None where there is none."""
        paths = (folder / name for folder in self.folders for name in (candidate, candidate + ".gz"))
        return next((path for path in paths if path.is_file()), None)

    def _missing(self, candidates: Sequence[str], what: str) -> InputError:
        places = " or ".join(str(folder) for folder in self.folders)
        names = " or ".join(candidates)
        return InputError(
            names,
            f"no such file in {places} ({what}, plain or .gz)",
            f"put it there, or name the folder that has it with --data or ${VARIABLE}",
        )


def _folder(path: Path, option: str) -> Path:
    if not path.is_dir():
        problem = "is a file, not a folder" if path.exists() else "no such folder"
        raise InputError(path, f"{problem} (from {option})", "name the folder that holds the benchmark data")
    return path
