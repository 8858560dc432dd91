"""Symmetric linear systems, with a diagnosis of the matrix if there is no solution."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from nncore.errors import DivergenceError
from nncore.second_order.objective import Array

__all__ = ["SingularError"]


class SingularError(DivergenceError):
    """No Newton-type step exists: the matrix is singular, or not positive definite where it must be."""


def positive_definite_solve(matrix: Array, b: Array, what: str, advice: str) -> Array:
    """x with matrix · x = b by Cholesky's factorization, ⅙n³ multiply-adds; `SingularError` unless positive definite."""
    try:
        factor = scipy.linalg.cho_factor(matrix, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        factor = None
    if factor is None or not _well_conditioned(factor[0], matrix):
        lowest, highest = np.linalg.eigvalsh(matrix)[[0, -1]]
        kind = "singular" if abs(lowest) <= 1e-14 * max(abs(highest), abs(lowest)) else "not positive definite"
        kind = "singular to working precision" if factor is not None else kind
        raise SingularError(
            f"{what} is {kind}: its eigenvalues run from {lowest:.3g} to {highest:.3g}. The parameters are left as they "
            f"were. {advice}"
        )
    x: Array = scipy.linalg.cho_solve(factor, b, check_finite=False)
    return x


def symmetric_solve(matrix: Array, b: Array, what: str, advice: str) -> Array:
    """x with matrix · x = b for any nonsingular symmetric matrix, by eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    size = np.abs(values)
    if not size.min() > 1e-15 * size.max():
        raise SingularError(
            f"{what} is singular: the sizes of its eigenvalues run from {size.min():.3g} to {size.max():.3g}. The parameters "
            f"are left as they were. {advice}"
        )
    x: Array = vectors @ ((vectors.T @ b) / values)
    return x


def _well_conditioned(factor: Array, matrix: Array) -> bool:
    """Whether the reciprocal condition number, as LAPACK estimates it, is above the rounding error."""
    reciprocal, _ = scipy.linalg.lapack.dpocon(factor, np.abs(matrix).sum(axis=0).max(), uplo="L")
    return bool(reciprocal > np.finfo(np.float64).eps)
