"""What a file may make: small ones that ask for gigabytes or minutes are refused before anything is made."""

from __future__ import annotations

import gzip
import itertools
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import netproof
from netproof.errors import FormatError
from netproof.formats import ledger
from netproof.formats.ledger import ExhaustedError, Ledger
from netproof.formats.onnx.read import read_onnx
from netproof.operators.affine.convolution import Convolution
from netproof.operators.affine.transposed_convolution import TransposedConvolution
from onnx_models import model, node, save
from qonnx_models import QonnxModel
from quantized_models import Model
from tflite_files import TFLiteFile


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def chain(count: int, operator: str, *operands: str, **attributes: Any) -> list[onnx.NodeProto]:
    """``x`` through one operator again and again."""
    names = ["x", *(f"v{i}" for i in range(1, count)), "y"]
    return [node(operator, [a, *operands], [b], **attributes) for a, b in itertools.pairwise(names)]


def doubled(count: int) -> list[onnx.NodeProto]:
    names = ["x", *(f"v{i}" for i in range(1, count)), "y"]
    return [node("Concat", [a, a], [b], axis=1) for a, b in itertools.pairwise(names)]


def ones(*shape: int) -> tuple[onnx.NodeProto, dict[str, Any]]:
    value = numpy_helper.from_array(np.ones(1, np.float32))
    return node("ConstantOfShape", ["extents"], ["w"], value=value), {"extents": ints(*shape)}


def many(count: int, operator: str, *operands: str, **attributes: Any) -> list[onnx.NodeProto]:
    """As many results of one operator, added."""
    names = [f"v{i}" for i in range(count)]
    return [*(node(operator, list(operands), [name], **attributes) for name in names), node("Sum", names)]


