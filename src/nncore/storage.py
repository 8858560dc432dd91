"""Files: arrays as safetensors, all else as JSON in the same file's header. No pickle; a file is complete or not there."""

from __future__ import annotations

import copy
import inspect
import json
import os
import uuid
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from nncore.data.scaler import Scaler
from nncore.data.scaling import restored
from nncore.data.validation import check_folder
from nncore.layers import LAYERS, Layer
from nncore.model import Sequential
from nncore.network import declare

if TYPE_CHECKING:
    from nncore.trainer import Trainer

__all__ = ["load"]

FORMAT = "nncore-1"
Array = NDArray[Any]
PathLikeStr = str | PathLike[str]


def save_model(model: Sequential, path: PathLikeStr) -> None:
    """Write structure, parameters and state."""
    about = {"kind": "model", "model": _model_config(model), "feature_names": model.feature_names}
    _write(path, _all_arrays(model), about)


def load(path: PathLikeStr, *, custom_layers: Mapping[str, type[Layer]] | None = None) -> Sequential:
    """Read a model that ``Sequential.save`` or ``Trainer.save`` wrote.

    Parameters
    ----------
    path : str or path
    custom_layers : mapping, optional
        Classes of your own layers by class name; each is made from what its ``config()`` returned.

    Raises
    ------
    ValueError
        If the file is no nncore file, is damaged, or names a layer that is not known.

    Examples
    --------
    >>> import os, tempfile
    >>> import nncore as nn
    >>> path = os.path.join(tempfile.mkdtemp(), "xor.safetensors")
    >>> nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=2, seed=1).save(path)
    >>> nn.load(path).parameters.size
    17
    """
    arrays, about = _read(path)
    classes = {cls.__name__: cls for cls in LAYERS.values()} | dict(custom_layers or {})
    try:
        sizes = tuple(arrays.get(name, np.zeros(0)).size for name in ("parameters", "state"))
        model = _build(about["model"], classes, sizes)
        _restore_scalers(model, about["model"], arrays)
        model.feature_names = about.get("feature_names")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} describes no model that can be built: {error}") from error
    _fill(model, arrays, path)
    return model


