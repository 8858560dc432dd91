"""Scaling features and targets, and decorrelating them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.fields import Converted, Maybe, Number, number
from nncore._utils.own import replaced
from nncore._utils.registry import classes
from nncore.data.scaler import Scaler

__all__ = ["SCALERS", "Decorrelate", "MinMaxScaler", "RobustScaler", "StandardScaler"]

ROUNDING = 8 * np.finfo(np.float64).eps  # a column whose values differ by less, relative to their mean, counts as constant
EQUAL = 1e-6  # components of an eigenvector that differ by less, relative to the largest, count as equal


class StandardScaler(Scaler):
    """z-score: z_j = (x_j − μ_j) / σ_j, with the mean μ_j and the standard deviation σ_j of feature j (LeCun et al. 1998).

    The variance is the biased one, Σ (x − μ)² / n. A constant feature has σ_j = 1 instead of 0 and becomes 0. Portions are put
    together by the formula of Chan, Golub and LeVeque (1979), exact up to rounding however large μ/σ is:

        δ = μ_B − μ_A,   μ = μ_A + δ n_B/n,   S = S_A + S_B + δ² n_A n_B/n,   σ² = S/n.

    Parameters
    ----------
    nan : {"error", "ignore"}
        See `Scaler`.

    Attributes
    ----------
    mean_, var_, scale_ : arrays (features,)
        μ, σ², and σ or 1.
    n_samples_seen_, n_features_in_, feature_names_in_

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> scaler = nn.data.StandardScaler().fit([[1.0, 5.0], [3.0, 5.0]])
    >>> scaler.transform([[5.0, 5.0]]).tolist()
    [[3.0, 0.0]]
    >>> scaler.inverse_transform([[3.0, 0.0]]).tolist()
    [[5.0, 5.0]]
    """

    saved: ClassVar[dict[str, int]] = {"n_samples_seen_": 1, "mean_": 1, "var_": 1}

    mean_: Array
    var_: Array
    scale_: Array

    def _merge(self, rows: Array) -> dict[str, Array]:
        values = ~np.isnan(rows)
        n_b = values.sum(axis=0)
        # Deviations from a value of the feature itself: exactly 0 if it is constant, and no digits are lost to a large mean.
        origin = np.where(n_b, rows[values.argmax(axis=0), np.arange(rows.shape[1])], 0)
        deviation = np.where(values, rows - origin, 0)
        shift = deviation.sum(axis=0) / np.maximum(n_b, 1)
        deviation = np.where(values, deviation - shift, 0)
        squares_b = (deviation**2).sum(axis=0)
        n_a, mean_a, rest_a, var_a = (vars(self).get(name, 0) for name in ("n_samples_seen_", "mean_", "_rest_", "var_"))
        n, mean_a = n_a + n_b, np.where(n_a, mean_a, origin)
        share = n_b / np.maximum(n, 1)
        delta = np.where(n_b, origin - mean_a - rest_a + shift, 0)
        var = var_a * (1 - share) + squares_b / np.maximum(n, 1) + (delta * share) * (delta * (1 - share))
        return {"n_samples_seen_": n, **_mean(mean_a, rest_a + delta * share), "var_": var}

    def _derive(self) -> None:
        self.scale_ = _scale(self.mean_, self.var_)

    def _possible(self) -> bool:
        return bool((self.var_ >= 0).all())

    def _forward(self, rows: Array) -> Array:
        return np.asarray((rows - self.mean_) / self.scale_)

    def _backward(self, rows: Array) -> Array:
        return np.asarray(rows * self.scale_ + self.mean_)


class MinMaxScaler(Scaler):
    """To an interval [a, b]: z_j = a + (b − a) (x_j − min_j) / (max_j − min_j), with the feature's minimum and maximum.

    A constant feature has the range 1 instead of 0 and becomes a. The ends of [0, 1] and of [−1, 1] are reached exactly.

    Parameters
    ----------
    feature_range : (float, float)
        a and b, a < b; default (0, 1).
    nan : {"error", "ignore"}
        See `Scaler`.

    Attributes
    ----------
    data_min_, data_max_, data_range_ : arrays (features,)
    scale_, min_ : arrays (features,)
        z = x · ``scale_`` + ``min_``, as in scikit-learn.
    n_samples_seen_, n_features_in_, feature_names_in_

    Examples
    --------
    >>> import nncore as nn
    >>> scaler = nn.data.MinMaxScaler((-1, 1)).fit([[0.0], [4.0]])
    >>> scaler.transform([[0.0], [1.0], [4.0]]).ravel().tolist()
    [-1.0, -0.5, 1.0]
    """

    saved: ClassVar[dict[str, int]] = {"n_samples_seen_": 1, "data_min_": 1, "data_max_": 1}

    data_min_: Array
    data_max_: Array
    data_range_: Array
    scale_: Array
    min_: Array
    feature_range: Converted[tuple[float, float], tuple[float, float]] = Converted(
        lambda name, value: _interval(value) and (value if isinstance(value, tuple) else tuple(value))
    )

    def __init__(self, feature_range: tuple[float, float] = (0, 1), nan: str = "error") -> None:
        super().__init__(nan)
        self.feature_range = feature_range

    def _merge(self, rows: Array) -> dict[str, Array]:
        n = (~np.isnan(rows)).sum(axis=0)
        low = np.where(np.isnan(rows), np.inf, rows).min(axis=0)
        high = np.where(np.isnan(rows), -np.inf, rows).max(axis=0)
        if hasattr(self, "data_min_"):
            seen = self.n_samples_seen_ > 0
            low = np.where(seen, np.minimum(low, self.data_min_), low)
            high = np.where(seen, np.maximum(high, self.data_max_), high)
            n = n + self.n_samples_seen_
        return {"n_samples_seen_": n, "data_min_": np.where(n, low, 0), "data_max_": np.where(n, high, 0)}

    def _derive(self) -> None:
        low, high = _interval(self.feature_range)
        with np.errstate(over="ignore"):
            self.data_range_ = self.data_max_ - self.data_min_
        if not np.isfinite(self.data_range_).all():
            raise ValueError("X is too large: its range overflows in float64")
        self._divisor = np.where(self.data_range_ == 0, 1.0, self.data_range_)
        self.scale_ = (high - low) / self._divisor
        self.min_ = low - self.data_min_ * self.scale_

    def _possible(self) -> bool:
        return bool((self.data_min_ <= self.data_max_).all())

    def _forward(self, rows: Array) -> Array:
        low, high = _interval(self.feature_range)
        return np.asarray((rows - self.data_min_) / self._divisor * (high - low) + low)

    def _backward(self, rows: Array) -> Array:
        low, high = _interval(self.feature_range)
        return np.asarray((rows - low) / (high - low) * self._divisor + self.data_min_)


class RobustScaler(Scaler):
    """By median and quartiles, which outliers do not move: z_j = (x_j − median_j) / s_j, s_j = q75_j − q25_j.

    If both quartiles are equal, s_j is half the range, (max_j − min_j)/2. A constant feature becomes 0, also where later data
    differ from the constant: what was not seen in training has no learned meaning. With ``smooth_clip`` = c all numbers end
    between −c and c, those far below c almost as they are:

        z_j ← z_j / √(1 + (z_j/c)²).

    Quartiles of portions are not those of the whole: ``partial_fit`` is refused.

    Parameters
    ----------
    smooth_clip : float, optional
        c > 0; RealMLP takes 3 (Holzmüller, Grinsztajn, Steinwart 2024).
    nan : {"error", "ignore"}
        See `Scaler`.

    Attributes
    ----------
    center_, scale_ : arrays (features,)
        The median, and s, which is 0 for a constant feature.
    n_samples_seen_, n_features_in_, feature_names_in_

    Notes
    -----
    The inverse of a clipped number loses digits, half of them where z was 10⁴ c; that of c and more is infinite.

    Examples
    --------
    >>> import nncore as nn
    >>> X = [[0.0], [1.0], [2.0], [3.0], [1000.0]]
    >>> nn.data.RobustScaler().fit_transform(X).ravel().tolist()
    [-1.0, -0.5, 0.0, 0.5, 499.0]
    >>> nn.data.RobustScaler(smooth_clip=3.0).fit_transform(X).ravel().round(2).tolist()
    [-0.95, -0.49, 0.0, 0.49, 3.0]
    """

    saved: ClassVar[dict[str, int]] = {"n_samples_seen_": 1, "center_": 1, "scale_": 1}
    in_portions: ClassVar[bool] = False

    center_: Array
    scale_: Array
    smooth_clip: Maybe[float, float] = Maybe(Number(above=0))

    def __init__(self, smooth_clip: float | None = None, nan: str = "error") -> None:
        super().__init__(nan)
        self.smooth_clip = smooth_clip

    def _merge(self, rows: Array) -> dict[str, Array]:
        n = (~np.isnan(rows)).sum(axis=0)
        rows = np.where(n, rows, 0)  # a feature without a value
        low, q25, median, q75, high = np.nanquantile(rows, [0, 0.25, 0.5, 0.75, 1], axis=0)
        smallest = ROUNDING * np.abs(median)
        scale = np.where(q75 - q25 > smallest, q75 - q25, high / 2 - low / 2)
        return {"n_samples_seen_": n, "center_": median, "scale_": np.where(scale > smallest, scale, 0)}

    def _possible(self) -> bool:
        return bool((self.scale_ >= 0).all())

    def _forward(self, rows: Array) -> Array:
        z = np.divide(rows - self.center_, self.scale_, out=np.where(np.isnan(rows), rows, 0), where=self.scale_ > 0)
        if self.smooth_clip is None:
            return z
        share = np.clip(z / self.smooth_clip, -1e150, 1e150)  # whose square is finite
        return np.asarray(self.smooth_clip * (share / np.sqrt(1 + share**2)))

    def _backward(self, rows: Array) -> Array:
        if self.smooth_clip is not None:
            share = np.clip(rows / self.smooth_clip, -1, 1)
            with np.errstate(divide="ignore"):
                rows = rows / np.sqrt((1 - share) * (1 + share))
        return np.multiply(rows, self.scale_, out=np.where(np.isnan(rows), rows, 0), where=self.scale_ > 0) + self.center_


class Decorrelate(Scaler):
    """Whitening: z = Λ^{−1/2} V D⁻¹ (x − μ), whose covariance is I (Kessy, Lewin, Strimmer 2018, "PCA-cor").

    D holds the standard deviations; the rows of V are the eigenvectors of the correlation matrix D⁻¹ Σ D⁻¹ = Vᵀ Λ V, by which
    the result does not depend on the features' units. Directions are ordered by their eigenvalue, the largest first. A
    direction without variance (a constant feature, one that others determine) is not divided by 0 but by 1: it becomes 0, and
    the inverse stays exact.

    Variances and covariances are the biased ones, divided by n (scikit-learn's ``PCA(whiten=True)``: by n − 1).

    Parameters
    ----------
    tol : float
        A direction has no variance if its eigenvalue is at most ``tol`` times the largest; default 1e-12.
    nan : {"error", "ignore"}
        See `Scaler`; a row with a NaN is left out of the statistics as a whole, and becomes NaN.

    Attributes
    ----------
    mean_, scale_ : arrays (features,)
        μ and the diagonal of D.
    covariance_ : array (features, features)
        Σ.
    components_ : array (features, features)
        V: the eigenvectors are its rows, the sign such that the largest component is positive, the first
        of those that are equal up to rounding, as those of two features are.
    explained_variance_ : array (features,)
        The diagonal of Λ.
    n_samples_seen_, n_features_in_, feature_names_in_

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> X = np.random.default_rng(0).multivariate_normal([1, 2], [[4, 1.9], [1.9, 1]], size=500)
    >>> Z = nn.data.Decorrelate().fit_transform(X)
    >>> np.allclose(np.cov(Z.T, bias=True), np.eye(2))
    True
    """

    saved: ClassVar[dict[str, int]] = {
        "n_samples_seen_": 1, "mean_": 1, "covariance_": 2, "components_": 2, "explained_variance_": 1,
    }  # fmt: skip
    needed: ClassVar[str] = "a row without NaN"
    keeps_columns: ClassVar[bool] = False

    mean_: Array
    covariance_: Array
    scale_: Array
    components_: Array
    explained_variance_: Array
    tol: Number = Number(0, below=1)

    def __init__(self, tol: float = 1e-12, nan: str = "error") -> None:
        super().__init__(nan)
        self.tol = tol

    def _merge(self, rows: Array) -> dict[str, Array]:
        rows = rows[~np.isnan(rows).any(axis=1)]
        features = rows.shape[1]
        n_a = int(self.n_samples_seen_[0]) if hasattr(self, "mean_") else 0
        mean_a, rest_a = (self.mean_, vars(self).get("_rest_", 0.0)) if n_a else (np.zeros(features), 0.0)
        covariance_a = self.covariance_ if n_a else np.zeros((features, features))
        n = n_a + len(rows)
        if len(rows) == 0:
            return {"n_samples_seen_": np.full(features, n), "mean_": mean_a, "covariance_": covariance_a}
        deviation = rows - rows[0]
        shift = deviation.mean(axis=0)
        deviation -= shift
        mean_a, share = mean_a if n_a else rows[0], len(rows) / n
        delta = rows[0] - mean_a - rest_a + shift
        with one_blas_thread():
            products = deviation.T @ deviation
        covariance = covariance_a * (1 - share) + products / n + np.outer(delta * share, delta * (1 - share))
        return {"n_samples_seen_": np.full(features, n), **_mean(mean_a, rest_a + delta * share), "covariance_": covariance}

    def _derive(self) -> None:
        self.scale_ = _scale(self.mean_, np.diagonal(self.covariance_))

    def _solve(self) -> None:
        import scipy.linalg

        with one_blas_thread():
            values, vectors = scipy.linalg.eigh(self.covariance_ / np.outer(self.scale_, self.scale_))
        V = vectors.T[::-1]
        size = np.abs(V)
        first = (size > (1 - EQUAL) * size.max(axis=1, keepdims=True)).argmax(axis=1)
        largest = V[np.arange(len(V)), first]
        self.components_ = V * np.sign(largest)[:, None]
        self.explained_variance_ = np.maximum(values[::-1], 0)

    @one_blas_thread()
    def _possible(self) -> bool:
        orthonormal = np.allclose(self.components_ @ self.components_.T, np.eye(len(self.components_)), rtol=0, atol=1e-8)
        return orthonormal and bool((np.diagonal(self.covariance_) >= 0).all() and (self.explained_variance_ >= 0).all())

    @property
    def _spread(self) -> Array:
        """√Λ, 1 for a direction without variance."""
        values = self.explained_variance_
        return np.where(values <= self.tol * values.max(), 1.0, np.sqrt(values))

    def _forward(self, rows: Array) -> Array:
        with one_blas_thread():
            return np.asarray(((rows - self.mean_) / self.scale_) @ self.components_.T / self._spread)

    def _backward(self, rows: Array) -> Array:
        with one_blas_thread():
            return np.asarray((rows * self._spread) @ self.components_ * self.scale_ + self.mean_)


SCALERS = {cls.__name__: cls for cls in classes(Scaler, __name__)}


def attached(scaler: Any, features: int, argument: str) -> Scaler | None:
    """A copy of a fitted scaler for a model to keep, if it has as many features as the model needs."""
    if scaler is None:
        return None
    if not isinstance(scaler, Scaler):
        raise TypeError(f"{argument} must be a scaler of nncore.data or None, got {shown(scaler)} of {type(scaler).__module__}")
    if name := replaced(type(scaler), "transform", "inverse_transform"):
        raise TypeError(
            f"{argument} must be a scaler of nncore, got {shown(scaler)}, whose {name} would not be called: transform the data "
            "before they are passed to the model"
        )
    scaler._check_fitted()
    if scaler.n_features_in_ != features:
        raise ValueError(f"{argument} must be fitted on {features} features, got {scaler.n_features_in_}")
    return copy.deepcopy(scaler)


def restored(config: Mapping[str, Any], arrays: Mapping[str, Array], names: Any = None) -> Scaler:
    """The scaler that ``config``, arrays and names of columns describe, as a file holds them; nothing in them is trusted."""
    arguments = dict(config)
    name = arguments.pop("class")
    if name not in SCALERS:
        raise ValueError(f"a scaler of class {shown(name)} is not known")
    scaler = SCALERS[name](**arguments)
    features = arrays["n_samples_seen_"].size
    for attribute, axes in scaler.saved.items():
        array = np.array(arrays[attribute])
        dtype = np.int64 if attribute == "n_samples_seen_" else np.float64
        if array.shape != (features,) * axes or array.dtype != dtype or not features:
            expected = f"{np.dtype(dtype)} with {axes} axes of one length"
            raise ValueError(f"{attribute} must be {expected}, got {array.dtype} of shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{attribute} must be finite, got {array}")
        setattr(scaler, attribute, array)
    if scaler.n_samples_seen_.min() < 1 or not scaler._possible():
        raise ValueError(f"its statistics are impossible for a {name}")
    scaler.n_features_in_, scaler.feature_names_in_ = features, names
    scaler._derive()
    return scaler


def _mean(before: Array, change: Array) -> dict[str, Array]:
    """A mean after a change, and what its rounding leaves out: that would enter the variance multiplied by μ/σ."""
    mean = before + change
    return {"mean_": mean, "_rest_": change - (mean - before)}


def _scale(mean: Array, var: Array) -> Array:
    """The standard deviation; 1 for a feature that is constant up to rounding."""
    deviation = np.sqrt(var)
    return np.where(deviation <= ROUNDING * np.abs(mean), 1.0, deviation)


def _interval(feature_range: Any) -> tuple[float, float]:
    pair = isinstance(feature_range, (tuple, list))
    if not pair or len(feature_range) != 2:
        raise (ValueError if pair else TypeError)(f"feature_range must be a pair (a, b), got {shown(feature_range)}")
    low, high = (number("feature_range", end) for end in feature_range)
    if not 0 < high - low < np.inf:
        raise ValueError(f"feature_range must be (a, b) with a < b and a finite b - a, got {shown(feature_range)}")
    return low, high
