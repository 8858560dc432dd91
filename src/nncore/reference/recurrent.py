"""Recurrent cells and backpropagation through time (Werbos: Backpropagation through time, 1990), and zoneout.

x is (rows, steps, inputs), h (rows, steps, units). The input's contribution to all steps, a = x Wᵀ + b, is one product,
`dense_steps_forward`; the cells process a step by step, from h_0 = ``initial``, 0 without it; ``previous`` is h_{t−1}. Their
backward passes take dh, the gradient of each h_t from outside the layer, and return delta, the gradient of a. The gradients of
x, W and b follow from delta by `dense_steps_backward_input`, `dense_steps_backward_weight` and `dense_steps_backward_bias`,
that of U by `dense_steps_backward_weight` of delta and ``previous``.

Zoneout (Krueger et al.: Zoneout: regularizing RNNs by randomly preserving hidden activations, 2016) is the argument k, a number
or an array (rows, steps, units): h_t = k h_{t−1} + (1 − k) new_t. A step that is skipped has k = 1 for all units: `mask_steps`
says which. A cell that goes from the last step to the first is one whose arrays have their steps in reverse.

The cells with ``_bfloat16`` take the products with U of numbers rounded to bfloat16: see `bfloat16_product`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ._common import Array
from .activations import sigmoid_forward
from .bfloat16 import bfloat16_product, dense_forward_bfloat16
from .dense import dense_backward_bias, dense_backward_input, dense_backward_weight, dense_forward
from .random import random_bits

__all__ = [
    "add_rows", "clear_skipped", "dense_steps_backward_bias", "dense_steps_backward_input",
    "dense_steps_backward_input_bfloat16", "dense_steps_backward_weight", "dense_steps_backward_weight_bfloat16",
    "dense_steps_forward", "dense_steps_forward_bfloat16", "gru_backward", "gru_backward_bfloat16", "gru_forward",
    "gru_forward_bfloat16", "gru_reset_before_backward", "gru_reset_before_backward_bfloat16", "gru_reset_before_forward",
    "gru_reset_before_forward_bfloat16", "join_rows", "mask_steps", "part_rows", "simple_rnn_backward",
    "simple_rnn_backward_bfloat16", "simple_rnn_forward", "simple_rnn_forward_bfloat16", "zoneout_keep",
]  # fmt: skip

Product = Callable[[Array, Array], Array]


def dense_steps_forward(x: Array, W: Array, b: Array | None = None) -> Array:
    """y_rtu = Σ_i x_rti W_ui + b_u: `dense_forward` at every step.

    >>> dense_steps_forward(np.array([[[1.0], [2.0]]]), np.array([[3.0]])).tolist()
    [[[3.0], [6.0]]]
    """
    return dense_forward(x.reshape(-1, x.shape[-1]), W, b).reshape(*x.shape[:2], -1)


def dense_steps_backward_input(dy: Array, W: Array) -> Array:
    """dx_rti = Σ_u dy_rtu W_ui: `dense_backward_input` at every step."""
    return dense_backward_input(dy.reshape(-1, dy.shape[-1]), W).reshape(*dy.shape[:2], -1)


def dense_steps_backward_weight(dy: Array, x: Array) -> Array:
    """dW_ui = Σ_rt dy_rtu x_rti: `dense_backward_weight`, summed over the steps too."""
    return dense_backward_weight(dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1]))


def dense_steps_backward_bias(dy: Array) -> Array:
    """db_u = Σ_rt dy_rtu."""
    return dense_backward_bias(dy.reshape(-1, dy.shape[-1]))


def dense_steps_forward_bfloat16(x: Array, W: Array, b: Array | None = None) -> Array:
    """`dense_forward_bfloat16` at every step."""
    return dense_forward_bfloat16(x.reshape(-1, x.shape[-1]), W, b).reshape(*x.shape[:2], -1)


def dense_steps_backward_input_bfloat16(dy: Array, W: Array) -> Array:
    """`dense_backward_input_bfloat16` at every step."""
    return bfloat16_product(dy.reshape(-1, dy.shape[-1]), W).reshape(*dy.shape[:2], -1)


def dense_steps_backward_weight_bfloat16(dy: Array, x: Array) -> Array:
    """`dense_backward_weight_bfloat16`, summed over the steps too: pairs along the rows and steps, in this order."""
    return bfloat16_product(dy.reshape(-1, dy.shape[-1]).T, x.reshape(-1, x.shape[-1]))


def _first(initial: Array | None, like: Array) -> Array:
    return np.zeros_like(like) if initial is None else initial.astype(like.dtype)


def simple_rnn_forward(
    a: Array, U: Array, k: Array | float = 0.0, initial: Array | None = None, product: Product = np.matmul
) -> tuple[Array, Array, Array]:
    """h, new and previous: new_t = tanh(a_t + U h_{t−1}), h_t = k h_{t−1} + (1 − k) new_t.

    Elman: Finding structure in time, 1990. a is (rows, steps, units), U (units, units).

    >>> h, new, previous = simple_rnn_forward(np.array([[[1.0], [0.0]]]), np.array([[2.0]]))
    >>> bool(h[0, 1, 0] == np.tanh(2 * np.tanh(1.0)))
    True
    """
    k = np.broadcast_to(np.asarray(k, a.dtype), a.shape)
    h, new, previous = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a)
    for t in range(a.shape[1]):
        previous[:, t] = h[:, t - 1] if t else _first(initial, h[:, 0])
        new[:, t] = np.tanh(a[:, t] + product(previous[:, t], U.T))
        h[:, t] = k[:, t] * previous[:, t] + (1 - k[:, t]) * new[:, t]
    return h, new, previous


def simple_rnn_backward(dh: Array, new: Array, U: Array, k: Array | float = 0.0, product: Product = np.matmul) -> Array:
    """delta_t = (1 − k) g_t (1 − new_t²), g_t = dh_t + Uᵀ delta_{t+1} + k g_{t+1}."""
    k = np.broadcast_to(np.asarray(k, dh.dtype), dh.shape)
    delta, carry = np.zeros_like(dh), np.zeros_like(dh[:, 0])
    for t in reversed(range(dh.shape[1])):
        g = dh[:, t] + carry
        delta[:, t] = (1 - k[:, t]) * g * (1 - new[:, t] ** 2)
        carry = product(delta[:, t], U) + k[:, t] * g
    return delta


def gru_forward(
    a: Array, U: Array, c: Array, k: Array | float = 0.0, initial: Array | None = None, product: Product = np.matmul
) -> tuple[Array, Array, Array, Array]:
    """r = s(a_r + p_r), z = s(a_z + p_z), n = tanh(a_n + r q), new_t = (1 − z) n + z h_{t−1}; (p_r, p_z, q) = U h_{t−1} + c.

    The gated recurrent unit (Cho et al.: Learning phrase representations using RNN encoder-decoder, 2014), r applied after the
    product with U, as in cuDNN and PyTorch. h_t = k h_{t−1} + (1 − k) new_t. a = (a_r, a_z, a_n) is (rows, steps, 3 units), U
    (3 units, units), c (3 units,). Returns h, gates = (r, z, n), q and previous.

    >>> h, gates, q, previous = gru_forward(np.zeros((1, 2, 3)), np.zeros((3, 1)), np.zeros(3))
    >>> h.ravel().tolist(), gates[0, 0].tolist()
    ([0.0, 0.0], [0.5, 0.5, 0.0])
    """
    units = U.shape[1]
    k = np.broadcast_to(np.asarray(k, a.dtype), (*a.shape[:2], units))
    gates = np.zeros_like(a)
    h, q, previous = (np.zeros_like(a[..., :units]) for _ in range(3))
    for t in range(a.shape[1]):
        previous[:, t] = h[:, t - 1] if t else _first(initial, h[:, 0])
        p = product(previous[:, t], U.T) + c
        q[:, t] = p[:, 2 * units :]
        rz = sigmoid_forward(a[:, t, : 2 * units] + p[:, : 2 * units])
        n = np.tanh(a[:, t, 2 * units :] + rz[:, :units] * q[:, t])
        gates[:, t] = np.concatenate([rz, n], axis=1)
        new = (1 - rz[:, units:]) * n + rz[:, units:] * previous[:, t]
        h[:, t] = k[:, t] * previous[:, t] + (1 - k[:, t]) * new
    return h, gates, q, previous


def gru_backward(
    dh: Array, gates: Array, q: Array, previous: Array, U: Array, k: Array | float = 0.0, product: Product = np.matmul
) -> tuple[Array, Array]:
    """delta = (dr, dz, dn), the gradient of a, and delta_recurrent = (dr, dz, dn r), that of U h_{t−1} + c.

    With g_t the gradient of h_t, e = (1 − k) g_t that of new_t:

    - dn = e (1 − z)(1 − n²), dz = e (h_{t−1} − n) z (1 − z), dr = dn q r (1 − r);
    - g_{t−1} = dh_{t−1} + Uᵀ (dr, dz, dn r) + z e + k g_t.
    """
    k = np.broadcast_to(np.asarray(k, dh.dtype), dh.shape)
    delta, delta_recurrent, carry = np.zeros_like(gates), np.zeros_like(gates), np.zeros_like(dh[:, 0])
    for t in reversed(range(dh.shape[1])):
        r, z, n = np.split(gates[:, t], 3, axis=1)
        g = dh[:, t] + carry
        e = (1 - k[:, t]) * g
        dn = e * (1 - z) * (1 - n**2)
        dz = e * (previous[:, t] - n) * z * (1 - z)
        dr = dn * q[:, t] * r * (1 - r)
        delta[:, t] = np.concatenate([dr, dz, dn], axis=1)
        delta_recurrent[:, t] = np.concatenate([dr, dz, dn * r], axis=1)
        carry = product(delta_recurrent[:, t], U) + z * e + k[:, t] * g
    return delta, delta_recurrent


def gru_reset_before_forward(
    a: Array, U: Array, k: Array | float = 0.0, initial: Array | None = None, product: Product = np.matmul
) -> tuple[Array, Array, Array, Array]:
    """r, z = s(a_rz + U_rz h_{t−1}), n = tanh(a_n + U_n (r h_{t−1})), new_t = (1 − z) n + z h_{t−1}.

    The form of Cho et al., where r multiplies the state (they exchange z and 1 − z). U = (U_rz, U_n). Returns h, gates = (r, z,
    n), reset = r h_{t−1} and previous.

    >>> h, gates, reset, previous = gru_reset_before_forward(np.zeros((1, 1, 3)), np.ones((3, 1)), initial=np.ones((1, 1)))
    >>> r, z, n = gates[0, 0]
    >>> bool(n == np.tanh(r)), bool(h[0, 0, 0] == (1 - z) * n + z)
    (True, True)
    """
    units = U.shape[1]
    k = np.broadcast_to(np.asarray(k, a.dtype), (*a.shape[:2], units))
    gates = np.zeros_like(a)
    h, reset, previous = (np.zeros_like(a[..., :units]) for _ in range(3))
    for t in range(a.shape[1]):
        previous[:, t] = h[:, t - 1] if t else _first(initial, h[:, 0])
        rz = sigmoid_forward(a[:, t, : 2 * units] + product(previous[:, t], U[: 2 * units].T))
        r, z = np.split(rz, 2, axis=1)
        reset[:, t] = r * previous[:, t]
        n = np.tanh(a[:, t, 2 * units :] + product(reset[:, t], U[2 * units :].T))
        gates[:, t] = np.concatenate([rz, n], axis=1)
        h[:, t] = k[:, t] * previous[:, t] + (1 - k[:, t]) * ((1 - z) * n + z * previous[:, t])
    return h, gates, reset, previous


def gru_reset_before_backward(
    dh: Array, gates: Array, previous: Array, U: Array, k: Array | float = 0.0, product: Product = np.matmul
) -> tuple[Array, Array, Array]:
    """delta = (dr, dz, dn), the gradient of a, and those of U_rz h_{t−1} and of U_n (r h_{t−1}): (dr, dz) and dn.

    With g_t the gradient of h_t, e = (1 − k) g_t that of new_t:

    - dn = e (1 − z)(1 − n²), dz = e (h_{t−1} − n) z (1 − z);
    - dreset = U_nᵀ dn, dr = dreset h_{t−1} r (1 − r);
    - g_{t−1} = dh_{t−1} + U_rzᵀ (dr, dz) + r dreset + z e + k g_t.
    """
    units = U.shape[1]
    k = np.broadcast_to(np.asarray(k, dh.dtype), dh.shape)
    delta, carry = np.zeros_like(gates), np.zeros_like(dh[:, 0])
    for t in reversed(range(dh.shape[1])):
        r, z, n = np.split(gates[:, t], 3, axis=1)
        g = dh[:, t] + carry
        e = (1 - k[:, t]) * g
        dn = e * (1 - z) * (1 - n**2)
        dz = e * (previous[:, t] - n) * z * (1 - z)
        dreset = product(dn, U[2 * units :])
        dr = dreset * previous[:, t] * r * (1 - r)
        delta[:, t] = np.concatenate([dr, dz, dn], axis=1)
        carry = product(delta[:, t, : 2 * units], U[: 2 * units]) + r * dreset + z * e + k[:, t] * g
    return delta, delta[..., : 2 * units], delta[..., 2 * units :]


def simple_rnn_forward_bfloat16(a: Array, U: Array, k: Array | float = 0.0, initial: Array | None = None) -> tuple[Array, ...]:
    """`simple_rnn_forward` with `bfloat16_product`."""
    return simple_rnn_forward(a, U, k, initial, bfloat16_product)


def simple_rnn_backward_bfloat16(dh: Array, new: Array, U: Array, k: Array | float = 0.0) -> Array:
    """`simple_rnn_backward` with `bfloat16_product`."""
    return simple_rnn_backward(dh, new, U, k, bfloat16_product)


def gru_forward_bfloat16(
    a: Array, U: Array, c: Array, k: Array | float = 0.0, initial: Array | None = None
) -> tuple[Array, ...]:
    """`gru_forward` with `bfloat16_product`."""
    return gru_forward(a, U, c, k, initial, bfloat16_product)


def gru_backward_bfloat16(
    dh: Array, gates: Array, q: Array, previous: Array, U: Array, k: Array | float = 0.0
) -> tuple[Array, ...]:
    """`gru_backward` with `bfloat16_product`."""
    return gru_backward(dh, gates, q, previous, U, k, bfloat16_product)


def gru_reset_before_forward_bfloat16(
    a: Array, U: Array, k: Array | float = 0.0, initial: Array | None = None
) -> tuple[Array, ...]:
    """`gru_reset_before_forward` with `bfloat16_product`."""
    return gru_reset_before_forward(a, U, k, initial, bfloat16_product)


def gru_reset_before_backward_bfloat16(
    dh: Array, gates: Array, previous: Array, U: Array, k: Array | float = 0.0
) -> tuple[Array, ...]:
    """`gru_reset_before_backward` with `bfloat16_product`."""
    return gru_reset_before_backward(dh, gates, previous, U, k, bfloat16_product)


def mask_steps(x: Array, value: float = 0.0, earlier: Array | None = None) -> Array:
    """mask_rt = 0 where all inputs of the step equal the value, or an earlier mask is 0, else 1.

    >>> mask_steps(np.array([[[1.0, 0.0], [0.0, 0.0]]])).tolist()
    [[1.0, 0.0]]
    """
    differs = (x != x.dtype.type(value)).any(axis=2)
    return (differs if earlier is None else differs & (earlier != 0)).astype(x.dtype)


def clear_skipped(a: Array, mask: Array) -> Array:
    """a_rt where mask_rt is not 0, else 0, whatever a_rt is.

    >>> clear_skipped(np.array([[[np.nan], [2.0]]]), np.array([[0.0, 1.0]])).tolist()
    [[[0.0], [2.0]]]
    """
    return np.where(mask[..., None] != 0, a, 0)


def join_rows(a: Array, b: Array) -> Array:
    """y_rt = (a_rt, b_rt) at every step: a and b are (rows, steps, width)."""
    return np.concatenate([a, b], axis=2)


def part_rows(y: Array, a_width: int) -> tuple[Array, Array]:
    """The inverse of `join_rows`, by the width of a."""
    return y[..., :a_width], y[..., a_width:]


def add_rows(a: Array, b: Array, factor: float = 1.0) -> Array:
    """y = factor · (a + b)."""
    return factor * (a + b)


def zoneout_keep(rate: float, shape: tuple[int, int, int], **draw: int) -> NDArray[np.float64]:
    """k = 1 with probability ``rate``, otherwise 0: k = [bits < 2³² · rate].

    k_rtu has the number (r · steps + t) · units + u of `random_bits`.

    >>> float(zoneout_keep(0.25, (100, 10, 10), seed=1).mean().round(2))
    0.25
    """
    chosen = random_bits(int(np.prod(shape)), **draw) < int(rate * 2**32)
    return chosen.astype(np.float64).reshape(shape)
