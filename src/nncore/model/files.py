"""Files of models: describe a model, and rebuild it from its description."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

from nncore._messages import clipped, shown
from nncore._utils import archive
from nncore._utils.archive import DAMAGE
from nncore._utils.arrays import Array
from nncore._utils.fields import DESCRIBED, arguments, complete
from nncore._utils.files import CUSTOM, Source, Target, class_name, named, write_to
from nncore.data.scaler import Scaler
from nncore.data.scaling import SCALERS, restored
from nncore.initializers import Initializer
from nncore.layers import LAYERS, Layer
from nncore.model import layout
from nncore.model.network import Network
from nncore.schedules import Schedule

__all__ = [
    "Custom", "all_arrays", "build", "check_arrays", "checked_custom", "column_names_of", "fill", "load_model", "mark_custom",
    "model_arrays", "model_config", "read", "restore_scalers", "save_model", "scalers_of",
]  # fmt: skip

Custom = type[Layer] | type[Initializer] | type[Schedule]  # what custom_layers may hold
N = TypeVar("N", bound=Network)


def save_model(model: Network, path: Target) -> None:
    """Write structure, parameters and state."""
    with model.lock:  # so that a training in another thread is between two steps
        check_arrays(model, model_arrays(model), named(path))
        about = {"kind": "model", "model": model_config(model), **column_names_of(model)}
        data = archive.pack(path, all_arrays(model), about)
    write_to(path, data)


def load_model(path: Source, custom_layers: Mapping[str, Custom] | None, make: Callable[..., N]) -> N:
    """Load a model; ``make(layers, input_shape, dtype=…, compute_dtype=…, seed=…)`` builds it."""
    custom = checked_custom(custom_layers)
    arrays, about = read(path, custom)
    if about.get("kind") == "ensemble":
        raise ValueError(f"{named(path)} holds an ensemble: read it with nn.Ensemble.load")
    model = build(about, arrays, custom, named(path), make)
    check_arrays(model, arrays, named(path))
    fill(model, arrays)
    return model


def checked_custom(custom_layers: Mapping[str, Custom] | None) -> dict[str, Custom]:
    """The argument ``custom_layers``, checked."""
    if custom_layers is not None and not isinstance(custom_layers, Mapping):
        raise TypeError(f"custom_layers must be a mapping of names to classes of layers, got {shown(custom_layers)}")
    custom = dict(custom_layers or {})
    for name, cls in custom.items():
        if not (isinstance(cls, type) and issubclass(cls, (Layer, Initializer, Schedule))):
            raise TypeError(
                "custom_layers must map names to classes of layers, or of their initializers and schedules, got "
                f"{shown(cls)} for {shown(name)}"
            )
    return custom


def build(
    about: Mapping[str, Any], arrays: Mapping[str, Array], custom: Mapping[str, Custom], path: str, make: Callable[..., N]
) -> N:  # fmt: skip
    """The model that a file describes, with its scalers, and with initial numbers. ``arrays``: those of the file."""
    classes = {cls.__name__: cls for cls in LAYERS.values()} | {CUSTOM + name: cls for name, cls in custom.items()}
    try:
        sizes = tuple(arrays.get(name, np.zeros(0)).size for name in ("parameters", "state"))
        model = _build(about["model"], classes, sizes, make)
        restore_scalers(model, about, arrays)
    except DAMAGE as error:
        raise ValueError(f"{path} describes no model that can be built: {clipped(error)}") from error
    return model


def read(path: Source, custom: Collection[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and description, converted to the newest format; ``custom``: names of user-defined layers."""
    arrays, about = archive.read(path)
    if about["format"] == 1:
        try:
            own = {cls.__name__ for cls in LAYERS.values()}
            about["model"]["layers"] = mark_custom(about["model"]["layers"], own - set(custom))
        except DAMAGE as error:
            raise ValueError(f"{named(path)} is damaged: {clipped(error)}") from error
    return arrays, about


def mark_custom(entries: Iterable[Any], own: Collection[str]) -> list[Any]:
    """Mark all classes of a description in format 1 as custom, except nncore's own."""
    known = [not isinstance(entry.get("class"), str) or entry["class"] in own for entry in entries]
    return [e if k else {**e, "class": CUSTOM + e["class"]} for e, k in zip(entries, known, strict=True)]


def _layer_config(layer: Layer) -> dict[str, Any]:
    """The layer's constructor arguments, with its name if that is one."""
    named = {"name": layer.name} if "name" in arguments(type(layer)) else {}
    return complete(type(layer), named | layer.config())


def model_config(model: Network) -> dict[str, Any]:
    named_so: dict[str, type] = {}
    for cls in (type(layer) for layer in model.layers):
        if named_so.setdefault(class_name(cls), cls) is not cls:
            raise ValueError(
                f"layers must be of classes with different names to be saved, got two classes {shown(cls.__name__)}"
            )
    for scaler in scalers_of(model).values():
        if type(scaler) not in SCALERS.values():
            raise ValueError(f"scalers must be nncore's own to be saved, got {shown(scaler)}")
    layers = [{"class": class_name(type(layer)), **_layer_config(layer)} for layer in model.layers]
    config = {"layers": layers, "input_shape": list(model.input_shape), "dtype": str(model.dtype), "seed": model.seed}
    if model.compute_dtype != config["dtype"]:
        config["compute_dtype"] = model.compute_dtype
    return config | {name: {"class": type(scaler).__name__, **scaler.config()} for name, scaler in scalers_of(model).items()}


