"""What installed runtimes compute: every operator's output of a TensorFlow Lite file.

XNNPACK and TensorFlow Lite Micro keep no intermediate tensors, so they get a copy of the file whose outputs are the outputs of
all operators.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from netproof.formats.tflite.read import Deployed

LITERT = importlib.util.find_spec("ai_edge_litert") is not None
TFLM = importlib.util.find_spec("tflite_micro") is not None

#: those that are compared with
RUNTIMES = ("tflm", "xnnpack", "litert-ref")
#: real networks below the folder of the data
NETWORKS = (
    *(f"int8/{name}" for name in ("hello_world_int8", "micro_speech_quantized", "person_detect")),
    *(f"mlperf_tiny/{name}" for name in ("ad01_int8", "str_ww_ref_model", "kws_ref_model", "pretrainedResnet_quant")),
    *(f"mlperf_tiny/{name}" for name in ("pretrainedResnet_large_int8", "vww_96_int8")),
)


def needs(runtime: str) -> None:
    """Skip the test where a runtime is not installed; ai-edge-litert is what copies are made with."""
    if not LITERT:
        pytest.skip("ai-edge-litert is not installed (extra 'litert')")
    if runtime == "tflm" and not TFLM:
        pytest.skip("tflite-micro is not installed (extra 'litert')")


def all_outputs(content: bytes) -> tuple[bytes, list[int]]:
    """A copy of a file whose outputs are those of all operators, and the numbers of their tensors."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    graph.outputs = [int(operator.outputs[0]) for operator in graph.operators]
    model.signatureDefs = []
    for tensor in graph.tensors:
        # Old converters give biases the axis of their weights, which LiteRT refuses and nothing reads.
        if tensor.quantization is not None and tensor.shape is not None and len(tensor.shape) == 1:
            tensor.quantization.quantizedDimension = 0
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), list(graph.outputs)


def computed(content: bytes, runtime: str, inputs: np.ndarray) -> list[np.ndarray]:
    """Every operator's output on inputs ``[N, ...]``: one ``[N, ...]`` array for each operator of the file."""
    exposed, outputs = all_outputs(content)
    found: list[list[np.ndarray]] = [[] for _ in outputs]
    if runtime == "tflm":
        from tflite_micro.python.tflite_micro import runtime as micro

        interpreter = micro.Interpreter.from_bytes(exposed, arena_size=16 << 20)
        for x in inputs:
            interpreter.set_input(x[None], 0)
            interpreter.invoke()
            for i, values in enumerate(found):
                values.append(interpreter.get_output(i))
    else:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {"xnnpack": OpResolverType.AUTO, "litert-ref": OpResolverType.BUILTIN_REF}[runtime]
        interpreter = Interpreter(model_content=exposed, experimental_op_resolver_type=resolver, num_threads=1)
        interpreter.allocate_tensors()
        place = interpreter.get_input_details()[0]["index"]
        for x in inputs:
            interpreter.set_tensor(place, x[None])
            interpreter.invoke()
            for number, values in zip(outputs, found, strict=True):
                values.append(interpreter.get_tensor(number))
    return [np.stack(values) for values in found]


def mixed_inputs(shape: tuple[int, ...], count: int, seed: int, kind: str = "int8") -> np.ndarray:
    """Inputs ``[count, ...]`` of a type: uniform, around a level, the two end values, and smooth blocks, in turn."""
    rng = np.random.default_rng(seed)
    if kind == "int16":
        ends = np.iinfo(kind)
        uniform = rng.integers(ends.min, ends.max + 1, (count, *shape))
        around = np.rint(rng.normal(0, 2.0 ** rng.uniform(0, 15, (count, *(1 for _ in shape))), (count, *shape)))
        corners = np.where(rng.random((count, *shape)) < 0.5, ends.min, ends.max)
        which = rng.integers(0, 3, (count, *(1 for _ in shape)))
        return np.clip(np.where(which == 0, uniform, np.where(which == 1, around, corners)), ends.min, ends.max).astype(
            kind
        )
    made = []
    for k in range(count):
        if k % 4 == 0:
            x = rng.integers(-128, 128, shape)
        elif k % 4 == 1:
            x = np.rint(rng.normal(rng.integers(-100, 100), rng.integers(2, 40), shape))
        elif k % 4 == 2:
            x = np.where(rng.random(shape) < rng.random(), -128, 127)
        else:
            coarse = rng.integers(-128, 128, tuple(-(-extent // 4) for extent in shape))
            for axis, extent in enumerate(shape):
                coarse = np.repeat(coarse, 4, axis).take(range(extent), axis)
            x = coarse + rng.integers(-8, 9, shape)
        made.append(np.clip(x, -128, 127).astype(np.int16))
    return (np.stack(made) + (128 if kind == "uint8" else 0)).astype(kind)


def mismatches(deployed: Deployed, inputs: np.ndarray, *, batch: int = 50) -> dict[str, tuple[int, int]]:
    """Of every operator in turn, ``"number name"``, how many elements differ from the runtime's, and how many there are."""
    from netproof.formats.tflite.evaluate import evaluate

    counts: dict[str, tuple[int, int]] = {}
    for start in range(0, len(inputs), batch):
        part = inputs[start : start + batch]
        mine = evaluate(deployed, part)
        theirs = computed(deployed.network.content, deployed.runtime.name, part)
        assert len(mine.tensors) == len(theirs)
        for i, (tensor, other) in enumerate(zip(mine.tensors, theirs, strict=True)):
            key = f"{i} {tensor.operator}"
            wrong, count = counts.get(key, (0, 0))
            assert tensor.values.size == other.size and tensor.values.dtype == other.dtype
            differing = int((tensor.values.reshape(len(part), -1) != other.reshape(len(part), -1)).sum())
            counts[key] = wrong + differing, count + other.size
    return counts
