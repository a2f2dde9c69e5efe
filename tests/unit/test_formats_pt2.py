"""Programs that torch.export saved: what they compute, and what is not let in."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

import netproof
from netproof.errors import FormatError

pytestmark = pytest.mark.skipif(find_spec("onnxscript") is None, reason="programs are exported by onnxscript")


class Cos(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.shift = nn.Linear(3, 4), torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = torch.chunk(torch.cos(self.linear(x)) + self.shift, 2, 1)
        return torch.relu(first) * second


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Path, nn.Module]:
    torch.manual_seed(0)
    path, module = tmp_path_factory.mktemp("pt2") / "net.pt2", Cos().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module, (torch.zeros(1, 3),)), path)
    return path, module


def rewritten(saved: tuple[Path, nn.Module], folder: Path, change) -> Path:
    """The archive with its files changed: a function of the dict of all of them."""
    with zipfile.ZipFile(saved[0]) as archive:
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(files)
    path = folder / "changed.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(f"net/{name}", content)
    return path


def in_model(edit):
    """A change of the program's JSON."""

    def change(files: dict[str, bytes]) -> None:
        (name,) = [one for one in files if one.startswith("models/")]
        document = json.loads(files[name])
        edit(document)
        files[name] = json.dumps(document).encode()

    return change


def nodes(document) -> list[dict]:
    return document["graph_module"]["graph"]["nodes"]


def test_a_program_computes_what_its_module_does(saved) -> None:
    path, module = saved
    network = netproof.load(path)
    assert network.path == str(path) and network.input_shape == (1, 3)
    x = torch.randn(4, 3)
    with torch.no_grad():
        expected = module(x).double()
    assert torch.allclose(network.graph.evaluate(x.double()), expected, atol=1e-5)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/netproof-was-here"),)


def test_nothing_in_a_file_is_run(saved, tmp_path) -> None:
    """What PyTorch would unpickle, evaluate or call: left out or refused, and not run."""
    mark = Path("/tmp/netproof-was-here")
    mark.unlink(missing_ok=True)
    bomb = pickle.dumps(Bomb())

    def examples(files) -> None:
        (name,) = [one for one in files if one.startswith("data/sample_inputs/")]
        files[name] = bomb

    assert netproof.load(rewritten(saved, tmp_path, examples)).outputs == 2  # left out
    stream = io.BytesIO()
    torch.save(Bomb(), stream)

    def pickled(files) -> None:
        (name,) = [one for one in files if one.endswith("weights_config.json")]
        config = json.loads(files[name])
        first = next(iter(config["config"].values()))
        first["use_pickle"] = True
        files[name], files["data/weights/" + first["path_name"]] = json.dumps(config).encode(), stream.getvalue()

    def opaque(files) -> None:
        (name,) = [one for one in files if one.endswith("constants_config.json")]
        config = json.loads(files[name])
        config["config"]["more"] = {"path_name": "opaque_obj_0", "use_pickle": False}
        files[name], files["data/constants/opaque_obj_0"] = json.dumps(config).encode(), bomb

    for change, what in (
        (pickled, "are pickled, which can run any code"),
        (opaque, "are no numbers"),
        (in_model(lambda d: nodes(d)[0].update(target="torch.hub.load")), "calls 'torch.hub.load'"),
        (in_model(lambda d: nodes(d)[0].update(target="torch.ops.aten.from_file.default")), "calls 'torch.ops.aten.from_file"),
        (in_model(lambda d: nodes(d)[0].update(target="torch.ops.evil.run.default")), "calls 'torch.ops.evil"),
        (in_model(lambda d: nodes(d)[0]["inputs"][0].update(arg={"as_expr": {"expr_str": "exit()"}})), "has dynamic shapes"),
        (in_model(lambda d: nodes(d)[0]["inputs"][0].update(arg={"as_custom_obj": {}})), "objects of its own"),
        (in_model(lambda d: nodes(d)[0]["inputs"][0].update(arg={"as_operator": "torch.hub.load"})), "functions as values"),
    ):  # fmt: skip
        with pytest.raises(FormatError) as refused:
            netproof.load(rewritten(saved, tmp_path, change))
        assert what in str(refused.value) and "\n" not in str(refused.value)
    assert not mark.exists()


def test_damaged_archives(saved, tmp_path) -> None:
    data = saved[0].read_bytes()
    for name, content, what in (
        ("cut.pt2", data[: len(data) // 2], "is a damaged archive"),
        ("text.pt2", b"hello", "is a damaged archive"),
        ("none.pt2", b"", "is a damaged archive"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FormatError, match=what):
            netproof.load(path)
    for change, what in (
        (lambda files: files.pop("archive_format"), "is no archive of one exported program"),
        (in_model(lambda d: d["graph_module"]["graph"].pop("nodes")), "PyTorch does not load it"),
        (lambda files: files.update({"models/other.json": b"{}"}), "it has 2"),
        (lambda files: [files.pop(one) for one in list(files) if one.endswith("weight_0")], "are no numbers"),
        (lambda files: files.update({one: b"[" * 99999 for one in files if one.startswith("models/")}), "is no JSON"),
        (lambda files: files.update({"byteorder": b"big"}), "another byte order"),
    ):
        with pytest.raises(FormatError, match=what):
            netproof.load(rewritten(saved, tmp_path, change))
    packed = tmp_path / "packed.pt2"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b", b"0" * 1000)
    with pytest.raises(FormatError, match="as PyTorch writes them"):
        netproof.load(packed)
