"""One question answered by the workers of a Dask scheduler: pieces of it are handed out, and cut where one takes long.

Workers find network and property where the command does, and have to find the same files, by their SHA-256. A piece whose worker
is lost is handed out again. A witness is replayed by the worker that found it, and its output once more here.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import InputError, NetproofError, TimeLimitError
from netproof.files.opened import read_raw
from netproof.query import Question
from netproof.result import Result, Verdict
from netproof.runs.scheduler.connection import PASSING, Unusable, check_scheduler, connected, ended, prepare_worker
from netproof.runs.scheduler.pieces import Piece, Pieces
from netproof.search.trace import tell
from netproof.search.verify import as_decided, confirmed
from netproof.settings import Settings

if TYPE_CHECKING:
    from distributed import Client, Future

#: pieces for each worker to begin with
_PIECES = 2
#: workers that may die of one piece, one after the other, each of which Dask has tried several times
_DEATHS = 2
_STOPPED = "start it again and ask again"


@dataclass(frozen=True)
class Sources:
    """Where a question is read from: plain values, which travel.

    Attributes
    ----------
    hashes : SHA-256 of the network, external data included, and of the property
    """

    network: Path
    property: Path
    runtime: str | None
    shapes: dict[str, tuple[int, ...]] | None
    hashes: tuple[str, str]

    @classmethod
    def of(
        cls, network: Path, property_: Path, runtime: str | None, shapes: dict[str, tuple[int, ...]] | None, sha256: str
    ) -> Sources:
        """The sources of a question whose network has that SHA-256."""
        hashes = (sha256, _sha256(property_))
        return cls(network.absolute(), property_.absolute(), runtime, shapes, hashes)

    def question(self, deadline: float | None = None) -> Question:
        """Read it here; raises :class:`InputError` where the files are others, :class:`TimeLimitError` where the deadline is over."""
        from netproof.formats.load import load
        from netproof.formats.vnnlib.read import read_vnnlib

        network = load(self.network, runtime=self.runtime, shapes=self.shapes, deadline=deadline)
        for path, found, wanted in (
            (self.network, network.sha256, self.hashes[0]),
            (self.property, _sha256(self.property), self.hashes[1]),
        ):
            if found != wanted:
                raise InputError(
                    "--scheduler", f"a worker has another file: {path} (SHA-256)", "give all the same data"
                )
        return read_vnnlib(self.property, deadline=deadline).question(network)


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_raw(path, "property")).hexdigest()


def decide_on_scheduler(sources: Sources, question: Question, address: str, settings: Settings) -> Result:
    """Decide a question by the workers of a scheduler (``dask://HOST:PORT``) within ``settings.timeout`` seconds.

    Raises
    ------
    InputError : a scheduler that is not there, has no workers, or goes away; workers that have other files
    """
    begun = time.monotonic()
    client = connected(check_scheduler(address), address)
    try:
        found = _Search(client, address, sources, Pieces(question), settings).run(begun + settings.timeout)
    finally:
        client.close(timeout=2)
    return replace(confirmed(question.parts[found.part], found), seconds=time.monotonic() - begun)


class _Search:
    """The side that hands out."""

    def __init__(self, client: Client, address: str, sources: Sources, pieces: Pieces, settings: Settings) -> None:
        self._client, self._address, self._pieces = client, address, pieces
        self._sent = pickle.dumps((sources, settings))
        self._waiting: dict[str, tuple[Future, Piece, int]] = {}

    def run(self, deadline: float) -> Result:
        from distributed import as_completed

        left = deadline - time.monotonic()
        self._queue = as_completed(loop=self._client.loop, timeout=max(left, 0.01))
        pieces = self._pieces
        workers = max(1, len(self._client.scheduler_info()["workers"]))
        for piece in pieces.first(_PIECES * workers):
            self._submit(piece, deadline)
        try:
            for future in self._queue:
                self._take(future, deadline)
                tell(
                    "step", lambda: {"subproblems": pieces.subproblems, "open": pieces.open, "cases": 1, "bound": None}
                )
                if pieces.answer is not None:
                    return replace(pieces.answer, subproblems=pieces.subproblems)
                if time.monotonic() >= deadline:
                    break
        except TimeoutError:
            pass
        self._client.cancel([future for future, _, _ in self._waiting.values()])
        reason = f"the time limit was reached: {pieces.open} pieces are open, {pieces.refuted} refuted"
        return Result(Verdict.TIMEOUT, 0.0, "search", pieces.subproblems, reason=reason)

    def _submit(self, piece: Piece, deadline: float, deaths: int = 0) -> None:
        seconds = min(piece.share, max(deadline - time.monotonic(), 0.01))
        future: Future = self._client.submit(_decide, self._sent, piece, seconds, pure=False)
        self._waiting[future.key] = future, piece, deaths
        self._queue.add(future)

    def _take(self, future: Future, deadline: float) -> None:
        _, piece, deaths = self._waiting.pop(future.key)
        found = ended(future)
        if isinstance(found, Unusable):
            raise InputError(found.source, found.problem, found.hint)
        if isinstance(found, Result):
            for part in self._pieces.decided(piece, found):
                self._submit(part, deadline)
        elif self._client.status != "running":
            raise InputError("--scheduler", f"{self._address} went away", _STOPPED)
        elif found is None or isinstance(found, PASSING):
            self._submit(piece, deadline, deaths)
        elif deaths < _DEATHS:
            self._submit(piece, deadline, deaths + 1)
        else:
            said = f"its workers died, or failed: {type(found).__name__}: {' '.join(str(found).split())[:200]}"
            self._pieces.decided(piece, Result(Verdict.UNKNOWN, 0.0, "search", reason=said, retryable=True))
        future.release()


def _decide(sent: bytes, piece: Piece, seconds: float) -> Result | Unusable:
    """What a worker does: one piece, for so long."""
    prepare_worker()
    try:
        question, settings = _read(sent)
        return next(as_decided([piece.of(question)], replace(settings, timeout=seconds)))[1]
    except TimeLimitError as error:
        return Result(Verdict.TIMEOUT, 0.0, "reading", reason=error.reason)
    except InputError as error:
        return Unusable(error.source, error.problem, error.hint)
    except NetproofError as error:
        return Unusable("a worker", str(error), "look at its files")


@functools.lru_cache(maxsize=2)
def _read(sent: bytes) -> tuple[Question, Settings]:
    """The question, once for all pieces that a worker gets of it."""
    sources: Sources
    settings: Settings
    sources, settings = pickle.loads(sent)
    return sources.question(time.monotonic() + settings.timeout), settings
