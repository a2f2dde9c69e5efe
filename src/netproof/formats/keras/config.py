"""What ``model_config`` in a Keras file says about the network, compared with the network that is read.

From HDF5 netproof reads one kind of function: dense layers in a row, ReLU after every hidden one, nothing after the last
(:mod:`netproof.formats.fixed_point`). A file that says otherwise is refused by the name of the layer. What only training
asks for (initializers, regularizers, constraints, optimizers) is not looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netproof.errors import FormatError
from netproof.formats.keras.hdf5 import printable

Shape = tuple[int, ...]

#: names that Keras has had for the same two kinds of model
_CHAINS, _GRAPHS = ("Sequential",), ("Functional", "Model")
#: what is stated of a Dense layer: its function, how it was trained, and what has to be absent
_OF_DENSE = frozenset(
    {
        *("name", "trainable", "dtype", "autocast", "dynamic", "units", "activation", "use_bias"),
        *("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer"),
        *("kernel_constraint", "bias_constraint", "batch_input_shape", "batch_shape", "input_shape", "input_dim"),
        *("batch_size", "sparse", "ragged", "lora_rank", "lora_alpha", "quantization_mode", "quantization_config"),
    }
)
#: layers that do nothing where a network is used
_IDLE = ("Dropout", "Flatten", "InputLayer")
_HINT = "save a network of dense layers, ReLU after all but the last"


def check_config(path: Path, text: str, layers: Sequence[tuple[str, Shape | None]]) -> None:
    """Raise :class:`FormatError` unless a ``model_config`` says the network that was read.

    Parameters
    ----------
    path : for error messages
    text : the attribute, JSON
    layers : name and shape of the kernel of every layer the file lists, in its order; None where it has no weights
    """
    _Check(path, layers).run(text)


class _Check:
    def __init__(self, path: Path, layers: Sequence[tuple[str, Shape | None]]) -> None:
        self._path, self._layers = path, layers
        self._kernels = dict(layers)

    def run(self, text: str) -> None:
        try:
            model = json.loads(text, object_pairs_hook=self._object)
        except (ValueError, RecursionError):
            raise self._refusal("its 'model_config' is not JSON") from None
        kind, config = self._part(model, "the model")
        listed = config if isinstance(config, list) else config.get("layers")
        if kind not in (*_CHAINS, *_GRAPHS) or not isinstance(listed, list):
            raise self._refusal(f"its 'model_config' says a model of class '{_shown(kind)}'")
        stated = [(layer, *self._layer(layer)) for layer in listed]
        self._check_names([(name, kind) for _, kind, name, _ in stated])
        if kind in _GRAPHS:
            self._check_chain(config, stated)
        shape = self._input_shape(config if isinstance(config, dict) else {}, "the model", ("build_input_shape",))
        self._check_function([(kind, name, config) for _, kind, name, config in stated], shape)

    def _check_names(self, stated: Sequence[tuple[str, str]]) -> None:
        """Layers in ``model_config`` and in the file are the same, in the same order (an input may be in one only)."""
        inputs = {name for name, kind in stated if kind == "InputLayer"}
        said = [name for name, _ in stated if name not in inputs]
        held = [name for name, _ in self._layers if name not in inputs]
        if said != held:
            raise self._refusal(
                f"its 'model_config' says layers {_listed(said)}, the file has weights for {_listed(held)}"
            )

    def _check_function(self, stated: Sequence[tuple[str, str, Mapping[str, Any]]], shape: Shape | None) -> None:
        """Walk through the layers with what is known of the shape of a value, and ReLU or not before the next one."""
        dense = [name for kind, name, _ in stated if kind == "Dense"]
        positive = True  # what is in front of the first layer needs no ReLU
        before = ""
        for number, (kind, name, config) in enumerate(stated):
            if kind == "InputLayer" and number:
                raise self._refusal(f"layer '{_shown(name)}' is a second input")
            shape = self._input_shape(config, name, ("batch_input_shape", "batch_shape")) or shape
            if kind == "Dense":
                if not positive:
                    raise self._refusal(f"layer '{_shown(before)}' has activation 'linear', and is not the last one")
                shape, before = self._dense(name, config, shape), name
                positive = self._is_relu(name, config)
                last = name == dense[-1]
                if last and positive:
                    raise self._refusal(f"layer '{_shown(name)}' has activation 'relu', and is the last one")
                continue
            if self._kernels.get(name) is not None:
                raise self._refusal(f"layer '{_shown(name)}' is a {_shown(kind)} and has weights")
            if kind == "Flatten":
                if config.get("data_format") not in (None, "channels_last"):
                    raise self._refusal(f"layer '{_shown(name)}' flattens with '{_shown(config['data_format'])}'")
                shape = None if shape is None else (math.prod(shape),)
            elif kind in ("Activation", "ReLU"):
                if not self._is_relu(name, config, kind) or not before:
                    continue  # inputs are not negative
                if before == dense[-1]:
                    raise self._refusal(f"layer '{_shown(name)}' is a ReLU after the last dense layer")
                positive = True
            elif kind not in _IDLE:
                raise self._refusal(f"layer '{_shown(name)}' is a {_shown(kind)}, which is not known in HDF5 files")

    def _dense(self, name: str, config: Mapping[str, Any], shape: Shape | None) -> Shape:
        kernel = self._kernels.get(name)
        if kernel is None:
            raise self._refusal(f"layer '{_shown(name)}' is a Dense layer, and has no weights")
        if type(config.get("units")) is not int or config["units"] != kernel[1]:
            raise self._refusal(
                f"layer '{_shown(name)}' has {_shown(config.get('units'))} units, and a kernel for {kernel[1]}"
            )
        if config.get("use_bias", True) is not True:
            raise self._refusal(f"layer '{_shown(name)}' has no bias (use_bias), and weights for one")
        for field in ("quantization_config", "quantization_mode", "lora_rank"):
            if config.get(field) is not None:
                raise self._refusal(f"layer '{_shown(name)}' has {field} {_shown(config[field])}")
        for field, value in config.items():
            if field not in _OF_DENSE and value is not None:
                raise self._refusal(f"layer '{_shown(name)}' has {_shown(field)} {_shown(value)}, which is not known")
        if shape is not None and shape != kernel[:1]:
            raise self._refusal(
                f"layer '{_shown(name)}' is given values of shape {'x'.join(map(str, shape))}, and a kernel for {kernel[0]}"
            )
        return kernel[1:]

    def _is_relu(self, name: str, config: Mapping[str, Any], kind: str = "Dense") -> bool:
        """Whether a layer's activation is ReLU; not where it has none. Raises for any other."""
        if kind == "ReLU":
            plain = {"max_value": (None,), "negative_slope": (None, 0), "threshold": (None, 0)}
            for field, known in plain.items():
                if config.get(field) not in known:
                    raise self._refusal(f"layer '{_shown(name)}' is a ReLU with {field} {_shown(config[field])}")
            return True
        activation = config.get("activation", "nothing" if kind == "Activation" else None)
        if activation not in ("relu", "linear", None):
            raise self._refusal(f"layer '{_shown(name)}' has activation '{_shown(activation)}'")
        return bool(activation == "relu")

    def _input_shape(self, config: Mapping[str, Any], name: str, fields: Sequence[str]) -> Shape | None:
        """The shape of one sample that a layer or a model states, None where it states none."""
        for field in fields:
            stated = config.get(field)
            if stated is None:
                continue
            if isinstance(stated, dict) and stated.get("class_name") in ("TensorShape", "__tuple__"):
                stated = stated.get("items")  # as some versions of Keras write a shape
            extents = stated[1:] if isinstance(stated, list) else []
            if not extents or not all(type(extent) is int and extent > 0 for extent in extents):
                raise self._refusal(f"'{_shown(name)}' states the input shape {_shown(stated)}")
            return tuple(extents)
        return None

    # -- models that are graphs

    def _check_chain(self, config: Mapping[str, Any], stated: Sequence[tuple[Any, str, str, Any]]) -> None:
        """Every layer of a functional model takes the one before it, once, and nothing else."""
        names = [name for _, _, name, _ in stated]
        for number, (layer, _, name, _) in enumerate(stated):
            expected = [names[number - 1]] if number else []
            if self._operands(layer.get("inbound_nodes"), name) != expected:
                raise self._refusal(f"layer '{_shown(name)}' does not take the layer listed before it, and it alone")
        for field, name in (("input_layers", names[0]), ("output_layers", names[-1])):
            ends = config.get(field)
            ends = ends[0] if isinstance(ends, list) and len(ends) == 1 else ends
            if not isinstance(ends, list) or ends != [name, 0, 0]:
                raise self._refusal(
                    f"its 'model_config' has {field} {_shown(config.get(field))}, not '{_shown(name)}' alone"
                )

    def _operands(self, nodes: object, name: str) -> list[str]:
        """The layers that a layer is called on, as Keras 2 and Keras 3 write it; it is called at most once."""
        if nodes == []:
            return []
        unknown = self._refusal(f"layer '{_shown(name)}' is used in a way that is not known")
        if not isinstance(nodes, list) or len(nodes) != 1:
            raise unknown
        (call,) = nodes
        if isinstance(call, dict) and set(call) == {"args", "kwargs"}:
            arguments, options = call["args"], call["kwargs"]
            if not isinstance(arguments, list) or len(arguments) != 1 or not isinstance(arguments[0], dict):
                raise unknown
            inner = arguments[0].get("config")
            history = inner.get("keras_history") if isinstance(inner, dict) else None
        elif isinstance(call, list) and len(call) == 1 and isinstance(call[0], list) and len(call[0]) == 4:
            *history, options = call[0]
        else:
            raise unknown
        if (
            not isinstance(history, list)
            or len(history) != 3
            or history[1:] != [0, 0]
            or not isinstance(history[0], str)
        ):
            raise unknown
        # "training" would switch dropout on.
        if not isinstance(options, dict) or any(value not in (None, False) for value in options.values()):
            raise unknown
        return [history[0]]

    # -- pieces

    def _layer(self, layer: object) -> tuple[str, str, Mapping[str, Any]]:
        kind, config = self._part(layer, "a layer")
        name = config.get("name") if isinstance(config, dict) else None
        if not isinstance(config, dict) or not isinstance(name, str):
            raise self._refusal(f"its 'model_config' has a {_shown(kind)} layer without a name")
        module = layer.get("module") if isinstance(layer, dict) else None
        if module is not None and not str(module).startswith("keras."):
            raise self._refusal(f"layer '{_shown(name)}' is a {_shown(kind)} of '{_shown(module)}', not of Keras")
        registered = layer.get("registered_name") if isinstance(layer, dict) else None
        if registered not in (None, kind):
            raise self._refusal(f"layer '{_shown(name)}' is a {_shown(kind)} registered as '{_shown(registered)}'")
        return kind, name, config

    def _part(self, part: object, what: str) -> tuple[str, Any]:
        if not isinstance(part, dict) or not isinstance(part.get("class_name"), str) or "config" not in part:
            raise self._refusal(f"its 'model_config' does not say what {what} is")
        if not isinstance(part["config"], dict | list):
            raise self._refusal(f"its 'model_config' does not say what {what} is")
        return part["class_name"], part["config"]

    def _object(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise self._refusal("its 'model_config' states a field twice")
        return found

    def _refusal(self, problem: str) -> FormatError:
        return FormatError(self._path, problem, _HINT)


def _shown(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value, default=str))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{_shown(name)}'" for name in names[:6]) + (", ..." if len(names) > 6 else "")
