"""The R-operator of `tangents` through the cells of `recurrent`, line by line; V = R{U} is the direction's part for U.

ta = R{a}, th = R{h}, and so on. The arguments of a cell are the results of its forward and backward pass. Zoneout has
no R-operator, as it is random: here h_t = new_t, except at steps that are skipped, where k = 1 and h_t = h_{t−1}. The initial
state does not depend on the parameters, th_0 = 0.
"""

import numpy as np

from ._common import Array
from .tangents import dense_tangent_backward_input, dense_tangent_backward_weight, dense_tangent_forward

__all__ = [
    "dense_steps_tangent_backward_input", "dense_steps_tangent_backward_weight", "dense_steps_tangent_forward",
    "gru_reset_before_tangent_backward", "gru_reset_before_tangent_forward", "gru_tangent_backward", "gru_tangent_forward",
    "simple_rnn_tangent_backward", "simple_rnn_tangent_forward",
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


def _skipped(k: Array | float, like: Array) -> Array:
    return np.broadcast_to(np.asarray(k, like.dtype), like.shape)


def simple_rnn_tangent_forward(
    ta: Array, new: Array, previous: Array, U: Array, V: Array, k: Array | float = 0.0
) -> tuple[Array, Array, Array]:
    """new_t = tanh(a_t + U h_{t−1}), so tnew_t = (1 − new_t²)(ta_t + U th_{t−1} + V h_{t−1}); th, tnew and th_{t−1}.

    >>> ta, new, previous = np.array([[[[1.0], [0.0]]], [[[0.0], [0.5]]], [[[0.0], [0.0]]]])
    >>> simple_rnn_tangent_forward(ta, new, previous, np.array([[2.0]]), np.array([[9.0]]))[0].tolist()
    [[[1.0], [1.5]]]
    """
    th, tnew, tprevious, k = np.zeros_like(ta), np.zeros_like(ta), np.zeros_like(ta), _skipped(k, ta)
    for t in range(ta.shape[1]):
        if t:
            tprevious[:, t] = th[:, t - 1]
        tnew[:, t] = (1 - new[:, t] ** 2) * (ta[:, t] + tprevious[:, t] @ U.T + previous[:, t] @ V.T)
        th[:, t] = k[:, t] * tprevious[:, t] + (1 - k[:, t]) * tnew[:, t]
    return th, tnew, tprevious


def simple_rnn_tangent_backward(
    tdh: Array, dh: Array, new: Array, tnew: Array, U: Array, V: Array, k: Array | float = 0.0
) -> Array:
    """delta_t = e_t (1 − new_t²), so tdelta_t = te_t (1 − new_t²) − 2 e_t new_t tnew_t; e = (1 − k) g, te = (1 − k) tg.

    g_t = dh_t + Uᵀ delta_{t+1} + k g_{t+1} is the gradient of h_t, and
    tg_t = tdh_t + Uᵀ tdelta_{t+1} + Vᵀ delta_{t+1} + k tg_{t+1}.
    """
    tdelta, tcarry, carry, k = np.zeros_like(dh), np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0]), _skipped(k, dh)
    for t in reversed(range(dh.shape[1])):
        g, tg, slope = dh[:, t] + carry, tdh[:, t] + tcarry, 1 - new[:, t] ** 2
        e, te = (1 - k[:, t]) * g, (1 - k[:, t]) * tg
        tdelta[:, t] = te * slope - 2 * e * new[:, t] * tnew[:, t]
        carry, tcarry = (e * slope) @ U + k[:, t] * g, tdelta[:, t] @ U + (e * slope) @ V + k[:, t] * tg
    return tdelta


