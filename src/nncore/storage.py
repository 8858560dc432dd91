"""Files: arrays as safetensors, all else as JSON in the same file's header. No pickle; a file is complete or not there."""

from __future__ import annotations

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

from nncore.layers import LAYERS, Layer
from nncore.model import Sequential, declare

if TYPE_CHECKING:
    from nncore.trainer import Trainer

__all__ = ["load"]

FORMAT = "nncore-1"
Array = NDArray[Any]
PathLikeStr = str | PathLike[str]


def save_model(model: Sequential, path: PathLikeStr) -> None:
    """Write structure, parameters and state."""
    _write(path, _model_arrays(model), {"kind": "model", "model": _model_config(model)})


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
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} describes no model that can be built: {error}") from error
    _fill(model, arrays, path)
    return model


def save_trainer(trainer: Trainer, path: PathLikeStr) -> None:
    """Write the model, the optimizer's state, the history and where the training stands."""
    state = trainer.optimizer.state_dict()
    arrays = _model_arrays(trainer.model)
    arrays |= {f"optimizer.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
    about = {
        "kind": "trainer", "model": _model_config(trainer.model), "optimizer": type(trainer.optimizer).__name__,
        "optimizer_state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)},
        "epochs_done": trainer.epochs_done, "seed": trainer.seed, "history": trainer.history.to_dict(),
    }  # fmt: skip
    _write(path, arrays, about)


def restore_trainer(trainer: Trainer, path: PathLikeStr) -> None:
    """Take over everything from a checkpoint, after checking that it fits."""
    from nncore.history import History

    arrays, about = _read(path)
    if about.get("kind") != "trainer":
        raise ValueError(f"{path} must be a checkpoint written by Trainer.save, got a file of kind {about.get('kind')!r}")
    if about.get("model") != json.loads(json.dumps(_model_config(trainer.model))):
        raise ValueError(f"{path} holds another model: expected {_model_config(trainer.model)}, got {about.get('model')}")
    name = type(trainer.optimizer).__name__
    if about.get("optimizer") != name:
        raise ValueError(f"{path} holds the state of another optimizer: expected {name}, got {about.get('optimizer')}")
    _check_arrays(trainer.model, arrays, path)
    try:
        history, state = History.from_dict(about["history"]), dict(about["optimizer_state"])
        epochs_done, seed = _count(about, "epochs_done"), _count(about, "seed")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    state |= {key.removeprefix("optimizer."): value for key, value in arrays.items() if key.startswith("optimizer.")}
    trainer.optimizer.load_state_dict(state)
    _fill(trainer.model, arrays, path)
    trainer.history, trainer.epochs_done, trainer.seed = history, epochs_done, seed


def _model_config(model: Sequential) -> dict[str, Any]:
    layers = [{"class": type(layer).__name__, **layer.config()} for layer in model.layers]
    return {"layers": layers, "input_shape": list(model.input_shape), "dtype": str(model.dtype), "seed": model.seed}


def _model_arrays(model: Sequential) -> dict[str, Array]:
    return {"parameters": model.parameters, "state": model.state}


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