def scalers_of(model: Network) -> dict[str, Scaler]:
    both = {"input_scaler": model.input_scaler, "target_scaler": model.target_scaler}
    return {name: scaler for name, scaler in both.items() if scaler is not None}


def column_names_of(model: Network) -> dict[str, Any]:
    """Column names of the model and its scalers. A checkpoint need not agree with them."""
    of_scalers = {f"{name}.feature_names_in_": scaler.feature_names_in_ for name, scaler in scalers_of(model).items()}
    return {"feature_names": model.feature_names, "target_names": model.target_names, **of_scalers}


def restore_scalers(model: Network, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Restore scalers and column names."""
    for name in ("input_scaler", "target_scaler"):
        if name in about["model"]:
            own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
            setattr(model, name, restored(about["model"][name], own, about.get(f"{name}.feature_names_in_")))
    model.feature_names, model.target_names = about.get("feature_names"), about.get("target_names")


def model_arrays(model: Network) -> dict[str, Array]:
    return {"parameters": model.parameters, "state": model.state}


def all_arrays(model: Network) -> dict[str, Array]:
    """The arrays of the model and of its scalers."""
    of_scalers = {f"{name}.{key}": getattr(scaler, key) for name, scaler in scalers_of(model).items() for key in scaler.saved}
    return model_arrays(model) | of_scalers


def _build(
    config: Mapping[str, Any], classes: Mapping[str, Custom], sizes: tuple[int, ...], make: Callable[..., N]
) -> N:  # fmt: skip
    """Build the described model. If its sizes differ from those of the file, raise before allocating anything."""
    shape = layout.checked_shape(tuple(config["input_shape"]))  # before any size is computed from it
    expected = layout.declare([_layer(entry, classes) for entry in config["layers"]], shape)
    for name, wanted, size in zip(("parameters", "state"), expected, sizes, strict=True):
        if wanted != size:
            raise ValueError(f"its {name} are {wanted} numbers, and the file holds {size}")
    layers = [_layer(entry, classes) for entry in config["layers"]]
    return make(layers, shape, dtype=config["dtype"], compute_dtype=config.get("compute_dtype"), seed=config["seed"])


def _layer(entry: Mapping[str, Any], classes: Mapping[str, Custom]) -> Any:
    arguments = {name: _with_custom_parts(value, classes) for name, value in entry.items()}
    return _class(arguments.pop("class"), "layer", classes)(**arguments)


def _with_custom_parts(value: Any, classes: Mapping[str, Custom]) -> Any:
    """A layer's argument in which entries of user-defined initializers and schedules have become objects."""
    if isinstance(value, list):
        return [_with_custom_parts(part, classes) for part in value]
    if not isinstance(value, dict):
        return value
    arguments = {name: _with_custom_parts(part, classes) for name, part in value.items()}
    for key, kind in (("name", "initializer"), ("schedule", "schedule")):
        if "class" not in value and str(value.get(key)).startswith(CUSTOM):
            arguments.pop(DESCRIBED, None)
            return _class(arguments.pop(key), kind, classes)(**arguments)
    return arguments


def _class(name: Any, kind: str, classes: Mapping[str, Custom]) -> Custom:
    if name in classes:
        return classes[name]
    bare = str(name).removeprefix(CUSTOM)
    problem = "is not nncore's own of this name" if bare in classes else "is not known"
    raise ValueError(f"the {kind} class {shown(bare)} {problem}: pass it in custom_layers")


def check_arrays(model: Network, arrays: Mapping[str, Array], path: str) -> None:
    """Raise unless these are finite parameters and state that the model may have."""
    for name, expected in model_arrays(model).items():
        got = arrays.get(name)
        if got is None or got.shape != expected.shape or got.dtype != expected.dtype:
            what = "nothing" if got is None else f"{got.dtype} of shape {got.shape}"
            raise ValueError(f"{path}: {name} must be {expected.dtype} of shape {expected.shape}, got {what}")
        if not np.isfinite(got).all():
            place = int(np.flatnonzero(~np.isfinite(got))[0])
            raise ValueError(f"{path}: {name} must be finite, got {got[place]} at {place}")
    for layer in model.layers:
        for name, state in layer.states.items():
            numbers = arrays["state"][state.offset : state.offset + state.size]
            if numbers.min() < state.minimum:
                raise ValueError(f"{path}: {layer.name}.{name} must be at least {state.minimum:g}, got {numbers.min()}")


def fill(model: Network, arrays: Mapping[str, Array]) -> None:
    for name, target in model_arrays(model).items():
        target[...] = arrays[name]
