"""Iterations of SOR on the paper's sequence of shifted Laplacians for a whole grid of relaxation factors at once."""

import functools

import numpy as np

from numopt import kernels
from numopt.problems import SystemSequence

OMEGAS = np.linspace(1, 1.95, 20)


@functools.cache
def counts_table(variance, n_steps, seed):
    """Return the contexts, and the iterations for each system and each of `OMEGAS`."""
    systems = list(SystemSequence.shifted_laplacian(variance=variance, n_steps=n_steps, seed=seed))
    A = systems[0][0]
    A.sort_indices()
    n, d = A.shape[0], OMEGAS.size
    rows = np.repeat(np.arange(n), np.diff(A.indptr))
    split = np.flatnonzero(rows == A.indices).astype(A.indices.dtype)
    data = np.stack([system.data for system, _, _ in systems])
    b = np.repeat(np.stack([right for _, right, _ in systems]), d, axis=0)
    which = np.repeat(np.arange(n_steps), d)
    omega = np.tile(OMEGAS, n_steps)
    target = 1e-8 * np.linalg.norm(b, axis=1)
    k = kernels.bind(np)
    nit, norms = np.zeros(which.size, dtype=np.int64), np.zeros(which.size)
    work = np.zeros(k.sor_batch_work(which.size, n, A.nnz))
    x = np.zeros_like(b)
    k.sor_batch(
        data, A.indices, A.indptr, split, np.zeros(0, dtype=np.int64), which, b, omega, 1, target, 10_000, x, work,
        nit, norms,
    )  # fmt: skip
    return np.array([context for _, _, context in systems]), nit.reshape(n_steps, d)
