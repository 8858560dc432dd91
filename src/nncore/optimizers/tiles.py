"""The arrays of optimizers: state, tiles, checks."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nncore._utils.arrays import overwrite
from nncore._utils.checks import real_dtype
from nncore.errors import DivergenceError

Real = NDArray[np.floating[Any]]
REALS = (np.dtype(np.float32), np.dtype(np.float64))

STRETCH = 16384  # parameters per work item of a step by hand
BY_TILE = {"squares", "acted", "penalties", "left", "factors", "strengths"}  # arrays with numbers for each tile, in float64


class State(dict[str, Real]):
    """The arrays of an optimizer's state by name. An assignment copies numbers, as compiled programs are bound to the arrays.

    >>> state = State(v=np.zeros(2))
    >>> v, state["v"] = state["v"], [1.0, 2.0]
    >>> v
    array([1., 2.])
    """

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self:
            raise KeyError(f"state must be assigned to one of {', '.join(self) or 'no names yet'}, got {name!r}")
        overwrite(f"state {name!r}", self[name], value)

    def update(self, *others: Any, **values: Any) -> None:
        """Assign to several arrays."""
        for name, value in dict(*others, **values).items():
            self[name] = value

    def __ior__(self, other: Any) -> State:  # type: ignore[override, misc]
        self.update(other)
        return self

    def _fixed(self, *arguments: Any) -> NoReturn:
        raise TypeError("state is fixed in its names once it has arrays: assign numbers to them, or call init_state")

    __delitem__ = pop = popitem = clear = setdefault = _fixed

    def __reduce__(self) -> tuple[type[State], tuple[dict[str, Real]]]:
        return State, (dict(self),)

    def extended(self, arrays: Mapping[str, Real]) -> State:
        """Add arrays."""
        dict.update(self, arrays)
        return self


@functools.lru_cache(maxsize=8)
def tile_table(n: int) -> NDArray[np.int64]:
    """The tiles of `n` parameters for the kernels (tiles.h), all with the same coefficients."""
    offsets = np.arange(0, n, STRETCH, dtype=np.int64)
    lengths = np.minimum(STRETCH, n - offsets)
    return np.column_stack((offsets, np.ones_like(offsets), lengths, lengths, np.zeros_like(offsets)))


def check_vector(name: str, array: Any) -> None:
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a NumPy array, got {type(array).__name__}")
    real_dtype(name, array.dtype)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a 1-D array that is not empty, got shape {array.shape}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        raise ValueError(f"{name} must be a contiguous array, got strides {array.strides}")


def check_theta(theta: Any) -> None:
    check_vector("theta", theta)
    if not theta.flags.writeable:
        raise ValueError("theta must be a writeable array, got a read-only one")


def check_like(name: str, array: Real, other_name: str, other: Real) -> None:
    if array.dtype != other.dtype:
        raise TypeError(f"{name} must be {other.dtype} as {other_name}, got {array.dtype}")
    if array.shape != other.shape:
        raise ValueError(f"{name} must have shape {other.shape} as {other_name}, got {array.shape}")


def check_gradient(theta: Real, grad: Real) -> None:
    check_vector("grad", grad)
    check_like("grad", grad, "theta", theta)
    if np.may_share_memory(theta, grad):
        raise ValueError("grad must have memory of its own, got memory of theta")


def check_fits(theta: Real, state: State) -> None:
    """Raise unless `theta` has the size and dtype of the arrays of `state`, and shares no memory with them."""
    for slot, array in state.items():
        name = f"the optimizer's state {slot!r}"
        check_vector(name, array)
        check_like("theta", theta, name, array)
        if np.may_share_memory(theta, array):
            raise ValueError(f"{name} must have memory of its own, got memory of theta")


def check_operand(what: str, array: Any, dtype: np.dtype[Any], least: int) -> None:
    """Raise unless kernels find at least this many numbers of this dtype in an array."""
    like = isinstance(array, np.ndarray) and array.dtype == dtype and array.flags.c_contiguous
    if not (like and array.size >= least):
        got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{what} must be contiguous {dtype} of {least} numbers, got {got}")


def check_operands(what: str, names: Sequence[str], arrays: Sequence[Any], theta: Real, table: NDArray[np.int64]) -> None:
    """Raise unless arrays of an op over tiles have a number for each parameter, or for each tile of those `BY_TILE`, and its
    tiles, one for each of `table`, lie within θ."""
    if names[-1] != "tile_table" or len(arrays) != len(names):
        raise ValueError(f"{what} must work on tiles of the parameters, with arrays {', '.join(names)}, got {len(arrays)}")
    for name, array in zip(names[:-1], arrays, strict=False):
        pairs = name == "strengths" and "penalties" in names  # of λ₁ and λ₂
        dtype, least = (np.dtype(np.float64), len(table) << pairs) if name in BY_TILE else (theta.dtype, theta.size)
        if array is not None:
            check_operand(f"{what}: array {name}", array, dtype, least)
    own = np.asarray(arrays[-1])
    if own.dtype != np.int64 or own.shape != table.shape:
        raise ValueError(f"{what}: tile_table must be int64 of shape {table.shape}, got {own.dtype} of shape {own.shape}")
    own = own[(own != table).any(axis=1)]
    first, rows, columns, stride, _ = own.T
    within = (own >= 0).all() and (own[:, :4] <= theta.size).all()
    if not within or (first + np.maximum(rows - 1, 0) * stride + columns > theta.size).any():
        raise ValueError(f"{what}: tile_table must hold tiles of {theta.size} parameters, got one beyond them")


def check_finite_gradient(grad: Real) -> None:
    """Raise unless all values are finite."""
    bad = np.flatnonzero(~np.isfinite(grad))
    if bad.size:
        first = f"the first at {bad[0]}: {grad[bad[0]]}"
        raise DivergenceError(f"grad: {bad.size} of {grad.size} values are not finite, {first}")


def check_names(optimizer: str, state: Mapping[str, Any], expected: set[str]) -> None:
    """Raise unless a state has exactly these names."""
    if set(state) != expected:
        missing, unexpected = sorted(expected - set(state)), sorted(map(str, set(state) - expected))
        raise ValueError(f"state of {optimizer}: missing {missing}, unexpected {unexpected}")


def check_state_array(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless an array of a state has this shape and dtype, and finite values."""
    if (array.shape, array.dtype) != (shape, dtype):
        raise ValueError(f"state {name} must have shape {shape} and {dtype}, got {array.shape} and {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"state {name} must hold finite numbers, got {array[~np.isfinite(array)].flat[0]}")
