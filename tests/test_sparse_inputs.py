"""Sparse matrices from outside: every format and index type, files, memory maps, portions, and arrays that do not fit."""

from __future__ import annotations

import copy
import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import nncore as nn
from nncore.data import make_documents, sparse
from nncore.data.sparse import as_sparse_rows

N, WIDTH = 30, 12
DENSE = np.random.default_rng(0).normal(size=(N, WIDTH)) * (np.random.default_rng(1).random((N, WIDTH)) < 0.3)
DENSE[[0, 7, N - 1]] = 0
DENSE[12:16, 3:6] = 1.5
Y = np.arange(N) % 3
FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
pytestmark = pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
each_kind = pytest.mark.parametrize("kind", ["array", "matrix"])


def trainer() -> nn.Trainer:
    model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(3)], input_shape=WIDTH, seed=1)
    return nn.Trainer(model, "softmax_cross_entropy", "adam")


def made(form: str, kind: str) -> Any:
    return getattr(sp, f"{form}_{kind}")(DENSE, **({"blocksize": (2, 3)} if form == "bsr" else {}))


def parts(matrix: Any) -> dict[str, Any]:
    """Copies of the arrays of a matrix."""
    names = ("data", "indices", "indptr", "row", "col", "offsets", "rows")
    return {name: copy.deepcopy(getattr(matrix, name)) for name in names if hasattr(matrix, name)}


def dense(rows: sparse.SparseRows) -> Any:
    """The numbers of rows, those in one place added."""
    numbers = np.zeros((len(rows), rows.width))
    for row in range(len(rows)):
        for k in range(rows.starts[row], rows.starts[row + 1]):
            numbers[row, rows.columns[k]] += rows.values[k]
    return numbers


# ---- what is accepted


@each_kind
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr"])
def test_unsorted_and_repeated_indices(form: str, index: Any, kind: str) -> None:
    """Numbers in one place are summed; the matrix that was given stays as it is."""
    rng = np.random.default_rng(2)
    row, column = rng.integers(0, N, 300), rng.integers(0, WIDTH, 300)
    if form == "bsr":  # blocks of 2 × 3
        starts, columns = np.arange(0, 61, 4), rng.integers(0, WIDTH // 3, 60)
        given = getattr(sp, f"bsr_{kind}")((rng.integers(1, 9, (60, 2, 3)) / 4, columns, starts), shape=(N, WIDTH))
    elif form == "coo":
        given = getattr(sp, f"coo_{kind}")((rng.integers(1, 9, 300) / 4, (row, column)), shape=(N, WIDTH))
    else:
        size, other = (N, column % WIDTH) if form == "csr" else (WIDTH, row)
        starts = np.linspace(0, 300, size + 1).astype(int)
        given = getattr(sp, f"{form}_{kind}")((rng.integers(1, 9, 300) / 4, other, starts), shape=(N, WIDTH))
    if form != "coo":
        given.indices, given.indptr = given.indices.astype(index), given.indptr.astype(index)
    before = parts(given)
    expected = np.asarray(given.toarray())
    rows = as_sparse_rows(given, (WIDTH,), "float64")
    assert np.array_equal(dense(rows), expected)
    assert sp.csr_array((rows.values, rows.columns, rows.starts), shape=(N, WIDTH)).has_canonical_format
    assert {name: array.tobytes() for name, array in parts(given).items()} == {name: a.tobytes() for name, a in before.items()}
    assert all(getattr(given, name).dtype == array.dtype for name, array in before.items())


@each_kind
@pytest.mark.parametrize("form", FORMATS)
def test_matrices_without_rows_or_numbers(form: str, kind: str) -> None:
    t = trainer()
    empty, none = (getattr(sp, f"{form}_{kind}")((n, WIDTH)) for n in (5, 0))
    assert np.array_equal(t.model.predict(empty), t.model.predict(np.zeros((5, WIDTH))))
    assert t.model.predict(none).shape == (0, 3)
    with pytest.raises(ValueError, match=r"X must have at least one row, got shape \(0, 12\)"):
        t.fit(none, Y[:0])


def test_canonical_form_is_looked_at_anew() -> None:
    """Not what SciPy noted before the arrays were changed."""
    given = sp.csr_array(DENSE)
    assert given.has_canonical_format
    first, second = given.indptr[1], given.indptr[1] + 1
    given.indices[second] = given.indices[first]
    expected = given.toarray()
    assert np.array_equal(dense(as_sparse_rows(given, (WIDTH,), "float64")), expected)
    assert len(as_sparse_rows(given, (WIDTH,), "float64").values) == given.nnz - 1


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1000])
def test_checks_in_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any size: the canonical form by SciPy's rule, and where the first number that is not finite stands."""
    monkeypatch.setattr(sparse, "BLOCK", block)
    rng, found = np.random.default_rng(block), set()
    for _ in range(300):
        starts = np.sort(rng.integers(0, 9, 6))
        starts[0] = 0
        columns = rng.integers(0, 9, starts[-1])
        if rng.random() < 0.7:  # ascending in each row, but perhaps for one number
            columns = np.concatenate([np.sort(rng.permutation(9)[: b - a]) for a, b in itertools.pairwise(starts)])
            if starts[-1] and rng.random() < 0.5:
                columns[rng.integers(starts[-1])] = rng.integers(9)
        given = sp.csr_array((np.ones(starts[-1]), columns, starts), shape=(5, 9))
        found.add(given.has_canonical_format)
        assert sparse._is_canonical(given.indices, given.indptr) == given.has_canonical_format
    assert found == {True, False}
    given = sp.csr_array(DENSE)
    for at in range(given.nnz):
        bad = given.copy()
        bad.data[at:] = np.inf
        row, column = np.searchsorted(given.indptr, at, side="right") - 1, given.indices[at]
        with pytest.raises(ValueError, match=f"^X must be finite, got inf in row {row}, column {column}$"):
            as_sparse_rows(bad, (WIDTH,), "float32")