def gru_tangent_forward(
    ta: Array, gates: Array, q: Array, previous: Array, U: Array, V: Array, v_c: Array, k: Array | float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """tnew_t = (1 − z) tn + z th_{t−1} + tz (h_{t−1} − n); returns th, (tr, tz, tn), tq and th_{t−1}.

    - (tp_r, tp_z, tq) = U th_{t−1} + V h_{t−1} + v_c;
    - tr = r (1 − r)(ta_r + tp_r), tz = z (1 − z)(ta_z + tp_z), tn = (1 − n²)(ta_n + tr q + r tq).
    """
    units = U.shape[1]
    tgates = np.zeros_like(ta)
    th, tq, tprevious = (np.zeros_like(q) for _ in range(3))
    k = _skipped(k, q)
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
        tnew = (1 - z) * tn + z * tprevious[:, t] + tz * (previous[:, t] - n)
        th[:, t] = k[:, t] * tprevious[:, t] + (1 - k[:, t]) * tnew
    return th, tgates, tq, tprevious


def gru_tangent_backward(
    tdh: Array, dh: Array, gates: Array, q: Array, previous: Array, tgates: Array, tq: Array, tprevious: Array, U: Array,
    V: Array, k: Array | float = 0.0,
) -> tuple[Array, Array]:  # fmt: skip
    """R{} of each line of `gru_backward` and of its two results, with e = (1 − k) ∂l/∂h_t, te = R{e} and h = h_{t−1}:

    - tdn = (te (1 − z) − e tz)(1 − n²) − 2 e (1 − z) n tn;
    - tdz = (te (h − n) + e (th − tn)) z (1 − z) + e (h − n)(1 − 2z) tz;
    - tdr = (tdn q + dn tq) r (1 − r) + dn q (1 − 2r) tr;
    - tg_{t−1} = tdh_{t−1} + Uᵀ (tdr, tdz, tdn r + dn tr) + Vᵀ (dr, dz, dn r) + tz e + z te + k tg_t.
    """
    tdelta, tdelta_recurrent = np.zeros_like(gates), np.zeros_like(gates)
    carry, tcarry, k = np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0]), _skipped(k, dh)
    for t in reversed(range(dh.shape[1])):
        (r, z, n), (tr, tz, tn) = (np.split(a[:, t], 3, axis=1) for a in (gates, tgates))
        g, tg = dh[:, t] + carry, tdh[:, t] + tcarry
        e, te = (1 - k[:, t]) * g, (1 - k[:, t]) * tg
        h_n, th_n = previous[:, t] - n, tprevious[:, t] - tn
        dn, dz = e * (1 - z) * (1 - n**2), e * h_n * z * (1 - z)
        dr = dn * q[:, t] * r * (1 - r)
        tdn, tdz = _tangents_of_n_and_z(e, te, z, tz, n, tn, h_n, th_n)
        tdr = (tdn * q[:, t] + dn * tq[:, t]) * r * (1 - r) + dn * q[:, t] * (1 - 2 * r) * tr
        through = np.concatenate([dr, dz, dn * r], axis=1)
        tdelta[:, t] = np.concatenate([tdr, tdz, tdn], axis=1)
        tdelta_recurrent[:, t] = np.concatenate([tdr, tdz, tdn * r + dn * tr], axis=1)
        carry = through @ U + z * e + k[:, t] * g
        tcarry = tdelta_recurrent[:, t] @ U + through @ V + tz * e + z * te + k[:, t] * tg
    return tdelta, tdelta_recurrent


def _tangents_of_n_and_z(
    e: Array, te: Array, z: Array, tz: Array, n: Array, tn: Array, h_n: Array, th_n: Array
) -> tuple[Array, Array]:
    tdn = (te * (1 - z) - e * tz) * (1 - n**2) - 2 * e * (1 - z) * n * tn
    tdz = (te * h_n + e * th_n) * z * (1 - z) + e * h_n * (1 - 2 * z) * tz
    return tdn, tdz


