"""Data frames of any kind as numbers for a network."""

from __future__ import annotations

import decimal
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9")  # which knows the columns of polars by narwhals

from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, MaxAbsScaler, OneHotEncoder, StandardScaler

import nncore as nn
from nncore.sklearn import TabularEncoder

pd, pl, pa = pytest.importorskip("pandas"), pytest.importorskip("polars"), pytest.importorskip("pyarrow")

COLUMNS: dict[str, list[Any]] = {
    "size": [1.0, 2.5, 3.0, 7.0],
    "color": ["red", "blue", None, "green"],
    "count": [4, 3, 2, 2],
    "new": [True, False, None, True],
}
ENCODED = np.array(
    [
        [1.0, 4, 0, 0, 1, 1],
        [2.5, 3, 1, 0, 0, -1],
        [3.0, 2, 0, 0, 0, 0],
        [7.0, 2, 0, 1, 0, 1],
    ]
)
NAMES = ["size", "count", "color_blue", "color_green", "color_red", "new_True"]


def category(dtype: str) -> Callable[[dict[str, list[Any]]], Any]:
    return lambda columns: pd.DataFrame(columns).astype({"color": dtype, "new": "boolean", "count": "Int64"})


FRAMES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "pandas": pd.DataFrame,
    "pandas, nullable": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "pandas, pyarrow": lambda columns: pd.DataFrame(columns).convert_dtypes(dtype_backend="pyarrow"),
    "pandas, category": category("category"),
    "pandas, object": category("object"),
    "polars": pl.DataFrame,
    "polars, categorical": lambda columns: pl.DataFrame(columns).with_columns(pl.col("color").cast(pl.Categorical)),
    "polars, enum": lambda columns: pl.DataFrame(columns).with_columns(
        pl.col("color").cast(pl.Enum(["violet", "red", "green", "blue"]))
    ),
    "pyarrow": pa.table,
    "pyarrow, dictionary": lambda columns: pa.table(columns | {"color": pa.array(columns["color"]).dictionary_encode()}),
}
each_frame = pytest.mark.parametrize("kind", FRAMES)


@each_frame
def test_columns_by_hand(kind: str) -> None:
    encoder = TabularEncoder(scaler=None).fit(FRAMES[kind](COLUMNS))
    np.testing.assert_array_equal(encoder.transform(FRAMES[kind](COLUMNS)), ENCODED)
    assert encoder.get_feature_names_out().tolist() == NAMES
    assert encoder.is_categorical_.tolist() == [False, True, False, True]
    assert [values.tolist() for values in encoder.categories_] == [["blue", "green", "red"], [False, True]]
    assert encoder.feature_names_in_.tolist() == list(COLUMNS)


@each_frame
def test_unknown_categories_are_0_as_missing_ones(kind: str) -> None:
    encoder = TabularEncoder(scaler=None).fit(FRAMES[kind](COLUMNS))
    later = FRAMES[kind if "enum" not in kind else "polars"](COLUMNS | {"color": ["violet", None, "red", "violet"]})
    np.testing.assert_array_equal(encoder.transform(later)[:, 2:5], [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]])


@each_frame
def test_missing_numbers(kind: str) -> None:
    frame = FRAMES[kind](COLUMNS | {"size": [1.0, None, 3.0, 7.0]})
    with pytest.raises(ValueError, match=r"got NaN in row 1 of column 'size'; TabularEncoder\(missing='median'\)"):
        TabularEncoder().fit(frame)
    with pytest.raises(ValueError, match="got NaN in row 1 of column 'size'"):
        TabularEncoder().fit(FRAMES[kind](COLUMNS)).transform(frame)
    encoder = TabularEncoder(missing="median", scaler=None).fit(frame)
    np.testing.assert_array_equal(encoder.transform(frame)[:, 0], [1, 3, 3, 7])
    assert encoder.medians_.tolist() == [3, 2.5]


def test_numbers_are_scaled_by_quartiles() -> None:
    """The median 2.75 and the quartiles 2.125 and 4; the imputed value becomes 0."""
    encoder = TabularEncoder(missing="median").fit(pd.DataFrame(COLUMNS))
    u = (np.array(COLUMNS["size"]) - 2.75) / (4 - 2.125)
    Z = encoder.transform(pd.DataFrame(COLUMNS))
    np.testing.assert_allclose(Z[:, 0], u / np.sqrt(1 + (u / 3) ** 2), rtol=1e-14)
    np.testing.assert_array_equal(Z[:, 2:], ENCODED[:, 2:])
    assert encoder.transform(pd.DataFrame(COLUMNS | {"size": [None] * 4}, dtype="object"))[:, 0].tolist() == [0] * 4


def test_against_scikit_learns_one_hot_encoder() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.choice(list("abcde"), 50) for name in "xyz"})
    theirs = OneHotEncoder(sparse_output=False).fit(frame)
    ours = TabularEncoder().fit(frame)
    np.testing.assert_array_equal(ours.transform(frame), theirs.transform(frame))
    np.testing.assert_array_equal(ours.get_feature_names_out(), theirs.get_feature_names_out())


