"""The promises of a project as tests of pytest: ``pytest -p netproof.testing.plugin``.

Every table ``[queries.NAME]`` of a ``netproof.toml`` (or of ``[tool.netproof]`` in a ``pyproject.toml``) that pytest comes across is a
test, which passes where every verdict is the promised one. Nothing is written, and nothing is computed before a test runs: what
is collected is the file alone, so that the workers of pytest-xdist find the same tests.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netproof.arguments.words import printable
from netproof.files.opened import open_file

if TYPE_CHECKING:
    from netproof.asking.keeping import Answered
    from netproof.asking.promises import Promise

#: names of files that can hold promises; which ones do is looked at later
_NAMES = ("netproof.toml", "pyproject.toml")
#: answers that a message names one by one
_NAMED = 5


class BrokenPromiseError(Exception):
    """Verdicts that are not the promised ones, in a few lines."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> PromiseFile | None:
    """A file of promises, as pytest collects it."""
    if file_path.name not in _NAMES:
        return None
    # What another tool has in its project file is no error of this one.
    if file_path.name != _NAMES[0] and not _speaks_of_us(file_path):
        return None
    return PromiseFile.from_parent(parent, path=file_path)


def _speaks_of_us(file: Path) -> bool:
    try:
        with open_file(file) as stream:
            return b"netproof" in stream.read()
    except OSError:  # which is for whoever wants something of that file to say
        return False


class PromiseFile(pytest.File):
    """A file of promises: one test for each."""

    def collect(self) -> Iterable[PromiseItem]:
        from netproof.asking.promises import check_files, is_promises, read_promises
        from netproof.errors import NetproofError

        try:
            promises = read_promises(self.path) if is_promises(self.path) else ()
            check_files(promises)
        except NetproofError as error:
            raise self.CollectError(str(error)) from None
        return [PromiseItem.from_parent(self, name=printable(one.name), promise=one) for one in promises]


class PromiseItem(pytest.Item):
    """One promise. What it is required for stands in the properties of its case where pytest writes JUnit XML."""

    def __init__(self, *, promise: Promise, **given: Any) -> None:
        super().__init__(**given)
        self.promise = promise
        self.user_properties += [("requirement", printable(word)) for word in promise.requirements]

    def runtest(self) -> None:
        """Raise :class:`BrokenPromiseError` where a verdict is not the promised one."""
        from netproof.asking.keeping import keep

        answers = list(keep(self.promise))
        broken = [answer for answer in answers if not answer.holds]
        if broken:
            raise BrokenPromiseError(_message(self.promise, broken, len(answers)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A broken promise in its own words; anything else as pytest shows it."""
        if isinstance(excinfo.value, BrokenPromiseError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """What pytest heads a failure with."""
        required = f" [{', '.join(self.promise.requirements)}]" if self.promise.requirements else ""
        return self.path, None, printable(f"promise {self.promise.name}{required}")


def _message(promise: Promise, broken: list[Answered], count: int) -> str:
    lines = [f"{len(broken)} of {count} are not {promise.expect}, which is promised:"]
    lines += [f"  {printable(f'{answer.name}: {answer.verdict} ({answer.said})')}" for answer in broken[:_NAMED]]
    if len(broken) > _NAMED:
        lines.append(f"  and {len(broken) - _NAMED} more")
    return "\n".join(lines)
