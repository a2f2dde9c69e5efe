"""The one door: every question comes in here, whatever its arithmetic and engine, and every answer goes out here.

A question is taken apart into its queries; each goes to the engine that decides its kind, under one deadline for all. What
an engine says is not the verdict yet:

* a ``sat`` goes out only where the query's own exact predicate (:meth:`netproof.Query.admits`) confirms the witness;
* an ``unsat`` goes out only where every part was refuted, each by an engine of its own right.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import overload

import torch

from netproof.arguments.words import described
from netproof.device import check_device
from netproof.effort.questions import PARTS, TOGETHER
from netproof.errors import InputError, QueryError
from netproof.exact.base import Engine
from netproof.exact.registry import exact_engine
from netproof.graph.graph import Arithmetic
from netproof.host import steps_on_own_terms
from netproof.network import Network, check_network
from netproof.perturbations.asked import SetQuery
from netproof.property import Property
from netproof.query import Query, Question, Result, Verdict, Witness
from netproof.search.answers import Answers
from netproof.search.trace import tell
from netproof.settings import Settings, settings_of

_LOG = logging.getLogger(__name__)


#: decides one query that is not misclassified
Decide = Callable[[Query, Settings], Result]


@overload
def verify(
    asked: Query | Question | SetQuery, settings: Settings | None = None, *, network: Network | None = None
) -> Result: ...


@overload
def verify(asked: Property, settings: Settings | None = None, *, network: Network) -> Result: ...


@overload
def verify(
    asked: Iterable[Query | Question | SetQuery | Property],
    settings: Settings | None = None,
    *,
    network: Network | None = None,
) -> Answers: ...


def verify(
    asked: Query | Question | SetQuery | Property | Iterable[Query | Question | SetQuery | Property],
    settings: Settings | None = None,
    *,
    network: Network | None = None,
) -> Result | Answers:
    """Decide a query, a question or a property; or several of them, which is faster than one by one.

    Of several the answers come as an iterator, :class:`Answers`: in the order of what was asked, or in the order in which
    they are decided. Queries on one integer network are bounded together at its root, and only the few that are left are
    searched one by one. Nothing is computed before the first answer is asked for.

    Parameters
    ----------
    asked : what to decide, or several of these; an iterable is read to its end at once
    settings : limits and choices, the same for all. The time limit applies to each query, question or property by itself,
        its share of shared work included; that of a property is for all of its boxes together
    network : what a :class:`netproof.Property` is asked of; queries and questions have their own

    Raises
    ------
    QueryError : a property that is not about this network (:meth:`netproof.Property.queries`), a query on another one; a
        query on a network whose arithmetic an engine asked for does not support
    InputError : a property without a network, something that is no question at all; an engine or a device that is not
        there; a GPU asked for by name for an integer network. What engine and device refuse is raised where the answer would be
    """
    settings = settings_of(settings)
    if network is not None:
        check_network(network)
    if isinstance(asked, Query | Question | SetQuery | Property):
        question = _question(asked, network)
        result = next(as_decided([question], settings))[1]
        if isinstance(question, Question) and len(question.parts) == 1:
            # Of several they are not kept: a query is as large as its image, and there can be thousands.
            return replace(result, asked=question.parts[0], show=_as_html)
        return result
    if isinstance(asked, str | bytes | Mapping) or not isinstance(asked, Iterable):
        raise _no_question(asked)
    questions = [_question(one, network) for one in asked]
    return Answers(as_decided(questions, settings))


def _question(asked: object, network: Network | None) -> Question | SetQuery:
    """What is asked, as a question; a property becomes one of the network."""
    if isinstance(asked, Property):
        if network is None:
            raise InputError(asked.source, "is asked of no network", "give one with network=")
        return asked.question(network)
    if not isinstance(asked, Query | Question | SetQuery):
        raise _no_question(asked)
    if network is not None and asked.network is not network:
        raise QueryError(asked.name, "is about another network than network=", "leave network= out")
    return asked if isinstance(asked, SetQuery) else Question.of(asked)


def _no_question(asked: object) -> InputError:
    hint = "give a Query, a Question, a Property with network=, or several of these"
    if isinstance(asked, str | PathLike):
        hint = "give the property in it: netproof.verify(netproof.read_vnnlib(file), network=network)"
    return InputError("verify", f"cannot decide {described(asked)}", hint)


@steps_on_own_terms("verify")
def as_decided(
    questions: Sequence[Query | Question | SetQuery], settings: Settings | None = None
) -> Iterator[tuple[int, Result]]:
    """Decide questions, yielding ``(position, result)`` as they are decided; :func:`verify` says the rest."""
    settings = settings_of(settings)
    asked: dict[int, Question] = {}
    engine = exact_engine(settings.engine)
    for position, one in enumerate(questions):
        if isinstance(one, SetQuery):
            from netproof.search.enumeration import enumerate_set

            # Nothing but evaluation decides a list of inputs, whichever engine is asked for.
            yield position, enumerate_set(one, settings)
        else:
            asked[position] = Question.of(one)
    if engine is not None:
        positions = list(asked)
        for number, result in decide_with(engine, list(asked.values()), settings):
            yield positions[number], result
        return
    together: dict[int, list[int]] = {}
    for position, question in asked.items():
        if question.network.graph.arithmetic is Arithmetic.REAL:
            yield position, _ask(question, _real, settings)
            continue
        check_device(settings.device, question.network)
        if len(question.parts) > 1:
            yield position, _ask(question, _one_integer, settings)
        else:
            together.setdefault(id(question.network), []).append(position)
    for positions_of_one in together.values():
        yield from _ask_together([(p, asked[p].parts[0]) for p in positions_of_one], settings)


def decide_with(
    engine: Engine, questions: Sequence[Query | Question], settings: Settings
) -> Iterator[tuple[int, Result]]:
    """Decide questions by an exact engine one after the other, yielding ``(position, result)``; the engine is closed then.

    Raises
    ------
    QueryError : a question about a network over the real numbers
    """
    with contextlib.closing(engine):
        for position, question in enumerate(questions):
            if question.network.graph.arithmetic is Arithmetic.REAL:
                problem = f"the engine '{engine.name}' does not take networks of real numbers"
                raise QueryError(question.name, problem, "leave --engine out")
            if any(part.ball is not None for part in Question.of(question).parts):
                problem = f"the engine '{engine.name}' takes boxes, and a ball in another norm than linf is none"
                raise QueryError(question.name, problem, "leave --engine out")
            yield position, _ask(Question.of(question), _by(engine), settings)


def refuted_quickly(query: Query) -> bool:
    """Whether CROWN proves an integer query that is not misclassified ``unsat``."""
    from netproof.search.integer.decide import refuted_quickly

    return refuted_quickly(query)


def verify_attacked(query: Query, settings: Settings) -> Result:
    """As :func:`verify`, for one integer query on which the attacks that come first have been made."""
    from netproof.search.integer.decide import verify_integer

    _begun(query)
    if query.misclassified:
        return _told(query, Result(Verdict.MISCLASSIFIED, 0.0, "evaluation"))
    return _told(query, confirmed(query, next(iter(verify_integer([query], settings, attacked=True)))[1]))


# Either search is a quarter of all modules, and no query needs both.


def _real(query: Query, settings: Settings) -> Result:
    from netproof.search.proofs.journal import Journal
    from netproof.search.real.decide import verify_real

    # What a certificate would be about is a box.
    return verify_real(query, settings, Journal() if settings.proofs and query.ball is None else None)


def _one_integer(query: Query, settings: Settings) -> Result:
    from netproof.search.integer.decide import verify_integer

    return next(iter(verify_integer([query], settings)))[1]


def _refuted_together(question: Question, settings: Settings, deadline: float) -> Iterator[tuple[int, Result]]:
    """The parts of a question that bounds of many boxes at once refute, by their numbers."""
    if len(question.parts) < TOGETHER.least:
        return
    from netproof.search.real.together import refuted_together

    until = deadline - (1 - TOGETHER.share) * settings.timeout
    for number, part in refuted_together(question.parts, until, deadline):
        yield number, _told(part, Result(Verdict.UNSAT, 0.0, "bound", len(part.condition)))


def _by(engine: Engine) -> Decide:
    """An exact engine as one that decides."""

    def decide(query: Query, settings: Settings) -> Result:
        begun = time.monotonic()
        answer = engine.decide(query, settings, begun + settings.timeout)
        verdict, reason, witness = answer.verdict, answer.reason, None
        if verdict is Verdict.SAT:
            x = answer.point
            if x is not None and bool(query.refuted_by(x)):
                witness = Witness(x.to(torch.int64), query.network.graph.evaluate(x).to(torch.int64))
            else:
                verdict, reason = Verdict.UNKNOWN, "the engine's point does not replay on the network (a defect of it)"
        return Result(
            verdict, time.monotonic() - begun, engine.name, 0, witness, None, reason, retryable=answer.retryable
        )

    return decide


def _ask_together(queries: list[tuple[int, Query]], settings: Settings) -> Iterator[tuple[int, Result]]:
    """Decide queries on one integer network, by their positions."""
    meant = []
    for position, query in queries:
        begun = time.monotonic()
        _begun(query)
        if query.misclassified:
            yield position, _told(query, Result(Verdict.MISCLASSIFIED, time.monotonic() - begun, "evaluation"))
        else:
            meant.append((position, query))
    if meant:
        from netproof.search.integer.decide import verify_integer

        for number, result in verify_integer([query for _, query in meant], settings):
            position, query = meant[number]
            yield position, _told(query, confirmed(query, result))


def _of_one_file(one: Network, other: Network) -> bool:
    """Whether two are one network, of one of which a softmax was left out that the other's question is about."""
    return one is other or one.complete is other or other.complete is one


