"""Files: arrays as safetensors, all else as JSON in the same file's header. No pickle; a file is complete or not there."""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_bytes
from safetensors.numpy import save

from nncore.callbacks import CALLBACKS
from nncore.data.scaler import Scaler
from nncore.data.scaling import SCALERS, restored
from nncore.fields import flag, number, with_defaults
from nncore.files import CUSTOM, Source, Target, class_name, named, write_to
from nncore.history import History
from nncore.interrupt import Interrupt
from nncore.layers import LAYERS, Layer
from nncore.losses import LOSSES, Levels
from nncore.model import Sequential
from nncore.network import _shape, declare
from nncore.schedules import step_or_epoch
from nncore.shown import clipped, shown

if TYPE_CHECKING:
    from nncore.trainer import Trainer

__all__ = ["load"]

VERSION = 2
"""Of the format. The first one had the history in the description and did not mark classes that are not nncore's own."""
MOST_HEADER = 100_000_000  # bytes that a safetensors header may have
BAD = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, IndexError, RecursionError)  # what damage leads to
Array = NDArray[Any]


def save_model(model: Sequential, path: Target) -> None:
    """Write structure, parameters and state."""
    with model.lock:  # between two steps of a training in another thread
        _check_arrays(model, _model_arrays(model), named(path))
        about = {"kind": "model", "model": _model_config(model), **_names(model)}
        data = _packed(path, _all_arrays(model), about)
    write_to(path, data)


def load(path: Source, *, custom_layers: Mapping[str, type[Layer]] | None = None) -> Sequential:
    """Read a model that ``Sequential.save`` or ``Trainer.save`` wrote.

    Parameters
    ----------
    path : str, path or binary file object
        Of a file object all that is left is read. A path must be that of a regular file.
    custom_layers : mapping, optional
        Classes of your own layers by class name; each is made from what its ``config()`` returned. A layer of your own is never
        taken for one of nncore's, even if its class has the same name or is derived from it.

    Raises
    ------
    ValueError
        If the file is no nncore file, is damaged, holds numbers that are not finite, or names a layer that is not known.

    Examples
    --------
    >>> import os, tempfile
    >>> import nncore as nn
    >>> path = os.path.join(tempfile.mkdtemp(), "xor.safetensors")
    >>> nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=2, seed=1).save(path)
    >>> nn.load(path).parameters.size
    17
    """
    if custom_layers is not None and not isinstance(custom_layers, Mapping):
        raise TypeError(f"custom_layers must be a mapping of names to classes of layers, got {shown(custom_layers)}")
    custom = dict(custom_layers or {})
    for name, cls in custom.items():
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise TypeError(f"custom_layers must map names to classes of layers, got {shown(cls)} for {shown(name)}")
    arrays, about = _read(path, custom)
    classes = {cls.__name__: cls for cls in LAYERS.values()} | {CUSTOM + name: cls for name, cls in custom.items()}
    try:
        sizes = tuple(arrays.get(name, np.zeros(0)).size for name in ("parameters", "state"))
        model = _build(about["model"], classes, sizes)
        _restore_scalers(model, about, arrays)
    except BAD as error:
        raise ValueError(f"{named(path)} describes no model that can be built: {clipped(error)}") from error
    _check_arrays(model, arrays, named(path))
    _fill(model, arrays)
    return model


def save_trainer(trainer: Trainer, path: Target) -> None:
    """Write the model, the optimizer's state, the history and where the training stands."""
    with trainer.model.lock:
        data = _packed_trainer(trainer, path)
    write_to(path, data)


