"""Checkpoints of a training: the model, the optimizer's state, the history, and the position of the training."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import clipped, shown
from nncore._utils import archive, fields
from nncore._utils.archive import DAMAGE, plain
from nncore._utils.fields import count, flag, number, with_defaults
from nncore._utils.files import CUSTOM, Source, Target, class_name, named, write_to
from nncore._utils.interrupt import Interrupt
from nncore._utils.own import is_own
from nncore.callbacks import CALLBACKS, Callback
from nncore.history import History
from nncore.losses import LOSSES, Levels
from nncore.model.files import (
    all_arrays,
    check_arrays,
    column_names_of,
    mark_custom,
    model_arrays,
    model_config,
    read,
    restore_scalers,
    scalers_of,
)
from nncore.model.sequential import Sequential
from nncore.schedules import step_or_epoch
from nncore.training.base import BaseTrainer
from nncore.training.last_losses import LastLosses

Array = NDArray[Any]

TEXTS = ("regularizer", "clip", "constraint", "lr_factors", "decay_factors")  # what older versions wrote as texts
RESTORED = ("_input_scaler", "_target_scaler", "_feature_names", "_target_names")  # attributes of the model


def save_trainer(trainer: BaseTrainer, path: Target) -> None:
    """Write the model, the optimizer's state, the history and the position of the training."""
    with trainer._whole(), trainer.model.lock:
        data = _packed_trainer(trainer, path)
    write_to(path, data)


