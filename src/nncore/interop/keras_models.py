"""The layers of a Keras 3 model, from the description in its archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from nncore import layers as nl
from nncore._messages import shown
from nncore.layers.base import Layer

__all__ = ["described"]

Config = Mapping[str, Any]


def described(model: Config) -> tuple[list[Layer], tuple[int, ...], str]:
    """Layers, input shape and dtype of a chain of layers; raises for what nncore would compute differently."""
    entries = _chain(model)
    kinds = [entry["class_name"] for entry in entries]
    if unknown := [kind for kind in kinds if kind not in LAYERS]:
        raise ValueError(f"its layers must be among {', '.join(LAYERS)}, got {shown(unknown[0])}")
    if "Flatten" in kinds and "Dense" not in kinds[kinds.index("Flatten") :]:
        raise ValueError("its Flatten must have a Dense after it, which takes all numbers of an example")
    _check_masks(entries)
    layers, shape = list[Layer](), model["config"].get("build_input_shape") or entries[0]["config"]["batch_shape"]
    for kind, entry in zip(kinds, entries, strict=True):
        given = entry.get("build_config", {}).get("input_shape")
        layers += LAYERS[kind](entry["config"] | {"class": kind, "input_shape": given})
    return layers, tuple(shape[1:]), "float64" if _policy(entries[-1]["config"]["dtype"]) == "float64" else "float32"


def _chain(model: Config) -> list[Config]:
    """The layers of a Sequential, or of a functional model in which each one reads the one before it."""
    kind, layers = model["class_name"], model["config"]["layers"]
    if kind not in ("Sequential", "Functional"):
        raise ValueError(f"its model must be Sequential or Functional, got {shown(kind)}")
    if kind == "Functional":
        names = [layer["name"] for layer in layers]
        _check_calls(layers)
        read = [tensor for layer in layers for tensor in _tensors(layer)]
        if [*read, *_flat(model["config"]["output_layers"])] != names or _flat(model["config"]["input_layers"]) != names[:1]:
            raise ValueError(f"its layers must form a chain, each read by the next one, got {shown(names)}")
    return layers


def _tensors(layer: Config) -> list[str]:
    """The layers that a layer of a functional model reads, wherever it is used."""
    return [tensor["config"]["keras_history"][0] for node in layer["inbound_nodes"] for tensor in node["args"]]


def _check_calls(layers: list[Config]) -> None:
    """Raise for layers that are called with more than an input, such as ``training=True`` or an initial state."""
    for layer in layers:
        for node in layer["inbound_nodes"]:
            if given := [name for name, value in node["kwargs"].items() if value not in (None, False)]:
                raise ValueError(f"its {layer['name']} must be called with an input only, got {shown(given[0])} too")


def _flat(names: Any) -> list[str]:
    """Layers from [name, 0, 0], or from a list of such."""
    return [names[0]] if isinstance(names[0], str) else [name for name, *_ in names]


def _policy(dtype: Any) -> Any:
    return dtype["config"]["name"] if isinstance(dtype, Mapping) else dtype


def _require(config: Config, **expected: Any) -> None:
    """Raise for arguments with which a layer of nncore would compute something else; older versions lack some."""
    for name, value in expected.items():
        if (got := config.get(name, value)) != value:
            raise ValueError(f"{name} of its {config['class']} must be {shown(value)}, got {shown(got)}")


def _check_rows(config: Config) -> None:
    """Keras works on the last axis, nncore on all numbers of an example: the same for rows of numbers."""
    if len(config["input_shape"]) != 2:
        raise ValueError(f"its {config['class']} must get rows of numbers, got an input of shape {config['input_shape']}")


def _check_masks(entries: list[Config]) -> None:
    """Raise where Keras has 0 at steps that are skipped, and nncore the state before them: the next layers skip them too."""
    places = [place for place, entry in enumerate(entries) if entry["class_name"] == "Masking"]
    for first, last in pairwise([*places, len(entries)]):
        after = [entry for entry in entries[first:last] if entry["class_name"] in (*CELLS, "Bidirectional")]
        if not after:
            raise ValueError("its Masking must have a recurrent layer after it")
        kind, config = after[-1]["class_name"], after[-1]["config"]
        cell = config["layer"]["config"] if kind == "Bidirectional" else config
        if cell["return_sequences"] and (kind == "Bidirectional" or cell.get("zero_output_for_mask")):
            raise ValueError(f"its last {kind} after Masking must not return sequences: Keras gives 0 where it skips steps")


def _activation(function: Any) -> list[Layer]:
    """An argument ``activation``."""
    if function == "linear":
        return []
    if not isinstance(function, str) or function not in ACTIVATIONS:
        raise ValueError(f"its activations must be among linear, {', '.join(ACTIVATIONS)}, got {shown(function)}")
    return [ACTIVATIONS[function]()]


ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "elu": nl.ELU,
    "gelu": nl.GELU,
    "leaky_relu": lambda: nl.LeakyReLU(0.2),
    "mish": nl.Mish,
    "relu": nl.ReLU,
    "selu": nl.SELU,
    "sigmoid": nl.Sigmoid,
    "silu": nl.SiLU,
    "softmax": nl.Softmax,
    "softplus": nl.Softplus,
    "tanh": nl.Tanh,
}


def _dense(config: Config) -> list[Layer]:
    _check_rows(config)
    dense = nl.Dense(config["units"], bias=config["use_bias"], name=config["name"])
    return [dense, *_activation(config["activation"])]


def _relu(config: Config) -> list[Layer]:
    _require(config, max_value=None, threshold=0.0)
    return [nl.LeakyReLU(slope, name=config["name"]) if (slope := config["negative_slope"]) else nl.ReLU(name=config["name"])]


def _softmax(config: Config) -> list[Layer]:
    _require(config, axis=-1)
    return [nl.Softmax(name=config["name"])]


def _dropout(config: Config) -> list[Layer]:
    _require(config, noise_shape=None)
    return [nl.Dropout(config["rate"], name=config["name"])]


def _batch_norm(config: Config) -> list[Layer]:
    """γ and β together or neither; Keras gives the weight of the old average."""
    _check_rows(config)
    _require(config, renorm=False, center=config["scale"])
    options = {"affine": config["scale"], "frozen": not config["trainable"], "unbiased_running_var": False}
    return [nl.BatchNorm(momentum=round(1 - config["momentum"], 12), eps=config["epsilon"], name=config["name"], **options)]


def _layer_norm(config: Config) -> list[Layer]:
    _check_rows(config)
    _require(config, rms_scaling=False, center=config["scale"])
    return [nl.LayerNorm(eps=config["epsilon"], affine=config["scale"], name=config["name"])]


def _rms_norm(config: Config) -> list[Layer]:
    _check_rows(config)
    return [nl.RMSNorm(eps=config["epsilon"], name=config["name"])]


def _flatten(config: Config) -> list[Layer]:
    """The dense layer after it does that, in the same order."""
    _require(config, data_format="channels_last")
    return []


def _simple_rnn(config: Config) -> list[Layer]:
    return [nl.SimpleRNN(**_recurrent(config))]


def _gru(config: Config) -> list[Layer]:
    _require(config, recurrent_activation="sigmoid")
    return [nl.GRU(**_recurrent(config), reset_after=config.get("reset_after", True))]


def _bidirectional(config: Config) -> list[Layer]:
    """The layer that is wrapped, once if both directions have the same arguments."""
    if config["merge_mode"] not in MERGES:
        raise ValueError(f"merge_mode of its Bidirectional must be {', '.join(MERGES)}, got {shown(config['merge_mode'])}")
    both = [_direction(config["layer"], go_backwards=False), _direction(config["backward_layer"], go_backwards=True)]
    if repr(both[0]) != repr(both[1]):
        raise ValueError(f"both directions of its Bidirectional must be alike, got {both[0]!r} and {both[1]!r}")
    return [nl.Bidirectional(both[0], merge=MERGES[config["merge_mode"]], name=config["name"])]


def _direction(entry: Config, go_backwards: bool) -> Any:
    if (kind := entry["class_name"]) not in CELLS:
        raise ValueError(f"layers of its Bidirectional must be {' or '.join(CELLS)}, got {shown(kind)}")
    config = entry["config"] | {"class": kind, "name": None}
    _require(config, go_backwards=go_backwards)
    return CELLS[kind](config | {"go_backwards": False})[0]


def _recurrent(config: Config) -> dict[str, Any]:
    _require(config, activation="tanh", use_bias=True, go_backwards=False, return_state=False, stateful=False)
    _require(config, dropout=0.0, recurrent_dropout=0.0)
    return {name: config[name] for name in ("units", "return_sequences", "name")}


MERGES = {"concat": "concat", "sum": "sum", "ave": "mean"}
LAYERS: dict[str, Callable[[Config], list[Layer]]] = {
    "Activation": lambda config: _activation(config["activation"]),
    "BatchNormalization": _batch_norm,
    "Bidirectional": _bidirectional,
    "Dense": _dense,
    "Dropout": _dropout,
    "ELU": lambda config: [nl.ELU(config["alpha"], name=config["name"])],
    "Flatten": _flatten,
    "GRU": _gru,
    "GaussianDropout": lambda config: [nl.GaussianDropout(config["rate"], name=config["name"])],
    "GaussianNoise": lambda config: [nl.GaussianNoise(config["stddev"], name=config["name"])],
    "Identity": lambda config: [],
    "InputLayer": lambda config: [],
    "LayerNormalization": _layer_norm,
    "LeakyReLU": lambda config: [nl.LeakyReLU(config["negative_slope"], name=config["name"])],
    "Masking": lambda config: [nl.Masking(config["mask_value"], name=config["name"])],
    "RMSNormalization": _rms_norm,
    "ReLU": _relu,
    "SimpleRNN": _simple_rnn,
    "Softmax": _softmax,
}
CELLS = {kind: LAYERS[kind] for kind in ("GRU", "SimpleRNN")}