def test_what_lies_behind_the_last_row_is_not_looked_at() -> None:
    given = sp.csr_array(DENSE)
    given.data, given.indices = np.append(given.data, np.nan), np.append(given.indices, -1)
    assert np.array_equal(dense(as_sparse_rows(given, (WIDTH,), "float64")), DENSE)


# ---- memory


def is_mapped(array: Any) -> bool:
    return isinstance(array, np.memmap) or (isinstance(array, np.ndarray) and is_mapped(array.base))


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_memory_maps_are_used_as_they_are(index: str, tmp_path: Path) -> None:
    X, y = make_documents(400, 300, mean_words=10)
    for name, array in {"data": X.data, "indices": X.indices.astype(index), "indptr": X.indptr.astype(index)}.items():
        np.save(tmp_path / name, array)
    values, columns, starts = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("data", "indices", "indptr"))
    mapped = sp.csr_array((values, columns, starts), shape=X.shape)
    rows = as_sparse_rows(mapped, (300,), "float32")
    for array, file in ((rows.values, values), (rows.columns, columns), (rows.starts, starts)):
        assert np.shares_memory(array, file)
        assert is_mapped(array)
    models = []
    for given in (mapped, X):
        models.append(nn.Sequential([nn.Dense(2)], input_shape=300, seed=0))
        nn.Trainer(models[-1], "softmax_cross_entropy").fit(given, y, validation_split=0.25, epochs=2, verbose=0)
    assert np.array_equal(models[0].parameters, models[1].parameters)


