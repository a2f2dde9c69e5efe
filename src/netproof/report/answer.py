"""The answer about one image: in words, and as a JSON document."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from netproof.asking.images import Images
from netproof.asking.reach import Reach
from netproof.graph.graph import Arithmetic
from netproof.query import Query, Result
from netproof.report.text import seconds_text


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found about one image.

    Attributes
    ----------
    limit : the time limit, in seconds
    target, top : as for :func:`netproof.robustness`
    """

    images: Images
    index: int
    reach: Reach
    query: Query
    result: Result
    limit: float
    target: int | None = None
    top: int = 1

    @property
    def verdict(self) -> str:
        """The verdict in the words of local robustness."""
        return self.result.verdict.for_robustness

    @property
    def label(self) -> int:
        """The class that is to be kept."""
        assert self.query.sample is not None
        return self.query.sample.label

    @property
    def rival(self) -> int | None:
        """The class of the witness: the largest output but the label's, the first of equal ones."""
        if self.result.witness is None:
            return None
        outputs = self.result.witness.output_numbers
        return max((k for k in range(len(outputs)) if k != self.label), key=lambda k: (outputs[k], -k), default=None)

    @property
    def text(self) -> str:
        """The verdict, what it means, the witness in short, and the cost."""
        result, verdict = self.result, self.verdict
        said = "" if self.images.labels is not None else ", the network's own class"
        lines = [
            f"sample {self.index} (label {self.label}{said}), radius {self.radius_words}: {verdict}",
            f"  {self.meaning}",
        ]
        if result.witness is not None:
            changed, largest = self.images.change(self.index, result.witness.numbers)
            what = (
                f"class {self.rival} instead of {self.label}"
                if self.top == 1
                else f"{self.top} other classes have outputs as large as class {self.label} or larger"
            )
            by = f"by at most {number_text(largest)}"
            if self.reach.norm in ("l1", "l2"):
                far = self.images.distance(self.index, result.witness.numbers, self.reach.norm)
                by += f" each and {float(far):.6g} in {self.reach.norm}"
            lines.append(f"  witness: {what}; {changed} of {self.query.network.inputs} pixels changed, {by}")
        if verdict in ("timeout", "unknown") and result.bound is not None:
            lines.append(f"  best upper bound on the margin so far: {result.bound:g} (below 0 would prove robustness)")
        lines.append(
            f"  time {seconds_text(result.seconds)}, method {result.method or 'none'}, subproblems {result.subproblems}"
        )
        if self.images.words:
            lines.append(f"  {self.images.words}")
        if self.query.network.computed_by:
            lines.append(f"  {self.query.network.computed_by}")
        return "\n".join(lines)

    @property
    def radius_words(self) -> str:
        """The radius: whole grey levels of an integer network by their number alone."""
        plain = self.images.unit.scale is None and self.reach.norm == "linf"
        return str(self.reach.number) if plain else self.reach.words

    @property
    def meaning(self) -> str:
        """What the verdict says of this image."""
        each = "every pixel by at most" if self.reach.norm == "linf" else "pixels together by at most"
        reach = f"moving {each} {self.reach.words}"
        if self.reach.norm == "l0":
            reach = f"changing {number_text(self.reach.value)} of the values, whichever, to anything"
        kept = (
            f"the class from {self.label}" if self.target is None else f"the class from {self.label} to {self.target}"
        )
        does = f"changes {kept}" if self.top == 1 else f"takes class {self.label} from the first {self.top}"
        can = f"change {kept}" if self.top == 1 else f"take class {self.label} from the first {self.top}"
        return {
            "robust": f"proved: no way of {reach} {does}",
            "vulnerable": f"{reach} can {can}",
            "misclassified": f"the network takes the image itself for class {self.query.prediction}, so there is no class to keep",
            "timeout": f"not decided within the time limit of {self.limit:g} s; a larger --timeout may decide it",
            "unknown": f"not decided: {self.result.reason or 'the engine stopped without an answer'}",
        }.get(self.verdict, f"not answered: {self.result.reason}")

    @property
    def document(self) -> dict[str, object]:
        """The answer as plain values."""
        result = self.result
        integer = self.query.network.graph.arithmetic is Arithmetic.INTEGER
        document: dict[str, object] = {
            "verdict": self.verdict,
            "index": self.index,
            "label": self.label,
            "prediction": self.query.prediction,
            "radius": int(self.reach.value) if integer else number_text(self.reach.value),
            "radius_in_words": self.reach.words,
            "seconds": round(result.seconds, 6),
            "method": result.method,
            "subproblems": result.subproblems,
            "bound": result.bound if result.bound is not None and math.isfinite(result.bound) else None,
            "reason": result.reason,
            "witness": None,
        }
        if self.reach.norm != "linf":
            document["norm"] = self.reach.norm
        if self.target is not None or self.top != 1:
            document |= {"target": self.target, "top": self.top}
        if result.witness is not None:
            from netproof.formats.counterexample import decimal

            changed, largest = self.images.change(self.index, result.witness.numbers)
            document["witness"] = {
                "class": self.rival,
                "changed": changed,
                "largest_change": int(largest) if integer else number_text(largest),
                **(
                    {}
                    if self.reach.norm in ("linf", "l0")
                    else {"distance": float(self.images.distance(self.index, result.witness.numbers, self.reach.norm))}
                ),
                # As text, because a number in JSON need not survive its reader exactly.
                "input": [int(v) if integer else decimal(v) for v in result.witness.numbers],
                "output": [int(v) if integer else decimal(v) for v in result.witness.output_numbers],
            }
        return document


def number_text(number: int | Fraction) -> str:
    """A number for people, with what it is exactly where that is short."""
    number = Fraction(number)
    if number.denominator == 1:
        return str(number.numerator)
    return f"{float(number):.6g}" if number.denominator > 10**6 else f"{number} ({float(number):.6g})"
