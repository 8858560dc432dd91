"""Columns of a data frame as the numbers that a network takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.checks import column_numbers, frame_columns, is_frame, is_missing
from nncore._utils.fields import choice
from nncore.data import RobustScaler
from nncore.sklearn.estimator import unchanged_if_refused
from nncore.sklearn.inputs import check_inputs, check_readable, make_transformer, repeatable, result_rows

__all__ = ["TabularEncoder"]


class TabularEncoder(TransformerMixin, BaseEstimator):
    """Numbers scaled, and categories as numbers, as RealMLP takes them (Holzmüller, Grinsztajn, Steinwart 2024).

    A category becomes a column of 0 and 1 for each of its values; one of two values a single column of −1 and 1. A category
    that is missing, or was not in the data of ``fit``, is 0 in all of its columns. Columns of numbers come first.

    Parameters
    ----------
    categorical_features : "from_dtype", None, or sequence of str, int or bool, default "from_dtype"
        Which columns are categories. "from_dtype": in a data frame of pandas, polars or pyarrow those of text, truth values
        and categorical dtypes; in an array none. Otherwise names, positions, or a mask; None for no column.
    missing : {"error", "median"}, default "error"
        Whether a missing number is an error, which names its column, or the median of its column takes its place.
    scaler : "robust", transformer or None, default "robust"
        Of the numbers. "robust" is ``RobustScaler(smooth_clip=3.0)``; a transformer, which keeps the number of columns, is
        cloned.

    Attributes
    ----------
    is_categorical_ : ndarray of bool, (features,)
    categories_ : list of ndarray of objects
        The sorted values of each category.
    medians_ : ndarray
        Of the columns of numbers.
    scaler_ : transformer or None
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X has column names.

    Examples
    --------
    >>> import pandas
    >>> from nncore.sklearn import TabularEncoder
    >>> X = pandas.DataFrame({"size": [1.0, 2, 3], "color": ["red", "blue", "green"], "new": [True, False, None]})
    >>> encoder = TabularEncoder(scaler=None).fit(X)
    >>> encoder.get_feature_names_out().tolist()
    ['size', 'color_blue', 'color_green', 'color_red', 'new_True']
    >>> encoder.transform(X)
    array([[ 1.,  0.,  0.,  1.,  1.],
           [ 2.,  1.,  0.,  0., -1.],
           [ 3.,  0.,  1.,  0.,  0.]])
    """

    _doc_link_module = "nncore"
    _doc_link_template = "api/sklearn.html#nncore.sklearn.{estimator_name}"

    def __init__(self, categorical_features: Any = "from_dtype", *, missing: str = "error", scaler: Any = "robust") -> None:
        self.categorical_features, self.missing, self.scaler = categorical_features, missing, scaler

    def fit(self, X: Any, y: Any = None) -> TabularEncoder:
        """Learn the categories, the medians and the scale; ``y`` is not used.

        Parameters
        ----------
        X : array-like or data frame, (n, features)
        """
        with unchanged_if_refused(self):
            choice("missing", self.missing, ("error", "median"))
            columns = self._columns(X, reset=True)
            self.is_categorical_ = self._chosen(columns)
            self.categories_ = [_categories(column, name) for name, column in self._part(columns, True)]
            numbers = self._numbers(columns)
            empty = np.isnan(numbers).all(axis=0)
            if empty.any():
                name = [name for name, _ in self._part(columns, False)][empty.argmax()]
                raise ValueError(f"X must have a number in each column, got only NaN in column {shown(name)}")
            self.medians_ = np.nanmedian(numbers, axis=0) if numbers.size else np.zeros(0)
            self.scaler_ = make_transformer("scaler", self.scaler, "robust", lambda: RobustScaler(smooth_clip=3.0))
            if self.scaler_ is not None and numbers.size:
                self.scaler_.fit(self._imputed(numbers))
        return self

    def transform(self, X: Any) -> Array:
        """The columns of numbers, scaled, and those of the categories, in float64.

        Parameters
        ----------
        X : array-like or data frame, (n, features)
        """
        check_is_fitted(self)
        columns = self._columns(X, reset=False)
        numbers = self._imputed(self._numbers(columns))
        if self.scaler_ is not None and numbers.size:
            numbers = result_rows("scaler", self.scaler_.transform(numbers), *numbers.shape)
        categorical = zip(self._part(columns, True), self.categories_, strict=True)
        return np.hstack([numbers, *(_one_hot(column, name, values) for (name, column), values in categorical)])

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """The names of the columns of the result: "column", or "column_value" for a category.

        Parameters
        ----------
        input_features : sequence of str, optional
            Names of the columns of X, if it had none in ``fit``.
        """
        check_is_fitted(self)
        given = np.asarray(OneToOneFeatureMixin.get_feature_names_out(self, input_features), dtype=object)
        names = given[~self.is_categorical_].tolist()
        for name, values in zip(given[self.is_categorical_], self.categories_, strict=True):
            names += [f"{name}_{value}" for value in values[len(values) == 2 :]]
        return np.array(names, dtype=object)

    # --- columns

    def _columns(self, X: Any, reset: bool) -> list[tuple[Any, Any]]:
        """The columns with their names, or positions."""
        if is_frame(X):
            validate_data(self, X, skip_check_array=True, reset=reset)
            if 0 in X.shape:
                raise ValueError(f"X must have at least one row and one column, got shape {X.shape}")
            return frame_columns(X)
        any_dtype = not (self.categorical_features is None or isinstance(self.categorical_features, str))
        check_readable(X, "X") if any_dtype else check_inputs(X)
        X = validate_data(self, X, dtype=None if any_dtype else "numeric", ensure_all_finite=False, reset=reset)
        return list(enumerate(X.T))

    def _chosen(self, columns: list[tuple[Any, Any]]) -> NDArray[np.bool_]:
        """Which columns are categories."""
        chosen = repeatable("categorical_features", self.categorical_features)
        chosen = chosen.tolist() if isinstance(chosen, np.ndarray) else chosen
        if isinstance(chosen, str):
            choice("categorical_features", chosen, ("from_dtype",))
            return np.array([_is_category(column) for _, column in columns])
        names, mask = [name for name, _ in columns], np.zeros(len(columns), dtype=bool)
        wanted = [] if chosen is None else list(chosen) if isinstance(chosen, Iterable) else [chosen]
        if wanted and all(isinstance(one, (bool, np.bool_)) for one in wanted):
            if len(wanted) != len(columns):
                raise ValueError(f"categorical_features must be a mask of {len(columns)} columns, got {len(wanted)}")
            return np.array(wanted, dtype=bool)
        for one in wanted:
            place = names.index(one) if isinstance(one, str) and one in names else one
            if not isinstance(place, (int, np.integer)) or not -len(columns) <= place < len(columns):
                raise ValueError(f"categorical_features must be names or positions of columns of X, got {shown(one)}")
            mask[place] = True
        return mask

    def _part(self, columns: list[tuple[Any, Any]], categorical: bool) -> list[tuple[Any, Any]]:
        """The categories, or the numbers."""
        return [column for column, here in zip(columns, self.is_categorical_, strict=True) if here == categorical]

    def _numbers(self, columns: list[tuple[Any, Any]]) -> Array:
        """The columns of numbers in float64, checked."""
        numbers = [_floats(column, name) for name, column in self._part(columns, False)]
        result = np.column_stack([np.empty((len(columns[0][1]), 0)), *numbers])
        for (name, _), column in zip(self._part(columns, False), result.T, strict=True):
            wrong = np.flatnonzero(np.isinf(column) if self.missing == "median" else ~np.isfinite(column))
            if len(wrong):
                value = "NaN" if np.isnan(column[wrong[0]]) else column[wrong[0]]
                advice = "; TabularEncoder(missing='median') takes the median instead" if value == "NaN" else ""
                raise ValueError(f"X must be finite, got {value} in row {wrong[0]} of column {shown(name)}{advice}")
        return result

    def _imputed(self, numbers: Array) -> Array:
        return np.where(np.isnan(numbers), self.medians_, numbers)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "median"
        return tags


def _is_category(column: Any) -> bool:
    """Whether a column of a data frame holds categories, text or truth values."""
    if isinstance(column, np.ndarray):
        return False
    if str(getattr(column, "dtype", getattr(column, "type", ""))).startswith(("category", "dictionary")):
        return True  # of pandas, of pyarrow; their values may be numbers
    return np.asarray(column).dtype.kind in "bOSUT" and any(
        isinstance(value, (str, bytes, bool, np.bool_)) for value in _values(column)
    )


def _values(column: Any) -> list[Any]:
    """The values of a column of pyarrow, pandas or polars, or of an array."""
    convert = next(getattr(column, name) for name in ("to_pylist", "to_list", "tolist") if hasattr(column, name))
    values: list[Any] = convert()
    return values


def _floats(column: Any, name: Any) -> Array:
    """The numbers of a column in float64, missing ones as NaN."""
    if np.asarray(column).dtype.kind == "O" and all(map(is_missing, _values(column))):
        return np.full(len(column), np.nan)
    return column_numbers(column, "X", name).astype(np.float64)


def _categories(column: Any, name: Any) -> Array:
    """The sorted values that are not missing, as they are: one dtype for all could change them."""
    values = [value for value in _values(column) if not is_missing(value)]
    try:
        return np.fromiter(sorted(set(values)), dtype=object)
    except TypeError:
        raise _not_categories(values, name) from None


def _one_hot(column: Any, name: Any, categories: Array) -> Array:
    """A column of 0 and 1 for each category, or for two one of −1 and 1; 0 for other values."""
    places, values = {value: place for place, value in enumerate(categories.tolist())}, _values(column)
    try:
        codes = np.array([places.get(value, -1) for value in values])
    except TypeError:
        raise _not_categories(values, name) from None
    hot = (codes[:, None] == np.arange(len(categories))).astype(np.float64)
    return hot[:, 1:] - hot[:, :1] if len(categories) == 2 else hot


def _not_categories(values: list[Any], name: Any) -> TypeError:
    kinds = " and ".join(sorted({type(value).__name__ for value in values}))
    return TypeError(f"X must have hashable categories of one type, got {kinds} in column {shown(name)}")
