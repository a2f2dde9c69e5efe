"""Agreement of two networks against brute force over all inputs of a box."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import netproof
from netproof import Agreement, Brightness, Pair, Pixels, Settings
from netproof.agreement.joined import disagreement, joined
from netproof.errors import InputError, QueryError
from tflite_files import TFLiteFile


def network(folder, seed, runtime="tflm", outputs=3, scale=1 / 16, inputs=(1 / 256, -128)):
    """Two inputs, four neurons, three classes; near to one another for all runtimes, and not the same."""
    rng = np.random.default_rng(seed)
    file = TFLiteFile()
    x = file.tensor((1, 2), *inputs)
    hidden, scores = file.tensor((1, 4), 1 / 64, -128), file.tensor((1, outputs), scale, 4)
    first = file.constant(rng.integers(-127, 128, (4, 2)).astype(np.int8), 1 / 100)
    second = file.constant(rng.integers(-127, 128, (outputs, 4)).astype(np.int8), 1 / 90)
    file.operator("FULLY_CONNECTED", [x, first, -1], [hidden], {0: ("b", 1)})
    file.operator("FULLY_CONNECTED", [hidden, second, -1], [scores], {0: ("b", 0)})
    path = folder / f"{seed}-{outputs}.tflite"
    path.write_bytes(file.bytes(x, scores))
    return netproof.load(path, runtime=runtime)


def everywhere(low, high):
    a, b = (np.arange(low[i], high[i] + 1) for i in range(2))
    return np.stack(np.meshgrid(a, b, indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize("within", [None, 1])
def test_boxes_are_decided_as_brute_force_has_them(tmp_path, within):
    verdicts = set()
    for seed in range(8):
        first, second = network(tmp_path, seed), network(tmp_path, seed, "xnnpack" if seed % 3 else "litert-ref")
        if seed % 4 == 3:
            second = network(tmp_path, seed + 1000)
        rng = np.random.default_rng(seed)
        low = rng.integers(-128, 90, 2)
        high = low + rng.integers(0, 20, 2)
        pair = Pair(first, second, Agreement(within))
        every = everywhere(low, high)
        outputs = [one.graph.evaluate(torch.from_numpy(every).double()).long().numpy() for one in (first, second)]
        broken = pair.agreement.broken(*outputs)
        # What is asked of the joined network says the same at every input.
        query = disagreement(
            joined(first, second), *(torch.from_numpy(e).double() for e in (low, high)), pair.agreement, "q"
        )
        assert query.refuted_by(torch.from_numpy(every).double()).tolist() == broken.tolist()
        found = pair.on_box((low, high), (low + high) // 2, Settings(timeout=60))
        assert found.verdict.value == ("sat" if broken.any() else "unsat"), (seed, found)
        if broken.any():
            assert broken[(every == found.witness).all(1)].tolist() == [True]
            at = int(np.flatnonzero((every == found.witness).all(1))[0])
            assert [part.tolist() for part in found.outputs] == [part[at].tolist() for part in outputs]
        compared = pair.compared(every)
        assert compared.broken.tolist() == broken.tolist()
        assert compared.largest.tolist() == np.abs(outputs[0] - outputs[1]).max(1).tolist()
        assert compared.classes.tolist() == np.stack([o.argmax(1) for o in outputs], 1).tolist()
        verdicts.add(found.verdict.value)
    assert verdicts == {"sat", "unsat"}


def test_finite_sets_are_evaluated(tmp_path):
    verdicts = set()
    for seed in range(8):
        pair = Pair(network(tmp_path, seed), network(tmp_path, seed, "xnnpack"))
        image = np.random.default_rng(seed).integers(-128, 128, 2)
        for perturbation in (Brightness(40), Pixels(1)):
            found = pair.on_set(image, perturbation)
            every = np.concatenate(
                list(perturbation.inputs(netproof.perturbations.asked.image_of(pair.first, image), 99))
            )
            broken = pair.compared(every).broken
            assert found.verdict.value == ("sat" if broken.any() else "unsat")
            assert found.evaluated == (int(broken.argmax()) + 1 if broken.any() else len(every))
            verdicts.add(found.verdict.value)
    assert "unsat" in verdicts
    assert pair.on_set(image, Pixels(2), Settings(timeout=1e-9)).verdict.value in ("timeout", "sat")


def test_what_cannot_be_compared_is_refused(tmp_path):
    first = network(tmp_path, 1)
    with pytest.raises(InputError, match="has 4 outputs"):
        Pair(first, network(tmp_path, 1, outputs=4))
    with pytest.raises(QueryError, match="whole number"):
        Agreement(-1)
    pair = Pair(first, first)
    for wrong in ([1], [1, 200], [0.5, 0], [[1, 2], [3, 4]], ["a", "b"]):
        with pytest.raises(QueryError):
            pair.on_set(wrong, Pixels(1))
        with pytest.raises(QueryError):
            pair.on_box((wrong, wrong), [0, 0])
    with pytest.raises(QueryError, match="not one that the networks take"):
        pair.compared([[0, 0], [0, 128]])
    with pytest.raises(QueryError, match="one class"):
        one = network(tmp_path, 1, outputs=1)
        Pair(one, one).on_box((np.zeros(2, int), np.zeros(2, int)), np.zeros(2, int))


def test_codes_that_stand_for_different_numbers_are_no_agreement(tmp_path):
    """Equal codes of two files mean the same only where both have one scale and one zero point there."""
    first = network(tmp_path, 1)
    for inputs in ((1 / 128, -128), (1 / 256, -127)):
        other = network(tmp_path, 1, inputs=inputs)
        for within in (None, 3):
            with pytest.raises(InputError, match="has inputs that stand for"):
                Pair(first, other, Agreement(within))
    other = network(tmp_path, 1, scale=1 / 32)
    with pytest.raises(InputError, match=r"has outputs that stand for 0.03125 \* code -0.125.*or leave --within out"):
        Pair(first, other, Agreement(0))
    Pair(first, other)  # which output is the largest one does not depend on a scale


def test_inputs_in_another_order_are_not_compared(tmp_path):
    networks = []
    for number, shape in enumerate(((1, 2, 3), (1, 3, 2), (1, 6), (1, 2, 3, 1))):
        file = TFLiteFile()
        x, flat, scores = (file.tensor(extents, 1 / 16, 0) for extents in (shape, (1, 6), (1, 2)))
        weight = file.constant(np.arange(12).reshape(2, 6).astype(np.int8), 1 / 100)
        to = file.constant(np.array([1, 6], np.int32), 1.0)
        file.operator("RESHAPE", [x, to], [flat], {})
        file.operator("FULLY_CONNECTED", [flat, weight, -1], [scores], {0: ("b", 0)})
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(file.bytes(x, scores))
        networks.append(netproof.load(path))
    first, turned, flat, image = networks
    with pytest.raises(InputError, match="give networks of one layout"):
        Pair(first, turned)
    for other in (flat, image):
        Pair(first, other)


def test_the_command_counts_proves_and_finds(cli, tmp_path):
    for seed in (0, 1):
        network(tmp_path, seed)
    files = [tmp_path / f"{seed}-3.tflite" for seed in (0, 1)]
    inputs = np.random.default_rng(0).integers(-128, 128, (50, 2)).astype(np.int8)
    np.save(tmp_path / "inputs.npy", inputs)
    given = ("compare", files[0], "--against", "xnnpack", "--images", tmp_path / "inputs.npy")
    counted = json.loads(cli(*given, "--json").out)
    assert counted["inputs"] == 50 and [n["runtime"] for n in counted["networks"]] == ["tflm", "xnnpack"]
    assert "'tflm' against 'xnnpack'" in cli(*given).out
    verdicts = {}
    for options in (("--eps", "1"), ("--stuck",), ("--eps", "300", "--within", "0")):
        done = cli(*given, "--index", "3", *options, "--save", tmp_path / "w.npy")
        assert done.code == 0, done
        verdicts[options] = done.out.partition(":")[0]
    assert verdicts["--eps", "300", "--within", "0"] == "differ" and "agree" in verdicts.values()
    witness = np.load(tmp_path / "w.npy")
    assert witness.shape == (1, 2) and witness.dtype == np.int8
    again = json.loads(cli("compare", *given[1:4], "--images", tmp_path / "w.npy", "--within", "0", "--json").out)
    assert again["disagree"] == [0]
    two = cli("compare", *files, "--images", tmp_path / "inputs.npy")
    assert two.code == 0 and "0-3.tflite by 'tflm' against" in two.out
    for path, value in (("lower.npy", -3), ("upper.npy", 3)):
        np.save(tmp_path / path, np.full((1, 2), value))
    boxed = cli("compare", *given[1:4], "--box", tmp_path / "lower.npy", tmp_path / "upper.npy", "--json")
    assert json.loads(boxed.out)["verdict"] in ("agree", "differ")
    for wrong, said in (
        (given[:2], "names one network"),
        (given[:4], "one of them is needed"),
        ((*given, "--index", "3"), "goes with a set"),
        ((*given, "--eps", "3"), "goes with a set"),
        ((*given, "--index", "77", "--eps", "3"), "no input 77"),
        ((*given, "--index", "0", "--eps", "-3"), "give a whole number"),
        ((*given, "--within", "-3"), "give a whole number"),
        ((*given[:-1], tmp_path / "upper.npy", "--box", tmp_path / "upper.npy", tmp_path / "lower.npy"), "one of them"),
        ((*given[:4], "--box", tmp_path / "upper.npy", tmp_path / "lower.npy"), "the input box is empty"),
        ((*given[:4], "--box", tmp_path / "inputs.npy", tmp_path / "lower.npy"), "one end of the box"),
        ((*given[:3], "fast", *given[4:]), "none that is known"),
    ):
        done = cli(*wrong)
        assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1, (wrong, done)
