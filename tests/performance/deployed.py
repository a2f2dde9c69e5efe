"""What can be decided about real networks as they are deployed: the tables of docs/deployed.md.

    python -m performance.deployed brightness speed stuck wake jets anomaly --images 20     (in tests/, with $NETPROOF_DATA)

Each table says how many inputs were evaluated and what processor time that took.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import netproof
from netproof import Brightness, Inputs, Pixels, Settings, Verdict
from netproof.certificate.checker.sets import check_set
from netproof.certificate.sets import set_certificate_of
from netproof.formats.tflite.read import read_deployed
from netproof.formats.tflite.translation import scale_of, zero_of
from netproof.inference.plan import plan_of
from netproof.perturbations.asked import SetQuery, image_of
from netproof.processes.clock import processor_time

_SEED = 7
#: larger sets are boxes, for bounds; what these leave open is evaluated where it is no larger than this
_POINTS, _MOST_POINTS = 1 << 10, 1 << 16
#: inputs of jet tagging are multiples of 1/1024
_JETS, _UNIT = 100, 1024
#: seconds that the search has, before an engine is asked
_SEARCHED = 10.0
_CHILDREN = [0.0]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _images(data: Path) -> tuple[netproof.Network, np.ndarray, np.ndarray]:
    network = netproof.load(data / "mlperf_tiny" / "pretrainedResnet_quant.tflite")
    with np.load(data / "cifar10" / "test-subset-134.npz") as held:
        return network, held["images"].astype(np.int64).reshape(134, -1) - 128, held["labels"]


def brightness(data: Path, count: int) -> None:
    """All images of CIFAR-10 that there are, by shifts of brightness of rising size."""
    network, images, labels = _images(data)
    plan_of(network.graph, network.lower, network.upper, network.path)
    for most in (1, 2, 4, 8, 16, 32, 64):
        start, verdicts, evaluated = time.process_time(), Counter[str](), 0
        for image, label in zip(images, labels, strict=True):
            result = netproof.verify(netproof.robustness_to(network, image, int(label), Brightness(most)))
            verdicts[result.verdict.for_robustness] += 1
            evaluated += result.subproblems
        say(f"brightness {most}: {dict(verdicts)}, {evaluated} inputs, {time.process_time() - start:.1f} s")


def speed(data: Path, count: int) -> None:
    """Inputs a second of processor time, the best of five times ``4096``; and of an image in which one value changes."""
    for name in ("pretrainedResnet_quant", "str_ww_ref_model", "kws_ref_model", "ad01_int8"):
        for runtime in ("tflm", "xnnpack"):
            network = netproof.load(data / "mlperf_tiny" / f"{name}.tflite", runtime=runtime)
            plan = plan_of(network.graph, network.lower, network.upper, network.path)
            inputs = np.random.default_rng(0).integers(-128, 128, (4096, network.inputs))
            found = [_best(plan.outputs, inputs)]
            if name == "pretrainedResnet_quant":
                near = plan.near(inputs[0])
                changed = np.repeat(inputs[:1], 4096, 0)
                changed[:, 1536:1539] = inputs[:, :3]
                found.append(_best(near.outputs, changed))
            say(f"{name}, {runtime}: {', '.join(f'{rate:.0f}' for rate in found)} inputs a second")


def _best(evaluate: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray) -> float:
    best = 0.0
    for _ in range(5):
        start = time.process_time()
        evaluate(inputs)
        best = max(best, len(inputs) / (time.process_time() - start))
    return best


def stuck(data: Path, count: int, first: int = 0, certificates: Path | None = None) -> None:
    """One value of an image becomes anything, at every place; with ``certificates`` a folder of them, each replayed."""
    network, images, labels = _images(data)
    for index in range(first, count):
        start = time.process_time()
        asked = netproof.robustness_to(network, images[index], int(labels[index]), Pixels(1))
        assert isinstance(asked, SetQuery)
        result = netproof.verify(asked, Settings(timeout=3600))
        spent = time.process_time() - start
        told = f"{result.verdict.for_robustness}, {result.subproblems} of {asked.count} inputs, {spent:.1f} s"
        if certificates is not None and result.verdict in (Verdict.SAT, Verdict.UNSAT):
            told += _replayed(asked, result, certificates / f"{index:06d}.certificate")
        say(f"image {index}: {told}")


def _replayed(asked: SetQuery, result: netproof.Result, path: Path) -> str:
    """What it took to check the certificate that a file holds by now, against the network's file, which is read once more."""
    path.write_bytes(set_certificate_of(asked, result).encoded())
    start = time.process_time()
    network = netproof.load(asked.network.path, runtime=asked.network.runtime)
    checked = check_set(path, network)
    spent = time.process_time() - start
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"; certificate of {path.stat().st_size} bytes replayed, {checked.evaluated} inputs evaluated and {checked.compared} "
        f"compared, {spent:.1f} s; {most:.2f} GB so far"
    )