def gru_reset_before_tangent_forward(
    ta: Array, gates: Array, reset: Array, previous: Array, U: Array, V: Array, k: Array | float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """tnew_t as of `gru_tangent_forward`; returns th, (tr, tz, tn), treset and th_{t−1}.

    - tr = r (1 − r)(ta_r + tp_r), tz = z (1 − z)(ta_z + tp_z), (tp_r, tp_z) = U_rz th_{t−1} + V_rz h_{t−1};
    - treset = tr h_{t−1} + r th_{t−1}, tn = (1 − n²)(ta_n + U_n treset + V_n reset).
    """
    units = U.shape[1]
    (U_rz, U_n), (V_rz, V_n) = (np.split(array, [2 * units]) for array in (U, V))
    tgates = np.zeros_like(ta)
    th, treset, tprevious = (np.zeros_like(reset) for _ in range(3))
    k = _skipped(k, reset)
    for t in range(ta.shape[1]):
        if t:
            tprevious[:, t] = th[:, t - 1]
        r, z, n = np.split(gates[:, t], 3, axis=1)
        rz = gates[:, t, : 2 * units]
        tp = tprevious[:, t] @ U_rz.T + previous[:, t] @ V_rz.T
        tr, tz = np.split(rz * (1 - rz) * (ta[:, t, : 2 * units] + tp), 2, axis=1)
        treset[:, t] = tr * previous[:, t] + r * tprevious[:, t]
        tn = (1 - n**2) * (ta[:, t, 2 * units :] + treset[:, t] @ U_n.T + reset[:, t] @ V_n.T)
        tgates[:, t] = np.concatenate([tr, tz, tn], axis=1)
        tnew = (1 - z) * tn + z * tprevious[:, t] + tz * (previous[:, t] - n)
        th[:, t] = k[:, t] * tprevious[:, t] + (1 - k[:, t]) * tnew
    return th, tgates, treset, tprevious


def gru_reset_before_tangent_backward(
    tdh: Array, dh: Array, gates: Array, previous: Array, tgates: Array, tprevious: Array, U: Array, V: Array,
    k: Array | float = 0.0,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """R{} of each line of `gru_reset_before_backward` and of its three results; tdn and tdz as of `gru_tangent_backward`.

    - tdreset = U_nᵀ tdn + V_nᵀ dn;
    - tdr = (tdreset h + dreset th) r (1 − r) + dreset h (1 − 2r) tr;
    - tg_{t−1} = tdh_{t−1} + U_rzᵀ (tdr, tdz) + V_rzᵀ (dr, dz) + r tdreset + tr dreset + tz e + z te + k tg_t.
    """
    units = U.shape[1]
    (U_rz, U_n), (V_rz, V_n) = (np.split(array, [2 * units]) for array in (U, V))
    tdelta = np.zeros_like(gates)
    carry, tcarry, k = np.zeros_like(dh[:, 0]), np.zeros_like(dh[:, 0]), _skipped(k, dh)
    for t in reversed(range(dh.shape[1])):
        (r, z, n), (tr, tz, tn) = (np.split(a[:, t], 3, axis=1) for a in (gates, tgates))
        g, tg = dh[:, t] + carry, tdh[:, t] + tcarry
        e, te = (1 - k[:, t]) * g, (1 - k[:, t]) * tg
        h, th = previous[:, t], tprevious[:, t]
        dn, dz = e * (1 - z) * (1 - n**2), e * (h - n) * z * (1 - z)
        tdn, tdz = _tangents_of_n_and_z(e, te, z, tz, n, tn, h - n, th - tn)
        dreset, tdreset = dn @ U_n, tdn @ U_n + dn @ V_n
        dr = dreset * h * r * (1 - r)
        tdr = (tdreset * h + dreset * th) * r * (1 - r) + dreset * h * (1 - 2 * r) * tr
        through, tthrough = np.concatenate([dr, dz], axis=1), np.concatenate([tdr, tdz], axis=1)
        tdelta[:, t] = np.concatenate([tthrough, tdn], axis=1)
        carry = through @ U_rz + r * dreset + z * e + k[:, t] * g
        tcarry = tthrough @ U_rz + through @ V_rz + r * tdreset + tr * dreset + tz * e + z * te + k[:, t] * tg
    return tdelta, tdelta[..., : 2 * units], tdelta[..., 2 * units :]
