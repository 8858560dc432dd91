"""Scalers against scikit-learn and against their definition, in portions and at once, inside a model and in files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

import nncore as nn
from nncore.data import Decorrelate, MinMaxScaler, RobustScaler, Scaler, StandardScaler
from nncore.data.scaling import SCALERS

Array = NDArray[Any]

MAKE = {
    "standard": StandardScaler,
    "[0, 1]": MinMaxScaler,
    "[-1, 1]": lambda **kw: MinMaxScaler((-1, 1), **kw),
    "robust": RobustScaler,
    "smooth clip": lambda **kw: RobustScaler(smooth_clip=3.0, **kw),
    "decorrelate": Decorrelate,
}
each = pytest.mark.parametrize("kind", MAKE)
each_in_portions = pytest.mark.parametrize("kind", [kind for kind, make in MAKE.items() if make().in_portions])


def test_every_scaler_has_a_case() -> None:
    assert {type(make()) for make in MAKE.values()} == set(SCALERS.values())


@pytest.fixture
def X(rng: np.random.Generator) -> Array:
    """Correlated columns of very different sizes and means."""
    mixed = rng.standard_normal((200, 5)) @ rng.standard_normal((5, 5))
    return mixed * [1, 1e-3, 1e4, 2, 1] + [0, 5, -1e6, 1e3, 0.1]


def with_gaps(X: Array, rng: np.random.Generator) -> Array:
    return np.where(rng.random(X.shape) < 0.2, np.nan, X)


# Against scikit-learn.


@pytest.mark.parametrize("gaps", [False, True])
def test_standard_scaler_against_sklearn(gaps: bool, X: Array, rng: np.random.Generator) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    data = with_gaps(X, rng) if gaps else X
    theirs, ours = preprocessing.StandardScaler().fit(data), StandardScaler(nan="ignore" if gaps else "error").fit(data)
    for name in ("mean_", "var_", "scale_", "n_samples_seen_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12)
    # Column 1 has a mean 5000 times its deviation: that many roundings of μ are left in x − μ.
    np.testing.assert_allclose(ours.transform(data), theirs.transform(data), rtol=1e-12, atol=5000 * 1e-15)
    np.testing.assert_allclose(ours.inverse_transform(X), theirs.inverse_transform(X), rtol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (0.3, 17.1)])
def test_min_max_scaler_against_sklearn(ends: tuple[float, float], gaps: bool, X: Array, rng: np.random.Generator) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    data = with_gaps(X, rng) if gaps else X
    theirs = preprocessing.MinMaxScaler(ends).fit(data)
    ours = MinMaxScaler(ends, nan="ignore" if gaps else "error").fit(data)
    for name in ("data_min_", "data_max_", "data_range_", "scale_", "min_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12)
    # scikit-learn computes x · scale + min, whose terms are 100 times the result in column 2.
    np.testing.assert_allclose(ours.transform(data), theirs.transform(data), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(ours.inverse_transform(X), theirs.inverse_transform(X), rtol=1e-11)


def test_decorrelate_against_sklearn(X: Array) -> None:
    """Whitened principal components of standardized columns; scikit-learn divides by n − 1."""
    PCA = pytest.importorskip("sklearn.decomposition").PCA
    standardized = StandardScaler().fit_transform(X)
    theirs = PCA(whiten=True, svd_solver="full").fit(standardized)
    ours = Decorrelate().fit(X)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_ * (199 / 200), rtol=1e-10)
    want = theirs.transform(standardized) * np.sqrt(200 / 199)
    got = ours.transform(X)
    np.testing.assert_allclose(np.abs(got), np.abs(want), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.mean_, X.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(ours.covariance_, np.cov(X.T, bias=True), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("gaps", [False, True])
def test_robust_scaler_against_sklearn(gaps: bool, X: Array, rng: np.random.Generator) -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    data = with_gaps(X, rng) if gaps else X
    theirs, ours = preprocessing.RobustScaler().fit(data), RobustScaler(nan="ignore" if gaps else "error").fit(data)
    for name in ("center_", "scale_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12)
    np.testing.assert_array_equal(ours.n_samples_seen_, (~np.isnan(data)).sum(axis=0))
    np.testing.assert_allclose(ours.transform(data), theirs.transform(data), rtol=1e-12, atol=5000 * 1e-15)


@each
def test_in_a_pipeline(kind: str, X: Array) -> None:
    pipeline, linear = pytest.importorskip("sklearn.pipeline"), pytest.importorskip("sklearn.linear_model")
    base = pytest.importorskip("sklearn.base")
    scaler = MAKE[kind]()
    y = (MAKE[kind]().fit_transform(X) if kind == "smooth clip" else X) @ np.arange(5.0)  # all others are linear
    model = pipeline.make_pipeline(scaler, linear.LinearRegression()).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-8)
    clone = base.clone(scaler)
    assert type(clone) is type(scaler)
    assert clone.get_params() == scaler.get_params()
    assert not hasattr(clone, "n_features_in_")
    assert clone.set_params(nan="ignore").nan == "ignore"
    with pytest.raises(ValueError, match="no parameter 'gap'"):
        clone.set_params(gap=1)


# By definition.


def test_ends_are_reached_exactly(X: Array) -> None:
    for low, high in ((0, 1), (-1, 1)):
        Z = MinMaxScaler((low, high)).fit_transform(X)
        assert (Z.min(axis=0) == low).all()
        assert (Z.max(axis=0) == high).all()


def test_robust_scales_by_hand() -> None:
    """Quartiles 1 and 3; equal quartiles, and half the range; nothing but one value."""
    data = np.array([[0, 1, 2, 3, 40], [7, 7, 7, 7, 3], [5, 5, 5, 5, 5.0]]).T
    scaler = RobustScaler().fit(data)
    assert scaler.center_.tolist() == [2, 7, 5]
    assert scaler.scale_.tolist() == [2, 2, 0]
    later = np.array([[6.0, 8, 1e9], [2, 7, 5]])
    assert scaler.transform(later).tolist() == [[2, 0.5, 0], [0, 0, 0]]
    assert scaler.inverse_transform([[2.0, 0.5, 3]]).tolist() == [[6, 8, 5]]
    clipped = RobustScaler(smooth_clip=3.0).fit(data)
    expected = [[2 / np.sqrt(1 + 4 / 9), 0.5 / np.sqrt(1 + 0.25 / 9), 0], [0, 0, 0]]
    np.testing.assert_allclose(clipped.transform(later), expected, rtol=1e-15)


def test_smooth_clipping_of_any_size() -> None:
    """To the bounds, never beyond, without an overflow; the inverse of a bound is infinite."""
    scaler = RobustScaler(smooth_clip=0.1).fit([[-1e-300], [0.0], [1e-300]])
    Z = scaler.transform([[-1e308], [-1.0], [1e-301], [1e308]]).ravel()
    np.testing.assert_allclose(Z, [-0.1, -0.1, 0.1 / np.sqrt(2), 0.1], rtol=1e-15)
    assert abs(Z).max() <= 0.1
    assert scaler.inverse_transform([[0.1], [-7.0]]).tolist() == [[np.inf], [-np.inf]]


@pytest.mark.parametrize("clip", [0, -1, np.inf, np.nan, "3", True])
def test_bad_smooth_clip(clip: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="smooth_clip must be"):
        RobustScaler(clip)


def test_decorrelated_data_have_covariance_one(X: Array) -> None:
    scaler = Decorrelate().fit(X)
    Z = scaler.transform(X)
    np.testing.assert_allclose(np.cov(Z.T, bias=True), np.eye(5), atol=1e-10)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-10)
    assert (np.diff(scaler.explained_variance_) <= 0).all()
    # The units of the features do not matter.
    np.testing.assert_allclose(Decorrelate().fit_transform(X * [1, 1e8, 1e-8, 3, 1]), Z, atol=1e-8)


@each
def test_inverse_transform(kind: str, X: Array) -> None:
    scaler = MAKE[kind]().fit(X)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(X)), X, rtol=1e-12, atol=1e-12)
    other = X[:3] * 1.5 + 1
    lost = np.ones_like(other)  # rounding errors are multiplied by it
    if kind == "smooth clip":
        lost += ((other - scaler.center_) / scaler.scale_ / 3) ** 2
    error = abs(scaler.inverse_transform(scaler.transform(other)) - other)
    assert (error <= (1e-12 * abs(other) + 1e-11) * lost).all()


@pytest.mark.parametrize("mean", [1e3, 1e6, 1e9, -1e12])
def test_large_means(mean: float, rng: np.random.Generator) -> None:
    """Integer deviations from an integer mean: the true variance is known exactly."""
    deviation = rng.integers(-5, 6, (1000, 3)).astype(float)
    for portions in (1, 7, 1000):
        scaler, full = StandardScaler(), Decorrelate()
        for part in np.array_split(deviation + mean, portions):
            scaler.partial_fit(part)
            full.partial_fit(part)
        np.testing.assert_allclose(scaler.var_, deviation.var(axis=0), rtol=1e-12)
        np.testing.assert_allclose(full.covariance_, np.cov(deviation.T, bias=True), rtol=1e-12, atol=1e-12)


@each
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9, 1e-300])
def test_constant_columns(kind: str, value: float, X: Array) -> None:
    data = X.copy()
    data[:, 1] = value
    scaler = MAKE[kind]()
    for part in np.array_split(data, 3) if scaler.in_portions else []:
        scaler.partial_fit(part)
    Z = (scaler if scaler.in_portions else scaler.fit(data)).transform(data)
    assert np.isfinite(Z).all()
    if kind != "decorrelate":
        assert np.ptp(Z[:, 1]) == 0
        assert Z[0, 1] == (-1 if kind == "[-1, 1]" else 0)
    else:
        np.testing.assert_allclose(np.cov(Z.T, bias=True), np.diag([1, 1, 1, 1, 0]), atol=1e-9)
    np.testing.assert_allclose(scaler.inverse_transform(Z), data, rtol=1e-11, atol=1e-11)


def test_a_column_that_differs_in_its_last_bits_is_constant() -> None:
    column = np.full((50, 1), 0.1)
    column[::2] = np.nextafter(0.1, 1)
    assert StandardScaler().fit(column).scale_ == 1
    assert RobustScaler().fit(column).scale_ == 0
    assert abs(StandardScaler().fit_transform(column)).max() < 1e-15


def test_signs_of_two_features_depend_on_neither_portions_nor_units(rng: np.random.Generator) -> None:
    """Both components of their eigenvectors are 1/√2 or −1/√2, equal up to rounding."""
    for _ in range(20):
        X = rng.multivariate_normal([1, 2], [[4, 1], [1, 1]], size=40)
        whole, portions = Decorrelate().fit(X), Decorrelate().partial_fit(X[:13]).partial_fit(X[13:])
        assert np.allclose(portions.transform(X), whole.transform(X))
        assert np.allclose(Decorrelate().fit_transform(X * [3.0, 7.0]), whole.transform(X))
        assert (whole.components_[:, 0] > 0).all()


def test_decorrelate_of_dependent_columns(X: Array) -> None:
    data = np.column_stack([X, X[:, 0] - 2 * X[:, 3]])
    scaler = Decorrelate().fit(data)
    Z = scaler.transform(data)
    np.testing.assert_allclose(np.cov(Z.T, bias=True), np.diag([1, 1, 1, 1, 1, 0]), atol=1e-9)
    np.testing.assert_allclose(scaler.inverse_transform(Z), data, rtol=1e-9, atol=1e-9)


@each
def test_one_row(kind: str) -> None:
    scaler = MAKE[kind]().fit([[3.0, -2.0]])
    Z = scaler.transform([[3.0, -2.0]])
    assert np.isfinite(Z).all()
    np.testing.assert_array_equal(scaler.inverse_transform(Z), [[3.0, -2.0]])


# In portions.


def fitted(scaler: Scaler) -> dict[str, Array]:
    return {name: np.asarray(getattr(scaler, name)) for name in scaler.saved}


@each_in_portions
@pytest.mark.parametrize("gaps", [False, True])
@given(cuts=st.lists(st.integers(1, 199), max_size=6), seed=st.integers(0, 5))
def test_portions_give_the_statistics_of_the_whole(kind: str, gaps: bool, cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 4)) + [0, 1e3, -7, 1]
    data = with_gaps(data, rng) if gaps else data
    if gaps:
        data[0] = 1.0  # the first portion must not be empty
    whole, portions = (MAKE[kind](nan="ignore" if gaps else "error") for _ in range(2))
    whole.fit(data)
    for part in np.split(data, sorted(set(cuts))):
        portions.partial_fit(part)
    for name, array in fitted(whole).items():
        if name == "components_":  # as far as they are determined
            array, got = whole.transform(data), portions.transform(data)
            np.testing.assert_allclose(got, array, rtol=1e-9, atol=1e-9)
        else:
            np.testing.assert_allclose(getattr(portions, name), array, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("fitted", [False, True])
def test_quartiles_of_portions_are_refused(fitted: bool, X: Array) -> None:
    scaler = RobustScaler().fit(X) if fitted else RobustScaler()
    with pytest.raises(ValueError, match="RobustScaler must see all data at once: take fit instead of partial_fit"):
        scaler.partial_fit(X)
    assert hasattr(scaler, "center_") is fitted


def test_large_arrays_are_processed_in_portions(monkeypatch: pytest.MonkeyPatch, X: Array) -> None:
    whole = {kind: make().fit(X) for kind, make in MAKE.items()}
    monkeypatch.setattr("nncore._utils.checks.CHUNK", 64)
    for kind, scaler in whole.items():
        np.testing.assert_allclose(MAKE[kind]().fit(X).transform(X), scaler.transform(X), rtol=1e-9, atol=1e-9)


@each
def test_fit_discards_earlier_statistics(kind: str, X: Array) -> None:
    scaler = MAKE[kind]().fit(X * 7 + 1)
    again, once = scaler.fit(X), MAKE[kind]().fit(X)
    assert again is scaler
    for name, array in fitted(once).items():
        np.testing.assert_array_equal(getattr(again, name), array)
    assert scaler.fit(X[:, :2]).n_features_in_ == 2


# Shapes, dtypes, bad input.


@each
@pytest.mark.parametrize("shape", [(30,), (30, 1), (30, 4), (30, 2, 3)])
def test_shapes_and_dtypes(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    data = rng.standard_normal(shape)
    scaler = MAKE[kind]().fit(data)
    Z = scaler.transform(data)
    assert Z.shape == shape
    assert Z.dtype == np.float64
    single = scaler.transform(data.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, Z, atol=1e-5)
    assert scaler.transform(np.ones(shape, dtype=int)).dtype == np.float64
    np.testing.assert_allclose(Z.reshape(30, -1), MAKE[kind]().fit(data.reshape(30, -1)).transform(data.reshape(30, -1)))


@each
def test_bad_input_is_named_and_changes_nothing(kind: str, X: Array) -> None:
    scaler = MAKE[kind]()
    with pytest.raises(ValueError, match="not fitted"):
        scaler.transform(X)
    scaler.fit(X)
    learn = scaler.partial_fit if scaler.in_portions else scaler.fit
    before = {name: array.copy() for name, array in fitted(scaler).items()}
    bad = X.copy()
    bad[17, 2] = np.nan
    worse = X.copy()
    worse[3, 1] = np.inf
    for data, message in [
        (bad, "X must be finite, got nan in row 17, column 2"), (worse, "got inf in row 3, column 1"),
        (X[:0], "at least one row"), (np.array(3.0), "at least one row"), (np.sign(X) * 1.5e308, "too large"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            learn(data)
    for call in (scaler.transform, scaler.partial_fit) if scaler.in_portions else (scaler.transform,):
        with pytest.raises(ValueError, match=r"must have 5 features.*got 3"):
            call(X[:, :3])
    for data in (X.astype(complex), np.array([["a"] * 5]), None):
        with pytest.raises(TypeError, match="X must hold real numbers"):
            learn(data)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(scaler, name), array)
    with pytest.raises(ValueError, match="X must be finite"):
        scaler.transform(bad)
    with pytest.raises(ValueError, match="infinite"):
        MAKE[kind](nan="ignore").fit(worse)
    with pytest.raises(ValueError, match="nan must be 'error' or 'ignore', got 'drop'"):
        MAKE[kind](nan="drop").fit(X)


@each
def test_missing_values_stay_missing(kind: str, X: Array, rng: np.random.Generator) -> None:
    data = with_gaps(X, rng)
    Z = MAKE[kind](nan="ignore").fit(data).transform(data)
    gaps = np.isnan(data)
    if kind == "decorrelate":
        gaps = np.repeat(gaps.any(axis=1, keepdims=True), 5, axis=1)
    np.testing.assert_array_equal(np.isnan(Z), gaps)


@each
def test_only_nan(kind: str) -> None:
    with pytest.raises(ValueError, match=r"X of fit must have a .*NaN"):
        MAKE[kind](nan="ignore").fit([[1.0, np.nan], [2.0, np.nan]])


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (0, np.inf), (0, np.nan), (-1e308, 1e308), 3, (1, 2, 3), ("a", "b")])
def test_bad_feature_range(ends: Any, X: Array) -> None:
    with pytest.raises((TypeError, ValueError), match="feature_range"):
        MinMaxScaler(ends).fit(X)


@pytest.mark.parametrize("tol", [-1, 1, "small", np.nan])
def test_bad_tolerance(tol: Any, X: Array) -> None:
    with pytest.raises((TypeError, ValueError), match="tol must be"):
        Decorrelate(tol=tol).fit(X)


# Inside a model.


def regression(rng: np.random.Generator, dtype: str = "float32") -> tuple[nn.Sequential, Array, Array]:
    X = rng.standard_normal((300, 3)) * [1, 100, 0.01] + [1e3, 0, 5]
    y = 1e3 + 50 * (X[:, 0] - 1e3) - X[:, 1] * 0.3
    return nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(1)], input_shape=3, dtype=dtype, seed=1), X, y


@each
def test_a_model_with_scalers_is_one_on_scaled_data(kind: str, rng: np.random.Generator) -> None:
    model, X, y = regression(rng, "float64")
    plain = model.copy()
    x_scaler, y_scaler = MAKE[kind]().fit(X), StandardScaler().fit(y)
    model.input_scaler, model.target_scaler = x_scaler, y_scaler
    Xs, ys = x_scaler.transform(X), y_scaler.transform(y)
    one = nn.Trainer(model, "mean_squared_error", nn.Adam(lr=0.01), metrics=["mean_absolute_error"])
    two = nn.Trainer(plain, "mean_squared_error", nn.Adam(lr=0.01), metrics=["mean_absolute_error"])
    kw: dict[str, Any] = {"epochs": 3, "verbose": 0, "exact_loss": True}
    one.fit(X, y, validation_data=(X[:50], y[:50]), **kw)
    two.fit(Xs, ys, validation_data=(Xs[:50], ys[:50]), **kw)
    assert np.array_equal(model.parameters, plain.parameters)
    assert one.history.to_dict() == two.history.to_dict()
    assert one.evaluate(X, y) == two.evaluate(Xs, ys)
    assert one.partial_fit(X, y) == two.partial_fit(Xs, ys)
    assert np.array_equal(model.forward(X), plain.forward(Xs))
    np.testing.assert_array_equal(model.predict(X), y_scaler.inverse_transform(plain.predict(Xs)))
    assert model.loss_and_gradient(X, y, "squared_error")[0] == plain.loss_and_gradient(Xs, ys, "squared_error")[0]
    for name, array in model.activations(X).items():
        assert np.array_equal(array, plain.activations(Xs)[name])
    for name, array in model.deltas(X, y, "squared_error").items():
        assert np.array_equal(array, plain.deltas(Xs, ys, "squared_error")[name])
    assert model.check_gradients(X[:9], y[:9], "squared_error") == plain.check_gradients(Xs[:9], ys[:9], "squared_error")
    assert np.array_equal(model.copy().predict(X), model.predict(X))


def test_scaled_regression_predicts_in_the_units_of_the_targets(rng: np.random.Generator) -> None:
    model, X, y = regression(rng)
    model.input_scaler, model.target_scaler = StandardScaler().fit(X), StandardScaler().fit(y)
    nn.Trainer(model, "mean_squared_error", nn.Adam(lr=0.01)).fit(X, y, epochs=60, verbose=0)
    error = model.predict(X)[:, 0] - y
    assert error.std() < 0.1 * y.std()
    assert model.predict(X).dtype == np.float32


def test_float64_data_are_scaled_before_they_become_float32(rng: np.random.Generator) -> None:
    """x = 10⁹ + z keeps z, which an earlier conversion would lose."""
    X = 1e9 + rng.standard_normal((50, 2))
    model = nn.Sequential([nn.Identity(), nn.Dense(1)], input_shape=2)
    model.input_scaler = StandardScaler().fit(X)
    want = StandardScaler().fit_transform(X)
    np.testing.assert_allclose(model.activations(X)["input"], want, rtol=1e-6, atol=1e-6)


def test_the_model_keeps_a_copy(rng: np.random.Generator) -> None:
    model, X, _ = regression(rng)
    scaler = StandardScaler().fit(X)
    model.input_scaler = scaler
    before = model.predict(X)
    scaler.partial_fit(X * 100)
    assert np.array_equal(model.predict(X), before)
    model.input_scaler = None
    assert model.input_scaler is None
    assert not np.array_equal(model.predict(X), before)


def test_invalid_scalers_of_a_model(rng: np.random.Generator) -> None:
    model, X, y = regression(rng)
    for scaler, error, message in [
        (StandardScaler(), ValueError, "not fitted"), (StandardScaler().fit(X[:, :2]), ValueError, "3 features, got 2"),
        ("standard", TypeError, "input_scaler must be a scaler"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            model.input_scaler = scaler
    with pytest.raises(ValueError, match="target_scaler must be fitted on 1 features, got 3"):
        model.target_scaler = StandardScaler().fit(X)
    model.input_scaler, model.target_scaler = StandardScaler(nan="ignore").fit(X), StandardScaler(nan="ignore").fit(y)
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="X must be finite, got nan in row 3"):
        model.predict(X)
    with pytest.raises(ValueError, match=r"X must have shape \(n, 3\)"):
        model.predict(X[:, :2])


# Files.


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saved_with_the_model(kind: str, dtype: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model, X, y = regression(rng, dtype)
    model.input_scaler, model.target_scaler = MAKE[kind]().fit(X), MAKE[kind](nan="ignore").fit(y)
    model.save(tmp_path / "model")
    loaded = nn.load(tmp_path / "model")
    assert loaded.predict(X).tobytes() == model.predict(X).tobytes()
    for name in ("input_scaler", "target_scaler"):
        ours, theirs = getattr(model, name), getattr(loaded, name)
        assert theirs.config() == ours.config()
        for scaler in (theirs, ours) if ours.in_portions else ():
            scaler.partial_fit(X if name[0] == "i" else y)
        for attribute, array in fitted(ours).items():
            np.testing.assert_array_equal(getattr(theirs, attribute), array)


def test_saved_with_the_trainer(tmp_path: Path, rng: np.random.Generator) -> None:
    model, X, y = regression(rng)
    other = model.copy()
    model.input_scaler = StandardScaler().fit(X)
    trainer = nn.Trainer(model, "mean_squared_error", nn.Adam())
    trainer.fit(X, y, epochs=2, verbose=0)
    trainer.save(tmp_path / "run")
    with pytest.raises(ValueError, match="another model"):
        nn.Trainer(other, "mean_squared_error", nn.Adam()).restore(tmp_path / "run")
    other.input_scaler = StandardScaler().fit(X + 1)
    resumed = nn.Trainer(other, "mean_squared_error", nn.Adam())
    resumed.restore(tmp_path / "run")
    assert resumed.evaluate(X, y) == trainer.evaluate(X, y)
    assert np.array_equal(nn.load(tmp_path / "run").predict(X), model.predict(X))


def reading(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["about"])  # noqa: SIM118


HOSTILE = {
    "no array": lambda arrays, about: arrays.pop("input_scaler.mean_"),
    "another length": lambda arrays, about: arrays.update({"input_scaler.mean_": np.zeros(4)}),
    "another dtype": lambda arrays, about: arrays.update({"input_scaler.mean_": np.zeros(3, np.float32)}),
    "nan": lambda arrays, about: arrays.update({"input_scaler.mean_": np.full(3, np.nan)}),
    "nothing seen": lambda arrays, about: arrays.update({"input_scaler.n_samples_seen_": np.zeros(3, np.int64)}),
    "empty": lambda arrays, about: arrays.update({name: a[:0] for name, a in arrays.items() if "scaler" in name}),
    "other features": lambda arrays, about: arrays.update({n: np.resize(a, 7) for n, a in arrays.items() if "scaler" in n}),
    "another class": lambda arrays, about: about["model"]["input_scaler"].update({"class": "Sequential"}),
    "no class": lambda arrays, about: about["model"]["input_scaler"].pop("class"),
    "another argument": lambda arrays, about: about["model"]["input_scaler"].update(gap=3),
    "another policy": lambda arrays, about: about["model"]["input_scaler"].update(nan=["error"]),
    "no object": lambda arrays, about: about["model"].update(input_scaler=7),
}
IMPOSSIBLE = {
    "standard": {"var_": -np.ones(3)},
    "[0, 1]": {"data_min_": np.full(3, 1e9)},
    "[-1, 1]": {"data_min_": np.full(3, -1e308), "data_max_": np.full(3, 1e308)},
    "robust": {"scale_": -np.ones(3)},
    "smooth clip": {"scale_": np.array([1.0, -1e-300, 1.0])},
    "decorrelate": {"components_": np.ones((3, 3))},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(case: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model, X, _ = regression(rng)
    model.input_scaler = StandardScaler().fit(X)
    model.save(tmp_path / "model")
    arrays, about = reading(tmp_path / "model")
    HOSTILE[case](arrays, about)
    save_file(arrays, tmp_path / "bad", metadata={"format": "nncore-1", "about": json.dumps(about)})
    with pytest.raises(ValueError, match="describes no model"):
        nn.load(tmp_path / "bad")


@each
def test_impossible_statistics(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model, X, _ = regression(rng)
    model.input_scaler = MAKE[kind]().fit(X)
    model.save(tmp_path / "model")
    arrays, about = reading(tmp_path / "model")
    arrays |= {f"input_scaler.{name}": array for name, array in IMPOSSIBLE[kind].items()}
    save_file(arrays, tmp_path / "bad", metadata={"format": "nncore-1", "about": json.dumps(about)})
    with pytest.raises(ValueError, match="describes no model"):
        nn.load(tmp_path / "bad")


def test_batch_statistics_are_those_of_the_scaled_data(rng: np.random.Generator) -> None:
    X = rng.normal([100, -3, 0.01], [20, 1, 0.001], size=(60, 3))
    scaler = StandardScaler().fit(X)
    models = [nn.Sequential([nn.Dense(4), nn.BatchNorm()], input_shape=3, dtype="float64", seed=1) for _ in range(2)]
    models[0].input_scaler = scaler
    for model, rows in zip(models, (X, scaler.transform(X)), strict=True):
        nn.Trainer(model, "squared_error").update_batch_statistics(rows, batch_size=16)
    assert np.array_equal(models[0].state, models[1].state)
    assert np.abs(models[0][1].running_mean).max() < 5  # for the raw data it would be several tens