def _packed_trainer(trainer: Trainer, path: Target) -> bytes:
    trainer._check_state()
    _check_arrays(trainer.model, _model_arrays(trainer.model), named(path))
    state = trainer.optimizer.state_dict()
    arrays = _all_arrays(trainer.model)
    arrays |= {f"optimizer.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
    about = {
        "kind": "trainer", "model": _model_config(trainer.model), "optimizer": trainer.optimizer.title,
        **_names(trainer.model),
        "optimizer_state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)},
        "epochs_done": trainer.epochs_done, "seed": trainer.seed, "history_columns": trainer.history.columns,
        "training": _training(trainer), "optimizer_config": _plain(trainer.optimizer.config()),
        "first_optimizer_config": _plain(trainer._first_config), "callbacks": _callback_states(trainer, arrays),
        "losses_of": trainer._last_losses.fingerprint, "levels": trainer._levels,
    }  # fmt: skip
    arrays["history"] = _table(trainer.history)
    if trainer._last_losses.values is not None:
        arrays["losses"] = trainer._last_losses.values
    return _packed(path, arrays, about)


def restore_trainer(trainer: Trainer, path: Source) -> None:
    """Take over everything from a checkpoint, after checking that it fits."""
    try:
        _restore(trainer, path)
    except RecursionError:
        raise ValueError(f"{named(path)} is damaged: its description is nested too deeply") from None


def _restore(trainer: Trainer, path: Source) -> None:
    from nncore.samplers import LastLosses

    arrays, about = _read(path, {type(layer).__name__ for layer in trainer.model.layers if _is_custom(type(layer))})
    path = named(path)
    if about.get("kind") != "trainer":
        raise ValueError(f"{path} must be a checkpoint written by Trainer.save, got a file of kind {shown(about.get('kind'))}")
    made = {"layers": trainer.model.layers, **_scalers(trainer.model), "loss": trainer.loss}
    for part in ("model", "training"):
        if isinstance(about.get(part), dict):
            about[part] = {name: _plain(with_defaults(made.get(name), value)) for name, value in about[part].items()}
    if other := _differences(_plain(_model_config(trainer.model)), about.get("model")):
        raise ValueError(f"{path} holds another model: {clipped(other, 1000)}")
    name = trainer.optimizer.title
    if about.get("optimizer") != name:
        raise ValueError(f"{path} holds the state of another optimizer: expected {name}, got {shown(about.get('optimizer'))}")
    _check_arrays(trainer.model, arrays, path)
    if other := _differences(_plain(_training(trainer)), about.get("training")):
        raise ValueError(f"{path} is of another training: {clipped(other, 1000)}")
    config, scaled = _optimizer_config(trainer, about, path), trainer.model.copy()
    try:
        _restore_scalers(scaled, about, arrays)
        levels = _levels(about.get("levels"))
        callbacks = _read_callbacks(about["callbacks"], arrays, trainer.model)
        last = LastLosses(_count(about, "losses_of", 2**32), _losses(arrays))
        history, state = _history(about["history_columns"], arrays["history"]), dict(about["optimizer_state"])
        epochs_done, seed = step_or_epoch("epochs_done", about["epochs_done"]), _count(about, "seed", 2**64)
        state |= {key.removeprefix("optimizer."): value for key, value in arrays.items() if key.startswith("optimizer.")}
        twin = copy.deepcopy(trainer.optimizer)
        twin.configure(config)
        twin.load_state_dict(state)
    except BAD as error:
        raise ValueError(f"{path} is damaged: {clipped(error)}") from error
    attributes = [
        (vars(trainer), {
            "_first_config": _plain(with_defaults(trainer.optimizer, about["first_optimizer_config"])), "_callbacks": [],
            "_callback_states": callbacks, "_last_losses": last, "history": history, "epochs_done": epochs_done, "seed": seed,
            "_levels": levels,
        }),
        (vars(trainer.model), {name: vars(scaled)[name] for name in ("_input_scaler", "_target_scaler", "_feature_names")}),
        *_optimizer_attributes(trainer.optimizer, twin),
    ]  # fmt: skip
    with Interrupt(tolerated=0), trainer.model.lock:  # all has been tried: nothing of this fails
        trainer.optimizer.close()
        slots = trainer.optimizer.state
        slots.extended({name: np.zeros_like(array) for name, array in twin.state.items() if name not in slots})
        numbers = [(target, arrays[name]) for name, target in _model_arrays(trainer.model).items()]
        _exchange([*numbers, *((slots[name], array) for name, array in twin.state.items())], attributes)


def _optimizer_attributes(optimizer: Any, twin: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """All that the twin has, but for the arrays and what it wraps; and so on for what it wraps."""
    own = {name: value for name, value in vars(twin).items() if name not in ("state", "optimizer")}
    return [
        (vars(optimizer), own),
        *(_optimizer_attributes(optimizer.optimizer, twin.optimizer) if "optimizer" in vars(twin) else ()),
    ]


def _exchange(arrays: Sequence[tuple[Array, Array]], attributes: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Put numbers into arrays and values into dictionaries, or nothing if a signal handler of the user's raises meanwhile."""
    before = [(target, target.copy()) for target, _ in arrays], [(own, {n: own[n] for n in new}) for own, new in attributes]
    try:
        _put(arrays, attributes)
    except BaseException:
        _put(*before)
        raise


def _put(arrays: Sequence[tuple[Array, Array]], attributes: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for target, numbers in arrays:
        target[...] = numbers
    for own, values in attributes:
        own.update(values)


def _levels(value: Any) -> Levels | None:
    """What the targets that were trained on say of classes; files of older versions do not tell."""
    if value is None:
        return None
    no, yes, several = value
    return Levels(number("levels", no), number("levels", yes), flag("levels", several))


def _is_custom(cls: type) -> bool:
    return class_name(cls).startswith(CUSTOM)


def _table(history: History) -> Array:
    """Its columns as an array (columns, epochs)."""
    epochs = len(history)  # first: a training in another thread may add one meanwhile
    return np.array([column[:epochs] for column in history.values()], dtype=np.float64).reshape(len(history.columns), epochs)


def _history(columns: list[str], table: Array) -> History:
    """The history from the names of its columns and an array (columns, epochs)."""
    if table.ndim != 2 or table.dtype != np.float64 or len(table) != len(columns) or len(set(columns)) != len(columns):
        raise ValueError(
            f"history must be float64 of {len(columns)} columns with different names, got {table.dtype} of shape {table.shape}"
        )
    return History.from_columns(dict(zip(columns, table, strict=True)))


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
    """What is minimised, and what is done to the gradient. A loss that only has the name of one of nncore's own is marked."""
    parts, loss = {"regularizer": trainer.regularizer, "clip": trainer.clip}, trainer.loss
    name = loss.name if type(loss) is LOSSES.get(loss.name, type(loss)) else CUSTOM + loss.name
    return {"loss": {"class": name, **loss.config()}} | {
        name: None if part is None else repr(part) for name, part in parts.items()
    }


def _optimizer_config(trainer: Trainer, about: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The arguments of the checkpoint's optimizer that this one does not have, if the two began alike."""
    mine, now, first = (_plain(trainer.optimizer.config()), about.get("optimizer_config"), about.get("first_optimizer_config"))
    if not isinstance(now, dict) or not isinstance(first, dict):
        raise ValueError(f"{path} is damaged: it does not say how its optimizer was set")
    now, first = (_plain(with_defaults(trainer.optimizer, config)) for config in (now, first))
    if mine not in (now, first) and _plain(trainer._first_config) != first:
        raise ValueError(
            f"{path} holds an optimizer that is set otherwise: {clipped(_differences(mine, now), 1000)}. Restore with the "
            "same, and assign others afterwards"
        )
    config = {name: now.get(name) for name in {**mine, **now} if mine.get(name) != now.get(name) or name not in mine}
    try:
        copy.deepcopy(trainer.optimizer).configure(config)
        copy.deepcopy(trainer.optimizer).configure({name: first[name] for name in mine if mine[name] != first[name]})
    except BAD as error:
        raise ValueError(f"{path} holds an optimizer that cannot be set: {clipped(error)}") from error
    return config


def _callback_states(trainer: Trainer, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    """Class and state of each callback that has one; what is an array goes to ``arrays``."""
    entries = [{"class": class_name(type(c)), "state": state} for c in trainer._callbacks if (state := c.state_dict())]
    result = []
    for place, entry in enumerate(entries or trainer._callback_states):
        state = entry["state"]
        arrays |= {f"callback.{place}.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
        result.append(entry | {"state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}})
    return result


def _read_callbacks(entries: Any, arrays: Mapping[str, Array], model: Sequential) -> list[dict[str, Any]]:
    """Classes and states of callbacks; states of nncore's own callbacks are checked."""
    own: dict[str, dict[str, Array]] = {}
    for name, value in arrays.items():
        kind, _, rest = name.partition(".")
        if kind == "callback":
            place, _, name = rest.partition(".")
            own.setdefault(place, {})[name] = value
    result = []
    for index, entry in enumerate(entries):
        name, state = entry["class"], dict(entry["state"]) | own.get(str(index), {})
        if not isinstance(name, str) or not (name in CALLBACKS or name.startswith(CUSTOM)):
            raise ValueError(f"a callback of class {shown(name)} is not known")
        if name in CALLBACKS:
            CALLBACKS[name].check_state(state, model)
        result.append({"class": name, "state": state})
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
    named_so: dict[str, type] = {}
    for cls in (type(layer) for layer in model.layers):
        if named_so.setdefault(class_name(cls), cls) is not cls:
            raise ValueError(
                f"layers must be of classes with different names to be saved, got two classes {shown(cls.__name__)}"
            )
    for scaler in _scalers(model).values():
        if type(scaler) not in SCALERS.values():
            raise ValueError(f"scalers must be nncore's own to be saved, got {shown(scaler)}")
    layers = [{"class": class_name(type(layer)), **_layer_config(layer)} for layer in model.layers]
    config = {"layers": layers, "input_shape": list(model.input_shape), "dtype": str(model.dtype), "seed": model.seed}
    return config | {name: {"class": type(scaler).__name__, **scaler.config()} for name, scaler in _scalers(model).items()}


def _scalers(model: Sequential) -> dict[str, Scaler]:
    both = {"input_scaler": model.input_scaler, "target_scaler": model.target_scaler}
    return {name: scaler for name, scaler in both.items() if scaler is not None}


def _names(model: Sequential) -> dict[str, Any]:
    """The names of the columns that the model and its scalers know: no part of what a checkpoint must agree with."""
    of_scalers = {f"{name}.feature_names_in_": scaler.feature_names_in_ for name, scaler in _scalers(model).items()}
    return {"feature_names": model.feature_names, **of_scalers}


def _restore_scalers(model: Sequential, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Take over scalers and names of columns."""
    for name in ("input_scaler", "target_scaler"):
        if name in about["model"]:
            own = {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}
            setattr(model, name, restored(about["model"][name], own, about.get(f"{name}.feature_names_in_")))
    model.feature_names = about.get("feature_names")


def _model_arrays(model: Sequential) -> dict[str, Array]:
    return {"parameters": model.parameters, "state": model.state}


def _all_arrays(model: Sequential) -> dict[str, Array]:
    """The model's arrays and its scalers'."""
    of_scalers = {f"{name}.{key}": getattr(scaler, key) for name, scaler in _scalers(model).items() for key in scaler.saved}
    return _model_arrays(model) | of_scalers


def _build(config: Mapping[str, Any], classes: Mapping[str, type[Layer]], sizes: tuple[int, ...]) -> Sequential:
    """The model of a description, if it has as many numbers as the file: nothing is allocated for one that has not."""
    shape = _shape(tuple(config["input_shape"]))  # before anything is multiplied by it
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
        if isinstance(name, str) and name.removeprefix(CUSTOM) in {cls.__name__ for cls in LAYERS.values()}:
            raise ValueError(
                f"a layer of class {shown(name.removeprefix(CUSTOM))} is not nncore's own of this name: pass its class in "
                "custom_layers"
            )
        raise ValueError(f"a layer of class {shown(str(name).removeprefix(CUSTOM))} is not known: pass it in custom_layers")
    return classes[name](**arguments)


def _count(about: Mapping[str, Any], name: str, bound: int) -> int:
    value = about[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < bound:
        raise ValueError(f"{name} must be an integer from 0 to below {bound}, got {shown(value)}")
    return value


def _check_arrays(model: Sequential, arrays: Mapping[str, Array], path: str) -> None:
    for name, expected in _model_arrays(model).items():
        got = arrays.get(name)
        if got is None or got.shape != expected.shape or got.dtype != expected.dtype:
            what = "nothing" if got is None else f"{got.dtype} of shape {got.shape}"
            raise ValueError(f"{path}: {name} must be {expected.dtype} of shape {expected.shape}, got {what}")
        if not np.isfinite(got).all():
            place = int(np.flatnonzero(~np.isfinite(got))[0])
            raise ValueError(f"{path}: {name} must be finite, got {got[place]} at {place}")


def _fill(model: Sequential, arrays: Mapping[str, Array]) -> None:
    for name, target in _model_arrays(model).items():
        target[...] = arrays[name]


def _packed(path: Target, arrays: Mapping[str, Array], about: dict[str, Any]) -> bytes:
    """The bytes of a file with these arrays and this description."""
    header = {"format": f"nncore-{VERSION}", "about": json.dumps(about)}
    try:
        data = save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata=header)
    except SafetensorError as error:
        raise ValueError(f"{named(path)} cannot hold this: {clipped(error)}") from error
    if (size := int.from_bytes(data[:8], "little")) > MOST_HEADER:  # which older versions of safetensors write, but cannot read
        raise ValueError(f"{named(path)} can hold a description of at most {MOST_HEADER:,} bytes, got {size:,}")
    return data


def _read(path: Source, custom: Collection[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and description, as the newest format has them; ``custom``: names of layers that are not nncore's own."""
    try:
        header, arrays = _open(path)
    except (SafetensorError, AttributeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"{named(path)} is not a safetensors file: {clipped(error)}") from error
    path = named(path)
    version = re.fullmatch(r"nncore-([1-9][0-9]{0,8})", str(header.get("format")))
    if version is None:
        raise ValueError(
            f"{path} was not written by nncore: expected format 'nncore-{VERSION}', got {shown(header.get('format'))}"
        )
    if int(version[1]) > VERSION:
        raise ValueError(
            f"{path} was written by a newer nncore: expected at most format 'nncore-{VERSION}', got {shown(header['format'])}"
        )
    try:
        about = json.loads(header["about"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its description cannot be read") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} is damaged: its description is no JSON object")
    if int(version[1]) == 1:
        try:
            _renew(about, arrays, custom)
        except BAD as error:
            raise ValueError(f"{path} is damaged: {clipped(error)}") from error
    return arrays, about


def _open(path: Source) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and arrays of a safetensors file."""
    if not isinstance(path, (str, bytes, PathLike)):
        try:
            content = path.read() if hasattr(path, "read") else None
        except UnicodeDecodeError:  # opened as text
            content = None
        if not isinstance(content, bytes):
            raise TypeError(f"path must be a path or a file object opened for reading in binary mode, got {shown(path)}")
        arrays = load_bytes(content)  # which checks the header
        return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {}), arrays
    name = os.fsdecode(path)
    if not stat.S_ISREG(os.stat(name).st_mode):
        raise ValueError(
            f"{name} is a folder, a pipe or a device, not a file; what a pipe gives can be read from a file object"
        )
    with safe_open(name, framework="numpy") as file:
        return file.metadata() or {}, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def _renew(about: dict[str, Any], arrays: dict[str, Array], custom: Collection[str]) -> None:
    """Bring what a file of the first format holds into the present one."""

    def renew(entries: Iterable[Any], own: Collection[str]) -> list[Any]:
        names = [entry.get("class") for entry in entries]
        known = [not isinstance(name, str) or (name in own and name not in custom) for name in names]
        return [e if k else {**e, "class": CUSTOM + e["class"]} for e, k in zip(entries, known, strict=True)]

    about["model"]["layers"] = renew(about["model"]["layers"], {cls.__name__ for cls in LAYERS.values()})
    if about.get("kind") == "trainer":
        about["callbacks"] = renew(about["callbacks"], CALLBACKS)
        history = History.from_dict(about.pop("history"))
        about["history_columns"] = history.columns
        arrays["history"] = _table(history)
