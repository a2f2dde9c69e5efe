"""``netproof robust`` about what may happen to an input, and ``netproof check`` of what it writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import assert_refused
from differential.tflite_maker import RandomNetwork
from netproof.network import Kept
from quantized_models import dense
from tflite_files import TFLiteFile


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network that has a second reading, three images with the classes it gives them, as a command takes them."""
    from netproof.formats.tflite.evaluate import evaluate
    from netproof.formats.tflite.read import read_deployed

    folder = tmp_path_factory.mktemp("sets")
    path = folder / "network.tflite"
    for seed in range(100):
        path.write_bytes(RandomNetwork(seed, ("conv",)).bytes())
        deployed = read_deployed(path)
        shape = deployed.input.shape[1:]
        images = np.random.default_rng(seed).integers(0, 256, (3, *shape)).astype(np.uint8)
        codes = (images.astype(int) - 128).astype(np.int8)
        classes = evaluate(deployed, codes).scores.reshape(3, -1).argmax(1)
        if len(set(classes.tolist())) > 1 and deployed.network.kept is not Kept.NOTHING:
            break
    np.save(folder / "images.npy", codes)
    np.save(folder / "labels.npy", classes)
    return {"network": path, "images": folder / "images.npy", "labels": folder / "labels.npy", "shape": shape}


def asked(files, *more):
    return "robust", files["network"], "--images", files["images"], "--labels", files["labels"], *more