def save_trainer(trainer: Trainer, path: PathLikeStr) -> None:
    """Write the model, the optimizer's state, the history and where the training stands."""
    state = trainer.optimizer.state_dict()
    arrays = _all_arrays(trainer.model)
    arrays |= {f"optimizer.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
    about = {
        "kind": "trainer", "model": _model_config(trainer.model), "optimizer": trainer.optimizer.title,
        "feature_names": trainer.model.feature_names,
        "optimizer_state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)},
        "epochs_done": trainer.epochs_done, "seed": trainer.seed, "history": trainer.history.to_dict(),
        "training": _training(trainer), "optimizer_config": _plain(trainer.optimizer.config()),
        "first_optimizer_config": _plain(trainer._first_config), "callbacks": _callback_states(trainer, arrays),
        "losses_of": trainer._last_losses.fingerprint,
    }  # fmt: skip
    if trainer._last_losses.values is not None:
        arrays["losses"] = trainer._last_losses.values
    _write(path, arrays, about)


def restore_trainer(trainer: Trainer, path: PathLikeStr) -> None:
    """Take over everything from a checkpoint, after checking that it fits."""
    from nncore.history import History
    from nncore.samplers import LastLosses

    arrays, about = _read(path)
    if about.get("kind") != "trainer":
        raise ValueError(f"{path} must be a checkpoint written by Trainer.save, got a file of kind {about.get('kind')!r}")
    if other := _differences(_plain(_model_config(trainer.model)), about.get("model")):
        raise ValueError(f"{path} holds another model: {other}")
    name = trainer.optimizer.title
    if about.get("optimizer") != name:
        raise ValueError(f"{path} holds the state of another optimizer: expected {name}, got {about.get('optimizer')}")
    _check_arrays(trainer.model, arrays, path)
    if other := _differences(_plain(_training(trainer)), about.get("training")):
        raise ValueError(f"{path} is of another training: {other}")
    config, scaled = _optimizer_config(trainer, about, path), trainer.model.copy()
    try:
        _restore_scalers(scaled, about["model"], arrays)
        scaled.feature_names = about.get("feature_names")
        callbacks = _read_callbacks(about["callbacks"], arrays)
        last = LastLosses(_count(about, "losses_of"), _losses(arrays))
        history, state = History.from_dict(about["history"]), dict(about["optimizer_state"])
        epochs_done, seed = _count(about, "epochs_done"), _count(about, "seed")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    state |= {key.removeprefix("optimizer."): value for key, value in arrays.items() if key.startswith("optimizer.")}
    trainer.optimizer.load_state_dict(state)
    trainer.optimizer.configure(config)
    trainer._first_config = about["first_optimizer_config"]
    trainer._callbacks, trainer._callback_states, trainer._last_losses = [], callbacks, last
    _fill(trainer.model, arrays, path)
    trainer.model.input_scaler, trainer.model.target_scaler = scaled.input_scaler, scaled.target_scaler
    trainer.model.feature_names = scaled.feature_names
    trainer.history, trainer.epochs_done, trainer.seed = history, epochs_done, seed


def _plain(value: Any) -> Any:
    """As it comes back from a file."""
    return json.loads(json.dumps(value, default=repr))


def _differences(expected: Any, got: Any, place: str = "") -> str:
    """Where two descriptions differ, and only that.

    >>> _differences({"class": "Dense", "units": 4, "name": "a"}, {"class": "Dense", "units": 5, "name": "a"}, "layers[0]")
    'layers[0].units: expected 4, got 5'
    """
    if isinstance(expected, dict) and isinstance(got, dict) and expected.get("class") == got.get("class"):
        inside = [(f"{place}.{name}".lstrip("."), expected.get(name), got.get(name)) for name in {**expected, **got}]
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        inside = [(f"{place}[{i}]", *pair) for i, pair in enumerate(zip(expected, got, strict=True))]
    else:
        return "" if expected == got else f"{place}: expected {_brief(expected)}, got {_brief(got)}".lstrip(": ")
    return "; ".join(filter(None, (_differences(mine, its, where) for where, mine, its in inside)))


def _brief(value: Any) -> str:
    """What has a class, by that alone."""
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    return str(value.get("class", "an object")) if isinstance(value, dict) else repr(value)


def _training(trainer: Trainer) -> dict[str, Any]:
    """What is minimised, and what is done to the gradient."""
    parts = {"regularizer": trainer.regularizer, "clip": trainer.clip}
    loss = {"loss": {"class": trainer.loss.name, **trainer.loss.config()}}
    return loss | {name: None if part is None else repr(part) for name, part in parts.items()}


def _optimizer_config(trainer: Trainer, about: Mapping[str, Any], path: PathLikeStr) -> dict[str, Any]:
    """The arguments of the checkpoint's optimizer that this one does not have, if the two began alike."""
    mine, now, first = (_plain(trainer.optimizer.config()), about.get("optimizer_config"), about.get("first_optimizer_config"))
    if not isinstance(now, dict) or not isinstance(first, dict):
        raise ValueError(f"{path} is damaged: it does not say how its optimizer was set")
    if mine not in (now, first) and _plain(trainer._first_config) != first:
        raise ValueError(
            f"{path} holds an optimizer that is set otherwise: {_differences(mine, now)}. Restore with the same, and assign "
            "others afterwards"
        )
    config = {name: now.get(name) for name in mine if mine[name] != now.get(name)}
    try:
        copy.copy(trainer.optimizer).configure(config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} holds an optimizer that cannot be set: {error}") from error
    return config


def _callback_states(trainer: Trainer, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    """Class and state of each callback that has one; what is an array goes to ``arrays``."""
    entries = [{"class": type(c).__name__, "state": state} for c in trainer._callbacks if (state := c.state_dict())]
    result = []
    for number, entry in enumerate(entries or trainer._callback_states):
        state = entry["state"]
        arrays |= {f"callback.{number}.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
        result.append(entry | {"state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}})
    return result


def _read_callbacks(entries: Any, arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
    result = []
    for number, entry in enumerate(entries):
        prefix = f"callback.{number}."
        own = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        result.append({"class": str(entry["class"]), "state": dict(entry["state"]) | own})
    return result


def _losses(arrays: Mapping[str, Array]) -> Array | None:
    losses = arrays.get("losses")
    if losses is not None and (losses.ndim != 1 or losses.dtype != np.float64 or not np.isfinite(losses).all()):
        raise ValueError(f"losses must be finite float64 numbers (n,), got {losses.dtype} of shape {losses.shape}")
    return losses


def _layer_config(layer: Layer) -> dict[str, Any]:
    """What makes the layer again; refused if arguments of its constructor are missing."""
    config = {"name": layer.name, **layer.config()}
    parameters = inspect.signature(type(layer)).parameters.values()
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if "name" not in named and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        del config["name"]
    if missing := [name for name in named if name not in config]:
        raise ValueError(
            f"config() of layer {layer.name} must return the arguments of {type(layer).__name__}, as the file has to; "
            f"{', '.join(missing)} is missing"
        )
    return config


def _model_config(model: Sequential) -> dict[str, Any]:
    layers = [{"class": type(layer).__name__, **_layer_config(layer)} for layer in model.layers]
    config = {"layers": layers, "input_shape": list(model.input_shape), "dtype": str(model.dtype), "seed": model.seed}
    return config | {name: {"class": type(scaler).__name__, **scaler.config()} for name, scaler in _scalers(model).items()}


def _scalers(model: Sequential) -> dict[str, Scaler]:
    both = {"input_scaler": model.input_scaler, "target_scaler": model.target_scaler}
    return {name: scaler for name, scaler in both.items() if scaler is not None}


def _restore_scalers(model: Sequential, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    for name in ("input_scaler", "target_scaler"):
        if name in config:
            own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
            setattr(model, name, restored(config[name], own))


def _model_arrays(model: Sequential) -> dict[str, Array]:
    return {"parameters": model.parameters, "state": model.state}


def _all_arrays(model: Sequential) -> dict[str, Array]:
    """The model's arrays and its scalers'."""
    of_scalers = {f"{name}.{key}": getattr(scaler, key) for name, scaler in _scalers(model).items() for key in scaler.saved}
    return _model_arrays(model) | of_scalers


def _build(config: Mapping[str, Any], classes: Mapping[str, type[Layer]], sizes: tuple[int, ...]) -> Sequential:
    """The model of a description, if it has as many numbers as the file: nothing is allocated for one that has not."""
    shape = tuple(config["input_shape"])
    expected = declare([_layer(entry, classes) for entry in config["layers"]], shape)
    for name, wanted, size in zip(("parameters", "state"), expected, sizes, strict=True):
        if wanted != size:
            raise ValueError(f"its {name} are {wanted} numbers, and the file holds {size}")
    layers = [_layer(entry, classes) for entry in config["layers"]]
    return Sequential(layers, shape, dtype=config["dtype"], seed=config["seed"])


def _layer(entry: Mapping[str, Any], classes: Mapping[str, type[Layer]]) -> Layer:
    arguments = dict(entry)
    name = arguments.pop("class")
    if name not in classes:
        raise ValueError(f"a layer of class {name!r} is not known: pass it in custom_layers")
    return classes[name](**arguments)


def _count(about: Mapping[str, Any], name: str) -> int:
    value = about[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be an integer of at least 0, got {value!r}")
    return value


def _check_arrays(model: Sequential, arrays: Mapping[str, Array], path: PathLikeStr) -> None:
    for name, expected in _model_arrays(model).items():
        got = arrays.get(name)
        if got is None or got.shape != expected.shape or got.dtype != expected.dtype:
            what = "nothing" if got is None else f"{got.dtype} of shape {got.shape}"
            raise ValueError(f"{path}: {name} must be {expected.dtype} of shape {expected.shape}, got {what}")


def _fill(model: Sequential, arrays: Mapping[str, Array], path: PathLikeStr) -> None:
    _check_arrays(model, arrays, path)
    for name, target in _model_arrays(model).items():
        target[...] = arrays[name]


def _write(path: PathLikeStr, arrays: Mapping[str, Array], about: dict[str, Any]) -> None:
    """Write beside the target, then put it in place: an interruption leaves the old file or the new one."""
    header = {"format": FORMAT, "about": json.dumps(about)}
    data = save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata=header)
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"path must be a file, got the folder {target}")
    check_folder(target)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: PathLikeStr) -> tuple[dict[str, Array], dict[str, Any]]:
    if Path(path).is_dir():
        raise ValueError(f"{path} is a folder, not a file")
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from error
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by nncore: expected format {FORMAT!r}, got {header.get('format')!r}")
    try:
        about = json.loads(header["about"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its description cannot be read") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} is damaged: its description is no JSON object")
    return arrays, about
