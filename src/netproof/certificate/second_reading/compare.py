"""Are the graph that the checker evaluates and a second reading of the file the same function?

The two are compared part by part, from the input on. A part of the second reading that has steps must be one of the graph's
activations: *the same affine map* of the input and of earlier activations in front, and *the same steps*; or nothing depends
on it, as where values cancel (numbers drawn at random in its place then change nothing, which they otherwise do with a
probability of at least 1 - 2^-16). The last affine map must be the same, too, and so must the inputs that there are.

* Affine maps are compared by their values at 0 and at every unit vector of every operand, which are all of their
  coefficients. Where those are too many (:data:`_MOST_ENTRIES`), by their values at :data:`_PROBES` points drawn at random
  from integers up to ``2**k``: maps that differ agree at one of them with a probability of at most ``2**-k``, ``k`` at least
  16 (a linear form that is not 0 vanishes for at most one value of any coordinate on which it depends).
* A function of two values is compared at every pair of them, once the affine map in front is found to be a combination of
  both with whole factors, the same in every feature.
* Steps keep order on both sides. They are compared at the ends of what can reach them, at every threshold of the
  graph, and one before it: in between, neither changes.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch import Tensor

from netproof.certificate.checker.evaluate import ExactNetwork
from netproof.certificate.second_reading.keras import read_keras
from netproof.certificate.second_reading.onnx import read_onnx
from netproof.certificate.second_reading.pairs import combined
from netproof.certificate.second_reading.quantized.read import read_quantized
from netproof.certificate.second_reading.reading import Floats, LateError, Part, Reading, UnknownFormError, stepped
from netproof.certificate.second_reading.tflite.read import read_tflite
from netproof.errors import CertificateError, ProofError
from netproof.network import Network
from netproof.operators.base import Activation, Affine

_HDF5 = b"\x89HDF\r\n\x1a\n"
#: bytes 4 to 7
_TFLITE = b"TFL3"
#: values are taken at every unit vector where this many numbers suffice
_MOST_ENTRIES = 1 << 23
#: otherwise at so many points, whose coordinates have at least so many bits
_PROBES, _LEAST_BITS, _MOST_BITS = 4, 16, 30
#: step functions that the graph does not have are compared with each other on so many whole numbers
_MOST_POINTS = 1 << 16
_HINT = "do not trust a verdict on this file, and report it"

#: what was said of networks that were compared: a network does not change, and certificates come by the hundred
_CONFIRMED: WeakKeyDictionary[Network, str] = WeakKeyDictionary()
#: those that were read a second time
_KNOWN: WeakSet[Network] = WeakSet()


def confirm(network: Network, deadline: float = math.inf) -> str:
    """Compare a network with a second reading of its file; says what was compared, once per network.

    Raises :class:`CertificateError` where the two differ, and where the second reader does not know the file. A network
    that was made in memory has no file (:attr:`netproof.Network.content` is empty): nothing was read, so nothing is
    compared, and the result is empty. After ``deadline``, a time of :func:`time.perf_counter`, it raises :class:`ProofError`.
    """
    if not network.content:
        return ""
    if network not in _CONFIRMED:
        if hashlib.sha256(network.content).hexdigest() != network.sha256:
            raise CertificateError(network.path, "has another SHA-256 than the network read from it", "read it again")
        try:
            _CONFIRMED[network] = _Comparison(network, _read(network, deadline)).run()
        except LateError:
            raise ProofError(network.path, "the time limit was reached while its file was read a second time") from None
    return _CONFIRMED[network]


def check_known(network: Network) -> None:
    """Raise :class:`CertificateError` where the second reader does not know a network's file, which is not compared yet."""
    if network.content and network not in _CONFIRMED and network not in _KNOWN:
        _read(network)
        _KNOWN.add(network)


def _read(network: Network, deadline: float = math.inf) -> Reading:
    data = network.content
    try:
        if data[4:8] == _TFLITE:
            return read_tflite(data, network.runtime, deadline)
        if network.runtime:
            return read_quantized(data, network.runtime, deadline)
        if data.startswith(_HDF5):
            return read_keras(data, network.scheme, deadline)
        return read_onnx(data, deadline)
    except UnknownFormError as unknown:
        detail = str(unknown)
    except (
        OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError, struct.error,
    ) as error:  # fmt: skip
        detail = " ".join(str(error).split())[:100] or type(error).__name__
    text = "".join(c if c.isprintable() else " " for c in detail)
    raise CertificateError(
        network.path,
        f"cannot be read a second time, independently of the first: {text}",
        "use a network in one of the forms of docs/formats.md",
    )


@dataclass(frozen=True, eq=False)
class _Probes:
    """Values of the input and of every activation, ``[B, n]`` each, by which affine maps of them are told apart."""

    atoms: list[Floats]
    words: str