def _packed_trainer(trainer: BaseTrainer, path: Target) -> bytes:
    trainer._check_state()
    check_arrays(trainer.model, model_arrays(trainer.model), named(path))
    state = trainer.optimizer.state_dict()
    arrays = all_arrays(trainer.model)
    arrays |= {f"optimizer.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
    about = {
        "kind": "trainer", "model": model_config(trainer.model), "optimizer": trainer.optimizer.title,
        **column_names_of(trainer.model),
        "optimizer_state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)},
        "epochs_done": trainer.epochs_done, "seed": trainer.seed, "history_columns": trainer.history.columns,
        "training": plain(training_of(trainer)), "optimizer_config": plain(trainer.optimizer.config()),
        "first_optimizer_config": plain(trainer._first_config), "callbacks": _callback_states(trainer, arrays),
        "losses_of": trainer._last_losses.fingerprint, "levels": trainer._levels,
    }  # fmt: skip
    arrays["history"] = _table(trainer.history)
    if trainer._last_losses.values is not None:
        arrays["losses"] = trainer._last_losses.values
    return archive.pack(path, arrays, about)


def restore_trainer(trainer: BaseTrainer, path: Source) -> None:
    """Restore everything from a checkpoint, after checking that it fits."""
    try:
        with trainer._at_rest():
            _restore(trainer, path)
    except RecursionError:
        raise ValueError(f"{named(path)} is damaged: its description is nested too deeply") from None


def _restore(trainer: BaseTrainer, path: Source) -> None:
    arrays, about = _read(path, trainer)
    path = named(path)
    if about.get("kind") != "trainer":
        raise ValueError(f"{path} must be a checkpoint written by Trainer.save, got a file of kind {shown(about.get('kind'))}")
    about["model"] = with_defaults({"layers": trainer.model.layers, **scalers_of(trainer.model)}, about.get("model"))
    about["training"] = completed_training(trainer, about.get("training"))
    expected = plain(training_of(trainer))
    if isinstance(about["training"], dict):  # of older versions: as texts
        texts = {name: value for name, value in about["training"].items() if name in TEXTS and isinstance(value, str)}
        about["training"] |= {name: _parsed(text) for name, text in texts.items()}
        expected |= {name: _parsed(repr(getattr(trainer, name))) for name in texts}
    if other := differences(plain(model_config(trainer.model)), about.get("model")):
        raise ValueError(f"{path} holds another model: {clipped(other, 1000)}")
    name = trainer.optimizer.title
    if about.get("optimizer") != name:
        raise ValueError(f"{path} must hold the state of {name}, got that of {shown(about.get('optimizer'))}")
    check_arrays(trainer.model, arrays, path)
    if other := differences(expected, about.get("training")):
        raise ValueError(f"{path} holds another training: {clipped(other, 1000)}")
    config, scaled = _optimizer_config(trainer, about, path), trainer.model.copy()
    try:
        restore_scalers(scaled, about, arrays)
        levels = levels_of(about.get("levels"))
        callbacks = _read_callbacks(about["callbacks"], arrays, trainer.model)
        last = LastLosses(
            count("losses_of", about["losses_of"], 0, below=2**32), losses_of(arrays.get("losses")), trainer.loss.key()
        )
        history, state = _history(about["history_columns"], arrays["history"]), dict(about["optimizer_state"])
        epochs_done, seed = step_or_epoch("epochs_done", about["epochs_done"]), count("seed", about["seed"], 0, below=2**64)
        state |= {key.removeprefix("optimizer."): value for key, value in arrays.items() if key.startswith("optimizer.")}
        twin = copy.deepcopy(trainer.optimizer)
        twin.configure(config)
        twin.load_state_dict(state)
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged: {clipped(error)}") from error
    training = trainer._claim.depth > 1  # the callbacks of the call of fit go on: a later checkpoint holds them
    attributes = [
        (vars(trainer), {
            "_first_config": plain(with_defaults(trainer.optimizer, about["first_optimizer_config"])), "_last_losses": last,
            "history": history, "epochs_done": epochs_done, "seed": seed, "_levels": levels,
            **({} if training else {"_callbacks": [], "_callback_states": callbacks}),
        }),
        (vars(trainer.model), {name: vars(scaled)[name] for name in RESTORED}),
        *_optimizer_attributes(trainer.optimizer, twin),
    ]  # fmt: skip
    with Interrupt(tolerated=0), trainer.model.lock:  # everything has been checked: nothing below fails
        trainer.optimizer.close()
        slots = trainer.optimizer.state
        slots.extended({name: np.zeros_like(array) for name, array in twin.state.items() if name not in slots})
        numbers = [(target, arrays[name]) for name, target in model_arrays(trainer.model).items()]
        _exchange([*numbers, *((slots[name], array) for name, array in twin.state.items())], attributes)


def _optimizer_attributes(optimizer: Any, twin: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """All attributes of the twin but its arrays, then those of the optimizer that it wraps, and so on."""
    own = {name: value for name, value in vars(twin).items() if name not in ("_shared", "optimizer")}
    counts = {name: value for name, value in vars(twin._shared).items() if name not in ("state", "busy")}
    return [
        (vars(optimizer), own), (vars(optimizer._shared), counts),
        *(_optimizer_attributes(optimizer.optimizer, twin.optimizer) if "optimizer" in vars(twin) else ()),
    ]  # fmt: skip


def _exchange(arrays: Sequence[tuple[Array, Array]], attributes: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Assign arrays and attributes; all are unchanged if a user's signal handler raises meanwhile."""
    before = [(target, target.copy()) for target, _ in arrays], [(own, dict(own)) for own, _ in attributes]
    try:
        _put(arrays, attributes)
    except BaseException:
        _put(*before)
        for (own, new), (_, kept) in zip(attributes, before[1], strict=True):
            for name in new.keys() - kept.keys():
                own.pop(name, None)
        raise


def _put(arrays: Sequence[tuple[Array, Array]], attributes: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for target, numbers in arrays:
        target[...] = numbers
    for own, values in attributes:
        own.update(values)


def levels_of(value: Any) -> Levels | None:
    """The interpretation of the training targets as classes; files of older versions have none."""
    if value is None:
        return None
    no, yes, several = value
    no, yes = number("levels", no), number("levels", yes)
    if no >= yes:
        raise ValueError(f"levels must be ascending, got {no:g} and {yes:g}")
    return Levels(no, yes, flag("levels", several))


def _table(history: History) -> Array:
    """Its columns as an array (columns, epochs)."""
    epochs = len(history)  # read first: a training in another thread may add one meanwhile
    return np.array([column[:epochs] for column in history.values()], dtype=np.float64).reshape(len(history.columns), epochs)


def _history(columns: list[str], table: Array) -> History:
    """The history from the names of its columns and an array (columns, epochs)."""
    if table.ndim != 2 or table.dtype != np.float64 or len(table) != len(columns) or len(set(columns)) != len(columns):
        raise ValueError(
            f"history must be float64 of {len(columns)} columns with different names, got {table.dtype} of shape {table.shape}"
        )
    return History.from_columns(dict(zip(columns, table, strict=True)))


def differences(expected: Any, got: Any, place: str = "") -> str:
    """The differences between two descriptions.

    >>> differences({"class": "Dense", "units": 4, "name": "a"}, {"class": "Dense", "units": 5, "name": "a"}, "layers[0]")
    'layers[0].units must be 4, got 5'
    """
    if isinstance(expected, dict) and isinstance(got, dict) and expected.get("class") == got.get("class"):
        inside = [(f"{place}.{name}".lstrip("."), expected.get(name), got.get(name)) for name in {**expected, **got}]
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        inside = [(f"{place}[{i}]", *pair) for i, pair in enumerate(zip(expected, got, strict=True))]
    else:
        return "" if expected == got else f"{place or 'it'} must be {_brief(expected)}, got {_brief(got)}"
    return "; ".join(filter(None, (differences(mine, its, where) for where, mine, its in inside)))


def _brief(value: Any) -> str:
    """A value, shortened to its class if it has one."""
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    return str(value.get("class", "an object")) if isinstance(value, dict) else repr(value)


def training_of(trainer: BaseTrainer) -> dict[str, Any]:
    """Loss, regularizer and so on. A custom loss with the name of one of nncore's is marked."""
    loss, regularizer, clip = trainer.loss, trainer.regularizer, trainer.clip
    name = loss.name if type(loss) is LOSSES.get(loss.name, type(loss)) else CUSTOM + loss.name
    entries = {"regularizer": regularizer and regularizer.entry(), "clip": clip and clip.entry()}
    arrays = {"constraint": trainer.constraint, "lr_factors": trainer.lr_factors, "decay_factors": trainer.decay_factors}
    return {"loss": {"class": name, **loss.config(), **loss.own_description()}, **entries, **fields.plain(arrays)}


def completed_training(trainer: BaseTrainer, training: Any) -> Any:
    """What a file has of `training_of`, with what older versions did not write."""
    if not isinstance(training, dict):
        return training
    made = {name: getattr(trainer, name) for name in ("loss", *TEXTS)}
    return plain({"constraint": None, "lr_factors": {}, "decay_factors": {}, **with_defaults(made, training)})


def _parsed(text: str) -> Any:
    """The values by name, as texts, if this is the text of a mapping, whose order does not matter; else the text itself.

    >>> _parsed("mappingproxy({'dense_1': 0.5, 'dense_2': MaxNorm(limit=3.0)})")
    {'dense_1': '0.5', 'dense_2': 'MaxNorm(limit=3.0)'}
    """
    try:
        mapping = ast.parse(text, mode="eval").body.args[0]  # type: ignore[attr-defined]
        return {ast.literal_eval(name): ast.unparse(value) for name, value in zip(mapping.keys, mapping.values, strict=True)}
    except (*DAMAGE, SyntaxError, MemoryError):
        return text


def _optimizer_config(trainer: BaseTrainer, about: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The arguments of the checkpoint's optimizer that differ from this one's, if both had the same initial arguments."""
    mine, now, first = (plain(trainer.optimizer.config()), about.get("optimizer_config"), about.get("first_optimizer_config"))
    if not isinstance(now, dict) or not isinstance(first, dict):
        raise ValueError(f"{path} is damaged: it has no arguments of its optimizer")
    now, first = (plain(with_defaults(trainer.optimizer, config)) for config in (now, first))
    try:
        check_arguments(mine, now, plain(trainer._first_config), first)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    config = {name: now.get(name) for name in {**mine, **now} if mine.get(name) != now.get(name) or name not in mine}
    try:
        copy.deepcopy(trainer.optimizer).configure(config)
        copy.deepcopy(trainer.optimizer).configure({name: first[name] for name in mine if mine[name] != first[name]})
    except DAMAGE as error:
        raise ValueError(f"{path} holds an optimizer that cannot be set: {clipped(error)}") from error
    return config


def check_arguments(mine: Any, now: Any, my_first: Any, first: Any) -> None:
    """Raise unless an optimizer may continue as that of a checkpoint, by the arguments that both have and began with."""
    if mine not in (now, first) and my_first != first:
        raise ValueError(
            f"holds an optimizer with other arguments: {clipped(differences(mine, now), 1000)}. Restore with the same, and "
            "assign others afterwards"
        )


def _callback_states(trainer: BaseTrainer, arrays: dict[str, Array]) -> list[dict[str, Any]]:
    """Class and state of each callback that has a state; arrays are added to ``arrays``."""
    entries = [{"class": class_name(type(c)), "state": state} for c in trainer._callbacks if (state := c.state_dict())]
    result = []
    for place, entry in enumerate(entries or trainer._callback_states):
        state = entry["state"]
        arrays |= {f"callback.{place}.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
        result.append(entry | {"state": {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}})
    return result


def _read_callbacks(entries: Any, arrays: Mapping[str, Array], model: Sequential) -> list[dict[str, Any]]:
    """Classes and states of callbacks; states of nncore's own callbacks are checked."""
    known = _own_callbacks()
    own, result = archive.by_place(archive.by_place(arrays).get("callback", {})), []
    for index, entry in enumerate(entries):
        name, state = entry["class"], dict(entry["state"]) | own.get(str(index), {})
        if not isinstance(name, str) or not (name in known or name.startswith(CUSTOM)):
            raise ValueError(f"a callback of class {shown(name)} is not known")
        if name in known:
            known[name].check_state(state, model)
        result.append({"class": name, "state": state})
    return result


def _own_callbacks() -> dict[str, type[Callback]]:
    """nncore's callbacks by name, also those of higher levels such as `Snapshots`."""
    found, waiting = dict[str, type[Callback]](), [Callback]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if is_own(cls):
            found[cls.__name__] = cls
    return found


def losses_of(losses: Array | None) -> Array | None:
    """The last loss of each example, checked."""
    if losses is not None and (losses.ndim != 1 or losses.dtype != np.float64 or not np.isfinite(losses).all()):
        raise ValueError(f"losses must be finite float64 numbers (n,), got {losses.dtype} of shape {losses.shape}")
    return losses


def _read(path: Source, trainer: BaseTrainer) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and description, as the newest format has them."""
    arrays, about = read(path, {type(layer).__name__ for layer in trainer.model.layers if not is_own(type(layer))})
    if about["format"] == 1 and about.get("kind") == "trainer":
        try:
            about["callbacks"] = mark_custom(about["callbacks"], CALLBACKS)
            history = History.from_dict(about.pop("history"))
            about["history_columns"], arrays["history"] = history.columns, _table(history)
        except DAMAGE as error:
            raise ValueError(f"{named(path)} is damaged: {clipped(error)}") from error
    return arrays, about
