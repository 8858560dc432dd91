"""The members of an ensemble that have the same architecture: their numbers, one row of an array for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nncore import _kernels
from nncore._kernels.program import CACHE_LINE
from nncore._utils.arrays import Array, aligned_zeros
from nncore._utils.interrupt import Interrupt
from nncore.data.sparse import Rows, SparseRows
from nncore.model import Sequential, layout
from nncore.model.network import FORWARD_ROWS

__all__ = ["Group", "all_outputs", "member_rows", "own_layers", "own_values"]


def member_rows(members: int, size: int, dtype: Any) -> Array:
    """Zeros (members, size), each row aligned to a cache line."""
    numbers = CACHE_LINE // np.dtype(dtype).itemsize
    return aligned_zeros((members, -(-size // numbers) * numbers), dtype)[:, :size]


def all_outputs(groups: Sequence[Group], X: Any, lock: Any) -> list[Array]:
    """The outputs of the members of each group for the rows of X, in inference mode."""
    threads = _kernels.get_num_threads()
    rows = [group.template.input_rows(X, empty=True) for group in groups]
    outputs = [group.empty_outputs(len(own)) for group, own in zip(groups, rows, strict=True)]
    if not len(rows[0]):
        return outputs
    with Interrupt(tolerated=0) as interrupt, lock:
        parts = [group.prediction(own, out, threads) for group, own, out in zip(groups, rows, outputs, strict=True)]
        members = _kernels.Members([group for group, _ in parts], sum(map(len, outputs)))
        for number, (_, add) in enumerate(parts):
            add(members, number)
        _kernels.run_members(members, threads, interrupt.pressed)
    return outputs


def own_layers(model: Sequential) -> list[Any]:
    """The layers with an argument that may differ between members of a group."""
    return [layer for layer in model.layers if layer._own]


def own_values(model: Sequential) -> list[Any]:
    return [vars(layer)[layer._own] for layer in own_layers(model)]


class ForwardPass:
    """A compiled forward pass of a model of its own, into which the numbers of the member at work are copied."""

    def __init__(self, model: Sequential, capacity: int, sparse: bool) -> None:
        _, self.write, self.compiled = model._compile_forward(capacity, False, False, sparse)
        self.model = model


class Group:
    """Members of the same architecture.

    Attributes
    ----------
    template : Sequential
        A model of this architecture. Its numbers mean nothing.
    numbers : list of int
        Which members of the ensemble they are.
    seeds : list of int
    parameters, state : ndarray (members, n)
    own : list of ndarray (members, n)
        For each layer with an argument that differs from member to member (``Layer._own``), what its ops read of it.
    """

    def __init__(self, template: Sequential, numbers: Sequence[int], seeds: Sequence[int]) -> None:
        self.template, self.numbers, self.seeds = template, list(numbers), list(seeds)
        self.parameters = member_rows(len(numbers), template.parameters.size, template.dtype)
        self.state = member_rows(len(numbers), template.state.size, template.dtype)
        self.own = [np.tile(layer._own_array, (len(numbers), 1)) for layer in own_layers(template)]
        self._own_values = [own_values(template)] * len(numbers)
        self._views: dict[int, Sequential] = {}
        self._passes: dict[tuple[int, bool], list[ForwardPass]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_views": {}, "_passes": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in ("parameters", "state"):  # unpickled arrays are not aligned
            members, size = state[name].shape
            array = member_rows(members, size, state[name].dtype)
            array[...] = state[name]
            vars(self)[name] = array

    @property
    def own_values(self) -> list[list[Any]]:
        """The arguments that differ, of each member."""
        return list(self._own_values)

    def take_own(self, row: int, values: Sequence[Any]) -> None:
        """Give a member its values of the arguments that differ."""
        for layer, array, value in zip(own_layers(self.template), self.own, values, strict=True):
            layer._take_own(value)
            array[row] = layer._own_array
        self._own_values[row] = own_values(self.template)

    def arrays(self, model: Sequential) -> list[Array]:
        """The arrays of a model into which a member's numbers are copied."""
        return [model.parameters, model.state, *[layer._own_array for layer in own_layers(model)]]

    def kept(self, rows: Any) -> list[tuple[Array, Any]]:
        """Where the numbers of members are, for each of `arrays`."""
        return [(array, rows) for array in (self.parameters, self.state, *self.own)]

    def loaded(self, model: Sequential, row: int) -> Sequential:
        """The model, with the numbers of a member."""
        for array, (numbers, own) in zip(self.arrays(model), self.kept(row), strict=True):
            array[...] = numbers[own]
        return model

    def draw(self) -> None:
        """Initial parameters, from each member's seed."""
        for row, seed in enumerate(self.seeds):
            layout.draw(self.template.layers, seed)
            self.parameters[row], self.state[row] = self.template.parameters, self.template.state

    def member(self, row: int) -> Sequential:
        """A model whose parameters and state are those of a member: views."""
        if row not in self._views:
            model = self.template.copy()
            vectors = {"parameters": self.parameters[row], "state": self.state[row]}
            vars(model).update(vectors, seed=self.seeds[row], _in_ensemble=self.assign, _basic=model._basic | {"_in_ensemble"})
            layout.place_arrays(model.layers, model.parameters, model.gradients, model.state)
            for layer, value in zip(own_layers(model), self._own_values[row], strict=True):
                layer._take_own(value)
            self._views[row] = model
        return self._views[row]

    def assign(self, values: Mapping[str, Any]) -> None:
        """Assign attributes that all members have: scalers, names of columns."""
        for model in (self.template, *self._views.values()):
            vars(model).update(values)

    def empty_outputs(self, rows: int) -> Array:
        """Room for the output of each member: (members, rows, *output_shape)."""
        return np.empty((len(self.numbers), rows, *self.template.output_shape), dtype=self.template.dtype)

    def prediction(self, rows: Rows, out: Array, threads: int) -> tuple[Any, Callable[[Any, int], None]]:
        """The programs that write the outputs, and what adds the members to a run."""
        n, k = len(rows), len(self.numbers)
        capacity = min(1 << (n - 1).bit_length(), FORWARD_ROWS)
        self.template.check_batches(n, min(capacity, n), training=False)
        passes = self._forward(capacity, min(threads, k), isinstance(rows, SparseRows))
        group = _kernels.MemberGroup(
            [part.compiled.program for part in passes], [self.arrays(part.model) for part in passes],
            places=passes[0].compiled.places([(passes[0].write, 0)]),
        )  # fmt: skip
        binds = [part.compiled.numbered([*part.compiled.bind(rows), (part.write, 0, out[0])]) for part in passes]

        def add(members: Any, number: int) -> None:
            own = np.arange(k)
            members.add(
                number, kept=self.kept(own), bound=[(out, own)], binds=binds, stores=False,
                examples=np.full(k, n), batch=capacity,
            )  # fmt: skip

        return group, add

    def _forward(self, capacity: int, count: int, sparse: bool) -> list[ForwardPass]:
        """As many compiled passes as threads may run."""
        key = capacity, sparse
        passes = self._passes.setdefault(key, [])
        while len(passes) < count:
            passes.append(ForwardPass(self.template.copy(), capacity, sparse))
        return passes[:count]
