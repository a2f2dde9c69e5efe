"""Certificates of a run: written as verdicts come, and checked on the way where that is asked for."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netproof.errors import CertificateError, NoEvidenceError, ProofError, QueryError
from netproof.version import netproof_version

if TYPE_CHECKING:
    from netproof.query import Query, Question, Result

SUFFIX = ".npcert"


@dataclass(frozen=True)
class Certifying:
    """Where a run's certificates go, and whether each is checked.

    Attributes
    ----------
    folder : must exist
    check : read every certificate back from its file and check it
    """

    folder: Path
    check: bool = False

    def path(self, instance: str) -> Path:
        """The file of an instance's certificate."""
        return self.folder / f"{instance}{SUFFIX}"

    def without(self, instance: str) -> Path:
        """The file that says why a decided instance has no certificate."""
        return self.folder / f"{instance}.none.txt"


@dataclass(frozen=True)
class Certified:
    """A certificate that was written.

    Attributes
    ----------
    size : of the file, in bytes
    seconds : what checking it took; None where it was not checked
    making : what making and writing it took, beyond the search; None where that was not measured
    """

    size: int
    seconds: float | None = None
    making: float | None = None


def certify(question: Query | Question, result: Result, instance: str, wanted: Certifying) -> Certified:
    """Write the certificate of a decided question, and check it if wanted.

    Raises
    ------
    QueryError : there is no proof to write
    InputError : the file cannot be written
    ProofError, CertificateError : the certificate is none, which is a defect
    """
    path = wanted.path(instance)
    # Waiting for the disk would cost more than most verdicts. What a power cut loses is made again.
    write_certificate(path, question, result, durable=False)
    if not wanted.check:
        return Certified(path.stat().st_size)
    from netproof.certificate.checker.check import check

    begun = time.perf_counter()
    check(path, question.network)
    return Certified(path.stat().st_size, time.perf_counter() - begun)


def write_certificate(path: Path, question: Query | Question, result: Result, *, durable: bool = True) -> None:
    """Write the certificate of a decided question; raises :class:`QueryError` and :class:`InputError`."""
    from netproof.certificate.bundle import write
    from netproof.certificate.make import certificate_of

    write(path, certificate_of(question, result, producer=f"netproof {netproof_version()}"), durable=durable)


def write_evidence(
    path: Path,
    network: str | Path,
    property_: str | Path,
    question: Query | Question,
    result: Result,
    *,
    durable: bool = True,
    deadline: float = math.inf,
) -> int:
    """Write the certificate of a decided question about a float network, given the files of both; its size in bytes.

    Raises
    ------
    NoEvidenceError : none can be written, though the verdict stands
    InputError : a file that cannot be read or written
    """
    from netproof.certificate.real.format import write
    from netproof.certificate.real.make import evidence_of
    from netproof.files.opened import read_bytes
    from netproof.query import Question

    evidence = evidence_of(
        read_bytes(network, "network file"),
        read_bytes(property_, "property file"),
        Question.of(question),
        result,
        producer=f"netproof {netproof_version()}",
        deadline=deadline,
    )
    return write(path, evidence, durable=durable)


#: what is put behind a certificate's name for the property that it is about, where that had no file
STATED = ".vnnlib"


def write_stated_evidence(
    path: Path, network: str | Path, query: Query, result: Result, *, deadline: float = math.inf
) -> Path:
    """Write the certificate of a decided query about a float network that no file asks, and the property beside it, whose path is returned.

    Raises
    ------
    NoEvidenceError : none can be written, though the verdict stands; then nothing is
    InputError : a file that cannot be read or written
    """
    from netproof.files.opened import write_bytes
    from netproof.formats.vnnlib.exact import exact_vnnlib
    from netproof.formats.vnnlib.read import read_vnnlib

    if query.part is None:
        raise NoEvidenceError(query.name, "its numbers are not known exactly")
    if query.ball is not None:
        raise NoEvidenceError(
            query.name, f"a certificate states boxes of inputs, and a ball in {query.ball.norm} is none"
        )
    title = f"asked by netproof {netproof_version()}"
    text = exact_vnnlib(query.part, query.network.inputs, query.network.outputs, title=title)
    property_ = path.with_name(path.name + STATED)
    write_bytes(property_, text.encode(), durable=True)
    try:
        question = read_vnnlib(property_).question(query.network)
        write_evidence(path, network, property_, question, result, deadline=deadline)
    except NoEvidenceError:
        property_.unlink()
        raise
    return property_


def certify_real(
    question: Question, result: Result, instance: str, wanted: Certifying, files: tuple[Path, Path], seconds: float
) -> Certified | str:
    """Write the certificate of a decided question about a float network, and check it if wanted; or why there is none.

    Parameters
    ----------
    files : network and property
    seconds : for making it

    Raises
    ------
    InputError : a file that cannot be read or written
    ProofError, CertificateError : the certificate is none, which is a defect
    """
    path = wanted.path(instance)
    begun = time.perf_counter()
    try:
        size = write_evidence(path, *files, question, result, durable=False, deadline=time.monotonic() + seconds)
    except NoEvidenceError as error:
        wanted.without(instance).write_text(f"{error.problem}\n", encoding="utf-8")
        return error.problem
    making = time.perf_counter() - begun
    if not wanted.check:
        return Certified(size, None, making)
    from netproof.certificate.checker.real.check import check_real
    from netproof.certificate.real.format import decode
    from netproof.files.opened import read_bytes

    begun = time.perf_counter()
    network, property_ = (read_bytes(file, "file") for file in files)
    check_real(decode(path.read_bytes(), str(path)), network, property_, source=str(path))
    return Certified(size, time.perf_counter() - begun, making)


#: what an instance's certificate can fail with, other than a disk that is full
FAILURES = (QueryError, ProofError, CertificateError)
