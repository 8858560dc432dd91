"""The R-operator of `tangents` through the cells of `recurrent`, line by line; V = R{U} is the direction's part for U.

ta = R{a}, th = R{h}, and so on. The arguments of a cell are the results of its forward and backward pass. Zoneout has
no R-operator, as it is random: here h_t = new_t.
"""

import numpy as np

from ._common import Array
from .tangents import dense_tangent_backward_input, dense_tangent_backward_weight, dense_tangent_forward

__all__ = [
    "dense_steps_tangent_backward_input", "dense_steps_tangent_backward_weight", "dense_steps_tangent_forward",
    "gru_tangent_backward", "gru_tangent_forward", "simple_rnn_tangent_backward", "simple_rnn_tangent_forward",
]  # fmt: skip


def dense_steps_tangent_forward(tx: Array, x: Array, W: Array, V: Array, v_b: Array | None = None) -> Array:
    """ty_rt = W tx_rt + V x_rt + v_b: `dense_tangent_forward` at every step."""
    flat = dense_tangent_forward(tx.reshape(-1, tx.shape[-1]), x.reshape(-1, x.shape[-1]), W, V, v_b)
    return flat.reshape(*x.shape[:2], -1)


def dense_steps_tangent_backward_input(tdy: Array, dy: Array, W: Array, V: Array) -> Array:
    """tdx_rt = Wᵀ tdy_rt + Vᵀ dy_rt: `dense_tangent_backward_input` at every step."""
    flat = dense_tangent_backward_input(tdy.reshape(-1, tdy.shape[-1]), dy.reshape(-1, dy.shape[-1]), W, V)
    return flat.reshape(*dy.shape[:2], -1)


def dense_steps_tangent_backward_weight(tdy: Array, dy: Array, x: Array, tx: Array) -> Array:
    """tdW = Σ_rt (tdy_rt x_rtᵀ + dy_rt tx_rtᵀ): `dense_tangent_backward_weight` over all rows and steps."""
    return dense_tangent_backward_weight(*(array.reshape(-1, array.shape[-1]) for array in (tdy, dy, x, tx)))


def simple_rnn_tangent_forward(ta: Array, new: Array, previous: Array, U: Array, V: Array) -> tuple[Array, Array]:
    """new_t = tanh(a_t + U h_{t−1}), so th_t = (1 − new_t²)(ta_t + U th_{t−1} + V h_{t−1}), th_0 = 0; and th_{t−1}.

    >>> ta, new, previous = np.array([[[[1.0], [0.0]]], [[[0.0], [0.5]]], [[[0.0], [0.0]]]])
    >>> simple_rnn_tangent_forward(ta, new, previous, np.array([[2.0]]), np.array([[9.0]]))[0].tolist()
    [[[1.0], [1.5]]]
    """
    th, tprevious = np.zeros_like(ta), np.zeros_like(ta)
    for t in range(ta.shape[1]):
        if t:
            tprevious[:, t] = th[:, t - 1]
        th[:, t] = (1 - new[:, t] ** 2) * (ta[:, t] + tprevious[:, t] @ U.T + previous[:, t] @ V.T)
    return th, tprevious


def simple_rnn_tangent_backward(tdh: Array, dh: Array, new: Array, tnew: Array, U: Array, V: Array) -> Array:
    """delta_t = g_t (1 − new_t²), so tdelta_t = tg_t (1 − new_t²) − 2 g_t new_t tnew_t.

    g_t = dh_t + Uᵀ delta_{t+1} is the gradient of h_t, and tg_t = tdh_t + Uᵀ tdelta_{t+1} + Vᵀ delta_{t+1}.
    """
    tdelta, tcarry, carry = np.zeros_like(dh), np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0])
    for t in reversed(range(dh.shape[1])):
        g, tg, slope = dh[:, t] + carry, tdh[:, t] + tcarry, 1 - new[:, t] ** 2
        tdelta[:, t] = tg * slope - 2 * g * new[:, t] * tnew[:, t]
        carry, tcarry = (g * slope) @ U, tdelta[:, t] @ U + (g * slope) @ V
    return tdelta


