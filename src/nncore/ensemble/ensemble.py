"""Ensemble: many networks that are trained at once and predict together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import Array, several
from nncore._utils.each import Each, of_member
from nncore._utils.fields import choice, count
from nncore._utils.files import Source, Target
from nncore._utils.hints import missing_method
from nncore.ensemble.files import load_groups, save_groups
from nncore.ensemble.groups import Group, all_outputs, own_values
from nncore.model import Sequential, files

__all__ = ["Ensemble"]


class Ensemble:
    """Many networks, the members, that a `Trainer` trains at once and that predict together.

    Each member is trained as a whole on one thread, without barriers, and has the bits that it has alone: member k of
    ``Ensemble(model, members)`` is a network like ``model`` with the seed ``model.seed + k``, trained by a trainer with the
    seed ``trainer.seed + k``.

    Parameters
    ----------
    model : Sequential, or iterable of Sequential
        A model that all members are like, with initial weights of their own; its layers may have `Each` in the place of
        numbers. Or the members themselves, of any architectures: they are copied with their numbers.
    members : int, optional
        Their number, for one model.

    Attributes
    ----------
    groups : tuple of Group
        The members by architecture, each with the arrays ``parameters`` (members, n) and ``state``.
    seeds : tuple of int
        Of each member.

    Raises
    ------
    ValueError, TypeError
        If there are no members, they differ in the shape of their output, or an `Each` has another number of values.

    Notes
    -----
    ``ensemble[k]`` is member k, a `Sequential` whose parameters are views into the ensemble's: all that can be seen of a
    network can be seen of it. Of a layer written in Python each member has a copy, and so has each thread that trains or
    predicts with the members: what such a layer keeps besides parameters and states is not shared, and assigning it changes
    ``ensemble[k]`` alone, not what the ensemble predicts.

    To average the predictions of networks is to reduce their variance: with errors of variance σ² and correlation ρ between
    members, the mean of k has ρσ² + (1 − ρ)σ²/k (Breiman: Bagging predictors, 1996; Hansen, Salamon: Neural network
    ensembles, 1990).

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> model = nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(1)], input_shape=1)
    >>> ensemble = nn.Ensemble(model, 8)
    >>> trainer = nn.Trainer(ensemble, "squared_error", nn.Adam(lr=0.01))
    >>> history = trainer.fit(X, X**2, epochs=100, verbose=0)
    >>> ensemble.predict(X).shape, ensemble.predict_members(X).shape, ensemble[3].seed
    ((64, 1), (8, 64, 1), 3)
    """

    trainer_class: ClassVar[type]  # what `Trainer` makes for it

    def __init__(self, model: Sequential | Iterable[Sequential], members: int | None = None) -> None:
        self.lock = _kernels.Lock()  # held while code changes the members' numbers or copies them
        self._passes_in_use = _kernels.Lock()
        self.labels: dict[str, list[Any]] = {}  # values of layers that tell members apart, for tables
        if isinstance(model, Sequential):
            self._of_one(model, count("members", 10 if members is None else members))
        else:
            self._of_several(model, members)
        self._place = {number: (group, row) for group in self.groups for row, number in enumerate(group.numbers)}
        self.seeds = self._seeds()
        shapes = {group.template.output_shape for group in self.groups}
        if len(shapes) > 1:
            raise ValueError(f"members must have outputs of one shape, got {shown(sorted(shapes))}")
        if carrying := [group.template for group in self.groups if group.template.batch_rows]:
            raise ValueError(f"members must not carry states over from batch to batch, got {shown(carrying[0])}")

    def _of_one(self, model: Sequential, members: int) -> None:
        by_key: dict[Any, tuple[Sequential, list[int]]] = {}
        own_of: dict[int, list[Any]] = {}  # arguments that differ within a group
        for number in range(members):
            own, has_each = of_member(lambda memo: model._copied(model.dtype, model.compute_dtype, memo), number, members)
            if not has_each:
                by_key[""] = own, list(range(members))
                break
            by_key.setdefault(_architecture(own), (own, []))[1].append(number)
            own_of[number] = own_values(own)
        self.groups = tuple(
            Group(template, numbers, [model.seed + number for number in numbers]) for template, numbers in by_key.values()
        )
        for group in self.groups:
            group.draw()
            for row, number in enumerate(group.numbers if own_of else ()):
                group.take_own(row, own_of[number])
        for layer in model.layers:
            values = {name: value for name, value in vars(layer).items() if isinstance(value, Each)}
            self.labels |= {f"{layer.name}.{name}": list(value.values) for name, value in values.items()}

    def _of_several(self, models: Iterable[Sequential], members: int | None) -> None:
        if not several(models):
            raise TypeError(f"model must be a Sequential or a list of them, got {shown(models)}")
        models = list(models)
        for position, model in enumerate(models):
            if not isinstance(model, Sequential):
                raise TypeError(f"members must be Sequential, got {shown(model)} at position {position}")
        if not models:
            raise ValueError("model must be a Sequential or a list of at least one of them, got []")
        if members not in (None, len(models)):
            raise ValueError(f"members must be {len(models)}, the number of models, got {members}")
        by_key: dict[Any, list[int]] = {}
        for number, model in enumerate(models):
            by_key.setdefault(_architecture(model), []).append(number)
        groups = []
        for numbers in by_key.values():
            group = Group(models[numbers[0]].copy(), numbers, [models[number].seed for number in numbers])
            for row, number in enumerate(numbers):
                group.take_own(row, own_values(models[number]))
                with models[number].lock:
                    group.parameters[row], group.state[row] = models[number].parameters, models[number].state
            groups.append(group)
        self.groups = tuple(groups)

    if not TYPE_CHECKING:  # to a type checker it would allow any name
        __getattr__ = missing_method

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            return vars(self) | {"lock": None, "_passes_in_use": None, "_place": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=_kernels.Lock(), _passes_in_use=_kernels.Lock())
        self._place = {number: (group, row) for group in self.groups for row, number in enumerate(group.numbers)}

    def _seeds(self) -> tuple[int, ...]:
        return tuple(group.seeds[row] for group, row in map(self._place.__getitem__, range(len(self))))

    # --- the members

    def __len__(self) -> int:
        return sum(len(group.numbers) for group in self.groups)

    def __getitem__(self, number: int) -> Sequential:
        """Member ``number``, a model whose parameters are views into the ensemble's."""
        if not isinstance(number, (int, np.integer)):
            raise TypeError(f"a member is given by its number, got {shown(number)}: ensemble.take(numbers) has several")
        if not -len(self) <= number < len(self):
            raise IndexError(f"there is no member {number}: there are {len(self)}")
        group, row = self._place[int(number) % len(self)]
        return group.member(row)

    def __iter__(self) -> Iterator[Sequential]:
        return (self[number] for number in range(len(self)))

    def take(self, numbers: Iterable[int]) -> Ensemble:
        """An ensemble of some of the members, in this order: copies."""
        if not several(numbers):
            raise TypeError(f"numbers must be those of members, got {shown(numbers)}")
        return Ensemble([self[number] for number in numbers])

    def initialize(self) -> None:
        """Draw new initial parameters, from each member's seed."""
        with self.lock:
            for group in self.groups:
                group.draw()

    # --- predictions

    def predict_members(self, X: Any) -> Array:
        """The output of each member for the rows of X, as `Sequential.predict` gives it: ``(members, n, *output_shape)``."""
        outputs = self._outputs(X)
        parts = [(group, group.template._in_target_units(part)) for group, part in outputs]
        result = np.empty((len(self), *parts[0][1].shape[1:]), dtype=np.result_type(*[part for _, part in parts]))
        for group, part in parts:
            result[group.numbers] = part
        return result

    def predict(self, X: Any) -> Array:
        """The mean of the members' outputs: ``(n, *output_shape)``. Of classes, see `probabilities` and `vote`."""
        return _mean(self.predict_members(X))

    def spread(self, X: Any) -> Array:
        """The standard deviation of the members' outputs, with the number of members as the divisor: how much they disagree.

        >>> import nncore as nn
        >>> nn.Ensemble(nn.Sequential([nn.Dense(1)], input_shape=2), 4).spread([[0.0, 0.0]])
        array([[0.]], dtype=float32)
        """
        outputs = self.predict_members(X)
        with np.errstate(over="ignore", invalid="ignore"):  # as the outputs may be infinite
            return np.asarray(outputs.std(axis=0, dtype=np.float64).astype(outputs.dtype))

    def member_probabilities(self, X: Any) -> Array:
        """The probabilities of the classes by each member, (members, n, classes); with one output, of class 1: (members, n, 1).

        The outputs themselves of a member that ends with softmax, or with sigmoid, else their softmax; of one output its
        sigmoid.
        """
        outputs = self.predict_members(X).astype(np.float64)
        for group in self.groups:
            if group.template.layers[-1].default_name() not in ("softmax", "sigmoid"):
                activation = "sigmoid" if outputs.shape[-1] == 1 else "softmax"
                outputs[group.numbers] = activated(outputs[group.numbers], activation)
        return outputs

    def probabilities(self, X: Any) -> Array:
        """The mean of the members' probabilities, (n, classes), or (n, 1) with one output."""
        return _mean(self.member_probabilities(X))

    def vote(self, X: Any, how: str = "soft") -> NDArray[np.int64]:
        """The class of each row of X, (n,).

        Parameters
        ----------
        X : array_like
        how : {"soft", "hard"}
            "soft": the class of the largest mean probability. "hard": the class that most members choose, the first of equals.

        Examples
        --------
        >>> import nncore as nn
        >>> ensemble = nn.Ensemble(nn.Sequential([nn.Dense(3)], input_shape=2), 5)
        >>> ensemble.vote([[1.0, 0.0], [0.0, 1.0]]).shape, ensemble.vote([[1.0, 0.0]], "hard").shape
        ((2,), (1,))
        """
        how = choice("how", how, ("soft", "hard"))
        members = self.member_probabilities(X)
        if how == "soft":
            return _classes(_mean(members))
        votes = _classes(members)
        counts = np.stack([(votes == label).sum(axis=0) for label in range(max(members.shape[-1], 2))], axis=-1)
        return np.asarray(counts.argmax(axis=-1))

    def _outputs(self, X: Any) -> list[tuple[Group, Array]]:
        """The output of each member in the units of the networks, by group."""
        return list(zip(self.groups, all_outputs(self.groups, X, self._passes_in_use), strict=True))

    # --- files

    def save(self, path: Target) -> None:
        """Write structure and numbers of all members to one safetensors file. See `Sequential.save`.

        >>> import io
        >>> import nncore as nn
        >>> file = io.BytesIO()
        >>> nn.Ensemble(nn.Sequential([nn.Dense(1)], input_shape=1), 3).save(file)
        >>> len(nn.Ensemble.load(io.BytesIO(file.getvalue())))
        3
        """
        save_groups(self.groups, self.lock, path)

    @classmethod
    def load(cls, path: Source, *, custom_layers: Mapping[str, files.Custom] | None = None) -> Ensemble:
        """Read an ensemble that `save` wrote. Arguments and errors as for `nn.load`."""
        return cls._of_groups(load_groups(path, custom_layers))

    @classmethod
    def _of_groups(cls, groups: Iterable[Group]) -> Ensemble:
        other = object.__new__(cls)
        other.__setstate__({"groups": tuple(groups), "labels": {}})
        other.seeds = other._seeds()
        return other

    def __repr__(self) -> str:
        kinds = "" if len(self.groups) == 1 else f" of {len(self.groups)} architectures"
        return f"Ensemble({len(self)} members{kinds}, {self.groups[0].template!r})"


def _architecture(model: Sequential) -> Any:
    """Equal for models whose programs are the same, on the same columns; the seed and the numbers apart."""
    if model.input_scaler or model.target_scaler:
        return id(model)
    try:
        config = files.model_config(model) | files.column_names_of(model) | {"seed": 0}
        for layer, entry in zip(model.layers, config["layers"], strict=True):
            entry |= {layer._own: layer._own_array.shape} if layer._own else {}
        return json.dumps(config, sort_keys=True)
    except Exception:  # a user's layer that cannot be described
        return id(model)


def _mean(members: Array) -> Array:
    """In float64, member by member: not by a BLAS."""
    return np.asarray(members.mean(axis=0, dtype=np.float64).astype(members.dtype))


def activated(outputs: Array, activation: str) -> Array:
    """The probabilities that a softmax or a sigmoid makes of outputs (..., classes) in float64."""
    if activation == "sigmoid":
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * outputs))
    powers = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _classes(probabilities: Array) -> NDArray[np.int64]:
    if probabilities.shape[-1] == 1:
        return np.asarray((probabilities[..., 0] > 0.5).astype(np.int64))
    return np.asarray(probabilities.argmax(axis=-1))
