"""Which verdicts make a command end with exit code 1."""

from __future__ import annotations

from netproof.arguments.words import meant
from netproof.errors import InputError

#: what ``--fail-on`` can name; ``sat`` and ``unsat`` are the same of properties
VERDICTS = ("vulnerable", "misclassified", "timeout", "unknown", "error", "robust", "sat", "unsat")


def failing(text: str | None) -> frozenset[str]:
    """The verdicts of an option ``--fail-on``; raises :class:`InputError` for words that are none."""
    if text is None:
        return frozenset()
    words = {word.strip() for word in text.split(",")}
    unknown = sorted(words - set(VERDICTS))
    if unknown:
        problem = f"no verdict is called '{unknown[0][:40]}'"
        raise InputError("--fail-on", problem, f"{meant(unknown[0], VERDICTS)}, with commas between several")
    return frozenset(words)
