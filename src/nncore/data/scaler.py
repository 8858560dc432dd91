"""Base of the scalers: fitting at once or in portions, applying, scikit-learn's conventions."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.checks import (
    SINGLE_ROW,
    as_numbers,
    check_column_names,
    check_finite,
    chunks,
    column_names,
    convert,
    names_of_columns,
)
from nncore._utils.fields import Choice, Configured, assign, choice, plain

__all__ = ["Scaler"]


class Scaler(Configured):
    """Base of the scalers: an invertible map of the features, learned from data.

    An array has shape (n, ...): all numbers of an example are its features; a 1-D array has one feature. float32 stays float32,
    but is computed in float64. The names are scikit-learn's, so that a scaler works in its pipelines.

    Parameters
    ----------
    nan : {"error", "ignore"}
        How NaN is treated: as an error, or as a missing value, which is excluded from the statistics and stays NaN.

    Attributes
    ----------
    n_features_in_ : int
    n_samples_seen_ : int64 array, (features,)
        The values that the statistics of each feature rest on.
    feature_names_in_ : tuple of str, or None
        The names of the columns of the first data frame that the scaler was fitted on. Data frames with other names, or in
        another order, are refused from then on; arrays, which have no names, are taken. Assign None to forget them.
    """

    saved: ClassVar[dict[str, int]] = {}  # the arrays that make up the state, and how many axes each has

    needed: ClassVar[str] = "a value in every column"
    keeps_columns: ClassVar[bool] = True  # is each feature of the result one of the data's?
    in_portions: ClassVar[bool] = True  # do the statistics of portions give those of the whole?

    n_features_in_: int
    _feature_names: tuple[str, ...] | None = None
    _sklearn_output_config: Mapping[str, str] = {}  # by a name that sklearn.base.clone copies
    n_samples_seen_: NDArray[np.int64]

    nan: Choice = Choice("error", "ignore")

    def __init__(self, nan: str = "error") -> None:
        self.nan = nan

    # --- to be implemented by a scaler

    def _merge(self, rows: Array) -> dict[str, Array]:
        """The state after these (n, features) float64 rows too, each feature with a value in one row at least."""
        raise NotImplementedError

    def _derive(self) -> None:
        """Derive attributes from the state."""

    def _solve(self) -> None:
        """Compute the expensive parts of the state."""

    def _possible(self) -> bool:
        """Whether data could have led to this state."""
        raise NotImplementedError

    def _forward(self, rows: Array) -> Array:
        raise NotImplementedError

    def _backward(self, rows: Array) -> Array:
        raise NotImplementedError

    # --- fitting and applying

    def fit(self, X: Any, y: Any = None) -> Any:
        """Fit to X, discarding earlier statistics. Returns the scaler; ``y`` is not used.

        Raises
        ------
        ValueError, TypeError
            For no rows, infinities, NaN unless ``nan="ignore"``, or a feature with only NaN.
        """
        return self.fitted(X, "X")

    def fitted(self, values: Any, argument: str) -> Any:
        """As `fit`, for values that the caller knows as ``argument``: errors name it."""
        before = dict(self.__dict__)
        for name in [name for name in before if name.endswith("_")]:
            delattr(self, name)
        self._feature_names = None
        try:
            self._fit_further(values, argument)
            self._check_seen()
            return self
        except BaseException:
            self.__dict__ = before
            raise

    def partial_fit(self, X: Any, y: Any = None) -> Any:
        """Fit to X in addition: portions give the same statistics as all data at once.

        With ``nan="ignore"`` a portion may have columns of only NaN; the scaler is usable once each column had a value.
        """
        if not self.in_portions:
            raise ValueError(f"{type(self).__name__} must see all data at once: take fit instead of partial_fit")
        return self._fit_further(X, "X")

    def _fit_further(self, X: Any, argument: str) -> Any:
        self.check_names(X, argument)
        rows = self._rows(X, argument)[1]
        before = dict(self.__dict__)
        try:
            for part in chunks(rows) if self.in_portions else [slice(None)]:
                self._learn(np.ascontiguousarray(rows[part], dtype=np.float64), argument)  # one order of sums
            if self.n_samples_seen_.all():
                self._derive()
                self._solve()
            self._feature_names = self._feature_names or column_names(X)
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _learn(self, rows: Array, argument: str) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            state = self._merge(rows)
        for name, array in state.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{argument} is too large: its {name.rstrip('_')} overflows in float64")
        self.__dict__ |= state
        self.n_features_in_ = rows.shape[1]

    def transform(self, X: Any) -> Any:
        """The scaled features, in an array of the same shape; or in a data frame, see `set_output`."""
        return self._container(self.transformed(X, "X"), X)

    def transformed(self, values: Any, argument: str) -> Array:
        """As `transform`, for values that the caller knows as ``argument``: errors name it."""
        self.check_names(values, argument)
        return self._apply(self._forward, values, argument)

    def inverse_transform(self, X: Any) -> Array:
        """The original features from scaled ones."""
        return self.inverse_transformed(X, "X")

    def inverse_transformed(self, values: Any, argument: str) -> Array:
        """As `inverse_transform`, for values that the caller knows as ``argument``."""
        if self.keeps_columns:
            self.check_names(values, argument)
        return self._apply(self._backward, values, argument)

    def check_names(self, X: Any, argument: str) -> None:
        """Raise if the columns of X have other names than those that the scaler was fitted on."""
        check_column_names(X, self._feature_names, argument, f"fit of the {type(self).__name__}")

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """``fit(X)``, then ``transform(X)``."""
        return self.fit(X, y, **fit_params).transform(X)

    def _apply(self, function: Any, X: Any, argument: str) -> Array:
        self._check_fitted()
        shape, rows = self._rows(X, argument)
        result = np.empty(rows.shape, dtype=rows.dtype if rows.dtype.kind == "f" else np.float64)
        with np.errstate(over="ignore"):  # overflow of float32 becomes infinite, which is checked where it is used
            for part in chunks(rows):
                result[part] = function(np.ascontiguousarray(rows[part], dtype=np.float64))
        return result.reshape(shape)

    def _rows(self, X: Any, argument: str) -> tuple[tuple[int, ...], Array]:
        """The shape of X, and X as (n, features), checked."""
        array = as_numbers(X, argument)
        if array.ndim == 0 or array.size == 0:
            raise ValueError(f"{argument} must have at least one row and one column, got shape {array.shape}")
        rows = array.reshape(len(array), -1)
        expected = getattr(self, "n_features_in_", rows.shape[1])
        if rows.shape[1] != expected:
            raise ValueError(
                f"{argument} must have {expected} features, as the data the scaler was fitted on, got {rows.shape[1]}"
                + (SINGLE_ROW.format(argument) if array.shape == (expected,) else "")
            )
        if rows.dtype.kind == "f" and rows.itemsize > 8:  # of more digits than the scalers compute with
            original, rows = rows, convert(rows, np.float64)
            if (np.isinf(rows) & np.isfinite(original)).any():
                raise ValueError(f"{argument} is too large for float64, got numbers up to {np.nanmax(np.abs(original))}")
        _check(rows, self.nan, argument)
        return array.shape, rows

    @property
    def feature_names_in_(self) -> tuple[str, ...] | None:
        """The names of the columns that the scaler was fitted on, if they had names."""
        return self._feature_names

    @feature_names_in_.setter
    def feature_names_in_(self, names: Iterable[str] | None) -> None:
        self._check_fitted()
        self._feature_names = names_of_columns("feature_names_in_", names, self.n_features_in_)

    def _check_fitted(self) -> None:
        if not hasattr(self, "n_features_in_"):
            raise ValueError(f"this {type(self).__name__} is not fitted yet: call fit first")
        self._check_seen()

    def _check_seen(self) -> None:
        """Raise if a feature had no value in the data."""
        empty = np.flatnonzero(self.n_samples_seen_ == 0)
        if len(empty):
            names = self._feature_names or range(self.n_features_in_)
            where = "" if len(empty) == self.n_features_in_ else f" in column {shown(names[empty[0]])}"
            raise ValueError(f"X of fit must have {self.needed}, got only NaN{where}")

    # --- scikit-learn's conventions

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments."""
        return self._arguments()

    def set_params(self, **params: Any) -> Any:
        """Change arguments of the constructor."""
        for name in params:
            if name not in self.get_params():
                raise ValueError(f"{type(self).__name__} has no parameter {shown(name)}")
        assign(self, params)
        return self

    def get_feature_names_out(self, input_features: Iterable[str] | None = None) -> NDArray[np.object_]:
        """The names of the columns of the result, (features,): those of the data, without names x0, x1, ….

        Where no column of the result is one of the data's they are the name of the class and a number: decorrelate0, ….

        Raises
        ------
        ValueError
            Before the fit; if ``input_features`` are not as many as the features, or other names than those of the fit.
        """
        self._check_fitted()
        given = names_of_columns("input_features", input_features, self.n_features_in_)
        if given and self._feature_names and given != self._feature_names:
            raise ValueError(f"input_features must be those of fit, {shown(self._feature_names)}, got {shown(given)}")
        stem, names = ("x", given or self._feature_names) if self.keeps_columns else (type(self).__name__.lower(), None)
        return np.array(names or [f"{stem}{number}" for number in range(self.n_features_in_)], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Any:
        """Let `transform` return data frames with the names of the columns, "pandas" or "polars"; "default": arrays.

        None changes nothing. Pipelines and column transformers of scikit-learn hand it on. Returns the scaler.
        """
        if transform is not None:
            self._sklearn_output_config = {"transform": choice("transform", transform, ("default", "pandas", "polars"))}
        return self

    def _container(self, result: Array, X: Any) -> Any:
        """The result of `transform` in the form that `set_output` asks for; arrays of more than two axes stay arrays."""
        library = self._sklearn_output_config.get("transform", "default")
        if library == "default" or result.ndim != 2:
            return result
        names = self.get_feature_names_out().tolist()
        if library == "pandas":
            import pandas

            return pandas.DataFrame(result, index=X.index if isinstance(X, pandas.DataFrame) else None, columns=names)
        import polars

        return polars.DataFrame(result, schema=names)

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        """Recompute what follows from the arguments."""
        if assigned and hasattr(self, "n_features_in_") and self.n_samples_seen_.all():
            self._derive()

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        tags = InputTags(two_d_array=True, allow_nan=self.nan == "ignore")
        return Tags(None, TargetTags(required=False), transformer_tags=TransformerTags(), input_tags=tags)

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        arguments = [
            f"{name}={value!r}" for name, value in self.get_params().items() if plain(value) != plain(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(arguments)})"


def _check(rows: Array, nan: str, argument: str) -> None:
    if nan == "error":
        check_finite(rows, argument)
        return
    for part in chunks(rows):
        infinite = np.argwhere(np.isinf(rows[part]))
        if len(infinite):
            row, column = infinite[0] + (part.start, 0)
            raise ValueError(f"{argument} must not be infinite, got {rows[row, column]} in row {row}, column {column}")
