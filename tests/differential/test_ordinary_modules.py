"""What a person passes to ``from_torch``: 43 ordinary modules, by both of PyTorch's exporters, and 48 more."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch

import netproof
from differential.ordinary_modules import MODULES, MORE, Computes
from netproof.errors import FormatError, InputError
from netproof.formats import torch_module
from netproof.formats.torch_module import from_torch

onnxscript = pytest.mark.skipif(
    torch_module.importlib.util.find_spec("onnxscript") is None, reason="the newer exporter needs onnxscript"
)
#: which the older exporter of this version of PyTorch cannot export
NEWER_ONLY = {"encoder"}
#: of the others those that the exporters write in different ways
BOTH_WAYS = (
    "tanh gelu",
    "logarithm of exponentials",
    "indexed",
    "gathered",
    "masked attention of heads",
    "causal attention",
    "normalize",
    "attention to what is chosen",
)


def made(name: str) -> tuple[torch.nn.Module, tuple[int, ...]]:
    torch.manual_seed(0)
    make, shape = (MODULES | MORE)[name]
    return make().eval(), shape


def assert_same(network: netproof.Network, module: torch.nn.Module, shape: tuple[int, ...]) -> None:
    module = module.double()
    for seed in range(2):
        x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            expected = module(x).reshape(-1)
        assert torch.allclose(network.graph.evaluate(x.reshape(-1)), expected, rtol=1e-6, atol=1e-6)


def test_there_are_43() -> None:
    assert len(MODULES) == 43 and len(MORE) == 48


@pytest.mark.parametrize("name", MODULES)
def test_by_the_older_exporter(name: str) -> None:
    module, shape = made(name)
    if name == "lstm":
        with pytest.raises(FormatError, match=r"\(LSTM of .* is an unknown operator; recurrent layers are not read"):
            from_torch(module, shape)
        return
    if name in NEWER_ONLY and torch_module.importlib.util.find_spec("onnxscript") is None:
        pytest.skip("the newer exporter needs onnxscript")
    assert_same(from_torch(module, shape), module, shape)


@pytest.mark.parametrize("name", MORE)
def test_more_by_the_older_exporter(name: str) -> None:
    module, shape = made(name)
    assert_same(from_torch(module, shape), module, shape)


@onnxscript
@pytest.mark.parametrize("name", [*MODULES, *BOTH_WAYS])
def test_by_the_newer_exporter(name: str) -> None:
    module, shape = made(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (torch.zeros(shape),))
    if name == "lstm":
        with pytest.raises(FormatError, match=r"\(LSTM of .* is an unknown operator; recurrent layers are not read"):
            from_torch(program)
        return
    assert_same(from_torch(program), module, shape)


class Two(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.relu(x * y), x.sum()


def test_several_arguments_and_results() -> None:
    network = from_torch(Two(), [(1, 3), (1, 1)])
    assert (network.inputs, network.outputs) == (4, 4)
    y = network.graph.evaluate(torch.tensor([1.0, -2.0, 3.0, 2.0], dtype=torch.float64))
    assert y.tolist() == [2.0, 0.0, 6.0, 2.0]


def test_what_is_refused(monkeypatch, capsys) -> None:
    with pytest.raises(InputError, match="the input shape is"):
        from_torch(torch.nn.Linear(3, 2), [(1, 3), ()])
    with pytest.raises(InputError, match="whole numbers"):
        from_torch(torch.nn.Linear(3, 2), ("a", 3))
    with pytest.raises(InputError, match="the input shape is"):
        from_torch(torch.nn.Linear(3, 2))
    disabled = logging.root.manager.disable
    with pytest.raises(InputError, match="PyTorch cannot export it for input shape"):
        from_torch(Computes(lambda x: torch.linalg.eigvals(x).real), (3, 3))
    out = capsys.readouterr()
    assert not out.out and not out.err and logging.root.manager.disable == disabled
    program = torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(1, 3),))
    with pytest.raises(InputError, match="which has its own"):
        from_torch(program, (1, 3))
    monkeypatch.setattr(torch_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the package onnxscript, which is not installed; pip install onnxscript"):
        from_torch(program)
