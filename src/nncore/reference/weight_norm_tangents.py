"""The R-operator of `tangents` through weight normalization, w = g v/‖v‖ for each unit, v its direction and g its length.

With tv = R{v} and tg = R{g} the direction's parts for v and g, û = v/‖v‖ and R{‖v‖} = û · tv,

    R{û} = (tv − (û · tv) û) / ‖v‖,   R{w} = tg û + g R{û}.
"""

import numpy as np

from ._common import Array

__all__ = ["weight_norm_tangent_backward", "weight_norm_tangent_weight"]


def _dot(a: Array, b: Array) -> Array:
    return np.asarray((a * b).sum(axis=1, keepdims=True))


def _unit(direction: Array, tdirection: Array) -> tuple[Array, Array, Array, Array]:
    """‖v‖, û and their tangents."""
    norm = np.linalg.norm(direction, axis=1, keepdims=True)
    unit = direction / norm
    tnorm = _dot(unit, tdirection)
    return norm, unit, tnorm, (tdirection - tnorm * unit) / norm


def weight_norm_tangent_weight(direction: Array, length: Array, tdirection: Array, tlength: Array) -> Array:
    """R{W} = tg û + g R{û} for each unit; direction is (units, inputs), length (units,).

    >>> v, along, across = np.array([[3.0, 4.0]]), np.array([[6.0, 8.0]]), np.array([[4.0, -3.0]])
    >>> g, none = np.array([10.0]), np.array([0.0])
    >>> weight_norm_tangent_weight(v, g, along, none).tolist()  # a longer v gives the same w
    [[0.0, 0.0]]
    >>> weight_norm_tangent_weight(v, g, across, none).round(12).tolist()
    [[8.0, -6.0]]
    """
    _, unit, _, tunit = _unit(direction, tdirection)
    return tlength[:, None] * unit + length[:, None] * tunit


def weight_norm_tangent_backward(
    tdW: Array, dW: Array, direction: Array, length: Array, tdirection: Array, tlength: Array
) -> tuple[Array, Array]:
    """R{dv} and R{dg}, of dv = g/‖v‖ (dw − dg û) and dg = dw · û for each unit.

    - R{dg} = tdw · û + dw · R{û};
    - R{dv} = R{g/‖v‖} (dw − dg û) + g/‖v‖ (tdw − R{dg} û − dg R{û}), R{g/‖v‖} = (tg − g R{‖v‖}/‖v‖)/‖v‖.
    """
    norm, unit, tnorm, tunit = _unit(direction, tdirection)
    g, tg = length[:, None], tlength[:, None]
    dlength, tdlength = _dot(dW, unit), _dot(tdW, unit) + _dot(dW, tunit)
    factor, tfactor = g / norm, (tg - g * tnorm / norm) / norm
    tddirection = tfactor * (dW - dlength * unit) + factor * (tdW - tdlength * unit - dlength * tunit)
    return tddirection, tdlength[:, 0]
