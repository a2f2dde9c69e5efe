"""The Python interface inside programs that have set PyTorch, NumPy and Python to their own liking."""

from __future__ import annotations

import decimal
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import netproof
from netproof.errors import InputError
from netproof.host import on_own_terms, own_terms, plain, steps_on_own_terms
from netproof.local_robustness import robustness
from netproof.query import sample_of

#: radii, and whether to attack: settled by bounds, by a search, by an attack
QUESTIONS = {
    "relu": ((0.1, True), (3.0, True), (3.0, False)),
    "convolution": ((0.3, True), (0.4, False), (1.0, True)),
    "sigmoid": ((0.02, True), (0.2, False), (1.0, True)),
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    """Files of small float networks whose answers need every kind of search."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("networks")
    modules: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "relu": (nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)), (1, 4)),
        "convolution": (
            nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(75, 10), nn.ReLU(), nn.Linear(10, 3)),
            (1, 1, 5, 5),
        ),
        "sigmoid": (nn.Sequential(nn.Linear(10, 8), nn.Sigmoid(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 2)), (1, 10)),
    }  # fmt: skip
    with torch.no_grad():
        for parameter in modules["sigmoid"][0].parameters():
            parameter.mul_(3.0)
    paths = {}
    for name, (module, shape) in modules.items():
        paths[name] = folder / f"{name}.onnx"
        netproof.from_torch(module, shape, path=paths[name])
    return paths


def answers(networks: dict[str, Path], tiny_data) -> list[object]:
    """What netproof says, as far as it has to be the same every time. Inputs are made here, as the caller makes them."""
    found: list[object] = []
    settings = netproof.Settings(timeout=600.0)

    def note(result: netproof.Result) -> None:
        point = None if result.witness is None else result.witness.input.tolist()
        found.append((result.verdict.value, result.method, result.subproblems, result.bound, point))

    for name, path in networks.items():
        network = netproof.load(path)
        image = torch.full((network.inputs,), 0.5, dtype=torch.float64, device="cpu")
        label = int(network.classify(image))
        for radius, attack in QUESTIONS[name]:
            query = robustness(network, image, label, box=(image - radius, image + radius))
            note(netproof.verify(query, netproof.Settings(timeout=600.0, attack=attack)))
        box = image - 0.5, image + 0.5
        coefficients = torch.zeros(1, network.outputs, dtype=torch.float64, device="cpu")
        coefficients[0, 0] = 1.0
        threshold = torch.full((1,), 50.0, dtype=torch.float64, device="cpu")
        condition = netproof.Conjunction(coefficients, threshold)
        note(netproof.verify(netproof.Query(network, *box, (condition,))))
    network = netproof.load(tiny_data.network)
    images = np.frombuffer(tiny_data.images.read_bytes()[16:], np.uint8).reshape(-1, 4)
    labels = tiny_data.labels.read_bytes()[8:]
    queries = [netproof.robustness(network, images[i], labels[i], 3) for i in range(8)]
    for result in netproof.verify(queries, netproof.Settings(timeout=600.0, proofs=True)):
        note(result)
    proofs = netproof.Settings(timeout=600.0, proofs=True)
    for query in queries:
        result = netproof.verify(query, proofs)
        if result.verdict is netproof.Verdict.UNSAT:
            found.append(netproof.check(netproof.certificate_of(query, result), network).claim)
            break
    radius = netproof.largest_radius(network, images[1], labels[1], settings, limit=3)
    found.append((radius.radius, radius.witness_radius, radius.exact))
    return found


@pytest.fixture(scope="module")
def expected(networks, tiny_data) -> list[object]:
    found = answers(networks, tiny_data)
    # the questions ask for something
    methods = {entry[1] for entry in found if len(entry) == 5}
    assert {"attack", "bound", "search"} <= methods, found
    return found


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
        assert torch.empty(0).device.type == name
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def flushing() -> Iterator[None]:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush small numbers to 0")
    try:
        yield
        assert np.float64(5e-324) * np.float64(1.0) == 0.0
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield
        assert torch.is_inference_mode_enabled()


@contextmanager
def no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield
        assert not torch.is_grad_enabled()


@contextmanager
def strict_numpy() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield
        assert np.geterr()["under"] == "raise"


@contextmanager
def strict_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def coarse_decimals() -> Iterator[None]:
    with decimal.localcontext(
        decimal.Context(prec=2, Emax=3, Emin=-3, traps=[decimal.Inexact, decimal.FloatOperation])
    ):
        yield
        assert decimal.getcontext().prec == 2


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield
        assert torch.is_autocast_enabled("cpu")


HOSTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: default_device("meta"),
    "inference": inference,
    "no_grad": no_grad,
    "deterministic": deterministic,
    "flush_denormal": flushing,
    "autocast": autocast,
    "errstate": strict_numpy,
    "warnings": strict_warnings,
    "decimal": coarse_decimals,
}


@pytest.mark.parametrize("host", HOSTS)
def test_same_answers_and_nothing_changed(host, networks, tiny_data, expected):
    generator, threads = torch.get_rng_state(), torch.get_num_threads()
    with HOSTS[host]():
        found = answers(networks, tiny_data)
    assert found == expected
    assert torch.equal(torch.get_rng_state(), generator) and torch.get_num_threads() == threads


def test_terms_are_those_of_a_fresh_process():
    """What changes no answer above would change others."""
    with HOSTS["flush_denormal"](), HOSTS["errstate"](), HOSTS["autocast"](), HOSTS["meta"](), own_terms():
        assert np.float64(5e-324) * np.float64(1.0) > 0.0
        assert np.geterr() == {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
        assert not torch.is_autocast_enabled("cpu")
        assert torch.empty(0).device.type == "cpu"


def test_same_answers_in_another_thread(networks, tiny_data, expected):
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(answers(networks, tiny_data)))
    thread.start()
    thread.join()
    assert found == expected


def test_what_was_loaded_and_asked_on_other_terms_is_answered(networks, expected):
    with torch.inference_mode():
        network = netproof.load(networks["relu"])
        image = torch.full((4,), 0.5, dtype=torch.float64)
        label = int(network.classify(image))
        asked = robustness(network, image, label, box=(image - 0.1, image + 0.1))
        coefficients, threshold = torch.eye(3, dtype=torch.float64)[:1], torch.full((1,), 50.0, dtype=torch.float64)
        other = netproof.Query(network, image - 0.5, image + 0.5, (netproof.Conjunction(coefficients, threshold),))
    tensors = (asked.lower, sample_of(asked).image, other.lower, other.upper, *vars(other.condition[0]).values())
    assert not any(tensor.is_inference() for tensor in tensors if tensor is not None)
    results = [netproof.verify(asked), netproof.verify(other)]
    assert [r.verdict.value for r in results] == [expected[0][0], expected[3][0]]


def test_an_image_that_gradients_are_taken_of(networks, expected):
    network = netproof.load(networks["relu"])
    image = torch.full((4,), 0.5, dtype=torch.float64, requires_grad=True)
    label = int(network.classify(image))
    result = netproof.verify(robustness(network, image, label, box=(image - 0.1, image + 0.1)))
    assert result.verdict.value == expected[0][0] and image.grad is None


def test_results_are_gone_through_on_the_callers_terms():
    seen: list[tuple[bool, bool]] = []

    @steps_on_own_terms("steps")
    def steps() -> Iterator[bool]:
        for _ in range(2):
            yield torch.is_grad_enabled()

    with torch.no_grad():
        seen.extend((inside, torch.is_grad_enabled()) for inside in steps())
    assert seen == [(True, False)] * 2


def test_an_error_leaves_the_callers_terms_as_they_were():
    @on_own_terms
    def fail() -> None:
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        raise InputError("a", "b", "c")

    with torch.inference_mode():
        with pytest.raises(InputError):
            fail()
        assert torch.is_inference_mode_enabled()
    with own_terms():
        assert plain(torch.zeros(1)).requires_grad is False


FORKED = """
import multiprocessing, os, sys, torch
{before}
import netproof

def ask():
    network = netproof.load({path!r})
    image = torch.full((network.inputs,), 0.5, dtype=torch.float64)
    from netproof.local_robustness import robustness
    from netproof.query import sample_of
    label = int(network.classify(image))
    found = []
    for radius in (0.002, 0.05, 0.15):
        query = robustness(network, image, label, box=(image - radius, image + radius))
        found.append(netproof.verify(query, netproof.Settings(timeout=600, attack=radius > 0.1)).verdict.value)
    # Tensors of a size that PyTorch shares among its threads.
    wide = netproof.load({wide!r})
    middle = torch.full((wide.inputs,), 0.5, dtype=torch.float64)
    query = robustness(wide, middle, int(wide.classify(middle)), box=(middle - 1e-4, middle + 1e-4))
    return [*found, netproof.verify(query).verdict.value, torch.get_num_threads()]

torch.set_num_threads(2)
(torch.rand(1000, 1000) @ torch.rand(1000, 1000)).exp().sum()
expected = {here}
with multiprocessing.get_context("fork").Pool(1) as pool:
    # Long enough on any machine; what hangs never comes to an end.
    again = pool.apply_async(ask).get(timeout=240)
print(again == (expected or ask()), torch.get_num_threads(), again[-1])
"""


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("wide") / "wide.onnx"
    netproof.from_torch(nn.Sequential(nn.Linear(600, 600), nn.ReLU(), nn.Linear(600, 3)), (1, 600), path=path)
    return path


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("before", "here"),
    [("", "ask()"), ("", "None"), ("import netproof.host", "ask()")],
    ids=["after a question", "after PyTorch alone", "module loaded first"],
)
def test_a_forked_process_answers(before, here, networks, wide):
    code = FORKED.format(before=before, here=here, path=str(networks["relu"]), wide=str(wide))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    assert done.stdout == "True 2 2\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_results_cannot_be_gone_through_in_another_process(networks):
    network = netproof.load(networks["relu"])
    image = torch.full((4,), 0.5, dtype=torch.float64)
    queries = [robustness(network, image, 0, box=(image - r, image + r)) for r in (0.001, 0.002)]
    steps = netproof.verify(queries).as_decided()
    next(steps)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            next(steps)
        except InputError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as stream:
        said = stream.read()
    assert said.startswith("verify: it was begun in another process") and "begin it in the process" in said
    assert next(steps)[0] == 1
