"""Sparse inputs: every format gives the bits of the dense matrix, which is never formed; other input is refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

import nncore as nn
from nncore.data.sparse import as_sparse_rows

Array = NDArray[Any]

N, WIDTH = 150, 40
FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def matrix(seed: int = 0, density: float = 0.1, dtype: str = "float64") -> Any:
    """Rows 0, 7 and the last are empty."""
    rng = np.random.default_rng(seed)
    dense = rng.standard_normal((N, WIDTH)) * (rng.random((N, WIDTH)) < density)
    dense[[0, 7, N - 1]] = 0
    return sp.csr_matrix(dense.astype(dtype))


X = matrix()
Y = np.random.default_rng(1).integers(0, 3, N)


def trainer(dtype: str = "float32", optimizer: str = "adam", **arguments: Any) -> nn.Trainer:
    layers = [nn.Dense(16), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.2), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=WIDTH, dtype=dtype, seed=2)
    return nn.Trainer(model, "softmax_cross_entropy", optimizer, metrics=["accuracy", "squared_error"], **arguments)


def same(a: Any, b: Any) -> None:
    """Equality to the bit of numbers, arrays and containers of them."""
    if isinstance(a, dict):
        assert list(a) == list(b)
        for name in a:
            same(a[name], b[name])
    else:
        assert np.array_equal(a, b), (a, b)


WAYS: dict[str, Callable[[nn.Trainer, Any], Any]] = {
    "fit": lambda t, X: t.fit(X, Y, epochs=3, batch_size=32, verbose=0).to_dict(),
    "fit in order": lambda t, X: t.fit(X, Y, epochs=2, batch_size=7, shuffle=False, verbose=0).to_dict(),
    "fit full batch": lambda t, X: t.fit(X, Y, epochs=2, batch_size=N, exact_loss=True, verbose=0).to_dict(),
    "fit merged": lambda t, X: t.fit(X[: N - 1], Y[: N - 1], batch_size=37, last_batch="merge", verbose=0).to_dict(),
    "validation split": lambda t, X: t.fit(X, Y, epochs=2, validation_split=0.3, verbose=0).to_dict(),
    "validation data": lambda t, X: t.fit(X, Y, validation_data=(X[:40], Y[:40]), verbose=0).to_dict(),
    "sampler": lambda t, X: t.fit(X, Y, epochs=2, sampler="importance_sampling", verbose=0).to_dict(),
    "stratified": lambda t, X: t.fit(X, Y, epochs=2, sampler="stratified", verbose=0).to_dict(),
    "weights": lambda t, X: t.fit(X, Y, sample_weight=np.linspace(0, 2, N), class_weight="balanced", verbose=0).to_dict(),
    "partial_fit": lambda t, X: t.partial_fit(X, Y, batch_size=50),
    "evaluate": lambda t, X: t.evaluate(X, Y),
    "lr_find": lambda t, X: t.lr_find(X, Y, steps=20).losses,
    "statistics": lambda t, X: [t.update_batch_statistics(X), t.model.state.copy()][1],
    "predict": lambda t, X: t.model.predict(X),
    "forward": lambda t, X: t.model.forward(X, training=True, step=3),
    "predict_samples": lambda t, X: t.model.predict_samples(X, samples=3),
    "activations": lambda t, X: t.model.activations(X),
    "gradient": lambda t, X: t.model.loss_and_gradient(X, Y, "softmax_cross_entropy")[1],
    "deltas": lambda t, X: t.model.deltas(X, Y, "softmax_cross_entropy"),
}


@each_dtype
@pytest.mark.parametrize("way", WAYS)
def test_the_bits_of_the_dense_matrix(way: str, dtype: str) -> None:
    sparse, dense = trainer(dtype), trainer(dtype)
    same(WAYS[way](sparse, X), WAYS[way](dense, X.toarray()))
    same(sparse.model.parameters, dense.model.parameters)
    same(sparse.model.state, dense.model.state)


@each_dtype
def test_the_curvature_of_the_dense_matrix(dtype: str) -> None:
    layers = [nn.Dense(4), nn.Tanh(), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=WIDTH, dtype=dtype, seed=2)
    v = np.random.default_rng(3).standard_normal(model.parameters.size)
    for product in (model.hessian_vector_product, model.gauss_newton_product):
        same(product(X, Y, "softmax_cross_entropy", v), product(X.toarray(), Y, "softmax_cross_entropy", v))
    same(model.jacobian(X), model.jacobian(X.toarray()))
    u = np.ones(N * 3)
    same(model.jacobian_product(X, u, transposed=True), model.jacobian_product(X.toarray(), u, transposed=True))


def test_sparse_and_dense_in_turn() -> None:
    """The programs of both are cached."""
    mixed, dense = trainer(), trainer()
    for given in (X, X.toarray(), X.tocsc(), X.toarray()):
        mixed.fit(given, Y, verbose=0)
        dense.fit(X.toarray(), Y, verbose=0)
        same(mixed.model.predict(given), dense.model.predict(X.toarray()))
    same(mixed.model.parameters, dense.model.parameters)


@pytest.mark.parametrize("array", [True, False], ids=["array", "matrix"])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
def test_formats(form: str, array: bool) -> None:
    given = getattr(sp, f"{form}_{'array' if array else 'matrix'}")(X)
    model = trainer().model
    same(model.predict(given), model.predict(X.toarray()))


@pytest.mark.parametrize("kind", ["bool", "int8", "uint16", "int64", "float32", "float64"])
@each_dtype
def test_kinds_of_numbers(kind: str, dtype: str) -> None:
    given = sp.csr_array((3 * X.toarray()).astype(kind if kind != "uint16" else int).astype(kind))
    model = trainer(dtype).model
    same(model.predict(given), model.predict(given.toarray()))


def with_indices(kind: Any) -> Any:
    other = X.copy()
    other.indices, other.indptr = other.indices.astype(kind), other.indptr.astype(kind)
    return other


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_index_types_and_threads(kind: Any, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with enough work for several threads."""
    given = with_indices(kind)
    assert given.indices.dtype == kind
    before = nn.get_num_threads()
    results = []
    try:
        for count, rows in ((1, X.toarray()), (threads, given)):
            nn.set_num_threads(count)
            model = nn.Sequential([nn.Dense(300), nn.ReLU(), nn.Dense(3)], input_shape=WIDTH, seed=2)
            history = nn.Trainer(model, "softmax_cross_entropy").fit(rows, Y, epochs=2, batch_size=100, verbose=0)
            results.append((model.parameters, history["running_loss"]))
    finally:
        nn.set_num_threads(before)
    same(results[0][0], results[1][0])
    same(results[0][1], results[1][1])


