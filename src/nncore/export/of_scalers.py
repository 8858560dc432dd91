"""What a scaler does, as steps in double precision, in which it computes whatever the model's precision is."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._messages import shown
from nncore.data import scaling
from nncore.data.scaler import Scaler
from nncore.export.steps import Affine, Clip, Dense, Divide, Step, Unclip

__all__ = ["steps_backward", "steps_forward"]


def steps_forward(scaler: Scaler) -> list[Step]:
    """``transform``."""
    width, zeros, ones = scaler.n_features_in_, np.zeros(scaler.n_features_in_), np.ones(scaler.n_features_in_)
    if type(scaler) is scaling.StandardScaler:
        return [Divide(scaler.mean_, scaler.scale_)]
    if type(scaler) is scaling.MinMaxScaler:
        low, high = scaler.feature_range
        return [Divide(scaler.data_min_, scaler._divisor), Affine(zeros, zeros + (high - low), zeros + low)]
    if type(scaler) is scaling.RobustScaler:
        varies = scaler.scale_ > 0
        constant = [] if varies.all() else [Affine(zeros, varies.astype(np.float64), zeros)]  # such a feature becomes 0
        divide = Divide(scaler.center_, np.where(varies, scaler.scale_, 1))
        return [divide, *constant, *_limited(Clip, scaler.smooth_clip, width)]
    if type(scaler) is scaling.Decorrelate:
        return [Divide(scaler.mean_, scaler.scale_), Dense(scaler.components_ / scaler._spread[:, None], 0 * ones)]
    raise _unknown(scaler)


def steps_backward(scaler: Scaler) -> list[Step]:
    """``inverse_transform``."""
    zeros = np.zeros(scaler.n_features_in_)
    if type(scaler) is scaling.StandardScaler:
        return [Affine(zeros, scaler.scale_, scaler.mean_)]
    if type(scaler) is scaling.MinMaxScaler:
        return [Affine(zeros + scaler.feature_range[0], 1 / scaler.scale_, scaler.data_min_)]
    if type(scaler) is scaling.RobustScaler:
        return [*_limited(Unclip, scaler.smooth_clip, len(zeros)), Affine(zeros, scaler.scale_, scaler.center_)]
    if type(scaler) is scaling.Decorrelate:
        weight = (scaler.components_ * scaler._spread[:, None]).T * scaler.scale_[:, None]
        return [Dense(weight, scaler.mean_)]
    raise _unknown(scaler)


def _limited(step: type[Clip] | type[Unclip], limit: float | None, width: int) -> list[Step]:
    return [] if limit is None else [step(limit, width)]


def _unknown(scaler: Any) -> TypeError:
    return TypeError(f"scalers of a model to be exported must be nncore's own, got {shown(scaler)}")
