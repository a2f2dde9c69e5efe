"""Questions and answers: input set, output condition, verdict, witness."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from netproof.errors import QueryError
from netproof.graph.graph import Arithmetic
from netproof.host import on_own_terms, plain
from netproof.network import Network

#: constraints are exact with bits to spare for the multipliers' grid
_LARGEST_CONSTRAINT = float(2**44)


class Verdict(str, Enum):
    """The answer to a query; :attr:`for_robustness` gives the same in the words of local robustness."""

    SAT = "sat"
    UNSAT = "unsat"
    MISCLASSIFIED = "misclassified"
    UNKNOWN = "unknown"
    TIMEOUT = "timeout"
    ERROR = "error"

    @property
    def for_robustness(self) -> str:
        return {"sat": "vulnerable", "unsat": "robust"}.get(self.value, self.value)

    @property
    def decided(self) -> bool:
        return self in (Verdict.SAT, Verdict.UNSAT, Verdict.MISCLASSIFIED)


@dataclass(frozen=True, eq=False)
class Conjunction:
    """Linear constraints that hold together: ``coefficients @ y + input_coefficients @ x >= threshold``.

    ``coefficients`` is ``[m, n_output]``, ``threshold`` ``[m]``, and ``input_coefficients`` ``[m, n_input]``, or
    None where no constraint speaks of the input (always so for integer networks).
    """

    coefficients: Tensor
    threshold: Tensor
    input_coefficients: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("coefficients", "threshold", "input_coefficients"):
            if isinstance(getattr(self, name), Tensor):
                object.__setattr__(self, name, plain(getattr(self, name)))

    def holds(self, y: Tensor, x: Tensor | None = None) -> Tensor:
        """Whether outputs ``[..., n_output]`` of inputs ``[..., n_input]`` meet every constraint: ``[...]`` bool."""
        left = y @ self.coefficients.T
        if self.input_coefficients is not None:
            if x is None:
                raise ValueError("the constraints speak of the input, which is not given")
            left = left + x @ self.input_coefficients.T
        return (left >= self.threshold).all(-1)


@dataclass(frozen=True, eq=False)
class Query:
    """Is there an input in the box whose output meets one of the conjunctions?

    Attributes
    ----------
    network : the network asked about
    lower, upper : ``[n_input]``, the input box (ends included)
    condition : the disjunction, one :class:`Conjunction` per disjunct
    name : how reports and results call it
    """

    network: Network
    lower: Tensor
    upper: Tensor
    condition: tuple[Conjunction, ...]
    name: str = "query"

    @on_own_terms
    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        size = (self.network.inputs,)
        dtype = self.network.lower.dtype
        for part in (self.lower, self.upper, *(t for c in self.condition for t in (c.coefficients, c.threshold))):
            if part.dtype != dtype:
                raise QueryError(self.name, f"a tensor is {part.dtype}, the network's are {dtype}", "convert it")
        if self.lower.shape != size or self.upper.shape != size:
            raise QueryError(
                self.name,
                f"the box has shape {tuple(self.lower.shape)}, the network takes {size}",
                "give one lower and one upper end per network input",
            )
        if not bool((self.lower <= self.upper).all()):
            raise QueryError(
                self.name,
                "the input box is empty (a lower end exceeds its upper end, or is NaN)",
                "check the radius and the input's bounds",
            )
        if not bool((torch.isfinite(self.lower) & torch.isfinite(self.upper)).all()):
            raise QueryError(self.name, "the input box has an end that is infinite", "bound every input")
        for conjunction in self.condition:
            matrix, right = conjunction.coefficients, conjunction.threshold
            if matrix.ndim != 2 or right.ndim != 1 or matrix.shape[0] != right.shape[0] or not right.numel():
                raise QueryError(
                    self.name,
                    f"a conjunction has coefficients {tuple(matrix.shape)} and thresholds {tuple(right.shape)}",
                    "give a matrix with one row per constraint, at least one, and as many thresholds",
                )
            if conjunction.coefficients.shape[-1] != self.network.outputs:
                raise QueryError(
                    self.name,
                    f"a constraint speaks of {conjunction.coefficients.shape[-1]} outputs, "
                    f"the network has {self.network.outputs}",
                    "use the network's own outputs",
                )
            inputs = conjunction.input_coefficients
            if inputs is not None and (inputs.shape != (len(right), *size) or inputs.dtype != dtype):
                raise QueryError(
                    self.name,
                    f"a conjunction has input coefficients {tuple(inputs.shape)} for {len(right)} constraints "
                    f"on {self.network.inputs} inputs",
                    "give one row per constraint and one column per network input, as float64",
                )

        if self.network.graph.arithmetic is Arithmetic.INTEGER:
            self._check_integers()

    def _check_integers(self) -> None:
        """Exact claims need integer constraints, and boxes for which the graph was found exact."""
        network = self.network
        if not all(bool((end == end.round()).all()) for end in (self.lower, self.upper)):
            raise QueryError(self.name, "the input box has ends that are not integers", "round it inwards")
        if not bool(((self.lower >= network.lower) & (self.upper <= network.upper)).all()):
            raise QueryError(
                self.name,
                f"the input box leaves the network's input range {int(network.lower.min())}..{int(network.upper.max())}",
                "cut it to that range",
            )
        if any(c.input_coefficients is not None for c in self.condition):
            raise QueryError(
                self.name,
                "a constraint speaks of the input, which integer queries cannot",
                "constrain outputs and give the input a box",
            )
        coefficients, _, threshold = self._constraints
        size = coefficients.abs().sum(-1) * network.largest_output + threshold.abs()
        if not bool((size < _LARGEST_CONSTRAINT).all()):
            raise QueryError(self.name, "a constraint's terms can reach 2^44", "use smaller coefficients")
        if not all(bool((part == part.round()).all()) for part in (coefficients, threshold)):
            raise QueryError(self.name, "a constraint has coefficients that are not integers", "scale it to integers")

    @cached_property
    def _constraints(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """The constraints of all conjunctions, one after the other: coefficients ``[M, n_output]`` of outputs and
        ``[M, n_input]`` of inputs (None where there are none), thresholds ``[M]``."""
        if not self.condition:
            return self.lower.new_zeros(0, self.network.outputs), None, self.lower.new_zeros(0)
        outputs = torch.cat([c.coefficients for c in self.condition])
        threshold = torch.cat([c.threshold for c in self.condition])
        if all(c.input_coefficients is None for c in self.condition):
            return outputs, None, threshold
        none = self.lower.new_zeros(self.network.inputs)
        inputs = torch.cat(
            [
                none.expand(len(c.threshold), -1) if c.input_coefficients is None else c.input_coefficients
                for c in self.condition
            ]
        )
        return outputs, inputs, threshold

    @on_own_terms
    def refuted_by(self, x: Tensor) -> Tensor:
        """Whether inputs ``[..., n_input]`` are witnesses: ``[...]`` bool.

        Exact for integer networks. For real ones it is a float64 evaluation, fit to propose a witness but not
        to report one.
        """
        inside = ((x >= self.lower) & (x <= self.upper)).all(-1)
        if self.network.graph.arithmetic is Arithmetic.INTEGER:
            inside &= (x == x.round()).all(-1)
        outputs, inputs, threshold = self._constraints
        reached = self.network.graph.evaluate(x) @ outputs.T
        holds = (reached if inputs is None else reached + x @ inputs.T) >= threshold
        if len(threshold) > len(self.condition):
            sizes = [len(c.threshold) for c in self.condition]
            holds = torch.stack([part.all(-1) for part in torch.split(holds, sizes, -1)], -1)
        return inside & holds.any(-1)

    @property
    def misclassified(self) -> bool:
        """True where the query has no meaning because the sample itself is classified wrongly."""
        return False


@dataclass(frozen=True, eq=False)
class LabelQuery(Query):
    """Can the network give another class than the image's label somewhere in the box around it?

    Attributes
    ----------
    image : ``[n_input]``
    label : its class
    """

    image: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32))
    label: int = 0

    @cached_property
    def prediction(self) -> int:
        """The class the network gives the image itself."""
        return int(self.network.classify(self.image))

    @property
    def misclassified(self) -> bool:
        return self.prediction != self.label


@dataclass(frozen=True, eq=False)
class RobustnessQuery(LabelQuery):
    """Can the prediction for ``image`` change within ``radius``?  Made by :func:`robustness`."""

    radius: int = 0


@dataclass(frozen=True, eq=False)
class ImageQuery(LabelQuery):
    """Can another output reach the label's on the box around an image, for a network over the real numbers?

    Made by :func:`image_robustness`.
    """


@on_own_terms
def image_robustness(
    network: Network, image: Tensor, lower: Tensor, upper: Tensor, label: int, *, name: str = "image"
) -> ImageQuery:
    """Local robustness of a network over the real numbers, as VNN-COMP asks it: ``y_k >= y_label`` for some other ``k``.

    Parameters
    ----------
    image, lower, upper : ``[n_input]`` as the network takes them, the point and the ends of its box
    label : the image's class

    Raises
    ------
    QueryError : wrong sizes, no such label, a network over the integers
    """
    if network.graph.arithmetic is not Arithmetic.REAL:
        raise QueryError(name, f"{network.path} is not a network over the real numbers", "give a float network")
    coefficients, _ = _leads(network, label, name)
    zero = torch.zeros(1, dtype=torch.float64)
    return ImageQuery(
        network=network,
        lower=plain(lower).double().reshape(-1),
        upper=plain(upper).double().reshape(-1),
        condition=tuple(Conjunction(row[None], zero) for row in coefficients),
        name=name,
        image=plain(image).double().reshape(-1),
        label=int(label),
    )


def _leads(network: Network, label: int, name: str) -> tuple[Tensor, list[int]]:
    """Coefficients of every other output's lead over the label's, ``[n_output - 1, n_output]``, and which these are."""
    if not _is_whole(label) or not 0 <= label < network.outputs:
        raise QueryError(
            name,
            f"label {label} is not an output of the network ({network.outputs} outputs)",
            "check that labels and network belong together",
        )
    rivals = [rival for rival in range(network.outputs) if rival != label]
    coefficients = torch.eye(network.outputs, dtype=network.lower.dtype)[rivals]
    coefficients[:, int(label)] = -1.0
    return coefficients, rivals


@on_own_terms
def robustness(
    network: Network, image: ArrayLike | Tensor, label: int, radius: int, *, name: str = ""
) -> RobustnessQuery:
    """Local robustness in the maximum norm, for a network over the integers.

    The prediction is the *first* largest output, over all of the network's outputs. Class ``k``
    beats ``label`` where ``y_k - y_label >= 0`` for ``k < label`` and ``>= 1`` for ``k > label``.

    Parameters
    ----------
    image : ``[n_input]`` or any shape of that size; integer values in the network's input range
    label : the sample's class
    radius : how far each input value may move; the box is cut to the network's input range

    Raises
    ------
    QueryError : wrong size, values outside the input range, no such label, a negative radius
    """
    name = name or f"radius {radius}"
    if network.graph.arithmetic is not Arithmetic.INTEGER:
        raise QueryError(
            name, f"{network.path} is not an integer network, so its inputs are no grey levels", "give a property file"
        )
    # A copy: what the caller does to the array later must not change the query.
    pixels = image.detach().clone() if isinstance(image, Tensor) else torch.from_numpy(np.array(image))
    image = pixels.to(network.lower.dtype).reshape(-1)
    if image.shape != network.lower.shape:
        raise QueryError(
            name,
            f"the image has {image.numel()} values, the network takes {network.inputs}",
            "use images of the data set the network was trained on",
        )
    if not bool((image == image.round()).all() & (image >= network.lower).all() & (image <= network.upper).all()):
        raise QueryError(
            name,
            f"the image has values that are not integers from {int(network.lower.min())} to {int(network.upper.max())}",
            "give raw integer pixels, not normalized ones",
        )
    if not _is_whole(radius) or radius < 0:
        raise QueryError(name, f"the radius is {radius}", "give a whole number of grey levels, 0 or more")
    # A radius beyond the input range asks about the whole range.
    reach = min(int(radius), int((network.upper - network.lower).max()))
    coefficients, rivals = _leads(network, label, name)
    label, radius = int(label), int(radius)
    margins = torch.tensor([float(rival > label) for rival in rivals], dtype=network.lower.dtype)
    return RobustnessQuery(
        network=network,
        lower=torch.maximum(image - reach, network.lower),
        upper=torch.minimum(image + reach, network.upper),
        # A network of one output has no rivals, and no cases then.
        condition=tuple(Conjunction(coefficients[i : i + 1], margins[i : i + 1]) for i in range(len(rivals))),
        name=name,
        image=image,
        label=label,
        radius=radius,
    )


def _is_whole(number: object) -> bool:
    """Whether something is a whole number, of whatever type (NumPy's and one-element tensors included)."""
    try:
        value = float(number)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return isinstance(number, int)  # beyond what a float holds
    return math.isfinite(value) and value == int(value)


@dataclass(frozen=True, eq=False)
class Witness:
    """An input that meets the condition, replayed exactly before it is reported.

    ``input`` is ``[n_input]`` and ``output`` ``[n_output]``, both int64 for integer networks and float32 for real ones.
    ``exact`` is the input of a real query as exact numbers; it is ``input`` but where the box holds no float32 value,
    and there ``input`` has the nearest one.
    """

    input: Tensor
    output: Tensor
    exact: tuple[Fraction, ...] = ()

    @property
    def numbers(self) -> tuple[Fraction, ...]:
        """The input, exactly."""
        return self.exact or tuple(Fraction(value) for value in self.input.tolist())

    @property
    def output_numbers(self) -> tuple[Fraction, ...]:
        """The output, exactly."""
        return tuple(Fraction(value) for value in self.output.tolist())


@dataclass(frozen=True, eq=False)
class Result:
    """What :func:`netproof.verify` found.

    Attributes
    ----------
    verdict : the answer
    seconds : time spent on this query (its share, where queries were solved in one batch)
    method : the step that settled it: ``attack``, ``bound`` (at the root), ``search``, ...
    subproblems : how many subproblems were bounded
    witness : the input, where the verdict is ``sat``
    bound : an upper bound on the largest ``coefficients @ y - threshold`` where undecided
    reason : why there is no answer, where there is none
    accident : there is none because something broke (a solver's process died), not because a limit was reached
    proof : where the verdict is ``unsat`` and the settings ask for proofs, the proof's arrays
        (docs/certificates.md), int64 each
    """

    verdict: Verdict
    seconds: float
    method: str
    subproblems: int = 0
    witness: Witness | None = None
    bound: float | None = None
    reason: str = ""
    proof: Mapping[str, NDArray[np.int64]] | None = None
    accident: bool = False