@pytest.mark.parametrize(
    "options",
    [
        ("--brightness", "9"), ("--contrast", "20"), ("--shift", "1x0"), ("--stuck",), ("--pixels", "1", "--eps", "2"),
        ("--patch", "1x1", "--eps", "1", "--at", "0,1"), ("--cover", "1x2"), ("--inputs", "0,3,5", "--eps", "2"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_sets_are_decided_certified_and_checked(cli, files, tmp_path, options):
    path = tmp_path / "one"
    done = cli(*asked(files, "--index", "0", *options, "--certificate", path))
    assert done.code == 0 and "all of which are evaluated" in done.out and "as 'tflm' computes them" in done.out, done
    given = ("--network", files["network"], "--images", files["images"], "--labels", files["labels"], "--index")
    checked = cli("check", path, *given, "0")
    assert checked.code == 0 and checked.out.startswith("PROVED: ") and "image 0 (confirmed)" in checked.out, checked
    document = json.loads(cli("check", path, *given, "0", "--json").out)
    assert document["proved"] and document["property"]["kind"] == "set" and document["second_reading"]
    again = json.loads(cli("check", path, *given, "0", "--every", "--json").out)
    assert again["proved"] and again["compared"] == again["evaluated"]
    wrong = cli("check", path, *given, "1")
    assert wrong.code == 1 and "about another image" in wrong.out
    whole = json.loads(cli(*asked(files, "--all", *options, "--json")).out)
    assert len(whole["samples"]) == 3 and sum(whole["verdicts"].values()) == 3
    assert whole["samples"][0]["verdict"] == ("robust" if document["claim"] == "unsat" else "vulnerable")
    assert whole["network"]["runtime"] == "tflm"


def test_all_images_have_their_own_certificates(cli, files, tmp_path):
    done = cli(*asked(files, "--all", "--brightness", "2", "--certificate", tmp_path / "many"))
    assert done.code == 0 and "3 samples: " in done.out and "15 inputs evaluated" in done.out
    found = sorted((tmp_path / "many").iterdir())
    assert [path.name for path in found] == ["000000.certificate", "000001.certificate", "000002.certificate"]
    for path in found:
        assert cli("check", path, "--network", files["network"]).code == 0


def test_a_box_of_two_files_is_decided_and_checked(cli, files, tmp_path):
    image = np.load(files["images"])[0].astype(int)
    ends = tmp_path / "lower.npy", tmp_path / "upper.npy"
    moved = np.zeros(image.shape, int)
    moved.reshape(-1)[:2] = 3
    for path, sign in zip(ends, (-1, 1), strict=True):
        np.save(path, np.clip(image + sign * moved, -128, 127))
    done = cli(*asked(files, "--index", "0", "--box", *ends, "--certificate", tmp_path / "c"))
    assert done.code == 0 and "a box, decided by bounds and search" in done.out, done
    assert cli("check", tmp_path / "c", "--network", files["network"]).code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--index", "0"), "say by how much"),
        (("--brightness", "3"), "nothing says which is meant"),
        (("--index", "9", "--brightness", "3"), "no sample 9"),
        (("--index", "0", "--brightness", "3", "--contrast", "1"), "several sets are named"),
        (("--index", "0", "--brightness", "3", "--eps", "1"), "leave --eps out"),
        (("--index", "0", "--brightness", "-3"), "give a whole number from 0"),
        (("--index", "0", "--shift", "3"), "two whole numbers"),
        (("--index", "0", "--shift", "900x0"), "give less than"),
        (("--index", "0", "--patch", "1x1x1"), "two whole numbers"),
        (("--index", "0", "--cover", "90x1"), "give a smaller one"),
        (("--index", "0", "--inputs", "0,0"), "there twice"),
        (("--index", "0", "--inputs", "1;2"), "whole numbers"),
        (("--index", "0", "--inputs", "99999"), "from 0 to"),
        (("--index", "0", "--at", "1,1", "--stuck"), "is where a block is"),
        (("--index", "0", "--at", "1,1", "--eps", "1"), "is where a block is"),
        (("--index", "0", "--stuck", "--device", "cuda"), "searched on the CPU alone"),
        (("--index", "0", "--pixels", "9"), "too many to evaluate"),
        (("--index", "0", "--stuck", "--witness", "w.json"), "--certificate"),
        (("--index", "0", "--box", "no.npy", "no.npy"), "no such"),
        (("--index", "0", "--stuck", "--certificate", "nowhere/at/all"), "no folder"),
    ],
)
def test_what_cannot_be_asked_is_one_line(cli, files, options, said):
    done = cli(*asked(files, *options))
    assert done.code == 2 and said in done.err and len(done.err.splitlines()) == 1, done


def test_other_networks_of_integers_have_sets_too(cli, tiny_data, tmp_path):
    given = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--index", "1")
    done = cli("robust", tiny_data.network, *given, "--brightness", "5", "--certificate", tmp_path / "c")
    assert done.code == 0 and "11 inputs" in done.out
    assert cli("check", tmp_path / "c", "--network", tiny_data.network).code == 0


SETS = pytest.mark.parametrize("how", [("--brightness", "2"), ("--inputs", "0,1,2", "--eps", "200")], ids=" ".join)


@SETS
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_quantized_onnx_networks_have_certificates(cli, tmp_path, how, form):
    network = dense(1, inputs=4, outputs=3, form=form).save(tmp_path / "network.onnx")
    np.save(tmp_path / "images.npy", np.full((1, 4), 90, np.uint8))
    asked = ("robust", network, "--images", tmp_path / "images.npy", *how)
    assert cli(*asked, "--certificate", tmp_path / "c").code == 0
    checked = cli("check", tmp_path / "c", "--network", network)
    assert checked.code == 0 and "as 'onnxruntime' computes them" in checked.out, checked
    late = cli("check", tmp_path / "c", "--network", network, "--timeout", "1e-9")
    if how[0] == "--brightness":
        assert late.code == 1 and "the time limit was reached while its file was read a second time" in late.out, late
    else:
        assert late.code == 2 and "is for float networks" in late.err, late
    assert "read again by a second reader" in checked.out


@SETS
def test_no_certificate_is_written_that_nothing_can_check(cli, tmp_path, how):
    network = dense(1, inputs=4, outputs=3, form="qdq", kind="int8").save(tmp_path / "network.onnx")
    np.save(tmp_path / "images.npy", np.full((1, 4), 90, np.uint8))
    asked = ("robust", network, "--images", tmp_path / "images.npy", *how)
    assert cli(*asked).code == 0
    done = cli(*asked, "--certificate", tmp_path / "c")
    assert done.code == 2 and "no certificate can be about it" in done.err and not done.out, done
    assert not (tmp_path / "c").exists()


def test_compared_networks_have_no_place_without_a_block(cli, files):
    given = ("--images", files["images"], "--index", "0", "--eps", "1", "--at", "0,0")
    done = cli("compare", files["network"], files["network"], *given)
    assert done.code == 2 and "is where a block is" in done.err, done


def test_a_list_is_announced_as_one_row(cli, tiny_data, files):
    given = ("--images", tiny_data.images, "--labels", tiny_data.labels, "--index", "1")
    assert ": one row, whatever it was made of" in cli("robust", tiny_data.network, *given, "--shift", "0x1").out
    assert "one row" not in cli("robust", tiny_data.network, *given, "--brightness", "1").out
    assert "one row" not in cli(*asked(files, "--index", "0", "--shift", "1x0")).out


def test_a_radius_in_l0_is_a_number_of_values(cli, tiny_data):
    index, _ = tiny_data.first("robust")
    asked = ("robust", tiny_data.network, "--images", tiny_data.images, "--labels", tiny_data.labels, "--index", index)
    by_norm, by_set = (
        json.loads(cli(*asked, *how, "--json").out) for how in (("--norm", "l0", "--eps", 1), ("--pixels", 1))
    )
    same = ("verdict", "set", "count", "evaluated", "witness")
    assert {name: by_norm[name] for name in same} == {name: by_set[name] for name in same}
    for eps in ("0", "-1", "1.5", "1/255", "one", "9" * 30):
        assert_refused(cli(*asked, "--norm", "l0", "--eps", eps), "--eps", "--norm l0 counts values", "whole number")
    assert_refused(cli(*asked, "--norm", "l0"), "--eps: is missing", "whole number")
    assert_refused(cli(*asked, "--norm", "l0", "--eps", 1, "--pixels", 1), "--pixels", "one of the two")
    for norm in ("l1", "l2"):
        assert_refused(cli(*asked, "--norm", norm, "--pixels", 1), f"is '{norm}', and a set is named as well")
    assert_refused(cli("radius", *asked[1:], "--norm", "l0"), "'l0' counts values", "netproof robust --norm l0")


def test_l0_of_a_float_network_without_ends_is_refused(cli, tmp_path):
    import numpy as np
    import torch

    import netproof

    netproof.from_torch(torch.nn.Sequential(torch.nn.Linear(4, 3)), (1, 4), path=tmp_path / "f.onnx")
    np.save(tmp_path / "x.npy", np.zeros((1, 4), np.float32))
    ran = cli("robust", tmp_path / "f.onnx", "--images", tmp_path / "x.npy", "--label", 0, "--norm", "l0", "--eps", 1)
    assert_refused(ran, "sample 0", "nothing says between which ends values can be", "clip")


def test_bytes_that_end_a_box_are_pixels_as_those_of_images_are(cli, files, tmp_path):
    codes = np.load(files["images"])[0].astype(int)
    low, high = np.maximum(codes - 2, -128), np.minimum(codes + 2, 127)
    answers = []
    for kind, zero in (("int64", 0), ("uint8", 128)):
        ends = [tmp_path / f"{kind}-{name}.npy" for name in ("low", "high")]
        for path, end in zip(ends, (low, high), strict=True):
            np.save(path, (end + zero).astype(kind))
        document = json.loads(cli(*asked(files, "--index", "0", "--box", *ends, "--json")).out)
        answers.append((document["verdict"], document["witness"]))
    assert answers[0] == answers[1]


def test_no_certificate_states_what_only_operands_of_a_softmax_say(cli, tmp_path):
    """One of a target would be about outputs that are not the file's, and the checker refuses it."""
    file = TFLiteFile()
    x, y, shares = file.tensor((1, 3), 0.5), file.tensor((1, 3), 0.25), file.tensor((1, 3), 1 / 256, -128)
    weight = file.constant(np.array([[9, -3, 1], [-2, 8, 3], [1, -4, 7]], np.int8), 1 / 8)
    file.operator("FULLY_CONNECTED", [x, weight, -1], [y], {0: ("b", 0)})
    file.operator("SOFTMAX", [y], [shares], {0: ("f", 1.0)})
    network, images, evidence = tmp_path / "n.tflite", tmp_path / "x.npy", tmp_path / "c.npcert"
    network.write_bytes(file.bytes(x, shares))
    np.save(images, np.array([[60, 0, -20]]))
    asked = ("robust", network, "--images", images, "--index", 0, "--certificate", evidence)
    target = ("--eps", 2, "--target", 1)
    assert_refused(cli(*asked, *target), "--certificate", "final softmax", "ask for any other class")
    assert not evidence.exists()
    assert cli(*asked[:-2], *target).code == 0
    for more in (("--eps", 2), ("--brightness", 3), ("--box", images, images)):
        assert cli(*asked, *more).code == 0
        assert cli("check", evidence, "--network", network).code == 0
