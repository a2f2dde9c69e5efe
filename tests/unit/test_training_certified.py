"""Certified training: what is trained, batch norms, checkpoints, and the files at the end."""

from __future__ import annotations

import resource
import shutil
import signal

import numpy as np
import pytest
import torch

from damaged_states import DAMAGES
from netproof.errors import FormatError, InputError
from netproof.formats.images.set import ImageSet
from netproof.making.boxes import Normalization
from netproof.training import run as training_run
from netproof.training.architectures import architecture
from netproof.training.bound import margin_bounds
from netproof.training.certified import CertifiedTraining, Inputs, Options, accuracy
from netproof.training.export import onnx_model
from netproof.training.run import TrainingRun
from netproof.training.schedule import Schedule
from netproof.training.trainable import trainable
from onnx_models import model, node, run_onnxruntime, save

NORMALIZATION = Normalization((0.4,) * 3, (0.3,) * 3)
LAYOUT = architecture("small").reduced(0.03, input_shape=(3, 8, 8), classes=3)
CPU = torch.device("cpu")


def images(count: int = 40) -> ImageSet:
    """Three classes told apart by which channel is bright."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, count)
    pixels = random.integers(0, 120, (count, 3, 8, 8))
    pixels[np.arange(count), labels] += 120
    return ImageSet(pixels.astype(np.uint8), labels, ("r", "g", "b"), "images")


def training(seed: int = 0, **changed: object) -> CertifiedTraining:
    network = trainable(LAYOUT.name, onnx_model(LAYOUT.build(seed)))  # type: ignore[arg-type]
    schedule = Schedule(epochs=4, warmup=1, ramp=2, radius=0.02, kappa=(1, 0.5), beta=(1, 0), learning_rate=5e-3)
    options = {"schedule": schedule, "batch": 10, "attack_steps": 2, "augment": True, **changed}
    return CertifiedTraining(network, Inputs(images(), NORMALIZATION, CPU), Options(**options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a training that has ended, with its networks; to be copied, not written to."""
    folder = tmp_path_factory.mktemp("finished")
    run = TrainingRun(training(), folder, {"seed": 0})
    list(run.run())
    run.write_networks("net")
    return folder


def test_batch_norms_are_those_of_pytorch():
    module = LAYOUT.build(seed=3)
    network = trainable(LAYOUT.name, onnx_model(module))
    x = torch.randn(6, 3, 8, 8)
    module.train()
    theirs = module(x)
    _, mine = network.batch_graph(x.flatten(1))
    assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    module.eval()
    assert torch.allclose(network.graph().evaluate(x.flatten(1)), module(x), rtol=1e-4, atol=1e-4)
    count = sum(p.numel() for p in module.parameters())
    assert sum(p.numel() for p in network.parameters()) == count


def test_constants_that_are_no_weights_stay(tmp_path):
    constants = {
        "mean": np.full((1, 3, 1, 1), 0.5), "std": np.full((1, 3, 1, 1), 0.25), "k": np.ones((2, 3, 3, 3)) * 0.1,
        "kb": np.ones(2), "w": np.ones((8, 4)) * 0.1, "b": np.arange(4.0), "v": np.ones((4, 3)), "c": np.ones((1, 3)),
    }  # fmt: skip
    nodes = [
        node("Sub", ["x", "mean"], ["centred"]),
        node("Div", ["centred", "std"], ["normal"]),
        node("Conv", ["normal", "k", "kb"], ["conv"]),
        node("AveragePool", ["conv"], ["pooled"], kernel_shape=[3, 3], strides=[3, 3]),
        node("Relu", ["pooled"], ["relu"]),
        node("Flatten", ["relu"], ["flat"]),
        node("Gemm", ["flat", "w", "b"], ["hidden"]),
        node("Relu", ["hidden"], ["relu2"]),
        node("MatMul", ["relu2", "v"], ["product"]),
        node("Add", ["product", "c"], ["y"]),
    ]
    path = save(tmp_path / "net.onnx", model(nodes, (1, 3, 8, 8), constants))
    network = trainable(path, path.read_bytes())
    trained = sum(constants[name].size for name in ("k", "kb", "w", "b", "v", "c"))
    assert sum(p.numel() for p in network.parameters()) == trained


