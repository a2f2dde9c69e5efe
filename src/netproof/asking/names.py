"""What verdicts and arguments are called outside the command line, and which one was probably meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from netproof.arguments.words import meant
from netproof.errors import InputError
from netproof.result import Verdict

#: what can become of an image, and of a property
OF_IMAGES = tuple(verdict.for_robustness for verdict in Verdict)
OF_PROPERTIES = tuple(verdict.value for verdict in Verdict if verdict is not Verdict.MISCLASSIFIED)
_PROVED, _REFUTED = ("robust", "unsat"), ("vulnerable", "sat")
_OTHERS = {
    **dict.fromkeys(("verified", "safe", "proved", "holds", "certified", "true", "pass"), _PROVED),
    **dict.fromkeys(("falsified", "unsafe", "violated", "refuted", "not robust", "false", "fail"), _REFUTED),
}
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def verdict_hint(given: object, known: Sequence[str]) -> str:
    """Which verdict was probably meant, or all there are.

    The words of images and those of properties are one vocabulary: ``unsat`` of an image is ``robust``.
    """
    others: dict[object, str] = {}
    for pair in (_PROVED, _REFUTED):
        for mine in set(pair) & set(known):
            others.update(dict.fromkeys(pair, mine) | {word: mine for word, is_ in _OTHERS.items() if is_ is pair})
    return meant(given, known, others)


class _Keywords:
    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True  # nothing for whoever's test gave a wrong argument
        if isinstance(error, InputError):
            parts = (_OPTION.sub(_keyword, part) for part in (error.source, error.problem, error.hint))
            raise type(error)(*parts) from None


def keywords() -> AbstractContextManager[None]:
    """Within this block errors name arguments as Python and files have them, not as options of a command: ``clip``, not ``--clip``."""
    return _Keywords()


def _keyword(found: re.Match[str]) -> str:
    return found[1].replace("-", "_")