def _spectrograms(data: Path) -> tuple[netproof.Network, np.ndarray, np.ndarray]:
    deployed = read_deployed(data / "mlperf_tiny" / "str_ww_ref_model.tflite")
    with np.load(data / "int8" / "calibration_samples.npz") as held:
        codes = np.round(held["specs"] / float(scale_of(deployed.input))) + zero_of(deployed.input)
        labels = held["labels"]
    codes = np.clip(codes, -128, 127).astype(np.int64).reshape(len(codes), -1)
    return deployed.network, codes, labels


def _decided(
    network: netproof.Network, values: np.ndarray, label: int, inputs: Inputs, timeout: float
) -> netproof.Result:
    """By a bound and a search where there are many points, and by evaluating them where that leaves it open."""
    settings = Settings(timeout=timeout)
    result = netproof.verify(netproof.robustness_to(network, values, label, inputs, points=_POINTS), settings)
    if result.verdict.decided or inputs.count(image_of(network, values)) > _MOST_POINTS:
        return result
    return netproof.verify(netproof.robustness_to(network, values, label, inputs, points=_MOST_POINTS), settings)


def wake(data: Path, timeout: float, only: tuple[int, int] | None = None, piece: tuple[int, int] | None = None) -> None:
    """The wake word: inputs drawn at random, which move by at most 1 and by at most 4; ``timeout`` counts processor time.

    Of a ``piece`` every spectrogram has a line of its own, so that a row can be made piece by piece.
    """
    network, inputs, labels = _spectrograms(data)
    for moved in (1, 3, 10, 30):
        for by in (1, 4):
            if only is not None and (moved, by) != only:
                continue
            start, verdicts, methods = time.process_time(), Counter[str](), Counter[str]()
            random = np.random.default_rng(_SEED)
            for index in range(len(inputs)):
                positions = tuple(int(i) for i in random.choice(network.inputs, moved, replace=False))
                if piece is not None and not piece[0] <= index < piece[1]:
                    continue
                label = int(np.asarray(labels[index]).reshape(-1)[0])
                with processor_time():
                    result = _decided(network, inputs[index], label, Inputs(positions, by), timeout)
                if piece is not None:
                    say(
                        f"{moved} by {by}, {index}: {result.verdict.for_robustness}, {result.method}, {result.subproblems}"
                    )
                verdicts[result.verdict.for_robustness] += 1
                methods[result.method] += 1
            spent = time.process_time() - start
            say(f"{moved} inputs by {by}: {dict(verdicts)}, {dict(methods)}, {spent:.1f} s")


