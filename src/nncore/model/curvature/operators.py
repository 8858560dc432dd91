"""Hessian, Gauss-Newton matrix and Jacobian as SciPy linear operators, defined by products and formed only on request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from nncore import losses, regularizers
from nncore._messages import shown
from nncore._utils.arrays import Array, for_kernels
from nncore._utils.checks import as_numbers, check_dense, check_lengths, convert
from nncore.data.example_weights import example_weights
from nncore.data.sparse import SparseRows
from nncore.losses import Loss
from nncore.model.curvature.linearization import CurvatureProgram, JacobianProgram, chunk_rows
from nncore.model.network import Network
from nncore.regularizers import Regularizer

__all__ = ["GaussNewtonOperator", "HessianOperator", "JacobianOperator"]

BLOCK_BYTES = 1 << 26  # of the block of unit vectors used to form a matrix


class _Operator(LinearOperator):
    """Common base: the data, in chunks, and products with vectors given as rows."""

    def __init__(self, model: Network, X: Any) -> None:
        if not isinstance(model, Network):
            raise TypeError(f"model must be a Sequential, got {shown(model)}")
        if not model.parameters.size:
            raise ValueError("model must have parameters, got none")
        self.model = model
        self._rows = model.input_rows(X)
        self._sparse = isinstance(self._rows, SparseRows)
        self._capacity = chunk_rows(model, len(self._rows))
        model.check_batches(len(self._rows), self._capacity, training=True)

    def _chunks(self) -> Iterator[tuple[int, int]]:
        for start in range(0, len(self._rows), self._capacity):
            yield start, min(self._capacity, len(self._rows) - start)

    def _vectors(self, V: Any, size: int, argument: str = "v") -> Array:
        """Vectors as rows (k, size) of the model's dtype."""
        array = as_numbers(V, argument)
        if array.ndim not in (1, 2) or array.shape[-1] != size:
            raise ValueError(f"{argument} must have shape ({size},) or (k, {size}), got {array.shape}")
        vectors = for_kernels(convert(array, self.model.dtype)).reshape(-1, size)
        if not np.isfinite(vectors).all():
            raise ValueError(f"{argument} must be finite, got NaN or infinity")
        return vectors

    def products(self, V: Any) -> Array:
        """Products with each row of V (k, n), as rows; or with a single vector (n,)."""
        vectors = self._vectors(V, self.shape[1])
        return self._products(vectors).reshape(*np.shape(V)[:-1], self.shape[0])

    def _products(self, vectors: Array) -> Array:
        raise NotImplementedError

    def _matmat(self, V: Array) -> Array:
        return self.products(np.transpose(V)).T

    def _unit_vectors(self) -> Iterator[tuple[slice, Array]]:
        n = self.shape[1]
        block = max(1, min(n, BLOCK_BYTES // (n * self.dtype.itemsize)))
        for first in range(0, n, block):
            which = np.arange(first, min(first + block, n))
            units = np.zeros((len(which), n), self.dtype)
            units[which - first, which] = 1
            yield slice(first, first + len(which)), units


class _Curvature(_Operator):
    """A symmetric (n, n) matrix of second derivatives of a mean loss."""

    _gauss_newton: bool

    def __init__(
        self, model: Network, X: Any, y: Any, loss: Loss | str | Callable[..., Any], regularizer: Regularizer | None = None,
        sample_weight: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(model, X)
        regularizer = regularizers.get(regularizer, model)
        loss = losses.get(loss)
        targets = losses.targets_of(loss, model.scaled_targets(y), math.prod(model.output_shape), model.dtype)
        check_lengths(self._rows, targets)
        self._penalty = regularizer.curvature(model) if regularizer else None
        weighted = sample_weight is not None
        self._gathered = [targets.array] + ([example_weights(sample_weight, len(self._rows))] if weighted else [])
        key = ("curvature", self._gauss_newton, self._capacity, loss.key(), targets.kind, self._sparse, weighted)

        def compile() -> CurvatureProgram:
            return CurvatureProgram(
                model, self._capacity, loss, targets, sparse=self._sparse, weighted=weighted, gauss_newton=self._gauss_newton
            )

        self._program: CurvatureProgram = model._cached(key, compile)
        LinearOperator.__init__(self, model.dtype, (model.parameters.size,) * 2)

    def _products(self, vectors: Array) -> Array:
        products = np.zeros_like(vectors)
        self._add_products(vectors, products)
        return products

    def _add_products(self, vectors: Array, products: Array) -> None:
        program, scale = self._program, 1.0 / len(self._rows)
        gathered = [(op, 1, array) for op, array in zip(program.gathers, self._gathered, strict=True)]
        with program.lock:
            for start, count in self._chunks():
                program.linearize(self, self._rows, start, count, scale, gathered)
                program.add_products(self._rows, vectors, products, count, scale)
        if self._penalty is not None:
            products += self._penalty * vectors

    def matrix(self) -> Array:
        """The matrix, (n, n), symmetrized to remove rounding errors."""
        check_dense("the matrix", self.shape[0], self.dtype.itemsize, "Products with vectors need no matrix")
        matrix = np.zeros(self.shape, self.dtype)
        for rows, units in self._unit_vectors():
            self._add_products(units, matrix[rows])
        matrix += matrix.T
        matrix *= 0.5
        return matrix

    def _adjoint(self) -> LinearOperator:
        return self

    _transpose = _adjoint


class HessianOperator(_Curvature):
    """H = ∂²l/∂θ², the second derivatives of the mean loss: H v by Pearlmutter's R-operator (1994).

    l is what ``model.loss_and_gradient`` returns: the mean over the rows of X, in training mode. H v costs about as much as
    the gradient, and no part of H is formed.

    Parameters
    ----------
    model : nncore.Sequential
        The operator follows ``model.parameters``: the passes over X are reused from product to product and repeated when the
        parameters have changed.
    X, y, loss : as for ``Sequential.loss_and_gradient``
    regularizer : Regularizer, optional
        L2 adds l2 v on the weights; the second derivative of L1 is 0 wherever it exists.
    sample_weight : array_like (n,), optional
        Weights of the examples' losses, as for ``Trainer.fit``.

    Attributes
    ----------
    shape : (n, n), n = ``model.parameters.size``
    dtype : that of the model; other vectors are converted

    Notes
    -----
    ReLU, LeakyReLU, SELU, ELU with α ≠ 1, `ActivityL1`, the hinge and quantile losses and the mean absolute error have kinks.
    Second derivatives do not exist there; one-sided ones are used instead. So H of a ReLU network does not contain the kinks
    between its linear regions.
    With `BatchNorm` that is not frozen, the statistics are those of the whole X. So X is not divided into chunks, and its
    signals must fit in memory.

    Raises
    ------
    TypeError
        For a layer or a loss without second derivatives: one written in Python, a random layer (noise, dropout,
        zoneout), and `BatchRenorm` unless frozen.
    ValueError
        If X, y or a vector does not fit; in a product, if the loss is not finite, or a layer has been frozen or unfrozen since.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(1)], input_shape=2, dtype="float64")
    >>> X, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.zeros(2)
    >>> H = HessianOperator(model, X, y, "squared_error")  # linear model: XᵀX / 2, with a column of ones for the bias
    >>> H @ np.array([1.0, 0.0, 0.0])
    array([5., 7., 2.])
    >>> H.matrix()
    array([[ 5.,  7.,  2.],
           [ 7., 10.,  3.],
           [ 2.,  3.,  1.]])
    """

    _gauss_newton = False


class GaussNewtonOperator(_Curvature):
    """G = Jᵀ (∂²l/∂y²) J, J = ∂y/∂θ: H without the second derivatives of the network (Schraudolph 2002).

    G is positive semidefinite where the loss is convex in the outputs y, as all of nncore's are, and equal to H where y is
    linear in θ. For ``squared_error`` it is JᵀJ / rows, for ``softmax_cross_entropy`` the Fisher information of the labels.
    Arguments, attributes and errors are those of `HessianOperator`.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=2, dtype="float64")
    >>> X, y = np.eye(2), np.array([5.0, -5.0])
    >>> G, J = GaussNewtonOperator(model, X, y, "squared_error").matrix(), model.jacobian(X)
    >>> np.allclose(G, J.T @ J / 2)
    True
    """

    _gauss_newton = True


class JacobianOperator(_Operator):
    """J = ∂y/∂θ for the outputs of all rows of X, in training mode: row r · outputs + j belongs to output j of row r.

    J v is a forward pass through the network, Jᵀ u a backward pass. The shape is (rows · outputs, n), the dtype the model's.

    Parameters
    ----------
    model : nncore.Sequential
        The operator follows its parameters, as `HessianOperator` does.
    X : array_like, ``(rows, *input_shape)``

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(1)], input_shape=2)
    >>> J = JacobianOperator(model, np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> J.matrix()
    array([[1., 2., 1.],
           [3., 4., 1.]], dtype=float32)
    >>> J.T @ np.ones(2)
    array([4., 6., 2.], dtype=float32)
    """

    def __init__(self, model: Network, X: Any) -> None:
        super().__init__(model, X)
        self._outputs = math.prod(model.output_shape)
        self._program: JacobianProgram = model._cached(
            ("jacobian", self._capacity, self._sparse), lambda: JacobianProgram(model, self._capacity, sparse=self._sparse)
        )
        LinearOperator.__init__(self, model.dtype, (len(self._rows) * self._outputs, model.parameters.size))

    def _linearized(self) -> Iterator[tuple[int, int]]:
        for start, count in self._chunks():
            self._program.linearize(self, self._rows, start, count, 0.0)
            yield start, count

    def _products(self, vectors: Array) -> Array:
        out = np.empty((len(vectors), len(self._rows), self._outputs), self.dtype)
        with self._program.lock:
            for start, count in self._linearized():
                chunk = np.empty((len(vectors), count, self._outputs), self.dtype)
                self._program.write_forward(self._rows, vectors, chunk, count)
                out[:, start : start + count] = chunk
        return out.reshape(len(vectors), -1)

    def transposed_products(self, U: Any) -> Array:
        """Jᵀ u for each row u of U (k, rows · outputs), as rows; or for a single u (rows · outputs,)."""
        seeds = self._vectors(U, self.shape[0]).reshape(-1, len(self._rows), self._outputs)
        products = np.zeros((len(seeds), self.shape[1]), self.dtype)
        with self._program.lock:
            for start, count in self._linearized():
                self._program.add_backward(self._rows, np.ascontiguousarray(seeds[:, start : start + count]), products, count)
        return products.reshape(*np.shape(U)[:-1], self.shape[1])

    def _rmatvec(self, u: Array) -> Array:
        return self.transposed_products(np.reshape(u, -1))

    def _rmatmat(self, U: Array) -> Array:
        return self.transposed_products(np.transpose(U)).T

    def matrix(self) -> Array:
        """The matrix, (rows · outputs, n)."""
        matrix = np.empty(self.shape, self.dtype)
        for columns, units in self._unit_vectors():
            matrix[:, columns] = self._products(units).T
        return matrix
