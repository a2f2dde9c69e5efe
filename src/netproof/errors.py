"""The exceptions netproof raises for input it cannot use.

Every message has a place and a hint: which file, which item in it, what is wrong, what to do.
The command line prints one line and exits with code 2; it never shows a traceback for these.
"""

from __future__ import annotations

from os import PathLike

#: characters of what is wrong, and of what can be done: a file may put a list of millions into either
_LONGEST = 1000


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"


class NetproofError(Exception):
    """Base class of every error that is the input's or the environment's, not a defect of netproof."""


class InputError(NetproofError):
    """Unusable input.

    Parameters
    ----------
    source : the file (or argument) at fault
    problem : what is wrong, naming the item inside the file
    hint : what the user can do about it
    """

    def __init__(self, source: str | PathLike[str], problem: str, hint: str) -> None:
        self.source = str(source)
        self.problem = _shortened(problem)
        self.hint = _shortened(hint)
        super().__init__(f"{self.source}: {self.problem}; {self.hint}")


class FormatError(InputError):
    """A file that is missing, truncated, foreign, or malformed."""


class QueryError(InputError):
    """A query that does not fit its network: shape, index, radius, label."""


class ExactnessError(InputError):
    """Integer arithmetic could leave the range that float64 holds exactly (2**53; one bit is kept in reserve)."""


class TimeLimitError(NetproofError):
    """The time limit was reached while the question itself was still being read: there is no answer, and no fault.

    Parameters
    ----------
    source : the file that was read
    what : it is: network, property
    """

    def __init__(self, source: str | PathLike[str], what: str = "property") -> None:
        self.source = str(source)
        self.what = what
        super().__init__(f"{self.source}: the time limit was reached while the {what} was read")

    @property
    def reason(self) -> str:
        """Why there is no answer, for one who knows which file is meant."""
        return f"the limit was reached while the {self.what} was read"


class CertificateError(FormatError):
    """A certificate that cannot be used: damaged, of another version, or about another network."""


class ProofError(NetproofError):
    """A certificate that can be read and does not prove its claim.

    Parameters
    ----------
    source : the certificate
    problem : what is wrong, naming the first place in the proof that does not hold
    """

    def __init__(self, source: str | PathLike[str], problem: str) -> None:
        self.source = str(source)
        self.problem = _shortened(problem)
        super().__init__(f"{self.source}: does not prove its claim: {self.problem}")


class NoEvidenceError(NetproofError):
    """A verdict of which no evidence can be written, though the verdict stands.

    Parameters
    ----------
    source : what was asked
    problem : why there is none
    """

    def __init__(self, source: str | PathLike[str], problem: str) -> None:
        self.source = str(source)
        self.problem = _shortened(problem)
        super().__init__(f"{self.source}: no evidence of the verdict, which stands: {self.problem}")
