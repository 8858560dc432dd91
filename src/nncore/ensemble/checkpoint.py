"""Checkpoints of the training of an ensemble."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import clipped, shown
from nncore._utils import archive
from nncore._utils.archive import DAMAGE, plain
from nncore._utils.arrays import Array
from nncore._utils.fields import count, with_defaults
from nncore._utils.files import Source, Target, named, write_to
from nncore._utils.interrupt import Interrupt
from nncore.ensemble.base import BaseEnsembleTrainer
from nncore.ensemble.files import described_groups, read_groups
from nncore.ensemble.groups import Group
from nncore.ensemble.history import EnsembleHistory
from nncore.model.files import model_config
from nncore.optimizers import GradientOptimizer
from nncore.training.checkpoint import check_arguments, completed_training, differences, levels_of, losses_of, training_of
from nncore.training.last_losses import LastLosses

__all__ = ["restore_ensemble", "save_trainer"]

Int64 = NDArray[np.int64]


def save_trainer(trainer: BaseEnsembleTrainer, path: Target) -> None:
    """Write the members, their optimizers' states and their histories."""
    with trainer._claim, trainer.model.lock:
        arrays, about = described_groups(trainer.model.groups, path)
        for place, slots in enumerate(trainer._slots):
            arrays |= {f"{place}.optimizer.{name}": array for name, array in slots.items()}
        unique = {id(optimizer): optimizer for optimizer in trainer._optimizers}
        numbers = {key: number for number, key in enumerate(unique)}
        history = trainer.history
        columns = {name: number for number, name in enumerate(history)}
        arrays |= {f"history.{number}": history[name] for name, number in columns.items()}
        arrays |= {f"subsets.{member}": rows for member, rows in enumerate(trainer._subsets or ())}
        arrays |= {f"losses.{member}": last.values for member, last in trainer._last_losses.items() if last.values is not None}
        description = {
            "kind": "ensemble_trainer", "groups": about, "training": _training(trainer), "seed": trainer.seed,
            "optimizers": [_counts(optimizer) for optimizer in unique.values()],
            "optimizer_of": [numbers[id(optimizer)] for optimizer in trainer._optimizers],
            **_numbered("first", [plain(config) for config in trainer._first_configs]),
            "columns": [*columns], "columns_of": [[columns[name] for name in own] for own in history._names],
            "epochs": history.epochs.tolist(), "kept": history.kept.tolist(), "ended": history.ended,
            "levels": [kind.trainers[0]._levels for kind in dict.fromkeys(trainer._kind_of)],
            "losses_of": {member: last.fingerprint for member, last in trainer._last_losses.items()},
        }  # fmt: skip
        data = archive.pack(path, arrays, description)
    write_to(path, data)


def restore_ensemble(trainer: BaseEnsembleTrainer, path: Source) -> None:
    """Restore everything from a checkpoint, after checking that it fits."""
    custom = {type(layer).__name__: type(layer) for group in trainer.model.groups for layer in group.template.layers}
    trainer._claim.check()  # nor within a callback: the call of fit goes on with the history and the optimizers that it has
    with trainer._claim:
        arrays, about, groups = read_groups(path, custom, "ensemble_trainer")
        name = named(path)
        if other := differences(_training(trainer), _completed(trainer, about.get("training"))):
            raise ValueError(f"{name} holds another training: {clipped(other, 1000)}")
        members = len(trainer.model)
        try:
            _check_groups(trainer.model.groups, groups)
            first = _first_configs(trainer, about)
            chosen = _optimizers(trainer, about, first)
            history = _history(about, arrays, trainer.history.labels)
            slots = [
                {slot: _like(f"{place}.optimizer.{slot}", array, arrays) for slot, array in own.items()}
                for place, own in enumerate(trainer._slots)
            ]
            last = {
                count("losses_of", int(member), 0, below=members): LastLosses(
                    count("losses_of", value, 0, below=2**32), losses_of(arrays.get(f"losses.{member}"))
                )
                for member, value in about["losses_of"].items()
            }
            kinds = dict.fromkeys(trainer._kind_of)
            levels = dict(zip(kinds, map(levels_of, about["levels"]), strict=True))
            subsets = _subsets(arrays, members)
            seed = count("seed", about["seed"], 0, below=2**64)
            if not len(chosen) == history.members == members:
                raise ValueError(f"it must have {members} members, got {len(chosen)}")
        except DAMAGE as error:
            raise ValueError(f"{name} is damaged, or of another ensemble: {clipped(error)}") from error
        with Interrupt(tolerated=0), trainer.model.lock:
            for group, other_group in zip(trainer.model.groups, groups, strict=True):
                group.parameters[...], group.state[...] = other_group.parameters, other_group.state
            for own, new in zip(trainer._slots, slots, strict=True):
                for slot, array in new.items():
                    own[slot][...] = array
            for kind in kinds:
                kind.restore(levels[kind], groups[trainer.model.groups.index(kind.group)].template)
            vars(trainer).update(
                history=history, _optimizers=chosen, _first_configs=first, _last_losses=last, _subsets=subsets, seed=seed
            )


