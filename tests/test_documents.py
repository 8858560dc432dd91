"""Random documents: the laws that they are drawn from, the form of the matrix, and that the classes can be learned."""

from __future__ import annotations

import itertools
import tracemalloc
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

import nncore as nn
from nncore.data import documents, make_documents
from nncore.data.sparse import as_sparse_rows


class Ordered(np.random.Generator):
    """Does not spread the words over the columns: column r − 1 has the r-th most frequent word."""

    def permutation(self, x: Any, axis: int = 0) -> Any:
        return np.arange(x)


def ordered(seed: int = 0) -> Ordered:
    return Ordered(np.random.PCG64(seed))


def law(words: int) -> Any:
    p = 1 / (np.arange(1, words + 1) + 20)
    return p / p.sum()


def assert_law(counts: Sequence[int] | Any, p: Any) -> None:
    """By a chi-square test, whose statistic exceeds this bound once in a million."""
    statistic = float((np.square(counts - np.sum(counts) * p) / (np.sum(counts) * p)).sum())
    assert statistic < stats.chi2.isf(1e-6, len(p) - 1)


def test_numbers_of_words() -> None:
    lengths = np.diff(make_documents(40_000, 20_000)[0].indptr)
    assert abs(lengths.mean() - 75.7) < 5 * 75.7 * np.sqrt(np.exp(0.55**2) - 1) / 200
    edges = np.arange(10, 300) + 0.5  # numbers are rounded
    normal = stats.norm(np.log(75.7) - 0.55**2 / 2, 0.55)
    shares = np.diff(normal.cdf(np.log([1e-9, *edges, 1e9])))
    assert_law(np.histogram(lengths, [0, *edges, 1e9])[0], shares)


@pytest.mark.parametrize("words", [100, 3000])
def test_words_are_drawn_by_zipf_and_mandelbrot(words: int) -> None:
    draw = documents._words(words, ordered())
    assert_law(np.bincount(draw(2_000_000), minlength=words), law(words))


def test_documents_are_draws_without_replacement() -> None:
    """Of documents with two words, P({i, j}) = pᵢ pⱼ/(1 − pᵢ) + pⱼ pᵢ/(1 − pⱼ)."""
    X = make_documents(60_000, 8, mean_words=2.5, seed=ordered(1))[0]
    two = np.flatnonzero(np.diff(X.indptr) == 2)
    pairs = X.indices[X.indptr[two, None] + [0, 1]]
    p = law(8)
    each = np.array([p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j])) for i, j in itertools.combinations(range(8), 2)])
    counts = [int((pairs == pair).all(axis=1).sum()) for pair in itertools.combinations(range(8), 2)]
    assert sum(counts) == len(two) > 10_000
    assert_law(counts, each)


def test_frequent_words_do_not_lie_side_by_side() -> None:
    X = make_documents(2000, 1000)[0]
    frequency = np.bincount(X.indices, minlength=1000)
    assert abs(stats.spearmanr(frequency, np.arange(1000)).statistic) < 5 / np.sqrt(1000)
    assert (np.diff(np.sort(frequency.argsort()[-20:])) > 1).mean() > 0.8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights(dtype: str) -> None:
    """With df from the columns, each row is a multiple of (1 + log tf) idf, where tf is geometric."""
    n = 3000
    X = make_documents(n, 400, dtype=dtype)[0]
    assert X.dtype == dtype
    row = np.repeat(np.arange(n), np.diff(X.indptr))
    np.testing.assert_allclose(np.sqrt(np.bincount(row, np.square(X.data, dtype=np.float64))), 1, rtol=1e-6)
    occurs = X.data / np.log((n + 1) / np.bincount(X.indices, minlength=400))[X.indices]
    once = np.minimum.reduceat(occurs, X.indptr[:-1])  # in a long document some word occurs only once
    long = np.diff(X.indptr)[row] > 30
    tf = np.exp(occurs / once[row] - 1)[long]
    assert np.abs(tf - tf.round())[tf < 8].max() < 1e-4
    assert_law(np.bincount(tf.round().astype(int).clip(max=8))[1:], np.array([0.6 * 0.4**k for k in range(7)] + [0.4**7]))


