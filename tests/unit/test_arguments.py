"""Wrong uses from Python: each ends in one error of netproof's own that says which argument, what it is, and what to write."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import netproof
from netproof.arguments.arrays import NoNumbersError, numbers_of
from netproof.arguments.numbers import counted, exact_number, is_bool, scalar, whole_number
from netproof.arguments.words import described, listed, meant, printable, shown
from netproof.errors import InputError
from netproof.formats.torch_module import from_torch
from netproof.testing import assert_robust

MODULE = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
IMAGE = np.array([[10, 200], [30, 250]], np.uint8)
FLOATS = np.array([[[0.1, 0.9], [0.3, 0.2]]])
NAN = float("nan")


@pytest.fixture(scope="module")
def real():
    return from_torch(MODULE, (1, 1, 2, 2))


@pytest.fixture(scope="module")
def whole(tiny_data):
    return netproof.load(tiny_data.network)


class Odd:
    """An object that does nothing it is asked to."""

    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __float__ = __repr__

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no")


def refused(call, *parts):
    with pytest.raises(netproof.NetproofError) as raised:
        call()
    said = str(raised.value)
    assert "\n" not in said and all(part in said for part in parts), said
    assert raised.value.__suppress_context__ or raised.value.__context__ is None, "an inner error is shown as well"


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("image.png", ("the image is text ('image.png')", "as an array")),
        (Path("image.png"), ("the image is a PosixPath", "as an array")),
        (None, ("the image is nothing (None)", "an array of numbers")),
        ({"a": 1}, ("the image is a dict", "an array of numbers")),
        ({1, 2, 3, 4}, ("the image is a set",)),
        ((value for value in range(4)), ("the image is a generator", "a list of it")),
        (object(), ("the image is an object",)),
        (Odd(), ("the image makes no array (no)",)),
        ([[1, 2], [3]], ("the image makes no array", "equally long")),
        (np.array([1, 2, 3, None], object), ("entries that are Python objects", ".astype(float)")),
        (["1", "2", "3", "4"], ("the image has text as entries", "integers or floats")),
        (np.zeros(4, complex), ("the image has complex numbers as entries",)),
        (np.zeros(4, bool), ("the image has bools as entries", "what True stands for")),
        (np.zeros(4, "datetime64[D]"), ("the image has dates as entries",)),
        (np.zeros(4, np.longdouble), ("the image has entries of type", "float64")),
        (np.ma.masked_greater(np.arange(4), 2), ("masked out",)),
        (torch.zeros(4).to_sparse(), ("a tensor that is not dense", ".to_dense()")),
        (torch.zeros(4, device="meta"), ("a tensor without data",)),
        (torch.zeros(4, dtype=torch.bool), ("bools as entries",)),
        (torch.zeros(4, dtype=torch.complex64), ("complex numbers as entries",)),
        (np.zeros(5), ("the image has 5 values, the network takes 4",)),
    ],
)
def test_what_is_no_image(real, whole, image, parts):
    for network in (real, whole):
        refused(lambda network=network: netproof.robustness(network, image, 0, 1), *parts)
    if not isinstance(image, torch.Tensor) or image.layout == torch.strided:
        refused(lambda: netproof.largest_radius(whole, image, 0), *parts)


def test_numbers_in_any_order_of_bytes_and_memory(whole):
    plain = netproof.robustness(whole, IMAGE, 0, 1)
    for image in (
        IMAGE.astype(">i4"),
        IMAGE[::-1][::-1],
        np.asfortranarray(IMAGE),
        IMAGE.astype(np.uint64),
        IMAGE.tolist(),
    ):
        assert torch.equal(netproof.robustness(whole, image, 0, 1).lower, plain.lower)
    assert numbers_of(torch.tensor([1, 2])).dtype == np.int64 and numbers_of(torch.zeros(2).half()).dtype == np.float64
    given = np.zeros(2)
    numbers_of(given)[0] = 1
    assert given[0] == 0, "not a copy"
    with pytest.raises(NoNumbersError, match=r"is a tensor that is not dense; convert it"):
        numbers_of(torch.zeros(2).to_sparse())


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        (0.5, ("label 0.5 is not an output", "the number of the class")),
        ("cat", ("label 'cat'", "the number of the class")),
        ("1", ("label '1'",)),
        (None, ("label None",)),
        (True, ("label True",)),
        (np.bool_(True), ("label True", "the number of the class")),
        ([0, 1, 0], ("label [0, 1, 0]", "one-hot", "argmax")),
        (np.array([0.0, 1.0, 0.0]), ("one-hot",)),
        ([1], ("label [1]",)),
        (3, ("label 3", "counted from 0")),
        (-1, ("label -1", "belong together")),
        (NAN, ("label nan",)),
    ],
)
def test_what_is_no_label(real, whole, label, parts):
    refused(lambda: netproof.robustness(whole, IMAGE, label, 1), *parts)
    refused(lambda: netproof.robustness(real, FLOATS, label, 0.1), *parts)


@pytest.mark.parametrize(
    ("radius", "parts"),
    [
        ("2/255", ("the radius is '2/255'", "2 for 2/255 of the range")),
        (2 / 255, ("the radius is 0.00784", "whole number of grey levels", "2 for 2/255")),
        (Fraction(2, 255), ("the radius is 2/255", "2 for 2/255")),
        ("2px", ("the radius is '2px'", "whole number of grey levels, 0 or more")),
        (1.5, ("the radius is 1.5", "whole number")),
        (0.015, ("the radius is 0.015", "whole number of grey levels, 0 or more")),
        (-1, ("the radius is -1",)),
        (NAN, ("the radius is nan",)),
        (math.inf, ("the radius is inf",)),
        (True, ("the radius is True",)),
        ([1], ("the radius is [1]",)),
        (np.array([1, 2]), ("the radius is array([1, 2])",)),
        (Decimal("NaN"), ("the radius is NaN",)),
        (1j, ("the radius is 1j",)),
        (Odd(), ("the radius is an Odd",)),
        ("\x1b[31m", ("the radius is '\\x1b[31m'",)),
    ],
)
def test_what_is_no_radius_in_grey_levels(whole, radius, parts):
    refused(lambda: netproof.robustness(whole, IMAGE, 0, radius), *parts)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"norm": 2}, ("the norm is 2", "did you mean 'l2'?")),
        ({"norm": math.inf}, ("the norm is inf", "did you mean 'linf'?")),
        ({"norm": "Linf"}, ("did you mean 'linf'?",)),
        ({"norm": "L_inf"}, ("did you mean 'linf'?",)),
        ({"norm": ["l2"]}, ("the norm is ['l2']", "give one of linf, l1 or l2")),
        ({"norm": None}, ("the norm is None",)),
        ({"target": "cat"}, ("the target 'cat'",)),
        ({"target": True}, ("the target True",)),
        ({"top": "1"}, ("top is '1'", "give 1 to 2")),
        ({"top": 0}, ("top is 0", "give 1 to 2")),
        ({"scale": [1]}, ("scale is [1]", "1/255")),
        ({"scale": True}, ("scale is True",)),
        ({"mean": {"r": 1}}, ("mean is {'r': 1}",)),
        ({"mean": [[0.1]]}, ("mean is [0.1]",)),
        ({"clip": 1}, ("clip is 1", "(0, 1)")),
        ({"clip": (1,)}, ("clip is a tuple ((1,))", "(0, 1)")),
        ({"clip": (0, 1, 2)}, ("clip is a tuple", "(0, 1)")),
        ({"clip": "01"}, ("clip is text ('01')",)),
        ({"radius": None, "box": 3}, ("the box is 3", "(lower, upper)")),
        ({"radius": None, "box": FLOATS}, ("the box is an ndarray", "(lower, upper)")),
        ({"radius": None, "box": (None, None)}, ("the lower end of the box is nothing (None)",)),
        ({"radius": None, "box": (FLOATS, ["a"] * 4)}, ("the upper end of the box has text as entries",)),
        ({"name": 3}, ("name: is 3", "give text: '3'")),
        ({"name": Path("x")}, ("name: is a PosixPath", "give text")),
    ],
)
def test_what_is_no_argument_of_robustness(real, given, parts):
    refused(lambda: netproof.robustness(real, FLOATS, **{"label": 0, "radius": 0.1, **given}), *parts)


@pytest.mark.parametrize(
    ("network", "parts"),
    [
        ("net.h5", ("network: is text ('net.h5')", "netproof.load('net.h5')")),
        (Path("net.h5"), ("network: is a PosixPath", "netproof.load('net.h5')")),
        (MODULE, ("network: is a Sequential", "netproof.from_torch")),
        (None, ("network: is nothing (None)", "netproof.load")),
        (3, ("network: is 3",)),
    ],
)
def test_what_is_no_network(network, parts):
    refused(lambda: netproof.robustness(network, IMAGE, 0, 1), *parts)
    refused(lambda: netproof.largest_radius(network, IMAGE, 0), *parts)
    refused(lambda: netproof.robustness_to(network, IMAGE, 0, netproof.Brightness(1)), *parts)
    refused(lambda: netproof.Query(network, torch.zeros(4), torch.zeros(4), ()), *parts)
    refused(lambda: netproof.verify([], network=network), *parts) if network is not None else None


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"timeout": "60"}, ("the time limit is text ('60')", "seconds: 60")),
        ({"timeout": None}, ("the time limit is nothing",)),
        ({"timeout": True}, ("the time limit is True",)),
        ({"timeout": [1]}, ("the time limit is a list",)),
        ({"timeout": 0}, ("the time limit is 0",)),
        ({"timeout": -1}, ("the time limit is -1",)),
        ({"timeout": NAN}, ("the time limit is nan",)),
        ({"timeout": Decimal(3)}, ("the time limit is 3", "a positive number")),
        ({"memory": "2GiB"}, ("the memory limit is text ('2GiB')", "2 << 30")),
        ({"memory": NAN}, ("the memory limit is nan", "2 << 30")),
        ({"memory": math.inf}, ("the memory limit is inf",)),
        ({"memory": 1.5}, ("the memory limit is 1.5", "whole number of bytes")),
        ({"memory": True}, ("the memory limit is True",)),
        ({"memory": 5}, ("the memory limit is 5 bytes", "one MiB")),
        ({"seed": "1"}, ("the seed is text ('1')",)),
        ({"seed": 1.5}, ("the seed is 1.5",)),
        ({"seed": None}, ("the seed is nothing",)),
        ({"seed": 1 << 63}, ("the seed is 9223372036854775808",)),
        ({"attack": "no"}, ("attack is text ('no')", "True or False")),
        ({"attack": 1}, ("attack is 1", "True or False")),
        ({"proofs": None}, ("proofs is nothing", "True or False")),
        ({"engine": "SMT"}, ("no engine is called 'SMT'", "did you mean 'smt'?")),
        ({"engine": None}, ("no engine is called None", "auto, bab, smt or milp")),
        ({"device": torch.device("cpu")}, ("no device is called device(type='cpu')", "give cpu")),
        ({"device": None}, ("no device is called None",)),
    ],
)
def test_what_is_no_setting(given, parts):
    refused(lambda: netproof.Settings(**given), *parts)


def test_settings_are_plain_numbers_whatever_they_were_given_in():
    found = netproof.Settings(
        timeout=np.float32(3),
        memory=np.int64(1 << 30),
        seed=torch.tensor(7),
        attack=np.bool_(False),
        proofs=np.bool_(True),
    )
    assert found == netproof.Settings(timeout=3.0, memory=1 << 30, seed=7, attack=False, proofs=True)
    assert [type(value) for value in (found.timeout, found.memory, found.seed, found.attack)] == [float, int, int, bool]
    assert netproof.Settings(timeout=Fraction(1, 2), memory=float(1 << 30)).timeout == 0.5
    assert netproof.Settings(timeout=math.inf).timeout == math.inf == netproof.Settings(timeout=10**400).timeout


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (60, ("settings: is 60", "netproof.Settings(timeout=60)")),
        ({"timeout": 60}, ("settings: is a dict", "netproof.Settings(timeout=60)")),
        ("fast", ("settings: is text ('fast')",)),
        (True, ("settings: is True",)),
        (netproof.Settings, ("settings: is the class Settings, not an object of it",)),
    ],
)
def test_what_are_no_settings(whole, settings, parts):
    query = netproof.robustness(whole, IMAGE, 0, 1)
    # Of several as well, before the first answer is asked for.
    refused(lambda: netproof.verify(query, settings), *parts)
    refused(lambda: netproof.verify([query], settings), *parts)
    refused(lambda: netproof.largest_radius(whole, IMAGE, 0, settings), *parts)
    refused(lambda: assert_robust(whole, IMAGE[None], eps=0, settings=settings), *parts)


def test_what_cannot_be_decided(real):
    refused(lambda: netproof.verify(real), "cannot decide a Network")
    refused(lambda: netproof.verify("p.vnnlib", network=real), "cannot decide text", "netproof.read_vnnlib(file)")
    refused(lambda: netproof.verify(Path("p.vnnlib"), network=real), "netproof.read_vnnlib(file)")


@pytest.mark.parametrize("path", [None, 3, b"net.onnx", ["net.onnx"], ""])
def test_what_is_no_path(path):
    refused(lambda: netproof.load(path), "network file: is", "the path of a file")
    refused(lambda: netproof.read_vnnlib(path), "property file: is", "the path of a file")
    refused(lambda: assert_robust(path, IMAGE[None], eps=0), "network: ")
    refused(lambda: from_torch(MODULE, (1, 1, 2, 2), path=path), "path: is") if path is not None else None


def test_what_is_wrong_about_files_and_widths(tiny_data, tmp_path):
    refused(lambda: netproof.load(MODULE), "network file: is a Sequential", "netproof.from_torch")
    refused(lambda: netproof.load(tiny_data.network, widths={"bits": 6}), "widths: is a dict", "FixedPoint(bits=6)")
    refused(lambda: netproof.load(tiny_data.network, widths=6), "widths: is 6")
    refused(lambda: netproof.load(tiny_data.network, bits=True), "bits is True")
    refused(lambda: netproof.load(tiny_data.network, bits="6"), "bits is text ('6')")
    refused(lambda: netproof.load(tiny_data.network, bits=6.0), "bits is 6.0")
    refused(lambda: netproof.load(tiny_data.network, runtime=3), "runtime: is 3", "its name")
    for shapes in ([1, 2], {"x": 3}, {"x": "13"}, {"x": (1, 0)}, {"x": (True, 4)}, {3: (1, 4)}):
        refused(
            lambda shapes=shapes: netproof.load(tiny_data.network, shapes=shapes), "shapes: ", '{"x": (1, 3, 32, 32)}'
        )
    assert netproof.load(tiny_data.network, bits=np.int64(6)).scheme["bits"] == 6
    refused(lambda: from_torch(MODULE, (1, 1, 2, 2), path=tmp_path / "gone" / "a.onnx"), "a.onnx: cannot be written")


@pytest.mark.parametrize(
    ("module", "shape", "parts"),
    [
        (None, (1, 4), ("module: is nothing (None)", "torch.nn.Module")),
        (torch.nn.Linear, (1, 4), ("module: is the class Linear", "make an object of it")),
        (MODULE.state_dict(), (1, 4), ("module: is an OrderedDict", "load_state_dict")),
        ("a.pt", (1, 4), ("module: is text ('a.pt')", "netproof.load")),
        (torch.relu, (1, 4), ("module: is a builtin_function", "torch.nn.Module")),
        (MODULE, None, ("the input shape is ()", "(1, 3, 32, 32)")),
        (MODULE, 4, ("the input shape is 4", "whole numbers")),
        (MODULE, (1, 4.5), ("the input shape is (1, 4.5)", "whole numbers")),
        (MODULE, (True, 4), ("the input shape is (True, 4)",)),
        (MODULE, "1,4", ("the input shape is '1,4'", "whole numbers")),
        (MODULE, torch.zeros(1, 1, 2, 2), ("the input shape is an array", "(1, 1, 2, 2)")),
        (MODULE, (-1, 1, 2, 2), ("the input shape is (-1, 1, 2, 2)",)),
    ],
)
def test_what_is_no_module_or_shape(module, shape, parts):
    refused(lambda: from_torch(module, shape), *parts)


def test_what_is_no_query(real):
    zero, one = torch.zeros(4).double(), torch.ones(1, 3).double()
    first = netproof.Conjunction(one, torch.zeros(1).double())
    refused(lambda: netproof.Query(real, [0] * 4, [1] * 4, (first,)), "query: lower is a list", "torch.as_tensor")
    refused(lambda: netproof.Query(real, zero, np.ones(4), (first,)), "query: upper is an ndarray")
    refused(lambda: netproof.Query(real, zero, zero, first), "the condition is one Conjunction", "(conjunction,)")
    refused(lambda: netproof.Query(real, zero, zero, None), "the condition is nothing (None)")
    refused(lambda: netproof.Query(real, zero, zero, (3,)), "the condition is a tuple ((3,))")
    refused(lambda: netproof.Conjunction([[1, 0, 0]], [0]), "Conjunction: coefficients is a list")
    query = netproof.Query(real, zero, zero, (first,))
    refused(lambda: netproof.Question(query, "q"), "its parts are a Query", "(query,)")
    refused(lambda: netproof.Question(None, "q"), "its parts are nothing")
    refused(lambda: netproof.Question((query, 3), "q"), "one of its parts is 3")


def test_what_cannot_be_classified(real):
    refused(lambda: real.classify(np.zeros(4)), "x: is an ndarray", "torch.as_tensor")
    refused(lambda: real.classify([0] * 4), "x: is a list")
    refused(lambda: real.classify(torch.zeros(4)), "x: is torch.float32 of shape (4,)", "x.double()")
    refused(lambda: real.classify(torch.zeros(5).double()), "the network takes torch.float64 [..., 4]")


def test_what_is_no_set(whole):
    for given, parts in (
        (None, ("perturbation: is nothing", "netproof.Brightness(8)")),
        (netproof.Brightness, ("perturbation: is the class Brightness",)),
        (netproof.Brightness("8"), ("the change of brightness is '8'",)),
    ):
        refused(lambda given=given: netproof.robustness_to(whole, IMAGE, 0, given), *parts)
    refused(lambda: netproof.Inputs(3, 4), "positions is 3", "(3, 17)")
    refused(lambda: netproof.robustness_to(whole, IMAGE, 0, netproof.Brightness(1), points="a"), "points, is 'a'")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"clip": (1,)}, ("clip is a tuple",)),
        ({"scale": "x"}, ("scale is 'x'",)),
        ({"accuracy": [1]}, ("the accuracy is [1]",)),
        ({"limit": "x"}, ("the limit is 'x'",)),
        ({"norm": "l7"}, ("the norm is 'l7'",)),
    ],
)
def test_what_is_no_argument_of_a_radius(real, given, parts):
    refused(lambda: netproof.largest_radius(real, FLOATS, 0, **given), *parts)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"images": None}, ("images: is nothing (None)",)),
        ({"images": [[1, 2], [3]]}, ("images: makes no array",)),
        ({"images": FLOATS[0]}, ("images: is one image, of shape (2, 2)", "images[None]")),
        ({"images": 3}, ("images: is an array of shape ()", "[N, ...]")),
        ({"images": FLOATS[None][:0]}, ("images: holds no images",)),
        ({"images": np.zeros((2, 2, 2), bool)}, ("images: has bools as entries",)),
        ({"images": [np.zeros((2, 2)), np.full((2, 2), NAN)]}, ("1: the image has values that are NaN",)),
        ({"images": "gone"}, ("gone: no such file or folder of images",)),
        ({"labels": np.eye(3)[[0, 1]]}, ("labels: have shape (2, 3)", "labels.argmax(1)")),
        ({"labels": [[0, 1], [1]]}, ("labels: are no whole numbers",)),
        ({"labels": [True, False]}, ("labels: are no whole numbers (has bools",)),
        ({"labels": [0]}, ("labels: are 1, for 2 images",)),
        ({"labels": [0, 1, 2]}, ("labels: are 3, for 2 images",)),
        ({"labels": 0}, ("labels: is one number (0)", "[0]")),
        ({"labels": [0, 9]}, ("labels: label 9 of image 1 is no class", "0 to 2")),
        ({"labels": np.array([0, 2**63], np.uint64)}, ("labels: label", "of image 1 is no class")),
        ({"labels": "gone.npy"}, ("gone.npy: no such array file",)),
        ({"eps": None}, ("eps: is nothing", 'eps="2/255"')),
        ({"eps": True}, ("eps: is True",)),
        ({"eps": -0.5}, ("eps: is -0.5", "0 or more")),
        ({"eps": NAN}, ("eps: is nan",)),
        ({"eps": [0.1]}, ("eps: is a list",)),
        ({"eps": "two"}, ("eps: the radius is 'two'",)),
        ({"eps": 2}, ("eps: '2' could be grey levels",)),
        ({"norm": 2}, ("norm: the norm is 2", "did you mean 'l2'?")),
        ({"allowed": "robus"}, ("allowed: no verdict is called 'robus'", "did you mean 'robust'?")),
        ({"allowed": "unsat"}, ("did you mean 'robust'?",)),
        ({"allowed": [netproof.Verdict.SAT]}, ("no verdict is called 'sat'", "did you mean 'vulnerable'?")),
        ({"allowed": "robust,timeout"}, ("give a tuple: ('robust', 'timeout')",)),
        ({"allowed": ()}, ("allowed: names no verdict",)),
        ({"allowed": None}, ("allowed: is nothing",)),
        ({"allowed": [3]}, ("allowed: no verdict is called 3",)),
        ({"timeout": 0}, ("timeout: is 0", "seconds: 60")),
        ({"timeout": NAN}, ("timeout: is nan",)),
        ({"timeout": math.inf}, ("timeout: is without an end",)),
        ({"timeout": "60"}, ("timeout: is text",)),
        ({"timeout": 3, "settings": netproof.Settings()}, ("timeout: is given beside settings",)),
        ({"settings": netproof.Settings(timeout=math.inf)}, ("timeout: is without an end",)),
        ({"index": 2}, ("index: there is no image 2 among 2", "0 to 1")),
        ({"index": -1}, ("index: there is no image -1",)),
        ({"index": []}, ("index: names no image",)),
        ({"index": slice(2)}, ("index: is a slice", "range(0, 2)")),
        ({"index": np.array([True, False])}, ("index: is a mask of bools", "flatnonzero")),
        ({"index": object()}, ("is no number of an image",)),
        ({"target": "x"}, ("the target 'x'",)),
        ({"scale": [1]}, ("scale: is a list",)),
        ({"scale": 0}, ("scale: is 0", "above 0")),
        ({"mean": {}}, ("mean: is a dict",)),
        ({"mean": [None]}, ("mean: is nothing",)),
        ({"mean": []}, ("mean: has no number",)),
        ({"mean": [0.5, 0.5]}, ("mean: has 2 numbers", "one channel")),
        ({"clip": 1}, ("clip: is 1", "(0, 1)")),
        ({"clip": (0, NAN)}, ("clip: is nan",)),
        ({"clip": (1, 0)}, ("clip: is '1,0'", "the least value first: 0,1")),
        ({"layout": "nchw"}, ("layout: is 'nchw'", "did you mean 'chw'?")),
        ({"layout": 3}, ("layout: is 3",)),
        ({"runtime": "tflm"}, ("runtime: is for files", "netproof.load")),
    ],
)
def test_what_is_no_argument_of_an_assertion(real, given, parts):
    asked = {"images": FLOATS.repeat(2, 0), "eps": 0.0, **given}
    refused(lambda: assert_robust(real, **asked), *parts)


def test_a_float_that_is_no_quotient(whole):
    """What ``2 / 255`` is in floats is not 2 grey levels: the message has what to write."""
    images = IMAGE[None]
    refused(
        lambda: assert_robust(whole, images, eps=2 / 255),
        "eps: '0.0078",
        "near 2 grey levels of 255",
        "give 2, or 2/255",
    )
    refused(lambda: assert_robust(whole, images, eps=np.float32(2 / 255)), "give 2, or 2/255")
    refused(lambda: assert_robust(whole, images, eps=1.0), "could be grey levels or a share", "give 1 for grey levels")
    refused(lambda: assert_robust(whole, images, eps=0.01), "2.55 grey levels", "give 2 or 3")
    refused(lambda: assert_robust(whole, images / 255.0, eps=0), "images: holds numbers of type float64")
    refused(lambda: assert_robust(whole, images, eps=0, scale="1/255"), "scale: ", "leave scale out")
    for eps in (0, "0", Fraction(0), Decimal(0), np.int64(0), torch.tensor(0), "0/255", "0grey"):
        assert len(assert_robust(whole, images, eps=eps)) == 1


def test_labels_and_images_of_every_fitting_kind(whole, tmp_path):
    images = IMAGE[None].repeat(3, 0)
    own = int(whole.classify(torch.from_numpy(IMAGE.reshape(-1)).double()))
    (tmp_path / "labels.txt").write_text(f"{own}\n" * 3)
    for labels in (
        None, [own] * 3, np.full((3, 1), own), torch.full((3,), own), np.full(3, float(own)), np.full(3, own, np.uint8),
        tmp_path / "labels.txt",
    ):  # fmt: skip
        assert len(assert_robust(whole, images, labels, eps=0)) == 3
    assert len(assert_robust(whole, torch.from_numpy(images), eps=0)) == 3
    np.savez(tmp_path / "both.npz", images=images, labels=np.full(3, own))
    assert len(assert_robust(whole, tmp_path / "both.npz", eps=0)) == 3
    refused(
        lambda: assert_robust(whole, tmp_path / "both.npz", [own] * 3, eps=0),
        "labels: are given",
        "both.npz has labels",
    )
    assert len(assert_robust(whole, list(images.astype(np.int64)), eps=0)) == 3


def test_an_image_named_twice_is_asked_about_once(whole, monkeypatch):
    from netproof.testing import assertions

    asked = []

    def verify(queries, settings):
        asked.append([query.name for query in queries])
        return netproof.verify(queries, settings)

    monkeypatch.setattr(assertions, "verify", verify)
    first, second, third = assert_robust(whole, IMAGE[None].repeat(2, 0), eps=0, index=[1, 0, 1])
    assert asked == [["image 1", "image 0"]] and first is third and first is not second


def test_words():
    assert printable("a\x1b[31m\nb\u202e\udcff") == "a\\x1b[31m\\nb\\u202e\\udcff" and printable("ä b") == "ä b"
    assert shown("x" * 99) == "'" + "x" * 36 + "..." and shown(Odd()) == "an Odd" and shown(Fraction(1, 2)) == "1/2"
    assert shown(np.float64(0.5)) == "0.5" and described(np.int64(3)) == "3" and described(Odd()) == "an Odd"
    assert listed(["a"]) == "a" and listed(["a", "b", "c"], "and") == "a, b and c"
    assert meant("robst", ("robust", "timeout")) == "did you mean 'robust'? (give robust or timeout)"
    assert meant(["x"], ("a", "b"), {"x": "a"}) == "give a or b" and meant("x", ("a", "b"), {"x": "b"}).startswith(
        "did"
    )


def test_numbers():
    assert exact_number(True) is None and exact_number(torch.tensor(True)) is None and exact_number(Odd()) is None
    assert (
        exact_number(np.array([1, 2])) is None
        and exact_number(torch.tensor([3])) == 3
        and exact_number("1/3") == Fraction(1, 3)
    )
    assert whole_number("4") == 4 and counted("4") is None and counted(4.0) == 4 and counted(4.5) is None
    assert is_bool(np.bool_(False)) and not is_bool(0) and scalar("a") == "a" and scalar(np.float32(0.5)) == 0.5
    assert scalar(torch.zeros((), device="meta")).device.type == "meta"


def test_a_name_that_nearly_is_one():
    with pytest.raises(AttributeError, match="has no attribute 'verfy'") as raised:
        netproof.verfy  # noqa: B018
    # What Python's own suggestion is made from.
    assert raised.value.name == "verfy" and raised.value.obj is netproof


def test_errors_have_their_parts(real):
    with pytest.raises(InputError) as raised:
        assert_robust(real, FLOATS, eps=0, timeout=0)
    assert (raised.value.source, raised.value.problem) == ("timeout", "is 0") and "seconds" in raised.value.hint


def test_what_is_no_evidence(whole, real, tmp_path):
    label = int(whole.classify(torch.from_numpy(IMAGE.reshape(-1)).double()))
    query = netproof.robustness(whole, IMAGE, label, 0)
    result = netproof.verify(query, netproof.Settings(proofs=True))
    other = netproof.robustness(real, FLOATS, 0, "1/1000000")
    refused(lambda: netproof.certificate_of(query, None), "result: is nothing (None)", "netproof.verify found")
    refused(lambda: netproof.certificate_of(other, result), "the result is about another network", "its own question")
    certificate = netproof.certificate_of(query, result)
    refused(
        lambda: netproof.write_certificate(certificate, tmp_path / "c"),
        "certificate: is a PosixPath",
        "(path, certificate)",
    )
    refused(lambda: netproof.write_certificate(3, certificate), "path: is 3", "the path of a file")
    refused(lambda: netproof.check(None, whole), "certificate: is nothing (None)")
    refused(lambda: netproof.check(certificate, "net.h5"), "network: is text ('net.h5')", "netproof.load")
    refused(lambda: netproof.check_set(3, whole), "certificate: is 3")
    refused(lambda: netproof.check_set(certificate, None), "network: is nothing")
    refused(lambda: netproof.set_certificate_of(query, result), "query: is a Query", "SetQuery")
    assert netproof.check(certificate, whole).claim


def test_what_cannot_be_compared(whole):
    for given in ("net.h5", None):
        refused(lambda given=given: netproof.Pair(whole, given), "network: is ")
        refused(lambda given=given: netproof.Twins(given, whole), "network: is ")


def test_what_a_property_cannot_be_asked(real, tmp_path):
    path = tmp_path / "p.vnnlib"
    path.write_text(
        "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))(assert (>= Y_0 0))"
    )
    asked = netproof.read_vnnlib(path)
    refused(lambda: asked.queries(None), "network: is nothing")
    refused(lambda: asked.question("net.onnx"), "network: is text ('net.onnx')")
    refused(lambda: asked.holds([0.5, 1], [1]), "is about 1 inputs, and 2 are given")
    refused(lambda: asked.holds([0.5], []), "is about 1 outputs, and 0 are given")
    assert asked.holds([0.5], [0.0])


def test_names_of_queries_are_text(real):
    zero = torch.zeros(4).double()
    first = netproof.Conjunction(torch.ones(1, 3).double(), torch.zeros(1).double())
    refused(lambda: netproof.Query(real, zero, zero, (first,), name=3), "name: is 3", "give text: '3'")
    refused(lambda: netproof.Query(real, zero, zero, (first,), about=3), "it is about 3")
    refused(lambda: netproof.Question((netproof.Query(real, zero, zero, (first,)),), None), "name: is nothing")


def test_numbers_that_are_too_long_to_be_written(whole):
    assert netproof.robustness(whole, IMAGE, 0, 10**5000).name.startswith("radius ")
    refused(lambda: netproof.robustness(whole, IMAGE, 10**5000, 1), "label ", "is not an output")
    refused(lambda: netproof.robustness(whole, IMAGE, "9" * 5000, "9" * 5000), "label '9999")