def test_categories_of_numbers() -> None:
    frame = pd.DataFrame({"a": pd.Categorical([3, 1, 2, 1]), "b": [0.5, np.nan, 0.5, 2]}).astype({"b": "category"})
    encoder = TabularEncoder().fit(frame)
    assert encoder.get_feature_names_out().tolist() == ["a_1", "a_2", "a_3", "b_2.0"]
    np.testing.assert_array_equal(encoder.transform(frame), [[0, 0, 1, -1], [1, 0, 0, 0], [0, 1, 0, -1], [1, 0, 0, 1]])


@pytest.mark.parametrize(
    "values",
    [
        ["a\0", "a", "b"],
        [b"\1\0", b"\1", b"\2"],
        [-1, 2**63 + 5, 2**63 + 6],
        [(1, 2), (3, 4), (1, 3)],
        list(pd.to_datetime(["2020-01-01", "2021-01-01", "2022-01-01"])),
        [decimal.Decimal("0.1"), decimal.Decimal("0.2"), decimal.Decimal("1e400")],
    ],
    ids=["text", "bytes", "integers", "tuples", "dates", "decimals"],
)
@pytest.mark.parametrize("kind", ["category", "object"])
def test_categories_stay_as_they_are(kind: str, values: list[Any]) -> None:
    frame = pd.DataFrame({"a": pd.Categorical(values) if kind == "category" else pd.Series(values, dtype=object)})
    encoder = TabularEncoder(["a"]).fit(frame)
    assert encoder.categories_[0].tolist() == sorted(values)
    np.testing.assert_array_equal(encoder.transform(frame), np.eye(3)[[sorted(values).index(value) for value in values]])
    assert encoder.get_feature_names_out().tolist() == [f"a_{value}" for value in sorted(values)]