def _decided(query: Query, decide: Decide, settings: Settings) -> Result:
    begun = time.monotonic()
    _begun(query)
    if query.misclassified:
        return _told(query, Result(Verdict.MISCLASSIFIED, time.monotonic() - begun, "evaluation"))
    part, asked = query.part, query
    if part is not None and part.arithmetic != "real":
        from netproof.conditions.evaluated import as_evaluated

        asked = as_evaluated(query)
    return _told(query, confirmed(query, decide(asked, settings)))


def _as_html(result: Result) -> str:
    from netproof.pictures.notebook import result_html

    return result_html(result)


def _begun(query: Query) -> None:
    """Tell whoever listens that a query begins."""
    tell(
        "query",
        lambda: {
            "name": query.name,
            "network": query.network.path,
            "inputs": int((query.lower < query.upper).sum()),
            "cases": len(query.condition),
        },
    )


def _told(query: Query, result: Result) -> Result:
    """The result, of which whoever listens is told."""
    tell(
        "result",
        lambda: {
            "name": query.name,
            "verdict": result.verdict.value,
            "seconds": result.seconds,
            "method": result.method,
            "subproblems": result.subproblems,
            "bound": result.bound if result.bound is not None and math.isfinite(result.bound) else None,
            "reason": result.reason,
        },
    )
    return result