def jets(data: Path, timeout: float, reaches: tuple[int, ...] = (2, 8, 32)) -> None:
    """Jet tagging: random inputs, all of which move; what the search leaves after ten seconds is a question for Bitwuzla."""
    import onnx

    model = onnx.load(data / "int8" / "qkeras_jettagging.onnx")
    entry = model.metadata_props.add()
    entry.key, entry.value = "netproof.input_type", "FIXED<16,6>"
    with TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "jets.onnx")
        network = netproof.load(Path(folder) / "jets.onnx")
    drawn = np.rint(np.random.default_rng(0).normal(0, 1, (_JETS, network.inputs)) * _UNIT)
    inputs = np.clip(drawn, network.lower.numpy(), network.upper.numpy()).astype(np.int64)
    for reach in reaches:
        start, verdicts, methods = time.process_time(), Counter[str](), Counter[str]()
        for values in inputs:
            label = int(network.classify(torch.from_numpy(values).double()))
            asked = netproof.robustness(network, values, label, reach)
            result = netproof.verify(asked, Settings(timeout=min(timeout, _SEARCHED)))
            if not result.verdict.decided:
                result = netproof.verify(asked, Settings(timeout=timeout, engine="smt"))
            verdicts[result.verdict.for_robustness] += 1
            methods[result.method if result.verdict.decided else "open"] += 1
        spent = time.process_time() - start + _of_children()
        say(f"all inputs by {reach}: {dict(verdicts)}, {dict(methods)}, {spent:.1f} s, engines included")


def _of_children() -> float:
    """Processor time of the programs that have ended, since the last call."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent, _CHILDREN[0] = used.ru_utime + used.ru_stime - _CHILDREN[0], used.ru_utime + used.ru_stime
    return spent


def anomaly(data: Path, count: int) -> None:
    """The anomaly detector: the largest change of an output where one input moves by 1, exactly."""
    deployed = read_deployed(data / "mlperf_tiny" / "ad01_int8.tflite")
    network = deployed.network
    raw = np.fromfile(data / "int8" / "normal_id_01_00000000_hist_librosa.bin", np.float32).reshape(-1, network.inputs)
    codes = np.clip(np.round(raw / float(scale_of(deployed.input))) + zero_of(deployed.input), -128, 127).astype(
        np.int64
    )
    plan = plan_of(network.graph, network.lower, network.upper, network.path)
    start, largest, evaluated = time.process_time(), [], 0
    for window in codes[:40]:
        asked = image_of(network, window)
        center = plan.outputs(window[None])[0]
        most = np.zeros(network.outputs, np.int64)
        for rows in Pixels(1, 1).inputs(asked, 1024):
            most = np.maximum(most, np.abs(plan.outputs(rows) - center).max(0))
            evaluated += len(rows)
        largest.append(int(most.max()))
    say(
        f"{len(largest)} windows, one input by 1: some output changes by {min(largest)} to {max(largest)} codes, "
        f"{float(np.median(largest)):.0f} in the middle; {evaluated} inputs, {time.process_time() - start:.1f} s"
    )


TABLES = {table.__name__: table for table in (brightness, speed, stuck, wake, jets, anomaly)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="+", choices=list(TABLES))
    parser.add_argument("--images", type=int, default=20, help="images of 'stuck'")
    parser.add_argument("--timeout", type=float, default=60, help="seconds for each question of 'wake' and 'jets'")
    parser.add_argument("--first", type=int, default=0, help="the first image of 'stuck'")
    parser.add_argument("--certificates", type=Path, help="a folder for those of 'stuck', each of which is replayed")
    parser.add_argument("--only", type=int, nargs=2, metavar=("INPUTS", "BY"), help="one row of 'wake'")
    parser.add_argument("--piece", type=int, nargs=2, metavar=("FIRST", "END"), help="some spectrograms of 'wake'")
    parser.add_argument("--reaches", type=int, nargs="*", default=[2, 8, 32], help="of 'jets', in 1/1024")
    given = parser.parse_args()
    folder = os.environ.get("NETPROOF_DATA")
    if folder is None:
        say("NETPROOF_DATA is not set")
        return 2
    for name in given.tables:
        if name == "stuck":
            if given.certificates is not None:
                given.certificates.mkdir(parents=True, exist_ok=True)
            stuck(Path(folder), given.images, given.first, given.certificates)
        elif name == "wake":
            only, piece = (None if pair is None else (pair[0], pair[1]) for pair in (given.only, given.piece))
            wake(Path(folder), given.timeout, only, piece)
        elif name == "jets":
            jets(Path(folder), given.timeout, tuple(given.reaches))
        else:
            TABLES[name](Path(folder), given.images)
    return 0


if __name__ == "__main__":
    sys.exit(main())
