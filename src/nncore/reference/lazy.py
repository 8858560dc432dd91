"""Weights of sparse data whose gradient is 0 in most steps, though penalties, decay and averages change them in every one.

They are caught up with the steps that they missed just before they are read (Lipton, Elkan: Efficient elastic net
regularization for sparse linear models, 2015). Step i takes a weight w without a gradient, and its average a, to

    w ← f w − s sign(w),    a ← a + c (w − a),    with f = 1 − d − η λ₂ and s = η λ₁;

sign(w) is that of w before the step where a step may cross 0 (the subgradient of `penalty`). Otherwise it is that of f w, and
the step ends at 0 (`shrink`).

Here every missed step is taken by itself. The compiled kernels take them at once, from the prefix sums that `lazy_advance`
keeps: while w keeps its sign, steps x to t take it to |w_t| = P_t (r − U_t) with r = |w_x|/P_x + U_x, and its average to
a_t = Q_t (a_x/Q_x + sign(w) (r (A_t − A_x) − (B_t − B_x))).

W is (inputs, units), and last (inputs,) holds the step up to which each of its rows is caught up. The table has a row
(P, U, Q, A, B, Z, f, s, c) for each step from ``origin`` on, and one more; state is (now, origin, whole): the number of steps
taken, the first one of the table, and whether all rows are caught up at the end of the step.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._common import Array

__all__ = [
    "catch_up", "catch_up_all", "catch_up_crossing", "catch_up_crossing_all", "lazy_advance", "lazy_begin",
]  # fmt: skip

Integers = NDArray[np.integer[Any]]
Doubles = NDArray[np.float64]

LEAST_P, LEAST_Q = 1e-4, 1e-100


def lazy_begin(last: Integers, table: Doubles, state: Integers) -> None:
    """Before the first step: every weight is caught up, P = Q = 1, U = A = B = 0; Z = −1, no average was a copy."""
    last[:], state[:] = 0, 0
    table[0] = 1, 0, 1, 0, 0, -1, 0, 0, 0


def lazy_advance(
    table: Doubles, state: Integers, lr: float, decay: float = 0.0, average: float = 0.0, l1: float = 0.0, l2: float = 0.0, *,
    ends_epoch: bool = False,
) -> None:  # fmt: skip
    """One step: P′ = f P, U′ = U + s/P′, Q′ = (1 − c) Q, A′ = A + c P′/Q′, B′ = B + c P′ U′/Q′.

    c = 1, a copy, leaves Q, A and B as they are, and Z becomes the number of the step. If the last step caught up all
    weights, the table begins again; this one does so at the end of an epoch, when the table is full, or when P or Q is so
    small, or P so large, that differences of sums over their quotients would lose digits. Where f of the next step will stand
    is the first of the last steps with the same f and s.

    >>> table, state, last = np.zeros((4, 9)), np.zeros(3, np.int64), np.zeros(1, np.int32)
    >>> lazy_begin(last, table, state)
    >>> lazy_advance(table, state, lr=0.5, average=0.5, l1=1.0, l2=1.0)
    >>> table[:2].tolist()
    [[1.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.5, 0.5, 0.5], [0.5, 1.0, 0.5, 0.5, 0.5, -1.0, 0.0, 0.0, 0.0]]
    >>> state.tolist()
    [1, 0, 0]
    """
    if state[2]:
        state[1:] = state[0], 0
        table[0] = 1, 0, 1, 0, 0, -1, state[0], 0, 0
    at = int(state[0] - state[1])
    f, s, c = 1 - decay - lr * l2, lr * l1, average
    alike = at > 0 and tuple(table[at - 1, 6:8]) == (f, s)
    table[at + 1, 6] = table[at, 6] if alike else state[0]
    table[at, 6:] = f, s, c
    P, U, Q, A, B, Z = table[at, :6]
    with np.errstate(divide="ignore", invalid="ignore"):  # f = 0: the table begins again
        P = f * P
        U = U + s / P
        if c < 1:
            Q = (1 - c) * Q
            A, B = A + c * P / Q, B + c * P / Q * U
        else:
            Z = state[0] + 1
    table[at + 1, :6] = P, U, Q, A, B, Z
    state[0] += 1
    lost = not (LEAST_P < P < 1 / LEAST_P and Q > LEAST_Q)
    state[2] = ends_epoch or lost or at + 1 == len(table) - 1


def catch_up(
    W: Array, average: Array | None, last: Integers, table: Doubles, state: Integers, columns: Integers, places: Integers
) -> None:
    """Take the missed steps, which end at 0, in the rows of W that the batch has; they are then ahead by the step to come.

    >>> table, state, last = np.zeros((4, 9)), np.zeros(3, np.int64), np.zeros(2, np.int32)
    >>> lazy_begin(last, table, state)
    >>> for _ in range(2):
    ...     lazy_advance(table, state, lr=0.5, l1=1.0)
    >>> W = np.array([[3.0, -0.75], [3.0, 3.0]])
    >>> catch_up(W, None, last, table, state, np.array([0]), np.array([[0, 1]]))
    >>> W.tolist(), last.tolist()
    ([[2.0, 0.0], [3.0, 3.0]], [3, 0])
    """
    _catch_up_read(W, average, last, table, state, columns, places, crosses=False)


def catch_up_crossing(
    W: Array, average: Array | None, last: Integers, table: Doubles, state: Integers, columns: Integers, places: Integers
) -> None:
    """The same for steps that may cross 0."""
    _catch_up_read(W, average, last, table, state, columns, places, crosses=True)


def catch_up_all(W: Array, average: Array | None, last: Integers, table: Doubles, state: Integers) -> None:
    """Take the missed steps, which end at 0, in all rows of W, if the state says so.

    >>> table, state, last = np.zeros((4, 9)), np.zeros(3, np.int64), np.zeros(2, np.int32)
    >>> lazy_begin(last, table, state)
    >>> lazy_advance(table, state, lr=0.5, l2=1.0, ends_epoch=True)
    >>> W, average = np.array([[4.0], [-2.0]]), None
    >>> catch_up_all(W, average, last, table, state)
    >>> W.tolist(), last.tolist()
    ([[2.0], [-1.0]], [1, 1])
    """
    _catch_up_all(W, average, last, table, state, crosses=False)


def catch_up_crossing_all(W: Array, average: Array | None, last: Integers, table: Doubles, state: Integers) -> None:
    """The same for steps that may cross 0.

    >>> table, state, last = np.zeros((4, 9)), np.zeros(3, np.int64), np.zeros(1, np.int32)
    >>> lazy_begin(last, table, state)
    >>> lazy_advance(table, state, lr=0.5, l1=1.0, ends_epoch=True)
    >>> W = np.array([[0.25]])
    >>> catch_up_crossing_all(W, None, last, table, state)
    >>> W.tolist()
    [[-0.25]]
    """
    _catch_up_all(W, average, last, table, state, crosses=True)


def _catch_up_read(
    W: Array, average: Array | None, last: Integers, table: Doubles, state: Integers, columns: Integers, places: Integers, *,
    crosses: bool,
) -> None:  # fmt: skip
    read = [int(j) for first, *_, end in places for j in columns[first:end]]
    _catch_up_rows(W, average, last, table, state, read, crosses=crosses)
    last[read] = state[0] + 1


def _catch_up_all(
    W: Array, average: Array | None, last: Integers, table: Doubles, state: Integers, *, crosses: bool
) -> None:  # fmt: skip
    if state[2]:
        _catch_up_rows(W, average, last, table, state, range(len(W)), crosses=crosses)
        last[:] = state[0]


def _catch_up_rows(
    W: Array, average: Array | None, last: Integers, table: Doubles, state: Integers, rows: Any, *, crosses: bool
) -> None:
    """Each step by its definition, in double precision; W and the average are rounded at the end."""
    for j in dict.fromkeys(rows):
        w = W[j].astype(np.float64)
        a = np.zeros_like(w) if average is None else average[j].astype(np.float64)
        for f, s, c in table[last[j] - state[1] : state[0] - state[1], 6:]:
            moved = f * w - s * np.sign(w if crosses else f * w)
            w = moved if crosses else np.where(moved * f * w > 0, moved, 0)
            a += c * (w - a)
        W[j] = w
        if average is not None:
            average[j] = a