def gru_tangent_forward(
    ta: Array, gates: Array, q: Array, previous: Array, U: Array, V: Array, v_c: Array
) -> tuple[Array, Array, Array, Array]:
    """th_t = (1 − z) tn + z th_{t−1} + tz (h_{t−1} − n); returns th, (tr, tz, tn), tq and th_{t−1}.

    - (tp_r, tp_z, tq) = U th_{t−1} + V h_{t−1} + v_c;
    - tr = r (1 − r)(ta_r + tp_r), tz = z (1 − z)(ta_z + tp_z), tn = (1 − n²)(ta_n + tr q + r tq).
    """
    units = U.shape[1]
    tgates = np.zeros_like(ta)
    th, tq, tprevious = (np.zeros_like(q) for _ in range(3))
    for t in range(ta.shape[1]):
        if t:
            tprevious[:, t] = th[:, t - 1]
        tp = tprevious[:, t] @ U.T + previous[:, t] @ V.T + v_c
        tq[:, t] = tp[:, 2 * units :]
        r, z, n = np.split(gates[:, t], 3, axis=1)
        ta_r, ta_z, ta_n = np.split(ta[:, t], 3, axis=1)
        tr = r * (1 - r) * (ta_r + tp[:, :units])
        tz = z * (1 - z) * (ta_z + tp[:, units : 2 * units])
        tn = (1 - n**2) * (ta_n + tr * q[:, t] + r * tq[:, t])
        tgates[:, t] = np.concatenate([tr, tz, tn], axis=1)
        th[:, t] = (1 - z) * tn + z * tprevious[:, t] + tz * (previous[:, t] - n)
    return th, tgates, tq, tprevious


def gru_tangent_backward(
    tdh: Array, dh: Array, gates: Array, q: Array, previous: Array, tgates: Array, tq: Array, tprevious: Array, U: Array,
    V: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """R{} of each line of `gru_backward` and of its two results, with g_t = ∂l/∂h_t, tg_t = R{g_t} and h = h_{t−1}:

    - tdn = (tg (1 − z) − g tz)(1 − n²) − 2 g (1 − z) n tn;
    - tdz = (tg (h − n) + g (th − tn)) z (1 − z) + g (h − n)(1 − 2z) tz;
    - tdr = (tdn q + dn tq) r (1 − r) + dn q (1 − 2r) tr;
    - tg_{t−1} = tdh_{t−1} + Uᵀ (tdr, tdz, tdn r + dn tr) + Vᵀ (dr, dz, dn r) + tz g + z tg.
    """
    tdelta, tdelta_recurrent = np.zeros_like(gates), np.zeros_like(gates)
    carry, tcarry = np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0])
    for t in reversed(range(dh.shape[1])):
        (r, z, n), (tr, tz, tn) = (np.split(a[:, t], 3, axis=1) for a in (gates, tgates))
        g, tg = dh[:, t] + carry, tdh[:, t] + tcarry
        h_n, th_n = previous[:, t] - n, tprevious[:, t] - tn
        dn, dz = g * (1 - z) * (1 - n**2), g * h_n * z * (1 - z)
        dr = dn * q[:, t] * r * (1 - r)
        tdn = (tg * (1 - z) - g * tz) * (1 - n**2) - 2 * g * (1 - z) * n * tn
        tdz = (tg * h_n + g * th_n) * z * (1 - z) + g * h_n * (1 - 2 * z) * tz
        tdr = (tdn * q[:, t] + dn * tq[:, t]) * r * (1 - r) + dn * q[:, t] * (1 - 2 * r) * tr
        through = np.concatenate([dr, dz, dn * r], axis=1)
        tdelta[:, t] = np.concatenate([tdr, tdz, tdn], axis=1)
        tdelta_recurrent[:, t] = np.concatenate([tdr, tdz, tdn * r + dn * tr], axis=1)
        carry = through @ U + z * g
        tcarry = tdelta_recurrent[:, t] @ U + through @ V + tz * g + z * tg
    return tdelta, tdelta_recurrent
