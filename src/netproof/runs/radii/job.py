"""From images to rows, in one process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netproof.benchmarks.base import Instance, OpenBenchmark
from netproof.errors import NetproofError
from netproof.processes import clock
from netproof.runs.certify import FAILURES, Certified, certify
from netproof.runs.job import Answered, Job
from netproof.runs.radii.evidence import Evidence, evidence_of
from netproof.runs.radii.rows import EXACT, MISCLASSIFIED, OPEN, RadiusRow, certificate_of
from netproof.runs.rows import Recorded
from netproof.runs.solve import defect

if TYPE_CHECKING:
    from fractions import Fraction

    from netproof.query import Query, Sample
    from netproof.search.radius import RadiusResult

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RadiusJob(Job):
    """A set of images, each asked about by a question of radius 0, and for each the largest radius at which it is robust.

    ``settings.timeout`` is for all of an image's queries together, in processor time, so that a busy machine decides as much as
    another.
    """

    ROWS: ClassVar[type[Recorded]] = RadiusRow

    def solve(self, benchmark: OpenBenchmark, instances: Sequence[Instance]) -> Iterator[Answered]:
        for instance in instances:
            yield self._answered(benchmark, instance)

    def _answered(self, benchmark: OpenBenchmark, instance: Instance) -> Answered:
        try:
            return self._answer(benchmark, instance)
        except NetproofError as error:
            return self.failed(instance, str(error))
        except Exception as error:  # noqa: BLE001 - hours of a run must not end with one image's defect
            _LOG.debug("%s failed", instance.name, exc_info=True)
            return self.failed(instance, defect(error))

    def _answer(self, benchmark: OpenBenchmark, instance: Instance) -> Answered:
        from netproof.local_robustness import robustness
        from netproof.query import sample_of
        from netproof.search.radius import largest_radius

        query = benchmark.query(instance)
        sample, image = sample_of(query), int(instance.sample)
        with clock.processor_time():
            found = largest_radius(query.network, sample.image, sample.label, self.settings)

        def asked(radius: int | Fraction) -> Query:
            name = f"image {image}, radius {radius}"
            return robustness(query.network, sample.image, sample.label, radius, name=name)

        evidence = evidence_of(found, asked)
        certified: list[Certified] = []
        names: list[str] = []
        if self.certifying is not None:
            for one in evidence:
                name = certificate_of(image, int(one.radius))
                try:
                    certified.append(certify(one.query, one.result, name, self.certifying))
                except FAILURES as error:
                    return self.failed(instance, f"its certificate fails (a defect): {error}")
                names.append(self.certifying.path(name).name)
        row = self._row(image, sample, found, tuple(names))
        if self.certifying is not None and len(names) != len(row.evident):
            return self.failed(instance, f"there is no proof at radius {found.radius} (a defect)")
        return Answered(row, _witness(evidence), tuple(certified))

    def _row(self, image: int, sample: Sample, found: RadiusResult, certificates: tuple[str, ...]) -> RadiusRow:
        if found.radius < 0:
            return RadiusRow(image, sample.label, MISCLASSIFIED, seconds=found.seconds, queries=found.queries)
        return RadiusRow(
            image,
            sample.label,
            EXACT if found.exact else OPEN,
            int(found.radius),
            -1 if found.witness_radius is None else int(found.witness_radius),
            found.seconds,
            found.queries,
            0.0 if found.exact else self.settings.timeout,
            certificates=certificates,
            reason=found.reason,
        )


def _witness(evidence: Sequence[Evidence]) -> dict[str, object] | None:
    """The witness's document; raises ``ValueError`` where it does not replay, which is a defect."""
    from netproof.certificate.make import witness_document

    for one in evidence:
        witness = one.result.witness
        if witness is not None:
            if not bool(one.query.refuted_by(witness.input.to(one.query.lower.dtype))):
                raise ValueError("the search's witness does not replay on the network (a defect)")
            return witness_document(one.query, witness)
    return None