class _Comparison:
    def __init__(self, network: Network, reading: Reading) -> None:
        self._network, self._reading = network, reading
        self._graph = network.graph
        if isinstance(self._graph.output.operator, Activation):
            reading.end_in_steps()
        self._net = ExactNetwork(network, network.path)
        self._random: np.random.Generator | None = None
        self._most = 0
        self._drawn: dict[object, Floats] = {}
        #: for every activation of the graph, the first of those that are found to be one function with it
        self._same = list(range(len(self._graph.activations)))

    def run(self) -> str:
        self._check_inputs()
        probes = self._probes()
        while True:
            same = self._same
            words, difference = self._compared(probes)
            if difference is None:
                return words
            if self._same == same:
                raise difference

    def _compared(self, probes: _Probes) -> tuple[str, CertificateError | None]:
        """One comparison, with the activations found so far to be the same; a difference counts where no others are found."""
        ahead, result = self._ahead(probes)
        values: dict[int, Floats] = {}
        maps = steps = 0
        missing: CertificateError | None = None
        for index in self._reading.needed():
            self._reading.look()
            part = self._reading.parts[index]
            if not part.operands:
                values[index] = probes.atoms[0]
            elif part.map is not None:
                values[index] = part.map([values[i] for i in part.operands], False)
                maps += 1
            else:
                found = self._activation(part, [values[i] for i in part.operands], ahead, steps + 1)
                if isinstance(found, int):
                    steps += 1
                    values[index] = probes.atoms[1 + found]
                else:
                    # Of no consequence if nothing depends on it, as where it cancels: any number will do then.
                    missing = missing or found
                    values[index] = self._anything(index, values[part.operands[0]])
        words = f"{maps} affine maps {probes.words}, {steps} step functions at every threshold"
        if np.array_equal(values[self._reading.output], result):
            return words, None
        return words, missing or self._difference("the result")

    def _check_inputs(self) -> None:
        network, source = self._network, self._reading.parts[0]
        if source.size != network.inputs or self._reading.parts[self._reading.output].size != network.outputs:
            raise self._difference("the number of inputs or outputs")
        ends = (network.lower.numpy(), source.low), (network.upper.numpy(), source.high)
        if not all(np.array_equal(mine, other) for mine, other in ends):
            raise self._difference("the range of the inputs")

    def _probes(self) -> _Probes:
        sizes = self._net.sizes
        entries = sum(node.size for node in self._graph.nodes) + sum(part.size for part in self._reading.parts)
        count = 1 + sum(sizes)
        if count * entries <= _MOST_ENTRIES:
            atoms, start = [], 1
            for size in sizes:
                atoms.append(np.eye(count, size, -start))
                start += size
            return _Probes(atoms, "in all of their coefficients")
        bits = self._bits()
        random = np.random.default_rng(int(self._network.sha256[:16], 16))
        zero = [np.zeros((1, size)) for size in sizes]
        drawn = [random.integers(-(1 << bits), 1 << bits, (_PROBES, size)).astype(np.float64) for size in sizes]
        atoms = [np.concatenate(pair) for pair in zip(zero, drawn, strict=True)]
        return _Probes(atoms, f"at {_PROBES} random points of {bits}-bit numbers")

    def _bits(self) -> int:
        """How large the numbers of points may be so that no sum of either reading leaves what float64 holds exactly."""
        sizes: dict[int, Floats] = {}
        largest = 1.0
        for index, part in enumerate(self._reading.parts):
            if part.map is None:
                sizes[index] = np.ones((1, part.size))
                continue
            absolute = part.map([sizes[i] for i in part.operands], True)
            offset = np.abs(part.map([np.zeros((1, self._reading.parts[i].size)) for i in part.operands], False))
            sizes[index] = absolute + offset
            largest = max(largest, float(sizes[index].max()))
        bits = min(_MOST_BITS, 51 - int(np.ceil(np.log2(largest))))
        if bits < _LEAST_BITS:
            raise CertificateError(self._network.path, "has sums too large to compare two readings of it", _HINT)
        return bits

    def _ahead(self, probes: _Probes) -> tuple[list[Floats], Floats]:
        """What the graph has in front of every activation, and as its result, where activations give the probes."""
        values: list[Tensor] = [torch.from_numpy(probes.atoms[0])]
        ahead: list[Floats] = []
        for node in self._graph.nodes[1:]:
            operator = node.operator
            operands = [values[i] for i in node.operands]
            self._reading.look()
            if isinstance(operator, Affine):
                values.append(operator.forward(*operands))
            else:
                ahead.append(operands[0].numpy())
                which = len(ahead) - 1
                values.append(torch.from_numpy(probes.atoms[1 + self._same[which]]))
        return ahead, values[-1].numpy()

    def _activation(self, part: Part, values: list[Floats], ahead: list[Floats], number: int) -> int | CertificateError:
        """The activation of the graph that is a part of the reading, or what to say where there is none."""
        if part.pair is not None:
            factors = {k: combined(other, values[0], values[1]) for k, other in enumerate(ahead)}
            fits = [k for k, found in factors.items() if found is not None]
        else:
            fits = [k for k, other in enumerate(ahead) if np.array_equal(other, values[0])]
        if not fits:
            return self._difference(f"the affine map in front of step function {number}")
        if part.pair is not None:
            fits = [k for k in fits if self._same_pairs(part, k, factors[k])]
        else:
            fits = [k for k in fits if self._same_steps(part, k)]
        if not fits:
            return self._difference(f"step function {number}")
        # Several are one function of what can reach them, and so is what was found to be the same as one of them: any
        # may stand for the others.
        found = {self._same[k] for k in fits}
        self._same = [min(found) if k in found else k for k in self._same]
        return min(found)

    def _anything(self, index: int, value: Floats) -> Floats:
        """Numbers drawn at random, the same in every row: what depends on them differs, but for one chance in many.

        Steps that are the same at every whole number, behind the same affine map, are one.
        """
        part = self._reading.parts[index]
        operand = self._reading.parts[part.operands[0]]
        key: object = index
        if len(part.steps) == 1:
            ends = int(operand.low.min()), int(operand.high.max())
            if ends[1] - ends[0] < _MOST_POINTS:
                points = np.arange(ends[0], ends[1] + 1, dtype=np.float64)
                key = (value.tobytes(), tuple(stepped(part.steps[0], points).tolist()))
        if key not in self._drawn:
            self._drawn[key] = np.repeat(self._numbers(part.size), len(value), 0)
        return self._drawn[key]

    def _numbers(self, size: int) -> Floats:
        if self._random is None:
            self._most = 1 << self._bits()
            self._random = np.random.default_rng()  # not to be foreseen by whoever makes a file
        return self._random.integers(-self._most, self._most, (1, size)).astype(np.float64)

    def _same_steps(self, part: Part, k: int) -> bool:
        operand = self._reading.parts[part.operands[0]]
        stairs = self._net.stairs[k]
        if part.size != self._net.sizes[1 + k]:
            return False
        # One feature for each pair of channels that share one: those of the graph and those of the reading.
        wide, narrow = part.size // len(part.steps), part.size // stairs.channels
        starts = sorted({*range(0, part.size, wide), *range(0, part.size, narrow)})
        points: dict[int, Floats] = {}
        for start, stop in zip(starts, [*starts[1:], part.size], strict=True):
            self._reading.look()
            ends = float(operand.low[start:stop].min()), float(operand.high[start:stop].max())
            thresholds = stairs.threshold(torch.arange(stairs.levels + 2), torch.tensor(start)).numpy()
            met = np.unique(np.concatenate([thresholds, thresholds - 1, ends]))
            points[start] = met[(met >= ends[0]) & (met <= ends[1])]
        expected = {}
        for at, met in points.items():
            self._reading.look()
            expected[at] = stepped(part.steps[at // wide], met).astype(np.float64)
        return self._same_values(k, points, expected)

    def _same_pairs(self, part: Part, k: int, factors: tuple[int, int] | None) -> bool:
        """Whether steps of a combination are a function of two values at every pair of them."""
        if factors is None or part.pair is None or part.size != self._net.sizes[1 + k]:
            return False
        rows, columns = part.pair.shape
        first = part.pair_low[0] + np.arange(rows)[:, None]
        second = part.pair_low[1] + np.arange(columns)[None]
        sums = (factors[0] * first + factors[1] * second).reshape(-1).astype(np.float64)
        narrow = part.size // self._net.stairs[k].channels
        expected = part.pair.reshape(-1).astype(np.float64)
        starts = range(0, part.size, narrow)
        return self._same_values(k, dict.fromkeys(starts, sums), dict.fromkeys(starts, expected))

    def _same_values(self, k: int, points: dict[int, Floats], expected: dict[int, Floats]) -> bool:
        """Whether the activation ``k`` of the graph has the values expected, as the checker sees it and as it evaluates it.

        ``points`` and ``expected`` are by feature.
        """
        stairs, operator = self._net.stairs[k], self._graph.nodes[self._graph.activations[k]].operator
        assert isinstance(operator, Activation)
        for at, met in points.items():
            feature = torch.tensor(at)
            found = stairs.base[feature] + stairs.level(torch.from_numpy(met), feature)
            if not np.array_equal(found.numpy(), expected[at]):
                return False
        # And the operator itself, by which witnesses and points are evaluated.
        given = _evaluated(operator, points, stairs.channels, self._net.sizes[1 + k])
        return all(np.array_equal(given[at], values) for at, values in expected.items())

    def _difference(self, what: str) -> CertificateError:
        return CertificateError(self._network.path, f"is read as two different networks: {what} is not the same", _HINT)


def _evaluated(operator: Activation, points: dict[int, Floats], channels: int, size: int) -> dict[int, Floats]:
    """An activation of ``size`` features at points of some of them, as it acts on each."""
    if channels > 1:
        rows = torch.zeros(max(len(met) for met in points.values()), size, dtype=torch.float64)
        for at, met in points.items():
            rows[: len(met), at] = torch.from_numpy(met)
        found = operator.evaluate(rows).numpy()
        return {at: found[: len(met), at] for at, met in points.items()}
    given = {}
    for at, met in points.items():
        count = -(-len(met) // size)
        padded = np.concatenate([met, np.repeat(met[-1:], count * size - len(met))])
        values = operator.evaluate(torch.from_numpy(padded).reshape(count, size))
        given[at] = values.reshape(-1)[: len(met)].numpy()
    return given