def test_duplicates_are_summed_and_the_matrix_stays_as_it_is() -> None:
    values, columns, starts = np.array([1.0, 2.0, 4.0, 8.0, 0.0]), np.array([3, 1, 3, 0, 2]), np.array([0, 3, 3, 5])
    given = sp.csr_matrix((values, columns, starts), shape=(3, WIDTH))
    dense = np.zeros((3, WIDTH))
    dense[0, [1, 3]], dense[2, 0] = (2, 5), 8
    model = trainer().model
    same(model.predict(given), model.predict(dense))
    assert given.data.tolist() == [1, 2, 4, 8, 0]
    assert given.indices.tolist() == [3, 1, 3, 0, 2]


def test_empty_rows() -> None:
    model = trainer().model
    same(model.predict(sp.csr_matrix((5, WIDTH))), model.predict(np.zeros((5, WIDTH))))
    assert model.predict(X[:0]).shape == (0, 3)
    one = nn.Sequential([nn.Dense(2)], input_shape=1)
    same(one.predict(sp.csr_matrix([[1.0], [0.0]])), one.predict([[1.0], [0.0]]))


def test_some_of_the_rows() -> None:
    rows, rng = as_sparse_rows(X, (WIDTH,), "float64"), np.random.default_rng(0)
    for chosen in (np.arange(N), rng.integers(0, N, 200), np.array([7, 0, 7]), np.array([], dtype=int), np.array([N - 1])):
        part = rows[chosen]
        csr = sp.csr_matrix((part.values, part.columns, part.starts), shape=(len(part), WIDTH))
        assert np.array_equal(csr.toarray(), X.toarray()[chosen])
        assert part.starts.dtype == rows.starts.dtype


