"""Networks as deployed against the runtimes themselves: every operator's output, bit for bit.

    python -m differential.runtime_campaign --inputs 1000 --files 500     (in tests/, or make campaign-runtimes)

Needs ai-edge-litert and tflite-micro (extra ``litert``); the real networks are looked for in ``$NETPROOF_DATA``. Quantized ONNX
networks are compared with onnxruntime: every tensor of codes of QOperator files, the outputs of QDQ files.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from differential.quantized_maker import RandomQuantized
from differential.quantized_runtime import mismatches as onnx_mismatches
from differential.quantized_runtime import mixed_codes
from differential.tflite_maker import RandomNetwork
from differential.tflite_runtimes import NETWORKS, RUNTIMES, mismatches, mixed_inputs
from netproof.errors import InputError
from netproof.formats.onnx.read import read_deployed as read_quantized
from netproof.formats.tflite.read import read_deployed

#: operators of random networks of 16-bit codes
SIXTEEN = (
    "conv",
    "depthwise",
    "dense",
    "pad",
    "concat",
    "transpose",
    "max",
    "relu",
    "average",
    "quantize",
    "mean",
    "add",
    "sub",
    "mul",
)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def real_networks(folder: Path, names: list[str], inputs: int) -> int:
    """Every real network in every runtime; how many elements differ."""
    wrong = 0
    for name in names:
        for runtime in RUNTIMES:
            start = time.process_time()
            deployed = read_deployed(folder / f"{name}.tflite", runtime)
            found = mismatches(deployed, mixed_inputs(deployed.input.shape[1:], inputs, 101))
            elements, differing = sum(n for _, n in found.values()), sum(w for w, _ in found.values())
            wrong += differing
            say(
                f"{name} {runtime}: {inputs} inputs, {len(found)} tensors, {elements} elements, {differing} differ, "
                f"{time.process_time() - start:.0f} s"
            )
    return wrong


def random_files(first: int, count: int, inputs: int, codes: str = "int8") -> int:
    """Random networks in every runtime; in how many of them something differs."""
    kinds = SIXTEEN if codes == "int16" else ()
    elements: Counter[tuple[str, str]] = Counter()
    refused: Counter[str] = Counter()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.tflite"
        for seed in range(first, first + count):
            path.write_bytes(RandomNetwork(seed, kinds, codes).bytes())
            for runtime in RUNTIMES:
                try:
                    deployed = read_deployed(path, runtime)
                except InputError as refusal:
                    refused[f"{runtime}: {refusal.problem[:80]}"] += 1
                    continue
                found = mismatches(deployed, mixed_inputs(deployed.input.shape[1:], inputs, seed, codes))
                for key, (_, number) in found.items():
                    elements[runtime, key.split()[1]] += number
                differing = {key: counts for key, counts in found.items() if counts[0]}
                if differing:
                    wrong += 1
                    say(f"seed {seed}, {runtime}: {differing}")
    for (runtime, operator), number in sorted(elements.items()):
        say(f"{runtime} {operator}: {number} elements")
    for reason, number in refused.most_common():
        say(f"refused {number} times: {reason}")
    together = ", ".join(
        f"{runtime} {sum(n for (name, _), n in elements.items() if name == runtime)}" for runtime in RUNTIMES
    )
    say(f"{codes}: {count} files, {wrong} with a difference; elements compared: {together}")
    return wrong


def random_quantized(first: int, count: int, inputs: int) -> int:
    """Random quantized ONNX networks against onnxruntime; in how many of them something differs."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        for form in ("qoperator", "qdq"):
            elements: Counter[str] = Counter()
            refused: Counter[str] = Counter()
            before = wrong
            for seed in range(first, first + count):
                path.write_bytes(RandomQuantized(seed, form).bytes())
                try:
                    deployed = read_quantized(path)
                except InputError as refusal:
                    refused[refusal.problem.split("): ", 1)[-1][:80]] += 1
                    continue
                assert deployed is not None
                found = onnx_mismatches(deployed, mixed_codes(deployed, inputs, seed), every=form == "qoperator")
                for operator, (_, number) in found.items():
                    elements[operator] += number
                differing = {key: counts for key, counts in found.items() if counts[0]}
                if differing:
                    wrong += 1
                    say(f"seed {seed}, {form}: {differing}")
            for operator, number in sorted(elements.items()):
                say(f"onnxruntime, {form}, {operator}: {number} elements")
            for reason, number in refused.most_common():
                say(f"{form}: refused {number} times: {reason}")
            say(f"{form}: {count} files, {sum(refused.values())} refused, {wrong - before} with a difference")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="inputs of each real network")
    parser.add_argument("--files", type=int, default=500, help="random networks")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), help="real networks, by name; none for none")
    parser.add_argument("--formats", nargs="*", default=["tflite", "onnx"], help="formats of random networks")
    parser.add_argument(
        "--codes", nargs="*", default=["int8", "uint8", "int16"], help="of random TensorFlow Lite networks"
    )
    given = parser.parse_args()
    wrong = 0
    if "tflite" in given.formats:
        wrong += sum(random_files(given.first, given.files, 12, codes) for codes in given.codes)
    if "onnx" in given.formats:
        wrong += random_quantized(given.first, given.files, 24)
    if given.networks and "NETPROOF_DATA" in os.environ:
        wrong += real_networks(Path(os.environ["NETPROOF_DATA"]), given.networks, given.inputs)
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