def test_transposed_convolutions_are_trained(tmp_path):
    """By value and by bound, in float32, and the graph that is written has the numbers."""
    constants = {"k": np.ones((2, 3, 2, 2)) * 0.1, "kb": np.arange(3.0), "w": np.ones((48, 2)) * 0.1}
    nodes = [
        node("ConvTranspose", ["x", "k", "kb"], ["up"], strides=[2, 2]),
        node("Relu", ["up"], ["relu"]),
        node("Flatten", ["relu"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    path = save(tmp_path / "net.onnx", model(nodes, (1, 2, 2, 2), constants))
    network = trainable(path, path.read_bytes())
    assert sum(p.numel() for p in network.parameters()) == sum(array.size for array in constants.values())
    x = torch.linspace(-1, 1, 24).reshape(3, 8)
    graph = network.graph()
    bounds = margin_bounds(graph, x - 0.1, x + 0.1, torch.tensor([0, 1, 0]), 0.5)
    (bounds.sum() + graph.evaluate(x).sum()).backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and bool(g.abs().sum() > 0) for g in gradients)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5)
    trained = network.trained_graph()
    expected = network.graph().evaluate(x).detach().double()
    torch.testing.assert_close(trained.evaluate(x.double()), expected, rtol=1e-5, atol=1e-5)


def test_a_network_without_weights_is_refused(tmp_path):
    path = save(tmp_path / "net.onnx", model([node("Relu", ["x"])], (1, 4)))
    with pytest.raises(InputError, match="has no weights to train"):
        trainable(path, path.read_bytes())


def test_training_learns_and_the_files_compute_the_same(tmp_path):
    schedule = Schedule(epochs=20, warmup=4, ramp=8, radius=0.02, learning_rate=1e-2)
    course = training(schedule=schedule, augment=False)
    judged = Inputs(images(), NORMALIZATION, CPU)
    assert accuracy(course.network.graph(), judged, 0.02)[1] < 0.4
    run = TrainingRun(course, tmp_path, {"seed": 0})
    steps = list(run.run())
    assert len(steps) == 80 and [row.epoch for row in run.rows] == list(range(1, 21))
    assert run.rows[0].radius == 0 and run.rows[-1].radius == 0.02
    correct, proved = accuracy(course.network.graph(), judged, 0.02)
    assert 0.6 < proved <= correct
    plain, folded = run.write_networks("net")
    inputs = [np.random.default_rng(n).normal(size=(1, 3, 8, 8)).astype(np.float32) for n in range(3)]
    assert b"BatchNormalization" in plain.read_bytes() and b"BatchNormalization" not in folded.read_bytes()
    for path in (plain, folded):
        for x, theirs in zip(inputs, run_onnxruntime(path.read_bytes(), inputs), strict=True):
            mine = course.network.graph().evaluate(torch.from_numpy(x.reshape(-1))).detach().numpy()
            assert np.abs(mine - theirs).max() <= 1e-4 * max(1.0, np.abs(theirs).max())
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert log[0] == "epoch,radius,kappa,beta,loss,correct,proved" and len(log) == 21


@pytest.mark.parametrize("stops", [(1,), (5, 6), (15,)])
def test_training_that_was_stopped_arrives_at_the_same_network(finished, tmp_path, monkeypatch, stops):
    monkeypatch.setattr(training_run, "_INTERVAL", 0.0)  # a checkpoint after every step
    for stop in (*stops, 99):
        run = TrainingRun(training(), tmp_path, {"seed": 0})
        for number, _ in enumerate(run.run(), start=run.resumed + 1):
            if number == stop:
                break
    paths = [*run.write_networks("net"), tmp_path / "log.csv"]
    assert len(paths) == 3
    for path in paths:
        assert path.read_bytes() == (finished / path.name).read_bytes()


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_kill_between_log_and_checkpoint_loses_neither(finished, tmp_path, monkeypatch, writes):
    """Whichever of the two files is written first: both are whole in the end."""
    log = (finished / "log.csv").read_bytes()
    epochs, left = len(log.splitlines()) - 1, []

    def killed(write):
        def writing(*arguments, **named):
            left.append(write)
            if len(left) > 2 * epochs - writes:
                raise KeyboardInterrupt
            return write(*arguments, **named)

        return writing

    with monkeypatch.context() as patch:
        for name in ("write_bytes", "write_checkpoint"):
            patch.setattr(training_run, name, killed(getattr(training_run, name)))
        with pytest.raises(KeyboardInterrupt):
            list(TrainingRun(training(), tmp_path, {}).run())
    list(TrainingRun(training(), tmp_path, {}).run())
    assert (tmp_path / "log.csv").read_bytes() == log


def test_checkpoints_of_other_trainings_and_damaged_ones_are_refused(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    with pytest.raises(InputError, match="belongs to another run: its seed is 0, here 1"):
        TrainingRun(training(), tmp_path, {"seed": 1})
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"x" + whole[1:]):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="checkpoint"):
            TrainingRun(training(), tmp_path, {"seed": 0})