@pytest.mark.parametrize("n", [1, 2, documents.ROWS - 1, documents.ROWS, documents.ROWS + 1])
@pytest.mark.parametrize("words", [2, 3, 500])
def test_the_form_of_the_matrix(n: int, words: int) -> None:
    X, y = make_documents(n, words, mean_words=5)
    assert isinstance(X, sp.csr_matrix)
    assert X.shape == (n, words)
    assert (y.shape, y.dtype) == ((n,), np.int64)
    again = sp.csr_matrix((X.data, X.indices, X.indptr), shape=X.shape)  # whose form is not known yet
    again.check_format()
    assert again.has_canonical_format
    assert X.indices.dtype == X.indptr.dtype == np.int32
    lengths = np.diff(X.indptr)
    assert 1 <= lengths.min() <= lengths.max() <= max(words // 2, 1)
    assert (X.data > 0).all()
    rows = as_sparse_rows(X, (words,), "float32")
    assert all(np.shares_memory(*pair) for pair in ((rows.values, X.data), (rows.columns, X.indices), (rows.starts, X.indptr)))


def test_a_seed_gives_the_same_documents_on_every_machine() -> None:
    X, y = make_documents(10_000, 1000, seed=3)
    assert [zlib.crc32(array.astype("<i8")) for array in (X.indptr, X.indices, y)] == CHECKSUMS
    again, labels = make_documents(10_000, 1000, seed=np.random.default_rng(3))
    other = make_documents(10_000, 1000, seed=4)[0]
    assert np.array_equal(again.data, X.data)
    assert np.array_equal(labels, y)
    assert not np.array_equal(other.indptr, X.indptr)


CHECKSUMS = [3895806714, 2238529050, 932157181]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.4])
def test_shares_of_two_classes(noise: float) -> None:
    y = make_documents(30_000, 200, mean_words=20, noise=noise)[1]
    assert set(y) == {0, 1}
    assert abs(y.mean() - 0.47) < 1e-4 + 5 * np.sqrt(noise * (1 - noise) / 30_000)


@pytest.mark.parametrize(("classes", "noise", "excess"), [(2, 0.0, 0.01), (2, 0.1, 0.02), (5, 0.1, 0.05)])
def test_a_linear_model_comes_near_the_noise(classes: int, noise: float, excess: float) -> None:
    X, y = make_documents(60_000, 60, mean_words=20, classes=classes, noise=noise)
    assert set(y) == set(range(classes))
    model = nn.Sequential([nn.Dense(classes)], input_shape=60, seed=0)
    nn.Trainer(model, "softmax_cross_entropy", nn.Adam(0.01)).fit(X[:40_000], y[:40_000], epochs=10, batch_size=100, verbose=0)
    error = float((model.predict(X[40_000:]).argmax(axis=1) != y[40_000:]).mean())
    assert noise - 0.01 < error < noise + excess


def test_temporary_memory() -> None:
    """Less than the matrix itself and some blocks of documents."""
    make_documents(1000)
    tracemalloc.start()
    try:
        X, y = make_documents(100_000, mean_words=100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes + y.nbytes
    assert peak < size + 64 * 2**20


@pytest.mark.parametrize(("arguments", "match"), [
    ({"n": 0}, "n must be a positive integer, got 0"),
    ({"words": 1}, "words must be an integer of at least 2, got 1"),
    ({"classes": 1}, "classes must be an integer of at least 2, got 1"),
    ({"mean_words": 0}, "mean_words must be a positive number, got 0"),
    ({"noise": 0.5}, r"noise must be a number in \[0, 0.4\], got 0.5"),
    ({"noise": -0.1}, r"noise must be a number in \[0, 0.4\], got -0.1"),
    ({"dtype": "float16"}, "dtype must be float32 or float64, got 'float16'"),
])  # fmt: skip
def test_errors(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make_documents(**{"n": 10, **arguments})
