"""Documents as rows of word weights: a sparse set of any size for text classification."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.fields import count, generator, number

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["make_documents"]

Int64 = NDArray[np.int64]
Draw = Callable[[int], NDArray[np.intp]]

SIGMA = 0.55  # of the logarithm of the number of distinct words in a document
OFFSET = 20  # of Zipf–Mandelbrot's law, as after the removal of the most frequent words
SINGLE = 0.6  # probability that a word of a document has no further occurrence in it, and so on: counts are geometric
POSITIVE = 0.47  # share of class 1 of two
MODEL = 50  # one in so many draws of a word gives it a weight in the true model
ROWS = 8192  # documents made at a time


def make_documents(
    n: int,
    words: int = 47_152,
    *,
    classes: int = 2,
    mean_words: float = 75.7,
    noise: float = 0.02,
    seed: int | np.random.Generator = 0,
    dtype: DTypeLike = np.float32,
) -> tuple[csr_matrix, Int64]:
    """n random documents as tf-idf vectors, like those of RCV1, and the class of each: X sparse (n, words), y (n,).

    A stand-in for large collections of text: as many words, as unevenly used, but without meaning. With n = 781,265 and the
    defaults X has the size of the larger part of RCV1 (Lewis et al. 2004), 59 million nonzero numbers.

    - The number of distinct words of a document is log-normal, σ = 0.55, at least 1 and at most ``words // 2``.
    - The r-th most frequent word is drawn with probability ∝ 1/(r + 20) (Zipf–Mandelbrot), until the document has its number of
      distinct words. Frequent words are spread over the columns at random.
    - A word occurs tf times, geometric with mean 5/3. Its weight is (1 + log tf) log((n + 1)/df), where df is the number
      of documents with the word; rows are divided by their norm.
    - The class follows from xᵀW, where W is normal for about 2 % of the words, drawn as those of documents are, and 0 for all
      others: with two classes whether it exceeds a threshold, set so that 47 % are of class 1 (fewer where many documents have
      none of these words); with more, which of the numbers xᵀW less their means over all documents is largest. The share
      ``noise`` of the labels is then replaced by another class: no model has a smaller error on other documents.

    Parameters
    ----------
    n : int
        Number of documents.
    words : int, default 47,152
        Number of columns, at least 2.
    classes : int, default 2
    mean_words : float, default 75.7
        Mean number of distinct words of a document.
    noise : float, default 0.02
        Share of wrong labels, at most 0.4.
    seed : int or numpy.random.Generator, default 0
        For a seed documents and classes are the same on every machine, weights up to rounding.
    dtype : float32 (default) or float64

    Returns
    -------
    X : scipy.sparse.csr_matrix
        In canonical form, so that it is used without a copy. Both index arrays are int32, or int64 from 2³¹ numbers on.
    y : ndarray of int64

    Examples
    --------
    >>> X, y = make_documents(1000, words=500, mean_words=20)
    >>> X.shape, X.dtype, y.shape
    ((1000, 500), dtype('float32'), (1000,))
    >>> print(f"{X.nnz / 1000:.0f} words per document, {y.mean():.0%} of class 1")
    19 words per document, 48% of class 1
    """
    from scipy.sparse import csr_matrix

    n, words, classes = count("n", n), count("words", words, 2), count("classes", classes, 2)
    mean_words, noise = number("mean_words", mean_words, above=0), number("noise", noise, 0, most=0.4)
    kind = np.dtype(dtype)
    if kind not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {shown(kind.name)}")
    rng = generator("seed", seed)
    starts = _starts(n, words, mean_words, rng)
    columns, values = np.empty(starts[-1], starts.dtype), np.empty(starts[-1], kind)
    draw = _words(words, rng)
    frequency = _fill(starts, columns, values, words, draw, rng)
    _weigh(starts, columns, values, np.log((n + 1) / np.maximum(frequency, 1)))
    X = csr_matrix((values, columns, starts), shape=(n, words), copy=False)
    X.has_canonical_format = True
    return X, _labels(X, classes, noise, draw, rng)


def _starts(n: int, words: int, mean_words: float, rng: np.random.Generator) -> NDArray[Any]:
    """Where each document starts, and the last ends: (n + 1,)."""
    lengths = np.rint(rng.lognormal(np.log(mean_words) - SIGMA**2 / 2, SIGMA, n)).clip(1, words // 2)
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return starts.astype(np.int32) if starts[-1] < 2**31 else starts


def _blocks(starts: NDArray[Any]) -> Iterator[tuple[slice, Int64]]:
    """The place of some documents in the arrays of a matrix, and their lengths."""
    for first in range(0, len(starts) - 1, ROWS):
        some = starts[first : first + ROWS + 1].astype(np.int64)
        yield slice(some[0], some[-1]), np.diff(some)


def _fill(
    starts: NDArray[Any], columns: NDArray[Any], values: NDArray[Any], words: int, draw: Draw, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw the words of all documents: columns, values 1 + log tf. Returns in how many documents each word is: (words,)."""
    frequency = np.zeros(words, np.intp)
    weight = 1 + np.log(np.arange(64).clip(1))  # of a word that occurs so many times, or more often than 63 times
    for part, lengths in _blocks(starts):
        columns[part] = _distinct(lengths, words, draw)
        values[part] = weight[rng.geometric(SINGLE, part.stop - part.start).clip(max=63)]
        frequency += np.bincount(columns[part], minlength=words)
    return frequency


