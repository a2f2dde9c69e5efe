"""The folder of a benchmark that is being made: ``onnx/``, ``vnnlib/``, ``instances.csv``, and what was selected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from netproof.errors import InputError
from netproof.files.opened import unwritable, write_bytes
from netproof.formats.instances import read_instances
from netproof.making.generate import Generated, write_instances

INSTANCES = "instances.csv"
_FOLDERS = ("onnx", "vnnlib", "selected_list")


class BenchmarkFolder:
    """Keeps the list and the files in step, network by network.

    Raises :class:`InputError` where it cannot write, or the folder holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            there = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
            if there and not {INSTANCES, *_FOLDERS} & set(there):
                raise InputError(
                    path, f"is not empty and holds no benchmark (it has '{there[0]}')", "give another folder with --out"
                )
            for name in _FOLDERS:
                (path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(path, error, "give another folder with --out") from None

    def add_network(self, name: str, content: bytes) -> None:
        """Put a network's file there, unless it is there already."""
        target = self.path / "onnx" / f"{name}.onnx"
        if not (target.is_file() and target.read_bytes() == content):
            write_bytes(target, content)

    def replace(self, network: str, instances: Sequence[Generated]) -> None:
        """Give a network's instances their place in the list: that of its old ones, or the end.

        Properties that only the old ones were about are removed.
        """
        mine = f"onnx/{network}.onnx"
        listed = self._listed()
        old = {each.property_file for each in listed if each.network == mine}
        place = next((n for n, each in enumerate(listed) if each.network == mine), len(listed))
        before = [each for each in listed[:place] if each.network != mine]
        after = [each for each in listed[place:] if each.network != mine]
        write_instances(self.path / INSTANCES, [*before, *instances, *after])
        self._remove(old - {each.property_file for each in instances})

    def _listed(self) -> list[Generated]:
        path = self.path / INSTANCES
        if not path.is_file() or not path.stat().st_size:
            return []
        return [Generated(*instance.listed, instance.timeout) for instance in read_instances(path)]

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            path = self.path / name
            # Only what this class can have put there, whatever the list says.
            if path.parent != self.path / "vnnlib" or path.suffix != ".vnnlib":
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(
                    path, f"is of an earlier list and cannot be removed ({error.strerror})", "remove it"
                ) from None
