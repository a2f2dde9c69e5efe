"""The engine ``smt``: bit-vector formulas, decided by Bitwuzla."""

from __future__ import annotations

import time

from netproof.errors import QueryError
from netproof.exact.base import Answer
from netproof.exact.smt.encode import DeadlineError, Formula, encode
from netproof.exact.smt.options import EncodingOptions
from netproof.exact.smt.smtlib import declarations
from netproof.query import Query, Verdict
from netproof.settings import Settings
from netproof.solvers.bitwuzla import solve as solver

_VERDICTS = {"sat": Verdict.SAT, "unsat": Verdict.UNSAT, "timeout": Verdict.TIMEOUT, "unknown": Verdict.UNKNOWN}


class SmtEngine:
    """Decides queries by one formula each (:class:`netproof.exact.base.Engine`).

    Parameters
    ----------
    options : improvements of the encoding; all of them by default
    """

    name = "smt"

    def __init__(self, options: EncodingOptions | None = None) -> None:
        self.options = options or EncodingOptions()

    def close(self) -> None:
        """Nothing runs between queries."""

    def decide(self, query: Query, settings: Settings, deadline: float) -> Answer:
        """Decide the query; ``settings.memory`` limits the solver's memory."""
        if reason := solver.missing():
            return Answer(Verdict.UNKNOWN, reason=reason, retryable=True)
        begun = time.monotonic()
        try:
            formula = encode(query, self.options, deadline=deadline)
        except DeadlineError:
            return Answer(Verdict.TIMEOUT)
        except QueryError as error:
            return Answer(Verdict.UNKNOWN, reason=f"{error.problem}; {error.hint}")
        encoded = time.monotonic()
        reply = _reply(formula, deadline, settings.memory)
        return Answer(
            _VERDICTS[reply.status],
            formula.point(reply.model) if reply.status == "sat" else None,
            reply.reason,
            reply.retryable,
            {
                "terms": float(len(formula.terms)),
                "assertions": float(len(formula.assertions)),
                "encoding_seconds": encoded - begun,
                "solving_seconds": time.monotonic() - encoded,
            },
        )


def _reply(formula: Formula, deadline: float, memory: int) -> solver.Reply:
    if formula.assertions == (formula.terms.false,):
        return solver.Reply("unsat")  # ranges alone decide it
    if not formula.assertions:
        return solver.Reply("sat")  # every input will do
    return solver.solve(declarations(formula), deadline=deadline, memory=memory)
