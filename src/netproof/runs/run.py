"""Running a benchmark into a folder."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.errors import InputError, NetproofError
from netproof.files.opened import unwritable
from netproof.runs.certify import Certified
from netproof.runs.folder import RunFolder
from netproof.runs.job import Answered, Job
from netproof.runs.machine import available_cores
from netproof.runs.plan import pending
from netproof.runs.record import RunRecord
from netproof.runs.rows import Recorded
from netproof.runs.table import FILE, read_rows
from netproof.runs.workers.deal import solve_in_workers
from netproof.settings import Settings

#: worker processes for each core: beyond that they wait for each other, and take memory for it
_JOBS_PER_CORE = 8


@dataclass(frozen=True)
class Start:
    """First event of a run: how much there is to do and how much of it was done before."""

    folder: Path
    chosen: int
    pending: int


@dataclass(frozen=True)
class RunStep:
    """One instance was recorded, and its certificates written."""

    row: Recorded
    certified: tuple[Certified, ...] = ()


def run_benchmark(
    job: Job, folder: Path, *, jobs: int = 1, only: str | None = None, scheduler: str | None = None
) -> Generator[Start | RunStep, None, None]:
    """Answer a benchmark's instances and record them as they come.

    Yields one :class:`Start`, then one :class:`RunStep` per instance, after it is on record. What
    the folder already answers is not done again (:func:`netproof.runs.plan.pending`). Closing
    the iterator, or an interrupt, ends the run in order.

    Parameters
    ----------
    job : what is done; a folder for certificates is made
    folder : where results go; made where it does not exist
    jobs : worker processes; 1 solves everything in this one
    scheduler : the address of a Dask scheduler, whose workers solve everything instead (``dask://HOST:PORT``)
    only : which instances (:meth:`netproof.benchmarks.base.Benchmark.select`)

    Raises
    ------
    InputError : missing or unusable data, a device that is not there, a folder that holds something else, or that is in
        use or cannot be written to while there is something left to write
    """
    check_jobs(jobs)
    _check(job, scheduler)
    if job.certifying is not None:
        job = replace(job, settings=replace(job.settings, proofs=True))
    benchmark, data, settings = job.benchmark, job.data, job.settings
    begin = time.monotonic()
    instances = benchmark.instances(data)
    chosen = benchmark.select(instances, only)
    # Hashing the files also finds those that are missing before anything is written.
    hashes = benchmark.hashes(data)
    noted = {
        "timeout": settings.timeout,
        "seed": settings.seed,
        "engine": settings.engine,
        "device": _device(settings, integer=benchmark.certifiable),
        "jobs": jobs,
        **({} if scheduler is None else {"scheduler": scheduler}),
        "only": only,
    }
    if not benchmark.certifiable:
        _check_memory(job.opened(), chosen, settings)
    record = RunRecord(
        benchmark.name,
        hashes,
        (),
        benchmark.listed(data),
        benchmark.doubtful(data),
        tuple(instance.name for instance in chosen),
        benchmark.about(data),
    ).started(noted)
    names = benchmark.known(data)
    try:
        opened = RunFolder(folder, record, names, job.ROWS)
    except InputError:
        # Where nothing can be written, what is finished can be shown.
        if not _finished(job, folder, record, names, chosen):
            raise
        yield Start(folder, len(chosen), 0)
        return
    with opened as results:
        if job.certifying is not None:
            _make(job.certifying.folder)
        if job.traces is not None:
            _make(job.traces)
        todo = pending(chosen, results.rows, settings.timeout, folder, job.certifying)
        yield Start(folder, len(chosen), len(todo))
        try:
            with closing(_outcomes(job, todo, jobs, scheduler, hashes)) as outcomes:
                for outcome in outcomes:
                    yield RunStep(results.append(outcome.row, outcome.witness), outcome.certified)
        finally:
            results.ended(time.monotonic() - begin)


def check_jobs(jobs: int) -> None:
    """Raise :class:`InputError` for a number of processes that this machine is not for."""
    if jobs < 1:
        raise InputError("--jobs", f"the number of processes is {jobs}", "give 1 or more")
    most = _JOBS_PER_CORE * available_cores()
    if jobs > most:
        raise InputError(
            "--jobs", f"the number of processes is {jobs}", f"give at most {most}, {_JOBS_PER_CORE} for each core"
        )


def _check(job: Job, scheduler: str | None) -> None:
    """Raise :class:`InputError` for what is asked for and cannot be."""
    if scheduler is not None:
        from netproof.runs.scheduler.connection import check_scheduler

        check_scheduler(scheduler)
        if job.certifying is not None:
            problem = "workers on other machines would write certificates there"
            raise InputError("--scheduler", problem, "leave --certificates and --check out, or run it here")
        if job.traces is not None:
            problem = "workers on other machines would write traces there"
            raise InputError("--scheduler", problem, "leave --traces out, or run it here")
    if job.settings.device not in ("cpu", "auto") and job.benchmark.certifiable:
        problem = f"the networks of {job.benchmark.name} are integer networks, which are searched on the CPU alone"
        raise InputError("--device", problem, "leave it out, or give auto")


def _finished(job: Job, folder: Path, record: RunRecord, names: frozenset[str], chosen: tuple[Instance, ...]) -> bool:
    """Whether a folder holds all the answers asked for, of this very run."""
    try:
        RunRecord.read(folder).check_same_run(folder, record)
        rows = read_rows(folder / FILE, job.ROWS, names).rows
    except NetproofError:
        return False
    return not pending(chosen, rows, job.settings.timeout, folder, job.certifying)


def _outcomes(
    job: Job, todo: tuple[Instance, ...], processes: int, scheduler: str | None, hashes: Mapping[str, str]
) -> Generator[Answered, None, None]:
    if not todo:
        return
    if scheduler is not None:
        from netproof.runs.scheduler.instances import solve_on_scheduler

        yield from solve_on_scheduler(job, todo, scheduler, hashes)
        return
    if processes == 1:
        yield from job.solve(job.opened(), todo)
    else:
        yield from solve_in_workers(job, todo, processes)


def _device(settings: Settings, *, integer: bool) -> str:
    """What the search in float32 is done on, in words."""
    if integer or settings.device == "cpu":
        return "cpu"
    from netproof.device import device_text

    return device_text(settings.device)


def _check_memory(opened: OpenBenchmark, chosen: tuple[Instance, ...], settings: Settings) -> None:
    """Refuse a run on float networks that would need more memory than the limit, by one instance of each network."""
    from netproof.search.real.memory import check_memory

    checked: set[str] = set()
    for instance in chosen:
        if instance.network in checked:
            continue
        try:
            deadline = time.monotonic() + settings.timeout
            question = opened.question(instance, deadline=deadline)
        except Exception:  # noqa: BLE001 - becomes a row of its own, whatever it is
            continue
        check_memory(question.parts[0], settings)
        checked.add(instance.network)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error, "give another folder with --certificates") from None
