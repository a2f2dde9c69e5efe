"""One writer per run folder.

Few lines of our own rather than the library filelock: that gives a lock which outlives a process that is killed where
the file system has no ``flock`` (here such a folder is refused), does not say who holds it, and takes 50 ms to import.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from netproof.errors import InputError
from netproof.files.opened import unwritable


class FolderLock:
    """An advisory lock that ends with the process that holds it, however it ends.

    Raises :class:`InputError` where another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        import fcntl

        path = folder / ".lock"
        try:
            # Not truncated: until the lock is ours the content is the holder's process number.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritable(folder, error, "give a folder that can be written to with --out") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise InputError(
                folder,
                f"another netproof writes its results there (process {holder or 'unknown'})",
                "wait for it to end, or give another folder with --out",
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise InputError(
                folder,
                f"its file system cannot lock files ({error.strerror})",
                "give a folder on a local disk with --out",
            ) from None
        self._descriptor = descriptor
        # On a full disk the holder's number cannot be noted; the lock itself holds.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let others write, and leave no process number that would tell two equal folders apart."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(folder: Path) -> bool:
    """Whether a process writes into a folder now. Writes nothing, and where the lock cannot be asked, nobody holds it."""
    import fcntl

    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Who lets go leaves no number, so that the lock is only asked where someone works or was killed: whoever
        # starts meanwhile would find it taken, for the moment that this takes.
        if not os.read(descriptor, 32).strip():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
