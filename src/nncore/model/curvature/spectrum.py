"""Eigenvalues of a symmetric operator defined by products: the extreme ones, and the spectral density."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import LinearOperator, eigsh

from nncore._utils.arrays import Array

__all__ = ["extremes", "lanczos_quadrature"]


def extremes(operator: LinearOperator, k: int, tol: float, seed: int) -> tuple[Array, Array, Array]:
    """The k smallest and the k largest eigenvalues, both ascending, and the eigenvector of the largest: Lanczos (ARPACK).

    Each end is computed with the spectrum shifted so that the other end is at 0. So the wanted eigenvalues converge first, and
    ``tol`` is relative to the width of the spectrum, also for an end near 0. Lanczos finds one eigenvector of a multiple
    eigenvalue per start, so such an eigenvalue may be listed fewer times than its multiplicity.
    """
    n = operator.shape[0]
    start = np.random.default_rng(seed).standard_normal(n)
    if not np.any(operator @ start):  # the operator is 0, as a random vector lies in no subspace; ARPACK would refuse it
        return np.zeros(k), np.zeros(k), start / np.linalg.norm(start)
    far = float(eigsh(operator, k=1, which="LM", v0=start, tol=tol, return_eigenvectors=False)[0])

    def end(sign: float, shift: float, count: int) -> tuple[Array, Array]:
        """The largest eigenvalues of sign · (operator − shift), as eigenvalues of the operator."""
        shifted = LinearOperator((n, n), dtype=np.float64, matvec=lambda v: sign * (operator @ v - shift * v))
        values, vectors = eigsh(shifted, k=count, which="LA", v0=start, tol=tol)
        order = np.argsort(shift + sign * values)
        return (shift + sign * values)[order], vectors[:, order]

    far_sign = 1.0 if far >= 0 else -1.0
    near, near_vectors = end(-far_sign, far, k)
    away, away_vectors = end(far_sign, float(near[0 if far_sign > 0 else -1]), k)
    if far_sign > 0:
        return near, away, away_vectors[:, -1]
    return away, near, near_vectors[:, -1]


def lanczos_quadrature(operator: LinearOperator, probes: int, steps: int, seed: int) -> tuple[Array, Array, Array]:
    """Stochastic Lanczos quadrature: nodes and weights with (1/n) tr f(A) ≈ Σ weight · f(node), and vᵀAv of each probe.

    A probe v of random signs, ‖v‖² = n, starts a Lanczos recurrence, A Q ≈ Q T with Q = (v/√n, …) orthonormal and T
    tridiagonal. With T = S diag(node) Sᵀ, vᵀ f(A) v / n ≈ Σ_i S_1i² f(node_i): Gauss quadrature of the spectral measure of
    v, whose mean over v is the spectral density. E vᵀAv = tr A is Hutchinson's estimate.

    Source: Golub, Welsch (1969); Hutchinson (1990); Ubaru, Chen, Saad (2017).
    """
    n = operator.shape[0]
    rng = np.random.default_rng([seed, 1])
    nodes, weights, traces = [], [], []
    for _ in range(probes):
        basis = np.empty((min(steps, n), n))
        diagonal, off_diagonal = [], []
        q = rng.choice([-1.0, 1.0], n) / np.sqrt(n)
        for m in range(len(basis)):
            basis[m] = q
            product = np.asarray(operator @ q, dtype=np.float64)
            diagonal.append(float(q @ product))
            done = basis[: m + 1]
            for _ in range(2):  # full reorthogonalization: otherwise rounding causes spurious copies of eigenvalues
                product -= done.T @ (done @ product)
            norm = float(np.linalg.norm(product))
            if m == len(basis) - 1 or norm <= 1e-10 * max(map(abs, diagonal)):  # an invariant subspace: T is exact
                break
            off_diagonal.append(norm)
            q = product / norm
        values, vectors = eigh_tridiagonal(np.array(diagonal), np.array(off_diagonal))
        nodes.append(values)
        weights.append(vectors[0] ** 2 / probes)
        traces.append(n * diagonal[0])
    return np.concatenate(nodes), np.concatenate(weights), np.array(traces)