def test_a_matrix_stored_by_joblib_is_used_as_it_is(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    X = make_documents(400, 300)[0]
    joblib.dump(X, tmp_path / "X.joblib")
    mapped = joblib.load(tmp_path / "X.joblib", mmap_mode="r")
    rows = as_sparse_rows(mapped, (300,), "float32")
    for array, file in ((rows.values, mapped.data), (rows.columns, mapped.indices), (rows.starts, mapped.indptr)):
        assert np.shares_memory(array, file)
        assert is_mapped(array)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_checks_take_no_memory(index: Any) -> None:
    """For a matrix of 48 or 64 MB less than 2 MB: some blocks of numbers, of columns or of rows."""
    n, each = 1_000_000, 4
    columns = np.tile(np.arange(0, 4 * each, 4, dtype=index), n)
    given = sp.csr_array((np.ones(n * each, np.float32), columns, np.arange(0, n * each + 1, each, dtype=index)), shape=(n, 16))
    as_sparse_rows(given[:10], (16,), "float32")
    tracemalloc.start()
    try:
        rows = as_sparse_rows(given, (16,), "float32")
        peak = tracemalloc.get_traced_memory()[1]
        given.data[-1] = np.nan
        tracemalloc.reset_peak()
        with pytest.raises(ValueError, match="X must be finite, got nan in row 999999, column 12"):
            as_sparse_rows(given, (16,), "float32")
        peak_of_refusal = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6
    assert peak_of_refusal < 2e6 + 8 * 2**18
    assert np.shares_memory(rows.values, given.data)
    assert np.shares_memory(rows.columns, given.indices)
    assert np.shares_memory(rows.starts, given.indptr)


# ---- files and portions


def test_svmlight_files(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = make_documents(300, 50, mean_words=5)
    datasets.dump_svmlight_file(X, y, str(tmp_path / "documents.svm"), zero_based=False)
    read, labels = datasets.load_svmlight_file(str(tmp_path / "documents.svm"), n_features=50, dtype=np.float32)
    rows = as_sparse_rows(read, (50,), "float32")
    assert np.shares_memory(rows.values, read.data)
    models = []
    for given, classes in ((read, labels), (X, y)):
        models.append(nn.Sequential([nn.Dense(2)], input_shape=50, seed=0))
        nn.Trainer(models[-1], "softmax_cross_entropy").fit(given, classes.astype(int), verbose=0)
    np.testing.assert_allclose(models[0].parameters, models[1].parameters, rtol=1e-4, atol=1e-6)


def test_partial_fit_on_portions() -> None:
    """The bits of a fit in order of all rows, and of dense portions."""
    X, y = make_documents(240, 50, mean_words=5)
    whole, portions, of_dense = (nn.Sequential([nn.Dense(2)], input_shape=50, seed=0) for _ in range(3))
    nn.Trainer(whole, "softmax_cross_entropy").fit(X, y, batch_size=20, shuffle=False, verbose=0)
    trainers = [nn.Trainer(model, "softmax_cross_entropy") for model in (portions, of_dense)]
    for first in range(0, 240, 60):
        part = slice(first, first + 60)
        losses = [
            t.partial_fit(rows, y[part], batch_size=20) for t, rows in zip(trainers, (X[part], X[part].toarray()), strict=True)
        ]
        assert losses[0] == losses[1]
    assert np.array_equal(portions.parameters, whole.parameters)
    assert np.array_equal(of_dense.parameters, whole.parameters)


def test_partial_fit_of_an_estimator_on_portions() -> None:
    pytest.importorskip("sklearn")
    from nncore.sklearn import MLPClassifier

    X, y = make_documents(240, 50, mean_words=5)
    estimators = [MLPClassifier((8,), random_state=0) for _ in range(2)]
    for first in range(0, 240, 60):
        part = slice(first, first + 60)
        for estimator, rows in zip(estimators, (X[part], X[part].toarray()), strict=True):
            estimator.partial_fit(rows, y[part], classes=[0, 1])
    assert np.array_equal(estimators[0].predict_proba(X), estimators[1].predict_proba(X.toarray()))


# ---- arrays that do not fit: refused before SciPy converts them, which would write beyond its arrays


def put(name: str, place: Any, value: Any) -> Callable[[Any], None]:
    return lambda matrix: getattr(matrix, name).__setitem__(place, value)


def exchange(name: str, change: Callable[[Any], Any]) -> Callable[[Any], None]:
    return lambda matrix: setattr(matrix, name, change(getattr(matrix, name)))


COMPRESSED = {
    "index too large": put("indices", 3, 10**6),
    "index as large as the shape": lambda m: put("indices", -1, {"csr": WIDTH, "csc": N, "bsr": WIDTH // 3}[m.format])(m),
    "negative index": put("indices", 3, -1),
    "start too large": put("indptr", -1, 10**6),
    "falling starts": put("indptr", 5, 10**6),
    "first start": put("indptr", 0, 1),
    "negative start": put("indptr", 1, -1),
    "too few starts": exchange("indptr", lambda starts: starts[:-1]),
    "too many starts": exchange("indptr", lambda starts: np.append(starts, starts[-1])),
    "too few indices": exchange("indices", lambda indices: indices[:-1]),
    "too few values": exchange("data", lambda data: data[:-1]),
    "indices of floats": exchange("indices", lambda indices: indices.astype(float)),
    "starts of floats": exchange("indptr", lambda starts: starts.astype(float)),
    "values of another axis": exchange("data", lambda data: data[..., None]),
    "indices of another axis": exchange("indices", lambda indices: indices[:, None]),
}
WRONG: dict[str, dict[str, Callable[[Any], None]]] = {
    "csr": COMPRESSED,
    "csc": COMPRESSED,
    "bsr": COMPRESSED,
    "coo": {
        "row too large": put("row", 3, N),
        "negative row": put("row", 3, -1),
        "column too large": put("col", 3, WIDTH),
        "negative column": put("col", 3, -1),
        "too few values": exchange("data", lambda data: data[:-1]),
        "too many values": exchange("data", lambda data: np.append(data, 1.0)),
    },
    "lil": {
        "column too large": lambda m: m.rows[12].__setitem__(0, WIDTH),
        "negative column": lambda m: m.rows[12].__setitem__(0, -1),
        "too few values": lambda m: m.data[12].pop(),
        "too many values": lambda m: m.data[12].extend([1.0] * 1000),
        "too few lists": lambda m: (exchange("rows", lambda rows: rows[:-1])(m), exchange("data", lambda rows: rows[:-1])(m)),
    },
    "dia": {"too many offsets": exchange("offsets", lambda offsets: np.append(offsets, [0] * 100))},
}


@each_kind
@pytest.mark.parametrize(("form", "case"), [(form, case) for form, cases in WRONG.items() for case in cases])
def test_arrays_that_do_not_fit(form: str, case: str, kind: str) -> None:
    given, t = made(form, kind), trainer()
    WRONG[form][case](given)
    theta = t.model.parameters.copy()
    calls: list[Callable[[], Any]] = [
        lambda: t.fit(given, Y), lambda: t.partial_fit(given, Y), lambda: t.evaluate(given, Y), lambda: t.model.predict(given),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=r"^X must be a valid sparse matrix: its indices do not fit its shape \(30, 12\)$"):
            call()
    assert np.array_equal(t.model.parameters, theta)
    assert (t.optimizer.step_count, len(t.history)) == (0, 0)


@each_kind
@pytest.mark.parametrize("form", FORMATS)
def test_numbers_that_are_not_finite(form: str, kind: str) -> None:
    broken = DENSE.copy()
    broken[13, 4] = np.nan
    given = getattr(sp, f"{form}_{kind}")(broken)
    t = trainer()
    theta = t.model.parameters.copy()
    for call in (t.fit, t.partial_fit, t.evaluate):
        with pytest.raises(ValueError, match=r"^X must be finite, got nan in row 13, column 4$"):
            call(given, Y)
    assert np.array_equal(t.model.parameters, theta)


@each_kind
@pytest.mark.parametrize("form", FORMATS)
def test_other_shapes(form: str, kind: str) -> None:
    for width in (WIDTH - 1, WIDTH + 1):
        with pytest.raises(ValueError, match=rf"^X must have shape \(n, 12\), got \(5, {width}\)"):
            trainer().fit(getattr(sp, f"{form}_{kind}")((5, width)), Y[:5])
    with pytest.raises(ValueError, match="X and y must have the same length, got 30 and 29"):
        trainer().fit(made(form, kind), Y[:-1])


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match=r"X must have shape \(n, 12\), got \(12,\)"):
        trainer().model.predict(sp.coo_array(np.arange(12.0)))


def test_kinds_of_values() -> None:
    of_bools = sp.csr_array(DENSE != 0)
    t = trainer()
    assert np.array_equal(t.model.predict(of_bools), t.model.predict((DENSE != 0).astype(float)))
    for kind, message in ((object, "X must hold real numbers, got dtype object"), (complex, "got dtype complex128")):
        given = sp.csr_array(DENSE)
        given.data = given.data.astype(kind)
        with pytest.raises(TypeError, match=message):
            t.model.predict(given)
