"""Quantization-aware training: integers as they are deployed, the same network after any interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import netproof
from damaged_states import DAMAGES
from netproof.certificate.second_reading.compare import confirm
from netproof.errors import FormatError, InputError, NetproofError
from netproof.formats.fixed_point import FixedPoint, quantize
from netproof.training.quantized.layers import Requantization
from netproof.training.quantized.layers import quantized as quantized_parameter
from netproof.training.quantized.networks import QuantizedNetwork, perceptron, residual
from netproof.training.quantized.train import QuantizedTraining, integer_outputs, train_quantized
from onnx_models import integer_session

WIDTHS = FixedPoint(bits=5, input_bits=4)
SHAPE = (1, 4, 5)


def made(kind: str, widths: FixedPoint = WIDTHS, shape: tuple[int, int, int] = SHAPE) -> QuantizedNetwork:
    if kind == "perceptron":
        return perceptron(shape, (7, 6), 3, widths)
    return residual(shape, (2, 3), (2, 1), 3, widths)


def bars(count: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noisy images of three kinds: a bright left, middle or right."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    images = random.integers(0, 6, (count, *shape)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, :, label * 2 : label * 2 + 2] += 8
    return images, labels


kinds = pytest.mark.parametrize("kind", ["perceptron", "residual"])


@kinds
@pytest.mark.parametrize("radius", [0.0, 1.0])
def test_trained_networks_are_the_integers_of_their_files(tmp_path: Path, kind: str, radius: float) -> None:
    images, labels = bars(300)
    training = QuantizedTraining(epochs=8, batch=32, radius=radius, seed=3)
    network = train_quantized(lambda: made(kind), images, labels, training)
    test_images, test_labels = bars(500, seed=1)
    outputs = integer_outputs(network, test_images)
    assert (outputs.argmax(1) == test_labels).mean() > 0.9
    network.write_onnx(tmp_path / "net.onnx")
    read = netproof.load(tmp_path / "net.onnx")
    flat = test_images.reshape(len(test_images), -1)
    assert (read.graph.evaluate(torch.from_numpy(flat).double()).numpy() == outputs).all()
    assert confirm(read)
    assert (read.classify(torch.from_numpy(flat).double()).numpy() == outputs.argmax(1)).all()
    runtime = integer_session((tmp_path / "net.onnx").read_bytes())
    assert (runtime.run(None, {"input": test_images})[0] == outputs).all()
    if kind == "perceptron":
        network.write_keras_h5(tmp_path / "net.h5")
        keras = netproof.load(tmp_path / "net.h5", widths=WIDTHS)
        assert confirm(keras)
        assert (keras.graph.evaluate(torch.from_numpy(flat).double()).numpy() == outputs).all()


@kinds
@pytest.mark.parametrize("bits", [2, 8])
def test_the_narrowest_and_the_widest(kind: str, bits: int, tmp_path: Path) -> None:
    """Untrained weights of every size, on images of every grey level."""
    widths = FixedPoint(bits=bits, input_bits=8)
    torch.manual_seed(bits)
    network = made(kind, widths)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(3 * torch.randn_like(parameter))
    images = np.random.default_rng(bits).integers(0, 256, (64, *SHAPE)).astype(np.uint8)
    network.write_onnx(tmp_path / "net.onnx")
    read = netproof.load(tmp_path / "net.onnx")
    assert confirm(read)
    graph = read.graph
    expected = integer_outputs(network, images)
    assert (graph.evaluate(torch.from_numpy(images.reshape(64, -1)).double()).numpy() == expected).all()
    assert len(np.unique(expected)) > 2


@kinds
def test_a_run_that_was_cut_off_ends_at_the_same_network(tmp_path: Path, kind: str) -> None:
    images, labels = bars(100)
    training = QuantizedTraining(epochs=4, batch=16, radius=1.0, seed=5)
    whole = train_quantized(lambda: made(kind), images, labels, training, checkpoint=tmp_path / "whole.pt")

    class CutError(Exception):
        pass

    def cut(epoch: object) -> None:
        if getattr(epoch, "number", 0) == 2:
            raise CutError

    place = tmp_path / "cut.pt"
    with pytest.raises(CutError):
        train_quantized(lambda: made(kind), images, labels, training, checkpoint=place, progress=cut)
    seen: list[int] = []
    resumed = train_quantized(
        lambda: made(kind),
        images,
        labels,
        training,
        checkpoint=place,
        resume=True,
        progress=lambda epoch: seen.append(epoch.number),
    )
    assert seen == [3, 4]
    assert resumed.onnx() == whole.onnx()
    again = train_quantized(lambda: made(kind), images, labels, training, checkpoint=place, resume=True)
    assert again.onnx() == whole.onnx()  # nothing left to do
    other = train_quantized(lambda: made(kind), images, labels, QuantizedTraining(epochs=4, batch=16, seed=6))
    assert other.onnx() != whole.onnx()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    images, labels = bars(40)
    place = tmp_path / "c.pt"

    def run(**options: int) -> QuantizedNetwork:
        training = QuantizedTraining(**{"epochs": 1, **options})  # type: ignore[arg-type]
        return train_quantized(lambda: made("perceptron"), images, labels, training, checkpoint=place, resume=True)

    run()
    with pytest.raises(InputError, match="another run: its seed is 0, here 7"):
        run(seed=7)
    with pytest.raises(InputError, match="its epochs is 1, here 2"):
        run(epochs=2)
    with pytest.raises(InputError, match="another run: its data"):
        train_quantized(
            lambda: made("perceptron"), images, 2 - labels, QuantizedTraining(epochs=1), checkpoint=place, resume=True
        )


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "flipped", "pickle"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, damage: str) -> None:
    images, labels = bars(40)
    place = tmp_path / "c.pt"
    training = QuantizedTraining(epochs=1)
    train_quantized(lambda: made("perceptron"), images, labels, training, checkpoint=place)
    data = place.read_bytes()
    if damage == "pickle":
        torch.save({"format": Path("x")}, place)  # would have to execute code to be read
    else:
        flipped = bytearray(data)
        flipped[len(data) // 2 :: 97] = bytes(len(flipped[len(data) // 2 :: 97]))
        place.write_bytes(
            {"empty": b"", "cut": data[:-500], "foreign": b"PK" + data, "flipped": bytes(flipped)}[damage]
        )
    with pytest.raises((FormatError, InputError)) as caught:
        train_quantized(lambda: made("perceptron"), images, labels, training, checkpoint=place, resume=True)
    assert str(place) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_states_that_do_not_fit_are_refused(tmp_path: Path, damage: str) -> None:
    images, labels = bars(40)
    place = tmp_path / "c.pt"
    training = QuantizedTraining(epochs=2)
    train_quantized(lambda: made("residual"), images, labels, training, checkpoint=place)
    document = torch.load(place, weights_only=True)
    DAMAGES[damage](document["state"])
    document["epoch"] = 1
    torch.save(document, place)
    before = place.read_bytes()
    with pytest.raises(FormatError, match=r"does not fit this network: it holds .*move it away") as caught:
        train_quantized(lambda: made("residual"), images, labels, training, checkpoint=place, resume=True)
    assert str(place) in str(caught.value) and "\n" not in str(caught.value)
    assert place.read_bytes() == before


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("epoch", True, "damaged checkpoint"),
        ("epoch", -1, "damaged checkpoint"),
        ("epoch", 9, "has 9 epochs done of 2"),
        ("identity", {"seed": torch.zeros(2)}, "damaged checkpoint"),
        ("state", [], "damaged checkpoint"),
    ],
)
def test_checkpoints_that_say_nonsense_are_refused(tmp_path: Path, part: str, value: object, problem: str) -> None:
    images, labels = bars(40)
    place = tmp_path / "c.pt"
    training = QuantizedTraining(epochs=2)
    train_quantized(lambda: made("perceptron"), images, labels, training, checkpoint=place)
    document = torch.load(place, weights_only=True)
    document[part] = value
    torch.save(document, place)
    with pytest.raises(FormatError, match=problem):
        train_quantized(lambda: made("perceptron"), images, labels, training, checkpoint=place, resume=True)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = bars(40)
    place = tmp_path / "c.pt"
    training = QuantizedTraining(epochs=3)
    kept: list[bytes] = []

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def progress(epoch: object) -> None:
        kept.append(place.read_bytes())
        monkeypatch.setattr("os.fsync", full)

    with pytest.raises(InputError, match="No space left"):
        train_quantized(lambda: made("perceptron"), images, labels, training, checkpoint=place, progress=progress)
    assert place.read_bytes() == kept[0]
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_parameters_are_quantized_as_readers_do() -> None:
    values = np.random.default_rng(0).normal(0, 1, 2000).astype(np.float32)
    edges = np.arange(-70, 70, dtype=np.float32) / 64
    values = np.concatenate([values, edges, np.nextafter(edges, np.float32(2)), np.nextafter(edges, np.float32(-2))])
    found = quantized_parameter(torch.from_numpy(values), 6, 5)
    assert (found.numpy() == quantize(values, 6, 1)).all()


def test_requantization_is_that_of_the_formula_and_its_gradient_a_line() -> None:
    a = torch.arange(-200, 200, dtype=torch.float32, requires_grad=True)
    y = Requantization(3, -4, 9)(a)
    expected = ((np.arange(-200, 200) + 4) >> 3).clip(-4, 9)
    assert (y.detach().numpy() == expected).all()
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    inside = (np.arange(-200, 200) > -32) & (np.arange(-200, 200) < 72)
    assert torch.equal(a.grad[torch.from_numpy(inside)], torch.full((int(inside.sum()),), 1 / 8))
    assert a.grad[0] == 0 and a.grad[-1] == 0


@kinds
def test_worst_leads_hold_at_every_point(kind: str) -> None:
    """Interval bounds of the training model against sampled points, where its outputs are accumulators."""
    torch.manual_seed(1)
    network = made(kind).double()
    random = np.random.default_rng(2)
    x = torch.from_numpy(random.integers(0, 16, (20, *SHAPE))).double()
    labels = torch.from_numpy(random.integers(0, 3, 20))
    low, high = (x - 1).clamp(0, 15), (x + 1).clamp(0, 15)
    leads = network.worst_leads(low, high, labels)
    network.train()  # outputs that do not saturate
    for _ in range(20):
        at = low + torch.from_numpy(random.integers(0, 3, x.shape)).double()
        outputs = network(torch.minimum(at, high))
        lead = outputs - outputs.gather(1, labels[:, None])
        scale = 2.0 ** (network.accumulator_fraction - network.fraction)
        # Outputs of a perceptron are rounded accumulators.
        assert (lead * scale <= leads + (scale if kind == "perceptron" else 0)).all()


@pytest.mark.parametrize(
    ("widths", "part"),
    [
        (FixedPoint(bits=12), "above 8"),
        (FixedPoint(bits=6, input_bits=1, weight_integer_bits=5), "fractional bits"),
    ],
)
def test_widths_that_cannot_be_trained(widths: FixedPoint, part: str) -> None:
    with pytest.raises(InputError, match=part):
        made("perceptron", widths)


def test_images_the_network_does_not_take() -> None:
    images, labels = bars(10)
    for given, part in ((images + 10, "grey levels up to"), (images[:, :, :3], "the network takes 1x4x5")):
        with pytest.raises(InputError, match=part):
            train_quantized(lambda: made("residual"), given, labels, QuantizedTraining(epochs=1))
    for options in ({"epochs": 0}, {"batch": 0}, {"learning_rate": -1.0}, {"radius": float("nan")}, {"seed": -1}):
        with pytest.raises(NetproofError):
            QuantizedTraining(**options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--device"):
        train_quantized(lambda: made("residual"), images, labels, QuantizedTraining(device="none"))
