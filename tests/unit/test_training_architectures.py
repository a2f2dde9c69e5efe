"""The benchmark's architectures: parameter counts as published, ONNX files that compute the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import netproof
from netproof.errors import InputError
from netproof.training.architectures import ARCHITECTURES, ResidualNetwork, architecture, parameter_count
from netproof.training.calibrate import calibrate
from netproof.training.export import onnx_model, write_onnx
from onnx_models import assert_agrees, run_onnxruntime

#: published counts, 4 numbers per batch norm channel, and the size of the flattened features
PUBLISHED = {
    "small": (1_352_600, 2048),
    "medium": (2_536_344, 2048),
    "large": (3_808_152, 4096),
    "super": (7_916_888, 1024),
    "tinyimagenet-medium": (3_616_144, 6272),
}
NAMES = list(PUBLISHED)


def trained_like(network: ResidualNetwork, seed: int = 0) -> ResidualNetwork:
    """Batch norms with statistics and factors that are none of the initial zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.3, 0.3),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.3, 2.0),
            ):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.eval()


def outputs(network: nn.Module, inputs: list[np.ndarray]) -> list[np.ndarray]:
    with torch.no_grad():
        return [network(torch.from_numpy(x)).double().numpy().reshape(-1) for x in inputs]


def samples(shape: tuple[int, ...], count: int = 2) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(size=(1, *shape)).astype(np.float32) for _ in range(count)]


def test_all_published_networks_are_known():
    assert set(ARCHITECTURES) == set(PUBLISHED)
    names = {known.name for known in ARCHITECTURES.values()}
    assert names == {
        "CIFAR100_resnet_small", "CIFAR100_resnet_medium", "CIFAR100_resnet_large", "CIFAR100_resnet_super",
        "TinyImageNet_resnet_medium",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_parameter_count_is_the_published_one(name):
    network = architecture(name).build()
    count, features = PUBLISHED[name]
    assert parameter_count(network) == count
    assert network.hidden.in_features == features
    counted = sum(tensor.numel() for key, tensor in network.state_dict().items() if "num_batches" not in key)
    assert counted == count


@pytest.mark.parametrize("name", NAMES)
def test_onnx_agrees_with_pytorch(name):
    network = trained_like(architecture(name).build(seed=1))
    inputs = samples(network.architecture.input_shape)
    mine = outputs(network, inputs)
    for fold in (False, True):
        data = onnx_model(network, fold=fold)
        if not fold:
            import onnx

            model = onnx.load_model_from_string(data)
            onnx.checker.check_model(model, full_check=True)
            assert sum(int(np.prod(t.dims)) for t in model.graph.initializer) == PUBLISHED[name][0]
        assert (b"BatchNormalization" in data) != fold
        for ours, theirs in zip(mine, run_onnxruntime(data, inputs), strict=True):
            assert np.abs(ours - theirs).max() <= 2e-5 * max(1.0, np.abs(ours).max())


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_netproof_reads_reduced_networks(name, fold, tmp_path):
    small = architecture(name).reduced(0.0625, input_shape=(3, 20, 20), classes=7)
    network = trained_like(small.build(seed=2))
    write_onnx(tmp_path / "network.onnx", network, fold=fold)
    inputs = samples((3, 20, 20), 3)
    assert_agrees(tmp_path / "network.onnx", inputs)
    read = netproof.load(tmp_path / "network.onnx")
    assert (read.inputs, read.outputs) == (1200, 7)
    for x, y in zip(inputs, outputs(network, inputs), strict=True):
        found = read.graph.evaluate(torch.from_numpy(x.reshape(-1)).double()).numpy()
        assert np.abs(found - y).max() <= 2e-5 * max(1.0, np.abs(y).max())


def test_the_same_seed_gives_the_same_file():
    layout = architecture("small").reduced(0.05)
    before = torch.random.get_rng_state()
    first, again, other = (onnx_model(layout.build(seed)) for seed in (3, 3, 4))
    assert first == again != other
    assert bool((torch.random.get_rng_state() == before).all())


def test_relu_after_the_sum_is_the_small_networks_alone():
    assert [name for name, known in ARCHITECTURES.items() if known.relu_after_sum] == ["small"]
    for name, expected in (("small", 1 + 2 * 4 + 1), ("medium", 1 + 8 + 1)):
        data = onnx_model(architecture(name).reduced(0.02).build())
        import onnx

        kinds = [node.op_type for node in onnx.load_model_from_string(data).graph.node]
        assert kinds.count("Relu") == expected


def test_training_mode_is_left_as_it_is():
    network = architecture("small").reduced(0.02).build()
    assert network.training
    onnx_model(network)
    assert network.training


def test_width_and_unknown_names_are_refused():
    with pytest.raises(InputError, match="no architecture has this name; known: small"):
        architecture("huge")
    assert architecture("CIFAR100_resnet_super") is ARCHITECTURES["super"]
    for width in (0, -1, 17, float("nan")):
        with pytest.raises(InputError, match="width"):
            architecture("small").reduced(width)
    with pytest.raises(InputError, match="too small"):
        architecture("small").reduced(0.1, input_shape=(3, 2, 2)).build()
    assert min(stage.channels for stage in architecture("small").reduced(1e-6).stages) == 1


def test_calibrated_batch_norms_give_standard_outputs():
    network = architecture("medium").reduced(0.1).build(1)
    images = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 5 + 3
    calibrate(network, images)
    assert not network.training
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    reached = []
    for norm in norms:
        norm.register_forward_hook(lambda _module, _inputs, output: reached.append(output))
    with torch.no_grad():
        network(images)
    assert len(reached) == len(norms) == 1 + 2 * 8 + 2
    for output in reached:
        assert float(output.mean((0, 2, 3)).abs().max()) < 0.02
        assert float((output.std((0, 2, 3)) - 1).abs().max()) < 0.02
    assert {norm.momentum for norm in norms} == {0.1}


def test_memory_that_runs_out_is_said_in_a_line():
    from netproof.training.limits import enough_memory

    for error in (
        MemoryError(),
        torch.cuda.OutOfMemoryError("x"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(InputError, match="more memory than there is"), enough_memory():
            raise error
    with pytest.raises(RuntimeError, match="other"), enough_memory():
        raise RuntimeError("other")