@pytest.mark.parametrize(
    "missing", [None, pd.NA, pd.NaT, np.datetime64("NaT"), np.nan, np.float32("nan"), decimal.Decimal("nan")], ids=repr
)
def test_whatever_is_missing_is_no_category(missing: Any) -> None:
    frame = pd.DataFrame({"a": pd.Series(["x", missing, "y", "z"], dtype=object)})
    encoder = TabularEncoder().fit(frame)
    assert encoder.categories_[0].tolist() == ["x", "y", "z"]
    np.testing.assert_array_equal(encoder.transform(frame), [[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_missing_dates_are_no_category() -> None:
    dates = pd.Categorical(pd.to_datetime(["2020-01-01", None, "2021-01-01"]))
    np.testing.assert_array_equal(TabularEncoder().fit_transform(pd.DataFrame({"a": dates})), [[-1], [0], [1]])


@pytest.mark.parametrize(
    "chosen", [[1, 3], [-3, -1], [False, True, False, True], ["color", "new"], ("color", 3), np.array([1, 3])]
)
def test_chosen_columns(chosen: Any) -> None:
    encoder = TabularEncoder(chosen, scaler=None).fit(pd.DataFrame(COLUMNS))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame(COLUMNS)), ENCODED)
    if not any(isinstance(one, str) for one in chosen):
        values = np.array(list(COLUMNS.values()), dtype=object).T
        np.testing.assert_array_equal(TabularEncoder(chosen, scaler=None).fit_transform(values), ENCODED)


def test_truth_values_are_numbers_on_request() -> None:
    frame = pd.DataFrame({"a": [True, False, True], "b": [1, 2, 3]})
    assert TabularEncoder(None, scaler=None).fit_transform(frame).tolist() == [[1, 1], [0, 2], [1, 3]]
    assert TabularEncoder("from_dtype", scaler=None).fit_transform(frame).tolist() == [[1, 1], [2, -1], [3, 1]]
    assert TabularEncoder(scaler=None).fit_transform(frame.to_numpy(dtype=int)).tolist() == [[1, 1], [0, 2], [1, 3]]


@pytest.mark.parametrize("scaler", [StandardScaler(), nn.data.StandardScaler()])
def test_scaler_of_ones_own(scaler: Any) -> None:
    encoder = TabularEncoder(scaler=scaler).fit(pd.DataFrame(COLUMNS))
    assert encoder.scaler_ is not scaler
    sizes = np.array(COLUMNS["size"])
    np.testing.assert_allclose(encoder.transform(pd.DataFrame(COLUMNS))[:, 0], (sizes - sizes.mean()) / sizes.std())
    assert repr(encoder) == f"TabularEncoder(scaler={scaler!r})"
    assert encoder.set_params(scaler__copy=False) if hasattr(scaler, "copy") else encoder.set_params(scaler__nan="ignore")


@pytest.mark.parametrize(
    ("scaler", "message"),
    [
        ("standard", "scaler must be 'robust', a transformer or None, got 'standard'"),
        (3, "scaler must be 'robust', a transformer or None, got 3"),
        (OneHotEncoder, "scaler must be 'robust', a transformer or None, got <class"),
        (KBinsDiscretizer(2), r"the result of scaler must have shape \(4, 2\), got \(4, 4\)"),
        (FunctionTransformer(lambda X: X[:, :1]), r"the result of scaler must have shape \(4, 2\), got \(4, 1\)"),
        (FunctionTransformer(lambda X: X.astype(str)), "the result of scaler must hold real numbers, got dtype <U"),
    ],
    ids=["text", "number", "class", "more columns", "fewer columns", "text as a result"],
)
@pytest.mark.filterwarnings("ignore:Bins whose width")
def test_scalers_that_are_none(scaler: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        TabularEncoder(scaler=scaler).fit_transform(pd.DataFrame(COLUMNS))


def test_a_scaler_whose_result_is_sparse() -> None:
    frame = pd.DataFrame(COLUMNS)
    dense = TabularEncoder(scaler=MaxAbsScaler()).fit_transform(frame)
    sparse = TabularEncoder(scaler=make_pipeline(FunctionTransformer(csr_matrix), MaxAbsScaler())).fit_transform(frame)
    np.testing.assert_allclose(sparse, dense, rtol=1e-15)


@pytest.mark.parametrize("empty", [pd.DataFrame(index=range(3)), pd.DataFrame({"a": []})])
def test_frames_without_cells(empty: Any) -> None:
    with pytest.raises(ValueError, match="X must have at least one row and one column, got shape"):
        TabularEncoder().fit(empty)


def test_only_categories_or_only_numbers() -> None:
    frame = pd.DataFrame(COLUMNS)
    np.testing.assert_array_equal(TabularEncoder().fit_transform(frame[["color"]]), ENCODED[:, 2:5])
    assert TabularEncoder(scaler=None).fit_transform(frame[["size"]]).ravel().tolist() == COLUMNS["size"]


@pytest.mark.parametrize(
    ("parameters", "changed", "message"),
    [
        ({"missing": "mean"}, {}, "missing must be 'error' or 'median'"),
        ({"categorical_features": "auto"}, {}, "categorical_features must be"),
        ({"categorical_features": ["colour"]}, {}, "names or positions of columns of X, got 'colour'"),
        ({"categorical_features": [4]}, {}, "names or positions of columns of X, got 4"),
        ({"categorical_features": np.array(4)}, {}, "names or positions of columns of X, got 4"),
        ({"categorical_features": [True]}, {}, "a mask of 4 columns, got 1"),
        ({"categorical_features": None}, {}, "X must hold real numbers, .* in column 'color'"),
        ({}, {"size": [np.inf, 1, 2, 3]}, "X must be finite, got inf in row 0 of column 'size'"),
        ({"missing": "median", "scaler": None}, {"size": [1, np.inf, 2, 3]}, "got inf in row 1 of column 'size'$"),
        (
            {"categorical_features": ["color"]},
            {"color": [["a"], ["b"], ["a"], ["b"]]},
            "X must have hashable categories of one type, got list in column 'color'",
        ),
        ({}, {"color": ["a", "b", 1, None]}, "categories of one type, got int and str in column 'color'"),
        (
            {},
            {"size": pd.date_range("2020-01-01", periods=4)},
            r"must hold real numbers, got dtype datetime64.* in column 'size'",
        ),
        ({"missing": "median"}, {"size": [np.nan] * 4}, "got only NaN in column 'size'"),
        ({}, {"color": [["a"], ["b"], ["a"], ["b"]]}, "X must have a number in each cell, got several in column 'color'"),
    ],
)
def test_refusals(parameters: dict[str, Any], changed: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        TabularEncoder(**parameters).fit(pd.DataFrame(COLUMNS | changed))


def test_other_columns_are_refused() -> None:
    encoder = TabularEncoder().fit(pd.DataFrame(COLUMNS))
    for frame in (pd.DataFrame(COLUMNS)[["color", "size", "count", "new"]], pl.DataFrame(COLUMNS).rename({"size": "s"})):
        with pytest.raises(ValueError, match="feature names"):
            encoder.transform(frame)
    with pytest.raises(ValueError, match="2 features"):
        TabularEncoder().fit(np.ones((3, 4))).transform(np.ones((3, 2)))
    with pytest.raises(ValueError, match="at least one row"):
        encoder.transform(pd.DataFrame(COLUMNS)[:0])
    with pytest.raises(TypeError, match="X must have hashable categories of one type, got list in column 'color'"):
        encoder.transform(pd.DataFrame(COLUMNS | {"color": [["a"]] * 4}))


def test_copies_and_output() -> None:
    encoder = TabularEncoder(scaler=None).fit(pd.DataFrame(COLUMNS))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).transform(pd.DataFrame(COLUMNS)), ENCODED)
    assert not hasattr(clone(encoder), "categories_")
    named = encoder.set_output(transform="pandas").transform(pd.DataFrame(COLUMNS))
    assert named.columns.tolist() == NAMES
    assert encoder.set_output(transform="polars").transform(pl.DataFrame(COLUMNS)).columns == NAMES
