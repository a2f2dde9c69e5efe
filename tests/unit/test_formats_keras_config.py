"""``model_config``: the forms in which Keras says the network that is read, and others, which are refused."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from netproof.errors import FormatError
from netproof.formats.keras.config import check_config

Config = dict[str, Any]
LAYERS = [("flatten", None), ("dense", (12, 5)), ("dropout", None), ("dense_1", (5, 3))]


def dense(name: str, units: int, activation: object, **more: object) -> Config:
    return {
        "class_name": "Dense",
        "config": {"name": name, "units": units, "activation": activation, "use_bias": True} | more,
    }


def layer(kind: str, name: str, **more: object) -> Config:
    return {"class_name": kind, "config": {"name": name} | more}


def chain() -> Config:
    return {
        "class_name": "Sequential",
        "config": {
            "name": "sequential",
            "layers": [
                layer("InputLayer", "input_1", batch_input_shape=[None, 3, 4], sparse=False),
                layer("Flatten", "flatten", data_format="channels_last"),
                dense("dense", 5, "relu"),
                layer("Dropout", "dropout", rate=0.2),
                dense("dense_1", 3, "linear"),
            ],
        },
    }


def keras_2_graph() -> Config:
    model = chain()
    model["class_name"] = "Functional"
    layers = model["config"]["layers"]
    layers[0]["inbound_nodes"] = []
    for before, one in itertools.pairwise(layers):
        one["inbound_nodes"] = [[[before["config"]["name"], 0, 0, {}]]]
    model["config"] |= {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense_1", 0, 0]]}
    return model


def keras_3_graph() -> Config:
    model = keras_2_graph()
    layers = model["config"]["layers"]
    for before, one in itertools.pairwise(layers):
        history = [before["config"]["name"], 0, 0]
        tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "keras_history": history}}
        one["inbound_nodes"] = [{"args": [tensor], "kwargs": {"training": False, "mask": None}}]
        one |= {"module": "keras.layers", "registered_name": None, "build_config": {}}
    model["config"] |= {"input_layers": ["input_1", 0, 0], "output_layers": ["dense_1", 0, 0]}
    return model


def refused(model: object, problem: str, layers: object = LAYERS) -> None:
    text = model if isinstance(model, str) else json.dumps(model)
    with pytest.raises(FormatError) as raised:
        check_config(Path("net.h5"), text, layers)  # type: ignore[arg-type]
    assert problem in raised.value.problem, raised.value.problem
    assert raised.value.hint and str(raised.value).isprintable()


def accepted(model: Config, layers: list[Any] = LAYERS) -> None:
    check_config(Path("net.h5"), json.dumps(model), layers)


@pytest.mark.parametrize("made", [chain, keras_2_graph, keras_3_graph])
def test_the_forms_of_keras(made: Any) -> None:
    accepted(made())


def test_the_oldest_form_is_a_list() -> None:
    model = chain()
    model["config"] = model["config"]["layers"]
    accepted(model)


def test_shapes_may_be_left_out_and_inputs_listed() -> None:
    model = chain()
    del model["config"]["layers"][0]
    accepted(model)
    accepted(chain(), [("input_1", None), *LAYERS])
    accepted({"class_name": "Sequential", "config": {"layers": [dense("d", 2, None)]}}, [("d", (2, 2))])


def test_shapes_as_objects() -> None:
    for kind in ("TensorShape", "__tuple__"):
        for extents in ([None, 3, 4], [None, 3, 5]):
            model = chain()
            del model["config"]["layers"][0]
            model["config"]["build_input_shape"] = {"class_name": kind, "items": extents}
            if extents[2] == 4:
                accepted(model)
            else:
                refused(model, "layer 'dense' is given values of shape 15, and a kernel for 12")
    model["config"]["build_input_shape"] = {"class_name": "Other", "items": [None, 3, 4]}
    refused(model, "'the model' states the input shape")


def test_relu_may_be_a_layer_of_its_own() -> None:
    model = chain()
    layers = model["config"]["layers"]
    layers[2]["config"]["activation"] = "linear"
    relus = [
        layer("ReLU", "relu", max_value=None, negative_slope=0.0, threshold=0.0),
        layer("Activation", "relu", activation="relu"),
    ]
    for relu in relus:
        model["config"]["layers"] = [*layers[:3], relu, *layers[3:]]
        accepted(model, [*LAYERS[:2], ("relu", None), *LAYERS[2:]])
    for field, value in (("max_value", 6.0), ("negative_slope", 0.1), ("threshold", 1.0)):
        wrong = copy.deepcopy(model)
        wrong["config"]["layers"][3] = layer("ReLU", "relu", **{field: value})
        refused(wrong, f"layer 'relu' is a ReLU with {field} {value}", [*LAYERS[:2], ("relu", None), *LAYERS[2:]])
    model["config"]["layers"] = [*layers, relus[0]]
    layers[2]["config"]["activation"] = "relu"
    refused(model, "layer 'relu' is a ReLU after the last dense layer", [*LAYERS, ("relu", None)])
    for activation in ("softmax", "tanh", "sigmoid", "gelu"):
        for place in (1, 3, 5):
            model["config"]["layers"] = [
                *layers[:place],
                layer("Activation", "act", activation=activation),
                *layers[place:],
            ]
            held = [*LAYERS[: place - 1], ("act", None), *LAYERS[place - 1 :]]
            refused(model, f"layer 'act' has activation '{activation}'", held)


@pytest.mark.parametrize(
    "activation", ["tanh", "sigmoid", "softmax", "elu", "relu6", "leaky_relu", {"class_name": "relu"}, 7]
)
@pytest.mark.parametrize(("index", "name"), [(2, "dense"), (4, "dense_1")])
def test_other_activations(activation: object, index: int, name: str) -> None:
    model = chain()
    model["config"]["layers"][index]["config"]["activation"] = activation
    refused(model, f"layer '{name}' has activation '")


def test_activations_at_the_wrong_place() -> None:
    for activation in ("linear", None):
        model = chain()
        model["config"]["layers"][2]["config"]["activation"] = activation
        refused(model, "layer 'dense' has activation 'linear', and is not the last one")
    model = chain()
    model["config"]["layers"][4]["config"]["activation"] = "relu"
    refused(model, "layer 'dense_1' has activation 'relu', and is the last one")


@pytest.mark.parametrize(
    ("kind", "field", "value", "problem"),
    [
        (2, "units", 6, "layer 'dense' has 6 units, and a kernel for 5"),
        (2, "units", 5.0, "layer 'dense' has 5.0 units"),
        (2, "use_bias", False, "layer 'dense' has no bias (use_bias)"),
        (2, "lora_rank", 4, "layer 'dense' has lora_rank 4"),
        (2, "kernel_quantizer", "ternary", "layer 'dense' has kernel_quantizer ternary, which is not known"),
        (2, "quantization_mode", "int8", "layer 'dense' has quantization_mode int8"),
        (
            2,
            "name",
            "other",
            "says layers 'flatten', 'other', 'dropout', 'dense_1', the file has weights for 'flatten', 'dense'",
        ),
        (2, "batch_input_shape", [None, 3, 4], "layer 'dense' is given values of shape 3x4, and a kernel for 12"),
        (2, "name", None, "has a Dense layer without a name"),
        (1, "data_format", "channels_first", "layer 'flatten' flattens with 'channels_first'"),
        (0, "batch_input_shape", [None, 3, 5], "layer 'dense' is given values of shape 15, and a kernel for 12"),
        (0, "batch_input_shape", [None, None], "'input_1' states the input shape [null, null]"),
        (0, "batch_input_shape", 12, "'input_1' states the input shape 12"),
    ],
)
def test_fields_that_do_not_fit(kind: int, field: str, value: object, problem: str) -> None:
    model = chain()
    model["config"]["layers"][kind]["config"][field] = value
    refused(model, problem)


@pytest.mark.parametrize(
    "kind", ["BatchNormalization", "Conv2D", "Lambda", "Softmax", "QuantizedDense", "Functional", "LeakyReLU"]
)
def test_other_layers(kind: str) -> None:
    model = chain()
    model["config"]["layers"][3] = layer(kind, "dropout")
    refused(model, f"layer 'dropout' is a {kind}, which is not known in HDF5 files")
    model["config"]["layers"][3] = layer("Dropout", "dropout")
    model["config"]["layers"][2]["class_name"] = kind
    refused(model, f"layer 'dense' is a {kind} and has weights")


def test_layers_in_another_order_or_another_number() -> None:
    for layers in (LAYERS[::-1], LAYERS[:3], [*LAYERS, ("dropout_1", None)], LAYERS[1:]):
        refused(chain(), "its 'model_config' says layers", layers)
    model = chain()
    model["config"]["layers"].insert(2, layer("InputLayer", "input_2"))
    refused(model, "layer 'input_2' is a second input")
    model = chain()
    model["config"]["layers"][3] = dense("dropout", 5, "relu")
    refused(model, "layer 'dropout' is a Dense layer, and has no weights")


def test_custom_layers() -> None:
    model = keras_3_graph()
    model["config"]["layers"][2]["module"] = "my.layers"
    refused(model, "layer 'dense' is a Dense of 'my.layers', not of Keras")
    model = keras_3_graph()
    model["config"]["layers"][2]["registered_name"] = "Custom>Dense"
    refused(model, "layer 'dense' is a Dense registered as 'Custom>Dense'")


@pytest.mark.parametrize("made", [keras_2_graph, keras_3_graph])
def test_graphs_that_are_no_chains(made: Any) -> None:
    no_chain = "layer 'dense_1' does not take the layer listed before it, and it alone"
    unknown = "layer 'dense_1' is used in a way that is not known"

    def changed(change: Any) -> Config:
        model = made()
        change(model["config"])
        return model  # type: ignore[no-any-return]

    def nodes(config: Config) -> Any:
        return config["layers"][4]["inbound_nodes"]

    skipped = made()["config"]["layers"][3]["inbound_nodes"]
    refused(changed(lambda c: c["layers"][4].update(inbound_nodes=skipped)), no_chain)
    refused(changed(lambda c: c["layers"][4].update(inbound_nodes=[])), no_chain)
    refused(changed(lambda c: nodes(c).append(nodes(c)[0])), unknown)
    refused(changed(lambda c: c["layers"][4].pop("inbound_nodes")), unknown)
    inner = (lambda n: n[0]["args"]) if made is keras_3_graph else (lambda n: n[0])
    refused(changed(lambda c: inner(nodes(c)).append(inner(nodes(c))[0])), unknown)
    options = (lambda n: n[0]["kwargs"]) if made is keras_3_graph else (lambda n: n[0][0][3])
    refused(changed(lambda c: options(nodes(c)).update(training=True)), unknown)
    history = (lambda n: n[0]["args"][0]["config"]["keras_history"]) if made is keras_3_graph else (lambda n: n[0][0])
    refused(changed(lambda c: history(nodes(c)).__setitem__(2, 1)), unknown)
    refused(changed(lambda c: c.update(output_layers=[["dense", 0, 0]])), "has output_layers")
    refused(changed(lambda c: c.update(output_layers=[["dense_1", 0, 0], ["dense", 0, 0]])), "has output_layers")
    refused(changed(lambda c: c.update(input_layers=[["dense", 0, 0]])), "has input_layers")
    refused(changed(lambda c: c.pop("input_layers")), "has input_layers null, not 'input_1' alone")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ("[]", "does not say what the model is"),
        ('{"class_name": "Sequential"}', "does not say what the model is"),
        ('{"class_name": "Sequential", "config": 3}', "does not say what the model is"),
        ('{"class_name": "Sequential", "config": {}}', "says a model of class 'Sequential'"),
        ('{"class_name": "MyModel", "config": {"layers": []}}', "says a model of class 'MyModel'"),
        ('{"class_name": "Sequential", "class_name": "Sequential", "config": []}', "states a field twice"),
        ('{"class_name": "Sequential", "config": [7]}', "does not say what a layer is"),
        ('{"class_name": "Functional", "config": []}', "its 'model_config'"),
    ],
)
def test_texts_that_say_no_model(text: str, problem: str) -> None:
    refused(text, problem)


def test_the_config_in_a_file_is_looked_at(tmp_path: Path) -> None:
    import h5py

    from conftest import random_layers, write_keras_h5
    from netproof.formats.keras.read import read_keras_h5

    path = write_keras_h5(tmp_path / "net.h5", random_layers((4, 5, 3), seed=3))

    def stating(activation: str, attribute: str = "model_config") -> Path:
        layers = [dense("dense_0", 5, activation), dense("dense_1", 3, "linear")]
        with h5py.File(path, "r+") as file:
            for name in [name for name in file.attrs if name.startswith("model_config")]:
                del file.attrs[name]
            file.attrs[attribute] = json.dumps({"class_name": "Sequential", "config": {"layers": layers}})
        return path

    assert read_keras_h5(stating("relu")).outputs == 3
    with pytest.raises(FormatError, match="layer 'dense_0' has activation 'tanh'; save a network of dense layers"):
        read_keras_h5(stating("tanh"))
    with pytest.raises(FormatError, match="its attribute 'model_config0' is not one text"):
        read_keras_h5(stating("relu", "model_config0"))
