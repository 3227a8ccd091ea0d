"""Quantities of the theory beside counted iterations: spectral radii, norms of powers, bounds.

The matrices are small: everything is dense.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench._records import digits
from numopt.bench.peers import _linear as linear

Floats = NDArray[np.float64]

RTOL = linear.RTOL

NEAR_TAU = 1.0 / math.e**2
"""Below this tau, and above this beta, the surrogate cost of the paper behaves well."""

NEAR_BETA = 4.0 * (1.0 - 1.0 / math.e**2) / math.e**2


def curves(task: linear.Steps, found: linear.Solutions) -> dict[str, list[float]]:
    """The columns of a scan: parameters, counts, and what `scan` names."""
    assert task.omegas is not None
    columns: dict[str, list[float]] = {"omega": _short(task.omegas)}
    if found.nits is not None:
        columns["nit"] = [int(nit) for nit in found.nits]
    if task.scan == "cg":
        from numopt.linear import axelsson_bound

        A = next(iter(task))[0]
        columns["bound"] = _short(axelsson_bound(np.asarray(task.omegas), A, rtol=RTOL))
    elif task.scan in ("sor", "offsets") and found.nits is not None:
        columns |= _relaxation(task, [int(nit) for nit in found.nits])
    return columns


def _relaxation(task: linear.Steps, nits: list[int]) -> dict[str, list[float]]:
    """Bounds on the iterations of SOR, and how near its powers are to their asymptotic rate."""
    from numopt.linear import near_asymptotic_bound, young_rate

    columns: dict[str, list[float]] = {}

    def put(**values: float) -> None:
        for name, value in values.items():
            columns.setdefault(name, []).append(digits(value))

    assert task.omegas is not None
    for (A, _, context), omega, nit in zip(task, task.omegas, nits, strict=True):
        dense, w = A.toarray(), float(omega)
        beta = jacobi_radius(dense)
        rho = float(young_rate(w, beta))
        C = residual_iteration(dense, w)
        tau = lag(C, rho, nit - 1)
        put(beta=beta, rho=rho, tau=tau)
        if context is not None:
            put(context=float(context))
        if task.scan == "sor":
            put(asymptotic=1.0 + math.log(RTOL) / math.log(rho), near=float(near_asymptotic_bound(w, rho, tau, RTOL)))
            put(energy=energy_bound(dense, w))
    return columns


def jacobi_radius(A: Floats) -> float:
    """Spectral radius of ``I - D^-1 A`` of a symmetric matrix."""
    root = 1.0 / np.sqrt(A.diagonal())
    return float(np.max(np.abs(1.0 - np.linalg.eigvalsh(A * root * root[:, None]))))


def residual_iteration(A: Floats, omega: float) -> Floats:
    """``C = I - A M^-1``, ``M = D / omega + L``: what a sweep does to the residual."""
    M = np.tril(A, -1) + np.diag(A.diagonal() / omega)
    C: Floats = np.eye(len(A)) - np.linalg.solve(M.T, A.T).T
    return C


def lag(C: Floats, rho: float, k: int) -> float:
    """The tau with ``||C^k||^(1/k) = rho + tau (1 - rho)``, 0 where the power is smaller than that."""
    if k < 1:
        return 0.0
    size = float(np.linalg.norm(np.linalg.matrix_power(C, k), 2))
    rate = math.exp(math.log(size) / k) if size > 0.0 else 0.0
    return min(max(0.0, (rate - rho) / (1.0 - rho)), 1.0 - 1e-12)


def energy_bound(A: Floats, omega: float) -> float:
    """Iterations after which the energy norm, which falls in every sweep, has brought the residual down."""
    values, vectors = np.linalg.eigh(A)
    roots = np.sqrt(values)
    M = np.tril(A, -1) + np.diag(A.diagonal() / omega)
    # A^(1/2) (I - M^-1 A) A^(-1/2) in the basis of the eigenvectors.
    inner = vectors.T @ np.linalg.solve(M, vectors * roots)
    rate = float(np.linalg.norm(np.eye(len(A)) - roots[:, None] * inner, 2))
    if rate >= 1.0:
        return math.inf
    kappa = float(values[-1] / values[0])
    return 1.0 + math.log(RTOL / math.sqrt(kappa)) / math.log(rate)


def _short(values: Any) -> list[float]:
    return [digits(float(value)) for value in np.atleast_1d(values)]