def test_the_dense_matrix_is_never_formed() -> None:
    """4000 × 3000 numbers would be 48 MB in float32; the nonzero ones take 0.1 MB."""
    large = sp.csr_matrix(np.random.default_rng(0).poisson(1e-3, (4000, 3000)).astype(np.float32))
    model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(1)], input_shape=3000)
    fitted = nn.Trainer(model, "squared_error", "sgd")
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match=r"X has numbers in 0\.10% of its places, and dense_1 .* with SparseDense\(4\) as"):
            fitted.fit(large, np.zeros(4000), epochs=2, validation_split=0.2, verbose=0)
        fitted.model.predict(large[:100])
        fitted.partial_fit(large, np.zeros(4000), batch_size=32)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16e6  # the 512 rows of an evaluation take 6 MB


# What is refused, before anything has changed.


def spoilt(**arrays: Any) -> Any:
    """Arrays that SciPy has not checked."""
    other = X.copy()
    for name, (place, value) in arrays.items():
        getattr(other, name)[place] = value
    return other


BAD: dict[str, tuple[Any, str]] = {
    "columns": (X[:, :30], r"X must have shape \(n, 40\), got \(150, 30\)"),
    "no rows": (X[:0], r"X must have at least one row, got shape \(0, 40\)"),
    "complex": (X * 1j, "X must hold real numbers, got dtype complex128"),
    "NaN": (spoilt(data=(0, np.nan)), r"X must be finite, got nan in row 1, column \d+"),
    "infinity": (spoilt(data=(-1, -np.inf)), r"X must be finite, got -inf in row 148, column \d+"),
    "a column too large": (spoilt(indices=(3, WIDTH)), r"X must be a valid sparse matrix.*\(150, 40\)"),
    "a negative column": (spoilt(indices=(3, -1)), "X must be a valid sparse matrix"),
    "a start too large": (spoilt(indptr=(-1, 10**6)), "X must be a valid sparse matrix"),
    "starts that fall": (spoilt(indptr=(5, 10**6)), "X must be a valid sparse matrix"),
    "a first start": (spoilt(indptr=(0, 1)), "X must be a valid sparse matrix"),
    "lengths": (X[:100], "X and y must have the same length, got 100 and 150"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_matrices(case: str) -> None:
    given, message = BAD[case]
    t = trainer()
    theta = t.model.parameters.copy()
    for call in (t.fit, t.evaluate, t.partial_fit):
        with pytest.raises((ValueError, TypeError), match=message):
            call(given, Y)
    same(t.model.parameters, theta)
    if case != "lengths":
        with pytest.raises((ValueError, TypeError), match=message):
            t.model.forward(given, training=True)


def test_numbers_beyond_float32() -> None:
    with pytest.raises(ValueError, match=r"X is too large for float32, got 1e\+300 in row 1, column 16"):
        trainer().evaluate(spoilt(data=(0, 1e300)), Y)


def scaled() -> nn.Trainer:
    t = trainer()
    t.model.input_scaler = nn.data.StandardScaler().fit(X.toarray())
    return t


def recurrent() -> nn.Trainer:
    return nn.Trainer(nn.Sequential([nn.GRU(4), nn.Dense(3)], input_shape=(8, 5)), "softmax_cross_entropy")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "y": (lambda: trainer().fit(X, sp.csr_matrix(np.eye(3)[Y])), r"y must be dense here, got a sparse csr_matrix.*toarray"),
    "weights": (lambda: trainer().fit(X, Y, sample_weight=X[:, 0]), "sample_weight must be dense here"),
    "input scaler": (lambda: scaled().fit(X, Y), "X must be dense for a model with an input_scaler.*csr_matrix.*toarray"),
    "prediction with it": (lambda: scaled().model.predict(X), "X must be dense for a model with an input_scaler"),
    "scaler": (lambda: nn.data.StandardScaler().fit(X), "X must be dense here, got a sparse csr_matrix"),
    "recurrent": (lambda: recurrent().fit(X, Y), r"shape \(n, 8, 5\), got \(150, 40\); examples of more than one axis must be"),
    "second order": (
        lambda: plain("lbfgs").fit(X, Y),
        r"X must be dense with LBFGS, got a sparse matrix: take X\.toarray\(\), or",
    ),
    "validation": (lambda: trainer().fit(X, Y, validation_data=(X[:, :9], Y)), r"X of validation_data must have shape"),
}


def plain(optimizer: str) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(3)], input_shape=WIDTH)
    return nn.Trainer(model, "softmax_cross_entropy", optimizer)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_profile_of_a_sparse_step() -> None:
    found = trainer().profile(X, Y, batch_size=32, steps=5)
    assert found.ops[0].name == "gather_csr"
    assert found.ops[0].traffic >= 32 * WIDTH * 4
