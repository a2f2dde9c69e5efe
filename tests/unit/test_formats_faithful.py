"""Modules of which an exporter writes something else than they compute."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn

import netproof
from netproof.errors import InputError
from netproof.formats.faithful import values_read

Forward = Callable[[nn.Linear, Tensor], Tensor]


class Made(nn.Module):
    """A linear map of four inputs, and what becomes of it."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.linear, self.then = nn.Linear(4, 3), forward

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.linear, x)


def refused(forward: Forward, *parts: str) -> None:
    with pytest.raises(InputError) as raised:
        netproof.from_torch(Made(forward), (1, 4))
    assert str(raised.value).isprintable()
    for part in parts:
        assert part in str(raised.value)


def same(module: nn.Module, network: netproof.Network) -> None:
    torch.manual_seed(4)
    for _ in range(20):
        x = 2 * torch.randn(1, 4)
        with torch.no_grad():
            expected = module(x).double().reshape(-1)
        assert torch.allclose(network.graph.evaluate(x.double()).reshape(-1), expected, atol=1e-5)


def mean_of_any(linear: nn.Linear, x: Tensor) -> Tensor:
    y = linear(x)
    return 2 * y if (y > 100).any() else y


BRANCHES: dict[str, Forward] = {
    "bool": lambda linear, x: linear(x) if x.sum() > 0 else -linear(x),
    # Never taken at an input that anybody would draw.
    "seldom": mean_of_any,
    # Not at the input itself, but at what is computed of it, which has no gradient any more.
    "data": lambda linear, x: linear(x) if x.data.sum() > 100 else -linear(x),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_by_the_values_of_the_input_is_refused(name):
    refused(BRANCHES[name], "Made: PyTorch cannot export it for input shape (1, 4)", "by 'bool', and goes by them")


def turned(y: Tensor, seldom: object) -> Tensor:
    return -y if seldom else y


def by_kind(linear: nn.Linear, x: Tensor) -> Tensor:
    """Runs on plain tensors alone."""
    if type(x) is not Tensor:
        raise TypeError
    return turned(linear(x), (x > 100).any())


def by_failure(linear: nn.Linear, x: Tensor) -> Tensor:
    y = linear(x)
    try:
        torch.linalg.cholesky(torch.eye(2) * (200 - y.sum()))
    except RuntimeError:
        return -y
    return y


class Own(torch.autograd.Function):
    """What is inside, PyTorch's functions do not see."""

    @staticmethod
    def forward(ctx: object, y: Tensor) -> Tensor:
        del ctx
        return turned(y * 1, (y > 100).any())


def into(start: Tensor, *steps: Callable[[Tensor, Tensor], object]) -> Forward:
    """Numbers by way of a tensor that has nothing to do with the input at first."""

    def forward(linear: nn.Linear, x: Tensor) -> Tensor:
        y, other = linear(x), start.clone()
        for step in steps:
            step(other, y)
        return turned(y, other.max() > 100)

    return forward


WAYS: dict[str, Forward] = {
    "nonzero": lambda linear, x: turned(linear(x), len(torch.nonzero(x > 100))),
    "indexing": lambda linear, x: turned(linear(x), x[x > 100].numel()),
    "masked_select": lambda linear, x: turned(linear(x), x.masked_select(x > 100).shape[0]),
    "where": lambda linear, x: turned(linear(x), torch.where(x > 100)[0].shape[0]),
    "unique": lambda linear, x: turned(linear(x), torch.unique((x > 100).int()).numel() > 1),
    "bincount": lambda linear, x: turned(linear(x), len(torch.bincount((x > 100).long()[0])) > 1),
    "repeat_interleave": lambda linear, x: turned(linear(x), len(torch.repeat_interleave((x > 100).long()[0]))),
    "arange": lambda linear, x: turned(linear(x), len(torch.arange((x > 100).sum()))),
    "a copy": lambda linear, x: turned(linear(x), torch.tensor(x).max() > 100),
    "a deep copy": lambda linear, x: turned(linear(x), copy.deepcopy(x.detach()).max() > 100),
    "memory": lambda linear, x: turned(linear(x), any((x > 100).untyped_storage())),
    "text": lambda linear, x: turned(linear(x), "-" in str(x)),
    "dlpack": lambda linear, x: turned(linear(x), torch.from_dlpack(x.detach()).max() > 100),
    "another type": by_kind,
    "an exception": by_failure,
    "a function of its own": lambda linear, x: Own.apply(linear(x)),
    "entries": into(torch.zeros(1, 3), lambda other, y: other.__setitem__(slice(None), y)),
    "a sum in place": into(torch.zeros(1, 3), lambda other, y: other.add_(y)),
    "a view": into(torch.zeros(1, 3), lambda other, y: other[:, 1:].copy_(y[:, 1:])),
    "its data": into(torch.zeros(1, 3), lambda other, y: setattr(other, "data", y)),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_by_which_python_learns_a_number_is_seen(way):
    """How many entries a result has is one, too; and what was computed or copied elsewhere is followed."""
    for x in (torch.zeros(1, 4), torch.full((1, 4), 1e4)):
        assert values_read(Made(WAYS[way]), (x,))


def test_a_branch_by_how_many_entries_there_are_is_refused():
    refused(WAYS["nonzero"], "Made: PyTorch cannot export it for input shape (1, 4)", "by 'nonzero', and goes by them")


HARMLESS: dict[str, Forward] = {
    "numbers of parameters": lambda linear, x: turned(linear(x), linear.bias.sum() > 100),
    "entries chosen by parameters": lambda linear, x: linear(x)[:, linear.bias > -100],
    "shapes": lambda linear, x: turned(linear(x), len(x) > 3 or x.numel() > 7),
    "zeros that are moved": lambda linear, x: linear(x) + torch.zeros(1, 3).masked_fill(linear.bias > 0, 1.0),
    "truth values": lambda linear, x: torch.where(linear(x) > 0, linear(x), -linear(x)),
    "entries replaced": lambda linear, x: linear(x).masked_fill(linear(x) > 0, 0.0),
    "classes of which there are so many": lambda linear, x: nn.functional.one_hot(linear(x).argmax(1), 3) * linear(x),
}


@pytest.mark.parametrize("way", HARMLESS)
def test_what_no_number_of_the_input_decides_is_not_taken_for_one(way):
    assert values_read(Made(HARMLESS[way]), (torch.ones(1, 4),)) == ""


TAKEN: dict[str, Forward] = {
    "float": lambda linear, x: linear(x) + float(x[0, 0]),
    "item": lambda linear, x: linear(x) * x.sum().item(),
    "tolist": lambda linear, x: linear(x) + sum(x[0].tolist()),
    "int": lambda linear, x: linear(x) * (int(x.argmax()) + 1),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_number_that_is_taken_out_of_the_input_is_no_constant(name):
    if find_spec("onnxscript") is None:
        refused(TAKEN[name], "and goes by them")
        return
    module = Made(TAKEN[name])
    same(module, netproof.from_torch(module, (1, 4)))


def test_numbers_by_way_of_numpy_are_refused():
    refused(lambda linear, x: linear(x) + float(x.detach().numpy().max()), "by 'numpy'")


class Counting(Made):
    """Its outputs grow with every call."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x) + self.calls


def test_what_one_call_leaves_to_the_next_is_refused():
    hint = "let forward depend on its arguments alone"
    refused(lambda linear, x: linear(x) + random.random(), "it computes two things of one input", hint)
    with pytest.raises(InputError, match="it computes two things of one input, one call after the other"):
        netproof.from_torch(Counting(lambda linear, x: x), (1, 4))


def test_constants_that_were_none_are_refused():
    """Without gradients the tracer takes what is behind ``data`` for a constant, and says nothing."""
    refused(lambda linear, x: linear(x) + x.data.sum(), "other outputs than the module at 6 of 6 random inputs")


INEXACT: dict[str, Forward] = {
    "cosine": lambda linear, x: nn.functional.cosine_similarity(linear(x), linear(x) + 1, dim=1),
    "cosine of what is small": lambda linear, x: nn.functional.cosine_similarity(x, x.flip(1) + x, dim=1),
    "softplus": lambda linear, x: nn.functional.softplus(linear(x), threshold=4),
}


@pytest.mark.parametrize("name", INEXACT)
def test_what_the_older_exporter_writes_otherwise_is_not_exported_by_it(name):
    """Its cosines have another end for small vectors, and its softplus none for large values: a random input tells of neither."""
    module = Made(INEXACT[name])
    if find_spec("onnxscript") is None:
        refused(INEXACT[name], "which the older exporter writes down as something else")
        return
    network = netproof.from_torch(module, (1, 4))
    torch.manual_seed(5)
    for size in (1e-6, 0.1, 1.0, 10.0):
        for _ in range(10):
            x = size * torch.randn(1, 4)
            with torch.no_grad():
                expected = module(x).double().reshape(-1)
            assert torch.allclose(network.graph.evaluate(x.double()).reshape(-1), expected, rtol=1e-5, atol=1e-5)


def test_differences_of_a_thousandth_are_differences():
    """Exporters may write another function down that is near: rounding is not as large as this."""

    class Near(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, y: Tensor) -> Tensor:
            del ctx
            return y * 1.001

        @staticmethod
        def symbolic(graph: object, y: object) -> object:
            return graph.op("Identity", y)  # type: ignore[attr-defined]

    refused(lambda linear, x: Near.apply(linear(x)), "other outputs than the module at")


def test_what_depends_on_the_module_and_on_shapes_alone_is_read():
    def forward(linear: nn.Linear, x: Tensor) -> Tensor:
        assert x.shape[-1] == 4 and x.dim() == 2
        for row in range(len(x)):
            x = torch.cat([x[:row], -x[row:]])
        return linear(x) if linear.bias.sum().item() < 100 else x

    module = Made(forward)
    state = torch.random.get_rng_state()
    network = netproof.from_torch(module, (1, 4))
    assert torch.equal(torch.random.get_rng_state(), state) and module.training
    same(module, network)


class Second(nn.Module):
    """Of two arguments it looks at one."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.linear, self.first = nn.Linear(4, 3), first

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.linear(x if self.first else y)


@pytest.mark.parametrize("first", [True, False])
def test_arguments_that_nothing_reads_are_inputs_all_the_same(first):
    module = Second(first)
    network = netproof.from_torch(module, [(1, 4), (1, 4)])
    assert network.inputs == 8
    x, y = torch.randn(2, 1, 4)
    expected = module(x, y).double().reshape(-1)
    assert torch.allclose(network.graph.evaluate(torch.cat([x, y], 1).double()).reshape(-1), expected, atol=1e-5)


def test_a_shape_that_no_memory_holds_is_refused():
    with pytest.raises(InputError, match="PyTorch cannot export it for input shape"):
        netproof.from_torch(nn.Linear(4, 3), (1 << 30, 1 << 12, 4))