def confirmed(query: Query, result: Result) -> Result:
    """The result, unless it is a ``sat`` that the query's own exact predicate denies."""
    if result.verdict is not Verdict.SAT:
        return result
    witness = result.witness
    if witness is not None and query.admits(witness.numbers, witness.output_numbers):
        return result
    _LOG.warning("%s: a witness does not meet the query (a defect); it is not reported", query.name)
    reason = "the engine's witness does not meet the query (a defect)"
    return replace(result, verdict=Verdict.UNKNOWN, witness=None, reason=reason, retryable=True)


def _ask(question: Question, decide: Decide, settings: Settings) -> Result:
    """Decide the parts one after the other until one is ``sat``.

    What is left of the time is shared by the parts that are left, and what is left in the end by the undecided ones.
    """
    if len(question.parts) == 1:
        return _decided(question.parts[0], decide, settings)
    network = question.network
    begun = time.monotonic()
    one = question.parts[0]
    if one.misclassified:
        return _told(one, Result(Verdict.MISCLASSIFIED, time.monotonic() - begun, "evaluation"))
    deadline = begun + settings.timeout
    results: dict[int, Result] = {}
    had: dict[int, float] = {}
    subproblems = 0
    if decide is _real and not settings.proofs:
        results = dict(_refuted_together(question, settings, deadline))
        subproblems = sum(result.subproblems for result in results.values())
    left = [number for number in range(len(question.parts)) if number not in results]
    while left:
        undecided = []
        for number, position in enumerate(left):
            remaining = deadline - time.monotonic()
            share = min(max(remaining / (len(left) - number), PARTS.least_share), remaining)
            if share <= 0 or (position in had and share < PARTS.again * had[position]):
                undecided.append(position)
                continue
            part = question.parts[position]
            if not _of_one_file(part.network, network):
                # What engine it goes to was told by the first one's arithmetic.
                raise QueryError(part.name, "is about another network than the first part", "ask it by itself")
            result = _decided(part, decide, replace(settings, timeout=share))
            subproblems += result.subproblems
            if result.verdict in (Verdict.SAT, Verdict.MISCLASSIFIED):
                return replace(result, seconds=time.monotonic() - begun, subproblems=subproblems, part=position)
            results[position], had[position] = result, share
            if result.verdict is Verdict.TIMEOUT:
                undecided.append(position)
        if undecided == left:
            break
        left = undecided
    seconds = time.monotonic() - begun
    missing = [p for p in range(len(question.parts)) if p not in results or results[p].verdict is not Verdict.UNSAT]
    if not missing:
        methods = {result.method for result in results.values()}
        method = next((m for m in ("search", "bound") if m in methods), max(methods))
        parts = tuple(results[p] for p in range(len(question.parts))) if settings.proofs else ()
        return Result(Verdict.UNSAT, seconds, method, subproblems, parts=parts)
    first = next((results[p] for p in missing if p in results), None)
    still = f"{len(missing)} of {len(question.parts)} boxes are undecided"
    if first is None or any(p not in results or results[p].verdict is Verdict.TIMEOUT for p in missing):
        return Result(
            Verdict.TIMEOUT, seconds, "search", subproblems, None, None, f"the time limit was reached: {still}"
        )
    return replace(first, seconds=seconds, subproblems=subproblems, reason=f"{first.reason}; {still}")
