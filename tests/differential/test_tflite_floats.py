"""TensorFlow Lite files of floats against LiteRT, operator by operator, and what is refused of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netproof
from differential.tflite_runtimes import needs
from netproof.errors import InputError
from netproof.network import Kept
from tflite_files import TFLiteFile

RNG = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.5, shape).astype(np.float32)


class Floats(TFLiteFile):
    """Chains of operators on floats."""

    def value(self, *shape: int) -> int:
        return self.tensor(shape, None, kind="float32")

    def then(self, name: str, operands: list[int], shape: tuple[int, ...], options: object = None) -> int:
        return self.operator(name, operands, [self.value(*shape)], options)


def everything() -> tuple[bytes, tuple[int, ...]]:
    """A network with every operator that is read."""
    f = Floats()
    x = f.value(1, 7, 6, 3)
    conv = {0: ("b", 0), 1: ("i", 2), 2: ("i", 1), 3: ("b", 1), 4: ("i", 1), 5: ("i", 1)}
    y = f.then("CONV_2D", [x, f.constant(floats(4, 3, 2, 3)), f.constant(floats(4))], (1, 7, 3, 4), conv)
    deep = {0: ("b", 1), 1: ("i", 1), 2: ("i", 2), 3: ("i", 2), 4: ("b", 3), 5: ("i", 1), 6: ("i", 2)}
    half = f.constant(floats(1, 2, 2, 8).astype(np.float16))
    weight = f.then("DEQUANTIZE", [half], (1, 2, 2, 8))
    y = f.then("DEPTHWISE_CONV_2D", [y, weight, f.constant(floats(8))], (1, 3, 2, 8), deep)
    pool = {0: ("b", 0), 1: ("i", 1), 2: ("i", 2), 3: ("i", 2), 4: ("i", 2), 5: ("b", 0)}
    a = f.then("AVERAGE_POOL_2D", [y], (1, 2, 2, 8), pool)
    b = f.then("MAX_POOL_2D", [y], (1, 2, 2, 8), pool)
    both = f.then("CONCATENATION", [a, b], (1, 2, 2, 16), {0: ("i", -1), 1: ("b", 0)})
    minus = f.then("SUB", [both, f.constant(floats(16))], (1, 2, 2, 16), {0: ("b", 2)})
    times = f.then("MUL", [f.constant(floats(1, 2, 2, 16)), minus], (1, 2, 2, 16), {0: ("b", 0)})
    total = f.then("ADD", [times, both], (1, 2, 2, 16), {0: ("b", 1)})
    padded = f.then("PAD", [total, f.constant(np.int32([[0, 0], [1, 0], [0, 2], [0, 0]]))], (1, 3, 4, 16))
    turned = f.then("TRANSPOSE", [padded, f.constant(np.int32([0, 3, 1, 2]))], (1, 16, 3, 4))
    kept = f.then("MEAN", [turned, f.constant(np.int32([-1, 2]))], (1, 16, 1, 1), {0: ("B", 1)})
    row = f.then("SQUEEZE", [kept], (1, 16), {0: ("v", [2, 3])})
    dense = f.then("FULLY_CONNECTED", [row, f.constant(floats(6, 16)), -1], (1, 6), {0: ("b", 0)})
    wide = f.then("EXPAND_DIMS", [dense, f.constant(np.int32([1]))], (1, 1, 6))
    flat = f.then("RESHAPE", [wide, f.constant(np.int32([1, -1]))], (1, 6), {0: ("v", [1, 6])})
    curves = f.then("TANH", [f.then("LOGISTIC", [flat], (1, 6))], (1, 6))
    clipped = f.then("RELU6", [f.then("RELU", [curves], (1, 6))], (1, 6))
    last = f.then("FULLY_CONNECTED", [clipped, f.constant(floats(4, 6)), f.constant(floats(4))], (1, 4), {0: ("b", 0)})
    return f.bytes(x, f.then("SOFTMAX", [last], (1, 4), {0: ("f", 1.0)})), (5, 7, 6, 3)


def test_every_operator_gives_what_litert_gives(tmp_path):
    needs("xnnpack")
    from ai_edge_litert.interpreter import Interpreter

    content, shape = everything()
    path = tmp_path / "floats.tflite"
    path.write_bytes(content)
    network = netproof.load(path)
    assert network.kept is Kept.ORDER and "float32" in network.notes[0] and not network.runtime
    runtime = Interpreter(model_content=content, num_threads=1)
    runtime.allocate_tensors()
    for x in RNG.normal(0, 3, shape).astype(np.float32):
        runtime.set_tensor(runtime.get_input_details()[0]["index"], x[None])
        runtime.invoke()
        theirs = runtime.get_tensor(runtime.get_output_details()[0]["index"])[0]
        mine = torch.softmax(network.graph.evaluate(torch.from_numpy(x.reshape(1, -1)).double()), 1)[0]
        assert np.abs(mine.numpy() - theirs).max() < 1e-6


def one_layer(**changes: object) -> bytes:
    f = Floats()
    x, y = f.value(*changes.get("input", (1, 4))), f.value(1, 2)
    weight = np.asarray(changes.get("weight", floats(2, 4)))
    stored = f.constant(weight, changes.get("scale"))
    f.operator(
        str(changes.get("operator", "FULLY_CONNECTED")), [x, stored, -1], [y], changes.get("options", {0: ("b", 0)})
    )
    return f.bytes(x, changes.get("output", y))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight": np.ones((2, 4), np.int8), "scale": 0.5}, "dynamic-range"),
        ({"weight": floats(2, 5)}, "weights (2, 5) on (1, 4)"),
        ({"weight": np.full((2, 4), np.nan, np.float32)}, "NaN"),
        ({"options": {0: ("b", 7)}}, "carries activation 7"),
        ({"operator": "HARD_SWISH"}, "not known on floats"),
        ({"input": (3, 4)}, "batch size 1"),
        ({"output": 0}, "does not depend on its input"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, changes, said):
    path = tmp_path / "bad.tflite"
    path.write_bytes(one_layer(**changes))
    with pytest.raises(InputError) as refused:
        netproof.load(path)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_runtime_is_none_of_a_network_of_floats(tmp_path):
    path = tmp_path / "floats.tflite"
    path.write_bytes(one_layer())
    assert netproof.load(path).outputs == 2
    with pytest.raises(InputError, match="network of floats"):
        netproof.load(path, runtime="tflm")