def _history(about: dict[str, Any], arrays: dict[str, Array], labels: dict[str, list[Any]]) -> EnsembleHistory:
    columns, owners = about["columns"], about["columns_of"]
    if not isinstance(columns, list) or not isinstance(owners, list) or len(set(columns)) < len(columns):
        raise ValueError(f"columns must be a list of different names, got {shown(columns)}")
    values = {name: arrays[f"history.{number}"] for number, name in enumerate(columns)}
    names = [[columns[count("columns_of", number, 0, below=len(columns))] for number in own] for own in owners]
    epochs = about["epochs"]
    kept = about.get("kept", epochs)  # files of older versions do not have it
    return EnsembleHistory.from_columns(values, names, epochs, kept, about["ended"], labels)


def _subsets(arrays: dict[str, Array], members: int) -> list[Int64] | None:
    """The rows that each member was trained on in the last ``fit``, or None."""
    found = [arrays.get(f"subsets.{member}") for member in range(members)]
    given = [rows for rows in found if rows is not None]
    for rows in given:
        if rows.ndim != 1 or rows.dtype != np.int64 or not len(rows) or rows.min() < 0:
            raise ValueError(f"subsets must be row numbers, got {rows.dtype} of shape {rows.shape}")
    if given and len(given) < members:
        raise ValueError(f"there must be a subset of each of {members} members, got {len(given)}")
    return given or None


def _training(trainer: BaseEnsembleTrainer) -> list[Any]:
    """What each kind of members is trained with, and which they are."""
    kinds = dict.fromkeys(trainer._kind_of)
    return [
        plain({**training_of(kind.trainers[0]), "optimizer": kind.trainers[0].optimizer.title, "members": kind.numbers})
        for kind in kinds
    ]


def _completed(trainer: BaseEnsembleTrainer, training: Any) -> Any:
    """The description of the training in a file, with what older versions did not write."""
    kinds = list(dict.fromkeys(trainer._kind_of))
    if not isinstance(training, list) or len(training) != len(kinds):
        return training
    return [plain(completed_training(kind.trainers[0], own)) for kind, own in zip(kinds, training, strict=True)]


def _numbered(name: str, values: list[Any]) -> dict[str, Any]:
    """The different values, and the number of each in their list."""
    texts = [json.dumps(value, sort_keys=True) for value in values]
    different = list(dict.fromkeys(texts))
    numbers = {text: number for number, text in enumerate(different)}
    return {name: [json.loads(text) for text in different], f"{name}_of": [numbers[text] for text in texts]}


def _first_configs(trainer: BaseEnsembleTrainer, about: dict[str, Any]) -> list[Any]:
    """The arguments with which each member's optimizer began; files of older versions do not have them."""
    if "first" not in about:
        return trainer._first_configs
    configs = about["first"]
    return [configs[count("first_of", number, 0, below=len(configs))] for number in about["first_of"]]


def _counts(optimizer: GradientOptimizer) -> dict[str, Any]:
    state = {name: value for name, value in optimizer.state_dict().items() if not isinstance(value, np.ndarray)}
    return plain({"config": optimizer.config(), **state, "stretches": [list(stretch) for stretch in optimizer.stretches]})


def _optimizers(trainer: BaseEnsembleTrainer, about: dict[str, Any], first: list[Any]) -> list[GradientOptimizer]:
    """The optimizer of each member; those that had the same have the same."""
    made: dict[int, GradientOptimizer] = {}
    chosen = []
    for member, (mine, number) in enumerate(zip(trainer._optimizers, about["optimizer_of"], strict=True)):
        number = count("optimizer_of", number, 0, below=len(about["optimizers"]))
        now = plain(with_defaults(mine, about["optimizers"][number]["config"]))
        began = plain(trainer._first_configs[member]), plain(with_defaults(mine, first[member]))
        check_arguments(plain(mine.config()), now, *began)
        if number not in made:
            made[number] = _restored(mine, about["optimizers"][number])
        chosen.append(made[number])
    return chosen


def _restored(like: GradientOptimizer, state: dict[str, Any]) -> GradientOptimizer:
    """An optimizer with these arguments and counts."""
    other, state = copy.deepcopy(like), dict(state)
    config, mine = plain(with_defaults(like, state.pop("config"))), plain(other.config())
    other.configure({name: value for name, value in config.items() if mine.get(name) != value})
    stretches = np.array(state.pop("stretches"), dtype=np.int64).reshape(-1, 3)
    other.load_state_dict({**state, "stretches": stretches})
    return other


def _check_groups(mine: tuple[Group, ...], others: list[Group]) -> None:
    if [group.numbers for group in mine] != [group.numbers for group in others]:
        raise ValueError("its members have other architectures")
    for group, other in zip(mine, others, strict=True):
        shapes = [(own.shape, own.dtype) for own in (group.parameters, group.state)]
        if group.own_values != other.own_values:
            raise ValueError(f"its members must have {shown(group.own_values)} in {shown(group.template)}")
        configs = [{**model_config(own.template), "seed": own.seeds} for own in (group, other)]
        if different := differences(*map(plain, configs)):
            raise ValueError(f"its members differ: {different}")
        if shapes != [(own.shape, own.dtype) for own in (other.parameters, other.state)]:
            raise ValueError(f"its members must be {shown(group.template)}, got {shown(other.template)}")


def _like(name: str, array: Array, arrays: dict[str, Array]) -> Array:
    given = arrays[name]
    if (given.shape, given.dtype) != (array.shape, array.dtype) or not np.isfinite(given).all():
        wanted = f"finite {array.dtype} of shape {array.shape}"
        raise ValueError(f"{name} must be {wanted}, got {given.dtype} of shape {given.shape}")
    return given