def _words(words: int, rng: np.random.Generator) -> Draw:
    """A function that draws so many words, as column numbers, by the inverse of their distribution function."""
    cumulative = np.cumsum(1 / (np.arange(1, words + 1) + OFFSET))
    cumulative /= cumulative[-1]
    cells = 4 * words
    first = np.searchsorted(cumulative, np.arange(cells) / cells, side="right")  # the rank at the start of each cell of [0, 1)
    column = rng.permutation(words)

    def draw(size: int) -> NDArray[np.intp]:
        u = rng.random(size)
        rank = first[(u * cells).astype(np.intp)]
        while (below := cumulative[rank] <= u).any():  # in a cell there are the ends of a few words at most
            rank += below
        return column[rank]

    return draw


def _distinct(lengths: Int64, words: int, draw: Draw) -> NDArray[np.intp]:
    """For each document as many distinct words, ascending: those that a sequence of draws meets first."""
    bounds = words * np.arange(len(lengths) + 1)  # word w of document i has the key words · i + w
    keys, missing = np.empty(0, np.intp), lengths
    while missing.any():  # as many draws as there are words missing cannot give too many
        new = np.sort(np.repeat(bounds[:-1], missing) + draw(int(missing.sum())))
        keys = np.sort(np.concatenate([keys, new]), kind="stable")  # merges what is sorted
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        missing = lengths - np.diff(np.searchsorted(keys, bounds))
    return keys - np.repeat(bounds[:-1], lengths)


def _weigh(starts: NDArray[Any], columns: NDArray[Any], values: NDArray[Any], idf: NDArray[np.float64]) -> None:
    """Multiply by idf, and divide every row by its norm."""
    for part, lengths in _blocks(starts):
        weighed = values[part] * idf[columns[part]]
        norms = np.sqrt(np.add.reduceat(weighed * weighed, np.cumsum(lengths) - lengths))
        values[part] = weighed / np.repeat(norms, lengths)


@one_blas_thread()
def _labels(X: csr_matrix, classes: int, noise: float, draw: Draw, rng: np.random.Generator) -> Int64:
    n, words = X.shape
    matter = np.unique(draw(words // MODEL + 50))
    W = np.zeros((words, classes if classes > 2 else 1), X.dtype)
    W[matter] = rng.standard_normal((len(matter), W.shape[1]))
    if classes == 2:
        score = X @ W[:, 0]
        share = (POSITIVE - noise) / (1 - 2 * noise)  # before labels are replaced
        y = (score > np.quantile(score, 1 - share)).astype(np.int64)
    else:
        mean = (X.T @ np.full(n, 1 / n, X.dtype)) @ W
        y = np.concatenate([(X[i : i + ROWS] @ W - mean).argmax(axis=1) for i in range(0, n, ROWS)])
    wrong = np.flatnonzero(rng.random(n) < noise)
    y[wrong] = (y[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return y
