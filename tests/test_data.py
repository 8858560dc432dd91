import builtins

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from nncore.data import load_digits, ordered_lines, train_validation_split, two_spirals, xor

fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32)


def check_partition(train, validation, n):
    assert len(train) >= 1
    assert len(validation) >= 1
    assert (np.sort(np.concatenate([train, validation])) == np.arange(n)).all()
    assert train.dtype == validation.dtype == np.intp


@given(st.integers(2, 200), fractions, seeds)
def test_plain_split(n, fraction, seed):
    train, validation = train_validation_split(np.zeros((n, 2)), np.zeros((n, 1)), fraction, seed)
    check_partition(train, validation, n)
    assert len(validation) == min(max(round(fraction * n), 1), n - 1)


@given(st.lists(st.integers(-3, 6), min_size=2, max_size=120), fractions, seeds)
def test_stratified_split(y, fraction, seed):
    y = np.array(y)
    train, validation = train_validation_split(y, y, fraction, seed)
    check_partition(train, validation, len(y))
    at_least, at_most, singles = 0, 0, 0
    for c, count in zip(*np.unique(y, return_counts=True), strict=True):
        held = (y[validation] == c).sum()
        assert abs(held - fraction * count) <= 1
        quota = round(fraction * count, 9)
        if count >= 2:
            assert 1 <= held <= count - 1
            at_least += max(np.floor(quota), 1)
            at_most += min(np.ceil(quota), count - 1)
        else:
            singles += 1
    at_least += np.floor(round(fraction * singles, 9))
    at_most += np.ceil(round(fraction * singles, 9))
    wanted = min(max(round(fraction * len(y)), 1), len(y) - 1)
    assert len(validation) == min(max(wanted, at_least), at_most)


def test_classes_of_one_row_are_pooled():
    train, validation = train_validation_split(np.arange(10), np.arange(10), 0.3)
    assert len(validation) == 3
    check_partition(train, validation, 10)


def test_the_largest_remainder_is_rounded_up():
    y = np.repeat([0, 1], [5, 7])  # a quarter: 1.25 and 1.75
    assert np.bincount(y[train_validation_split(y, y, 0.25)[1]]).tolist() == [1, 2]


def test_same_seed_same_split_and_shuffled():
    X = np.zeros((100, 1))
    a, b, c = (train_validation_split(X, fraction=0.3, seed=s) for s in (1, 1, 2))
    assert all((i == j).all() for i, j in zip(a, b, strict=True))
    assert (a[1] != c[1]).any()
    assert (np.diff(a[0]) < 0).any()
    assert (train_validation_split(X, fraction=0.3, seed=np.random.default_rng(1))[0] == a[0]).all()


def test_each_row_is_held_out_equally_often():
    y = np.repeat([0, 1], [15, 5])
    times = np.zeros(20)
    for seed in range(2000):
        times[train_validation_split(y, y, 0.4, seed)[1]] += 1
    assert (abs(times - 800) < 5 * np.sqrt(2000 * 0.4 * 0.6)).all()


def test_what_is_stratified():
    y = np.repeat([0, 1], [6, 6])
    one_hot = np.eye(2)[y]

    def balanced(labels, stratify):
        return all((y[train_validation_split(y, labels, 0.5, s, stratify)[1]]).sum() == 3 for s in range(20))

    assert balanced(y, "auto")
    assert balanced(y.astype(bool), "auto")
    assert balanced(one_hot, True)
    assert balanced(np.where(y, "a", "b"), True)
    assert not balanced(y, False)
    assert not balanced(y.astype(float), "auto")
    assert not balanced(one_hot, "auto")


def test_accepts_lists_and_sparse_matrices():
    assert len(train_validation_split([[1], [2], [3], [4]], fraction=0.25)[1]) == 1
    assert len(train_validation_split(sparse.csr_matrix((8, 3)), fraction=0.25)[1]) == 2


@pytest.mark.parametrize(("arguments", "match"), [
    ({"fraction": 0.0}, "fraction must be a number in"),
    ({"fraction": 1.0}, "fraction must be a number in"),
    ({"fraction": np.nan}, "fraction must be a number in"),
    ({"X": np.zeros((1, 3)), "y": None}, "at least 2 rows"),
    ({"X": []}, "at least 2 rows"),
    ({"y": [1, 2, 3]}, "as many rows"),
    ({"y": 3}, "as many rows"),
    ({"y": None, "stratify": True}, "needs y"),
    ({"stratify": "yes"}, "stratify must be"),
])  # fmt: skip
def test_split_errors(arguments, match):
    with pytest.raises(ValueError, match=match):
        train_validation_split(**{"X": np.zeros((4, 2)), "y": [0, 0, 1, 1], **arguments})


def test_digits():
    pytest.importorskip("sklearn")
    X, y = load_digits()
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((1797, 64), np.float32, (1797,), np.int64)
    assert X.flags.c_contiguous
    assert (X.min(), X.max()) == (0, 1)
    images, _ = load_digits(flat=False, scale=False)
    assert images.shape == (1797, 8, 8)
    assert (images.reshape(1797, 64) == 16 * X).all()
    assert set(y) == set(range(10))


def test_digits_without_sklearn(monkeypatch):
    real_import = builtins.__import__

    def no_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_sklearn)
    with pytest.raises(ImportError, match=r"pip install scikit-learn"):
        load_digits()


def test_xor():
    X, y = xor()
    assert X.dtype == np.float32
    assert y.dtype == np.int64
    assert (y == np.logical_xor(X[:, 0], X[:, 1])).all()


def test_two_spirals_are_those_of_lang_and_witbrock():
    X, y = two_spirals()
    assert (X.shape, X.dtype, y.dtype) == ((194, 2), np.float32, np.int64)
    i = np.arange(97)
    radius, angle = 6.5 * (104 - i) / 104, i * np.pi / 16
    expected = np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]) / 6.5
    np.testing.assert_allclose(X[y == 0], expected, atol=1e-6)
    np.testing.assert_allclose(X[y == 1], -expected, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 100, 101])
def test_two_spirals_sizes(n):
    X, y = two_spirals(n)
    assert len(X) == len(y) == n
    assert abs(X).max() <= 1
    assert abs(2 * y.sum() - n) <= 1


def test_two_spirals_noise():
    clean, noisy = two_spirals(2000)[0], two_spirals(2000, noise=0.1)[0]
    difference = (noisy - clean).ravel()
    assert abs(difference.std() / 0.1 - 1) < 5 / np.sqrt(2 * difference.size)
    assert (two_spirals(2000, noise=0.1)[0] == noisy).all()
    assert (two_spirals(2000, noise=0.1, seed=1)[0] != noisy).any()
    for arguments in ({"n": 1}, {"noise": -1.0}, {"noise": np.nan}):
        with pytest.raises(ValueError, match="must be"):
            two_spirals(**arguments)


def test_ordered_lines():
    X, y = ordered_lines(5)
    assert X.shape == y.shape == (10, 1)
    assert X.dtype == y.dtype == np.float32
    assert (y[:5] == 2 * X[:5]).all()
    assert (y[5:] == -X[5:]).all()
    assert (X * y).sum() / (X * X).sum() == 0.5
    with pytest.raises(ValueError, match="points"):
        ordered_lines(0)