HOSTILE: dict[str, tuple[list[onnx.NodeProto], tuple[int, ...], dict[str, Any]]] = {
    "values joined to themselves": (doubled(30), (1, 1024), {}),
    "constants joined to themselves": (
        [ones(1024)[0], *(node("Concat", [a, a], [b], axis=0) for a, b in zip(["w", *"abcdefghijklmnopqr"], "abcdefghijklmnopqrs", strict=True)), node("Add", ["x", "s"])],
        (1, 1), ones(1024)[1],
    ),
    "one window as large as its image": ([node("MaxPool", ["x"], kernel_shape=[512, 512])], (1, 1, 1024, 1024), {}),
    "a maximum of everything": ([node("GlobalMaxPool", ["x"])], (1, 1, 4000, 4000), {}),
    "an average of nothing but padding": (
        [node("AveragePool", ["x"], kernel_shape=[10**9], pads=[10**9 - 1] * 2)], (1, 1, 4), {},
    ),
    "matrices of one number": (
        [node("Expand", ["one", "extents"], ["w"]), *chain(3, "MatMul", "w")], (1, 4096), {"one": np.ones((1, 1)), "extents": ints(4096, 4096)},
    ),
    "constants added": (
        [ones(1024, 1024)[0], node("Add", ["w", "w"], ["v0"]), *(node("Add", [f"v{i}", "w"], [f"v{i + 1}"]) for i in range(99)), node("Mul", ["x", "v99"])],
        (1, 1), ones(1024, 1024)[1],
    ),
    "a convolution of ones": ([ones(4000, 4000, 1, 1)[0], *chain(2, "Conv", "w")], (1, 4000, 1, 1), ones(4000, 4000, 1, 1)[1]),
    "tiles of tiles": (chain(20, "Tile", "twice"), (1, 1024), {"twice": ints(1, 2)}),
    "padding": ([node("Pad", ["x", "wide"])], (1, 3), {"wide": ints(0, 0, 0, (1 << 24) - 8)}),
    "padding of a convolution": ([node("Conv", ["x", "k"], pads=[5000] * 4)], (1, 1, 4, 4), {"k": np.ones((1, 1, 1, 1))}),
    "a column and a row": ([node("Reshape", ["x", "turned"], ["t"]), node("Add", ["x", "t"])], (1, 4096), {"turned": ints(4096, 1)}),
    "gathered by a constant": (
        [node("ConstantOfShape", ["extents"], ["zeros"]), node("Cast", ["zeros"], ["i"], to=7), node("Gather", ["x", "i"], axis=1)],
        (1, 2), {"extents": ints(1 << 23)},
    ),
    "ranges": ([*many(40, "Range", "zero", "top", "one")[:-1], node("Concat", [f"v{i}" for i in range(40)], ["i"], axis=0), node("Gather", ["x", "i"], axis=1)], (1, 2), {"zero": np.array(0), "top": np.array(1 << 22), "one": np.array(1)}),
    "slices of slices": (chain(100, "Slice", "one", "end"), (1, 1 << 20), {"one": ints(0, 1), "end": ints(1 << 30, 1 << 30)}),
    "transposed again and again": (chain(101, "Transpose", perm=[1, 0]), (1024, 1024), {}),
    "reduced again and again": (many(300, "ReduceMean", "x", axes=[0]), (2048, 2048), {}),
    "parts of one entry": ([node("Split", ["x"], ["y", *(f"v{i}" for i in range(8191))], axis=1)], (1, 8192), {}),
    "a list of extents": ([node("ConstantOfShape", ["extents"], ["e"]), node("Cast", ["e"], ["i"], to=7), node("Reshape", ["x", "i"])], (1, 2), {"extents": ints(1 << 20)}),
    "channels next to one another": ([node("LRN", ["x"], size=3)], (1, 1 << 17, 1, 1), {}),
    "a product of everything": ([node("ReduceProd", ["x"], axes=[1])], (1, 1 << 22), {}),
    "entries by places of a constant": (
        [node("Expand", ["i", "extents"], ["j"]), node("GatherElements", ["x", "j"])], (3000, 1, 3000), {"i": np.zeros((1, 1, 1), np.int64), "extents": ints(3000, 1, 3000)},
    ),
    "entries put at places of a constant": (
        [node("Expand", ["i", "extents"], ["j"]), node("ScatterElements", ["x", "j", "x"])], (3000, 1, 3000), {"i": np.zeros((1, 1, 1), np.int64), "extents": ints(3000, 1, 3000)},
    ),
    "a shape of many axes": ([node("Reshape", ["x", "extents"])], (1,), {"extents": np.ones(40, np.int64)}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_file_takes_no_gigabytes(name: str, tmp_path: Path) -> None:
    nodes, shape, constants = HOSTILE[name]
    path = save(tmp_path / "net.onnx", model(nodes, shape, constants))
    assert path.stat().st_size < 3 << 20
    tracemalloc.start()  # counts NumPy's memory; what PyTorch makes of it is as large
    try:
        with pytest.raises(FormatError) as caught:
            read_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < 500 << 20
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert (
        "more than can be handled" in message
        or "than can be handled" in message
        or "a list of" in message
        or "axes" in message
    )
    assert len(message) < 600, message


@pytest.mark.parametrize(("operator", "axes"), [("ReduceMax", 1), ("ReduceMin", 1), ("GlobalMaxPool", 2)])
def test_a_maximum_of_many_takes_no_minutes(operator: str, axes: int, tmp_path: Path) -> None:
    """What is made grows with the number of entries; an index of all of them for each of them would be its square."""
    shape = (1,) * axes + (1 << 19,)
    nodes = [node("Expand", ["x", "extents"], ["t"]), node(operator, ["t"])]
    path = save(tmp_path / "maximum.onnx", model(nodes, (1,) * len(shape), {"extents": ints(*shape)}))
    begun = time.process_time()
    assert read_onnx(path).outputs == 1
    assert time.process_time() - begun < 30  # of the square it would be hours


def _pooled_qdq(folder: Path, size: int) -> Path:
    made = Model((1, 1, 1, size))
    value = made.dequantize(made.quantize("x", 0.5, 0, "q"), 0.5, 0, "d")
    value = made.node("MaxPool", [value], "m", kernel_shape=[1, size])
    made.dequantize(made.quantize(value, 0.5, 0, "p"), 0.5, 0, "y")
    return made.save(folder / "qdq.onnx")


def _pooled_qonnx(folder: Path, size: int) -> Path:
    made = QonnxModel((1, 1, 1, size))
    value = made.node("MaxPool", [made.quant("x", "q", 0.5, 4)], "m", kernel_shape=[1, size])
    made.quant(value, "y", 0.5, 4)
    return made.save(folder / "qonnx.onnx")


def _pooled_tflite(folder: Path, size: int) -> Path:
    made = TFLiteFile()
    x, y = made.tensor((1, 1, size, 1), 0.5, 0), made.tensor((1, 1, 1, 1), 0.5, 0)
    window = {0: ("b", 1), 1: ("i", 1), 2: ("i", 1), 3: ("i", size), 4: ("i", 1), 5: ("b", 0)}
    made.operator("MAX_POOL_2D", [x], [y], window)
    (folder / "codes.tflite").write_bytes(made.bytes(x, y))
    return folder / "codes.tflite"


@pytest.mark.parametrize("make", [_pooled_qdq, _pooled_qonnx, _pooled_tflite])
def test_a_quantized_maximum_of_many_is_made_of_few_numbers(
    make: Callable[[Path, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: the numbers that indices are made of, and the room that is asked for, grow with the window."""
    made: list[int] = []
    room: list[int] = []
    counted, allocate = np.arange, Ledger.allocate

    def arange(*arguments: Any, **options: Any) -> Any:
        array = counted(*arguments, **options)
        made.append(array.size)
        return array

    def account(self: Ledger, size: int) -> None:
        room.append(size)
        allocate(self, size)

    monkeypatch.setattr(np, "arange", arange)
    monkeypatch.setattr(Ledger, "allocate", account)
    spent = []
    for size in (512, 4096):
        path = make(tmp_path, size)
        del made[:], room[:]
        assert netproof.load(path).outputs == 1
        spent.append((sum(made), sum(room)))
    for few, many in zip(*spent, strict=True):
        assert many < 16 * few + (1 << 16)  # of the square it would be 64 times as much
    assert spent[1][0] < 64 * 4096  # an index of all entries for each of them has 4096 times as many


def test_nodes_and_what_they_become_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_NODES", 50)
    with pytest.raises(FormatError, match="has 60 nodes, more than can be handled"):
        read_onnx(save(tmp_path / "net.onnx", model(chain(60, "Relu"), (1, 2))))
    pooled = model(chain(5, "MaxPool", kernel_shape=[31, 31], pads=[15] * 4), (1, 1, 3, 3))
    with pytest.raises(FormatError, match="1 more nodes are more than can be handled"):
        read_onnx(save(tmp_path / "net.onnx", pooled))


def test_one_external_file_read_again_and_again(tmp_path: Path) -> None:
    count = 3000
    names = [f"w{i}" for i in range(count)]
    nodes = [node("Add", ["x", name], [f"v{i}"]) for i, name in enumerate(names)]
    made = model([*nodes, node("Sum", [f"v{i}" for i in range(count)])], (1, 1 << 14))
    for name in names:
        tensor = onnx.TensorProto(name=name, data_type=1, dims=[1 << 14], data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="w.bin")
        made.graph.initializer.append(tensor)
    (tmp_path / "w.bin").write_bytes(bytes(4 << 14))
    with pytest.raises(FormatError, match="than can be handled"):
        read_onnx(save(tmp_path / "net.onnx", made))


def test_files_beside_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from netproof.formats.onnx.container import external as onnx_external

    reads = []
    read_raw = onnx_external.read_raw
    monkeypatch.setattr(onnx_external, "read_raw", lambda path, what: reads.append(path) or read_raw(path, what))
    made = model([node("Add", ["x", "a"], ["h"]), node("Add", ["h", "b"])], (1, 2))
    for name in "ab":
        tensor = onnx.TensorProto(name=name, data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="w.bin")
        made.graph.initializer.append(tensor)
    (tmp_path / "w.bin").write_bytes(bytes(8))
    read_onnx(save(tmp_path / "net.onnx", made))
    assert len(reads) == 1


def test_a_bomb_behind_a_small_gzip(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx.gz"
    path.write_bytes(gzip.compress(bytes((1 << 26) + 1)))
    with pytest.raises(FormatError, match=r"is gzip of \d+ bytes that unpacks to more than 67108864"):
        read_onnx(path)


def test_a_large_file_may_make_more() -> None:
    small, large = Ledger(1 << 10), Ledger(1 << 28)
    with pytest.raises(ExhaustedError):
        small.allocate(1 << 30)
    large.allocate(1 << 30)
    small = Ledger(1 << 10)
    small.grow(1 << 28)
    small.allocate(1 << 30)
    with pytest.raises(ExhaustedError):
        Ledger(0).nodes(1 << 16)
    Ledger(1 << 26).nodes(1 << 16)


@pytest.mark.parametrize("shape", [(1 << 25,), (-1, 2), (1,) * 33])
def test_values_too_large(shape: tuple[int, ...]) -> None:
    with pytest.raises(ExhaustedError, match="its result has shape"):
        Ledger(1 << 30).value(shape)


@pytest.mark.parametrize(
    ("operator", "operands", "attributes"),
    [
        ("Conv", ["x", "w"], {"pads": [64] * 4}),
        ("ConvTranspose", ["x", "w"], {}),
        ("AveragePool", ["x"], {"kernel_shape": [127, 127], "pads": [64] * 4}),
    ],
)
def test_windows_are_counted_before_they_are_laid_out(
    operator: str, operands: list[str], attributes: dict[str, Any], tmp_path: Path
) -> None:
    """PyTorch writes down every place's window, of a kernel of 64 kB and an image of 16,384 values two gigabytes."""
    weight = {"w": np.ones((1, 1, 127, 127), np.float32)} if "w" in operands else {}
    made = model([node(operator, operands, **attributes)], (1, 1, 128, 128), weight)
    tracemalloc.start()
    with pytest.raises(FormatError, match="its windows together have more numbers than can be handled"):
        read_onnx(save(tmp_path / "m.onnx", made))
    assert tracemalloc.get_traced_memory()[1] < 1 << 27
    tracemalloc.stop()


def test_windows_of_many_operators_are_counted_together(tmp_path: Path) -> None:
    """Each is of a size that can be handled; all of them take minutes, where nobody looks at the clock."""
    weight = {"w": np.ones((1, 1, 51, 51), np.float32)}
    for count, right in ((2, True), (30, False)):
        path = save(tmp_path / "m.onnx", model(chain(count, "Conv", "w", pads=[25] * 4), (1, 1, 64, 64), weight))
        if right:
            assert len(read_onnx(path).graph.nodes) == count + 1
            continue
        with pytest.raises(
            FormatError, match=r"node 'conv_v.*its windows together have more numbers than can be handled"
        ):
            read_onnx(path)


def test_the_places_of_a_kernel() -> None:
    """What a window holds, times where it lies: in a result, or transposed in an operand; of a group after the other, of all samples at once."""
    weight = torch.ones(4, 2, 3, 3, dtype=torch.float64)
    shape = (4, 5, 6)
    stride, padding, dilation = (2, 2), ((1, 1), (1, 1)), (1, 1)
    there = Convolution(weight, None, shape, stride, padding, dilation, groups=2, samples=3)
    assert (there.places, there.workspace()) == (9, 3 * 2 * 9 * 9)
    back = TransposedConvolution(weight, None, shape, stride, padding, dilation, (0, 0), groups=2, samples=3)
    assert (back.places, back.workspace()) == (30, 3 * 2 * 9 * 30)


def test_a_large_file_may_lay_out_more() -> None:
    small = Ledger(1 << 20)
    with pytest.raises(ExhaustedError, match="windows"):
        Ledger(1 << 20).workspace(1 << 29)
    Ledger(1 << 28).workspace(1 << 29)
    for _ in range(4):
        small.workspace(1 << 28)
    with pytest.raises(ExhaustedError, match="windows"):
        small.workspace(1 << 28)
