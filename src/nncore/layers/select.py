"""Chosen columns of the input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.each import Each
from nncore._utils.fields import Field
from nncore.layers.base import Layer
from nncore.program.ops import Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["Select"]

Given = Sequence[int] | NDArray[Any]
Columns = tuple[int, ...]  # or of bool, which are int


class ColumnsField(Field[Given, Columns]):
    """Numbers of columns, or a truth value for each column."""

    requirement = "a list of column numbers, or with True or False for each column"

    def check(self, value: Any) -> Columns:
        if isinstance(value, Each):
            return value.checked(self.check)
        given = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(given, Iterable):
            self.refuse(TypeError, value)
        columns = tuple(given)
        columns = tuple(column.item() if isinstance(column, np.generic) else column for column in columns)
        kinds = {type(column) for column in columns}
        if kinds not in (set(), {int}, {bool}):
            self.refuse(TypeError, value)
        if not columns or (kinds == {bool} and not any(columns)):
            self.refuse(ValueError, value)
        return columns


class Select(Layer):
    """Some columns of the input: y = x[:, columns].

    With δ = ∂l/∂y the backward pass is ∂l/∂x_c = Σ_j δ_j over all j with columns_j = c, 0 for columns that are left out.

    Parameters
    ----------
    columns : sequence of int or of bool
        The numbers of the columns in their new order, from the end if negative; a number may occur several times. Or True or
        False for each column. `Each` in an `Ensemble`: as many columns for each member.

    Raises
    ------
    ValueError
        When the model is made: if there is no such column, truth values are not as many as columns, or examples have several
        axes.

    Notes
    -----
    As the first layer, with columns drawn at random for each member of an ensemble, it makes random subspaces (Ho: The random
    subspace method for constructing decision forests, 1998). Members with as many columns share a compiled program.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.Sequential([nn.Select([2, 0])], input_shape=3).forward([[1.0, 2.0, 3.0]])
    array([[3., 1.]], dtype=float32)
    >>> model = nn.Sequential([nn.Select(nn.Each([[0, 1], [1, 2]])), nn.Dense(1)], input_shape=3)
    >>> ensemble = nn.Ensemble(model, 2)
    >>> ensemble[1].layers[0].columns
    (1, 2)
    """

    columns: ColumnsField = ColumnsField()
    _own = "columns"

    def __init__(self, columns: Given, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.columns = columns

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) > 1:
            raise ValueError(f"{self.label} needs examples with one axis, the columns, got the shape {input_shape}")
        given: Any = self.columns.values if isinstance(self.columns, Each) else [self.columns]
        chosen = [self._numbers(columns, input_shape[0]) for columns in given]
        if len(lengths := {len(columns) for columns in chosen}) > 1:
            raise ValueError(
                f"columns of {self.label} must be equally many for each member, got from {min(lengths)} to {max(lengths)}: "
                "give nn.Ensemble a list of models instead of Each"
            )
        self._array = chosen[0]
        return (len(self._array),)

    def _numbers(self, columns: Columns, inputs: int) -> NDArray[np.int64]:
        """The numbers of the columns, from 0 on."""
        if type(columns[0]) is bool:
            if len(columns) != inputs:
                raise ValueError(f"columns of {self.label} must have True or False for each of {inputs}, got {len(columns)}")
            return np.flatnonzero(columns).astype(np.int64)
        if wrong := [column for column in columns if not -inputs <= column < inputs]:
            raise ValueError(f"columns of {self.label} must be from {-inputs} to {inputs - 1}, got {shown(wrong[0])}")
        return np.array(columns, dtype=np.int64) % inputs

    @property
    def _own_array(self) -> NDArray[np.int64]:
        """The numbers of the columns, from 0 on: what the ops read."""
        return self._array

    def _take_own(self, value: Any) -> None:
        """Take as many other columns."""
        columns = type(self).columns.check(value)
        array = self._numbers(columns, *self.input_shape)
        if len(array) != len(self._array):
            raise ValueError(f"columns of {self.label} must be {len(self._array)}, got {len(array)}")
        vars(self)["columns"] = columns
        self._array[...] = array

    def emit(self, tape: Tape, x: Signal) -> Signal:
        if isinstance(self.columns, Each):
            self.columns._refuse()
        y, chosen, sizes = tape.signal(str(self.name), self.output_shape), self._array, (len(self._array), x.width)
        tape.forward.rows("select_forward", y.value, x.value, chosen, sizes=sizes)
        if x.grad is not None:
            tape.backward.rows("select_backward", x.grad, y.grad, chosen, sizes=sizes)
        if isinstance(tape, TangentTape) and x.tangent is not None:
            ty, tdy = tape.tangent_signal(y)
            tape.tangent_forward.rows("select_forward", ty, x.tangent, chosen, sizes=sizes)
            tape.tangent_backward.rows("select_backward", x.grad_tangent, tdy, chosen, sizes=sizes)
        return y
