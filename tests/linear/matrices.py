"""Matrices and dense definitions for the tests of linear solvers."""

import numpy as np
import scipy.sparse as sp

from numopt.linear import Stencil


def poisson(nx, ny=None):
    """The 5-point Laplacian on an interior grid, as CSR."""
    return Stencil((ny or nx, nx), (4.0, -1.0, -1.0, -1.0, -1.0)).tocsr()


def random_spd(n, seed=0, *, density=0.2, dtype=float):
    """A sparse Hermitian positive definite matrix without structure."""
    rng = np.random.default_rng(seed)
    B = sp.random_array((n, n), density=density, rng=rng).toarray().astype(dtype)
    if np.issubdtype(dtype, np.complexfloating):
        B = B * np.exp(2j * np.pi * rng.random((n, n)))
    A = B + B.conj().T
    return sp.csr_array(A + np.diag(abs(A).sum(axis=1) + 0.5))


def sweep_matrix(A, omega):
    """``D / omega + L`` of a dense matrix."""
    return np.diag(np.diag(A)) / omega + np.tril(A, -1)


def sor_path(A, b, omega, sweeps, x=None):
    """Iterates 0 to `sweeps` of forward SOR by the definition."""
    M = sweep_matrix(A, omega)
    x = np.zeros(len(b), dtype=np.result_type(A, b)) if x is None else x
    path = [x]
    for _ in range(sweeps):
        x = x + np.linalg.solve(M, b - A @ x)
        path.append(x)
    return path
