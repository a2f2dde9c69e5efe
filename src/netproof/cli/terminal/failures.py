"""What a command says when it cannot go on: one line, whatever happened."""

from __future__ import annotations

import errno
import shlex
import traceback
from collections.abc import Sequence
from pathlib import Path

from netproof.errors import InputError, NetproofError

#: "unusable input or usage", and everything else that leaves a question unanswered
UNUSABLE = 2
#: what a shell reports of a process that SIGINT or SIGPIPE ended
INTERRUPTED, BROKEN_PIPE = 130, 141
_LONGEST = 300
#: how the loader, the allocators of PyTorch and C++, and the threads of this interpreter say that memory ran out
_OUT_OF_MEMORY = (
    "allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "failed to map segment",
    "failed to allocate",
    "can't start new thread",
    "Resource temporarily unavailable",
)


def one_line(message: str) -> str:
    """A message in one printable line (a file's name can hold line ends)."""
    return " ".join("".join(c if c.isprintable() else " " for c in message).split())


def is_broken_pipe(error: BaseException) -> bool:
    """Whether an error means that nobody reads standard output any more; typer turns it into an exit."""
    cause = error.__context__ if isinstance(error, SystemExit) else error
    return isinstance(cause, OSError) and cause.errno == errno.EPIPE


def problem_of(error: BaseException, arguments: Sequence[str]) -> str:
    """What is wrong, and the hint."""
    if isinstance(error, NetproofError):
        return str(error)
    if _is_short_of_memory(error):
        return (
            f"{command_named(arguments)}: there is not enough memory ({_first_line(error)}); allow it more, "
            "or take a smaller network"
        )
    if isinstance(error, ImportError):
        return (
            f"{command_named(arguments)}: a part of the installation cannot be loaded ({_first_line(error)}); "
            "install netproof again"
        )
    if isinstance(error, OSError):
        if error.filename is None and error.errno == errno.EBADF:
            return "standard output: it is closed; give the command a place to print to"
        place = error.filename or ("standard output" if error.errno == errno.ENOSPC else "the system")
        return f"{_decoded(place)}: {error.strerror or error}; free some space, or check the path and its permissions"
    from netproof.version import netproof_version

    return (
        f"netproof {netproof_version()} failed at '{_shortened(_line(arguments))}' ({_first_line(error)}), a defect; "
        f"please report it with this line, the files, and what 'netproof --debug FILE {command_named(arguments, '')}...' "
        "writes to FILE"
    )


def write_details(path: Path, error: BaseException, arguments: Sequence[str]) -> str:
    """Write down how an error came about; returns what to add to the message."""
    import platform

    from netproof.cli.terminal.output import is_same_file
    from netproof.files.opened import write_bytes
    from netproof.version import netproof_version

    if sum(is_same_file(argument, path) for argument in arguments) > 1:
        return f" (--debug {path}: is named by another argument as well, and not overwritten)"
    head = f"netproof {netproof_version()}, Python {platform.python_version()}, {platform.platform()}\n{_line(arguments)}\n\n"
    text = head + "".join(traceback.format_exception(error))
    try:
        write_bytes(path, text.encode("utf-8", "backslashreplace"))
    except InputError as failure:
        return f" (--debug {failure})"
    return f" (how it came to this is in {path})"


def _is_short_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # Only the message tells what kind of RuntimeError, ImportError or SystemError it is.
    return isinstance(error, (RuntimeError, ImportError, OSError, SystemError)) and any(
        sign in str(error) for sign in _OUT_OF_MEMORY
    )


def _line(arguments: Sequence[str]) -> str:
    return shlex.join(("netproof", *arguments))


def command_named(arguments: Sequence[str], program: str = "netproof ") -> str:
    """The command without what it is asked: ``netproof bench run``."""
    words: list[str] = []
    for word in arguments:
        if not word.isidentifier() or len(words) == 2 or (words and words[0] not in ("bench", "export", "train")):
            break
        words.append(word)
    return (program + " ".join(words)).strip() + ("" if program else " ")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Some messages are an essay, with the reason in the middle.
    telling = [line for line in lines if any(sign in line for sign in _OUT_OF_MEMORY)] or lines
    kind = type(error).__name__
    return _shortened(f"{kind}: {telling[0]}" if telling else kind)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _decoded(name: object) -> str:
    return name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name)