@pytest.mark.parametrize("damage", DAMAGES)
def test_states_that_do_not_fit_are_refused(finished, tmp_path, damage):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoint.pt"
    document = torch.load(path, weights_only=True)
    DAMAGES[damage](document["state"]["training"])
    torch.save(document, path)
    before = path.read_bytes()
    with pytest.raises(FormatError, match=r"does not fit this network: it holds .*move it away") as caught:
        TrainingRun(training(), tmp_path, {"seed": 0})
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *(("training", wrong) for wrong in (None, [], {"steps": "many"})),
        *(("rows", wrong) for wrong in (7, [["a"] * 7], [[1.0] * 6], [[1.0, 0, 0, 0, 0, 0, 10**400]])),
        *(("sums", wrong) for wrong in (None, [1.0, 2.0], [1.0, 2.0, {}])),
    ],
)
def test_what_a_run_keeps_beside_its_state_is_looked_at_too(finished, tmp_path, part, value):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoint.pt"
    document = torch.load(path, weights_only=True)
    document["state"][part] = value
    torch.save(document, path)
    with pytest.raises(FormatError, match="does not fit this network"):
        TrainingRun(training(), tmp_path, {"seed": 0})


@pytest.mark.parametrize("steps", [-1, 0, 10**9, True, None, 2.0, "3"])
def test_a_number_of_steps_that_is_none(tmp_path, steps):
    course = training()
    course.step()
    with pytest.raises(ValueError, match="no number of steps"):
        course.restore({**course.state(), "steps": steps})


def test_a_disk_that_fills_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "_INTERVAL", 0.0)
    run = TrainingRun(training(), tmp_path, {})
    steps = run.run()
    next(steps)
    good = (tmp_path / "checkpoint.pt").read_bytes()
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(InputError, match="run the same command again: the last good checkpoint is kept"):
            next(steps)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "log.csv"}
    assert (tmp_path / "checkpoint.pt").read_bytes() == good
    assert TrainingRun(training(), tmp_path, {}).resumed == 1


def test_a_loss_that_is_no_number_ends_training():
    run = training()
    with torch.no_grad():
        for parameter in run.network.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(InputError, match="loss is no number any more"):
        run.step()


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"batch": 0}, "--batch"),
        ({"adversarial": 1.5}, "--adversarial"),
        ({"attack_steps": 0}, "--attack-steps"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_options_that_make_no_sense_are_refused(changed, option):
    with pytest.raises(InputError, match=option):
        Options(**{"schedule": Schedule(epochs=10), **changed})
