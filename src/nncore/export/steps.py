"""The steps of inference, of which every exported file is made.

A step maps a row of numbers to a row of numbers: the axes of an example are flattened. Its arrays are copies, in the precision
that it computes in. Steps that are the identity at inference are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Activation", "Affine", "Bidirectional", "Cast", "Clip", "Dense", "Divide", "Mask", "Normalize", "Recurrent", "Select",
    "Step", "Unclip", "folded",
]  # fmt: skip

Array = NDArray[Any]


class Cast(NamedTuple):
    """To another precision."""

    dtype: np.dtype[Any]
    width: int


class Dense(NamedTuple):
    """y = W x + b."""

    weight: Array  # (width, inputs)
    bias: Array

    @property
    def width(self) -> int:
        return len(self.bias)


class Affine(NamedTuple):
    """y = (x − center) ⊙ factor + offset: the center is subtracted first, so that a large one costs no digits."""

    center: Array
    factor: Array
    offset: Array

    @property
    def width(self) -> int:
        return len(self.factor)


class Divide(NamedTuple):
    """y = (x − center) / divisor, rounded as a scaler rounds it: `Mask` looks for exact numbers."""

    center: Array
    divisor: Array

    @property
    def width(self) -> int:
        return len(self.divisor)


class Activation(NamedTuple):
    """y = σ(x) of each number; of the row for softmax. ``kernel`` is the name of the kernel, as in nncore.reference."""

    kernel: str
    constants: tuple[float, ...]
    width: int


class Normalize(NamedTuple):
    """y = (x − mean) / √(variance + ε) ⊙ weight + bias within each of ``groups`` runs of numbers.

    Not ``centered``: y = x / √(mean of x² + ε) ⊙ weight + bias.
    """

    groups: int
    centered: bool
    eps: float
    weight: Array  # (width,)
    bias: Array

    @property
    def width(self) -> int:
        return len(self.weight)


class Select(NamedTuple):
    """y_i = x_{columns_i}."""

    columns: NDArray[np.int64]

    @property
    def width(self) -> int:
        return len(self.columns)


class Mask(NamedTuple):
    """y = x. Recurrent steps after it skip each t that one before it skips, or at which all numbers of x_t equal ``value``."""

    steps: int
    inputs: int
    value: float  # in the precision of x

    @property
    def width(self) -> int:
        return self.steps * self.inputs


class Recurrent(NamedTuple):
    """h_t = k h_{t−1} + (1 − k) new(W x_t + b, U h_{t−1} + c), h_0 = 0; y is every h_t, or the last one.

    At a t that the `Mask` before it skips, h_t = h_{t−1}. In ``reverse`` the last x_t comes first, and t + 1 stands for t − 1.
    ``cell`` "simple_rnn": new(a, p) = tanh(a + p).
    ``cell`` "gru": r, z = sigmoid(a + p) of the first two blocks, n = tanh(a + r p) of the third, new = (1 − z) n + z h_{t−1}.
    ``cell`` "gru_reset_before": n = tanh(a + V (r h_{t−1})), and U has the first two blocks alone; the rest as "gru".
    """

    cell: str
    steps: int
    keep: float  # k
    sequences: bool
    reverse: bool
    weight: Array  # W (gates · units, inputs)
    bias: Array
    recurrent_weight: Array  # U, as many rows as c has
    recurrent_bias: Array  # c
    reset_weight: Array | None = None  # V (units, units)

    @property
    def units(self) -> int:
        return int(self.recurrent_weight.shape[1])

    @property
    def width(self) -> int:
        return self.units * (self.steps if self.sequences else 1)


class Bidirectional(NamedTuple):
    """y_t = (h_t, g_t), the states of two layers that go through the steps in opposite orders; or ``factor`` (h_t + g_t)."""

    forward: Recurrent
    backward: Recurrent
    factor: float | None

    @property
    def parts(self) -> dict[str, Recurrent]:
        return {"forward": self.forward, "backward": self.backward}

    @property
    def width(self) -> int:
        return self.forward.width * (2 if self.factor is None else 1)


class Clip(NamedTuple):
    """y = x / √(1 + (x/limit)²)."""

    limit: float
    width: int


class Unclip(NamedTuple):
    """The inverse of `Clip`."""

    limit: float
    width: int


Step = Cast | Dense | Affine | Divide | Activation | Normalize | Select | Mask | Recurrent | Bidirectional | Clip | Unclip


def folded(steps: list[Step]) -> list[Step]:
    """Each `Affine` directly after a `Dense` put into it: (W x + b − center) factor + offset is one product."""
    result: list[Step] = []
    for step in steps:
        if isinstance(step, Affine) and result and isinstance(before := result[-1], Dense):
            center, factor, offset = (array.astype(np.float64) for array in step)
            weight, bias = before.weight * factor[:, None], (before.bias - center) * factor + offset
            result[-1] = Dense(weight.astype(before.weight.dtype), bias.astype(before.bias.dtype))
        else:
            result.append(step)
    return result
