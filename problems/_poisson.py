"""Distributed control of the Poisson equation on a square."""

import math

import numpy as np
import scipy.sparse as sp

from numopt.problems._base import Matrix, Problem, Vector

# Found by one Newton step with a direct factorisation of the KKT matrix: the problem is a convex quadratic program.
_F_OPT = {(3, 0.1): 9.6444420518}


class PoissonControl(Problem):
    """Find the source of a Poisson equation whose solution is close to a given function.

    On the N x N interior points, ``h = 2 / (N + 1)`` apart, of a grid on a square, minimises
    ``||w - wbar||^2 / 2 + alpha ||z||^2 / 2`` over ``x = (w, z)`` in R^(2 N^2) subject to ``L w + z = 0``, where L is
    the five-point Laplacian with zero boundary values and
    ``wbar_ij = sin(4 + e (i - (N+1)/2)) + cos(3 + e (j - (N+1)/2))`` with ``e = 0.1 / sqrt(15)``.

    Parameters
    ----------
    N : int
        Grid points in one direction; the problem has 2 N^2 variables and N^2 constraints.
    alpha : float, default 0.1
        Weight of the source in the objective.

    Raises
    ------
    TypeError
        If `N` is not an integer.
    ValueError
        If `N` is below 1 or `alpha` is not positive and finite.

    Notes
    -----
    The PDE problem of [1]_, a convex quadratic program: one exact Newton step solves it. ``x0`` and ``y0`` are ones,
    grid functions are stored column by column. Jacobian and Hessian are constant CSR matrices with about 6 N^2 and
    2 N^2 entries.

    References
    ----------
    .. [1] Hong, Na, Mahoney, Kolar, "Constrained Optimization via Exact Augmented Lagrangian and Randomized Iterative
           Sketching", ICML 2023.

    Examples
    --------
    >>> from numopt.problems import PoissonControl
    >>> problem = PoissonControl(3)
    >>> problem.n, problem.m, problem.jac(problem.x0).nnz
    (18, 9, 42)
    """

    def __init__(self, N: int, alpha: float = 0.1) -> None:
        if not isinstance(N, int | np.integer) or isinstance(N, bool):
            raise TypeError(f"`N` must be an integer, got {N!r}.")
        if N < 1:
            raise ValueError(f"`N` must be at least 1, got {N}.")
        if not (math.isfinite(alpha) and alpha > 0.0):
            raise ValueError(f"`alpha` must be a positive finite float, got {alpha}.")
        size = N * N
        f_opt = _F_OPT.get((int(N), float(alpha)))
        super().__init__(
            name=f"poisson-control-{N}",
            x0=np.ones(2 * size),
            m=size,
            y0=np.ones(size),
            is_linear=np.ones(size, dtype=bool),
            classification=f"QLR2-MN-{2 * size}-{size}",
            f_opt=f_opt,
            f_opt_source=None if f_opt is None else "direct solution of the KKT system",
            source="closed form",
        )
        self.N = int(N)
        self.alpha = float(alpha)
        offset = 0.1 / math.sqrt(15.0) * (np.arange(1, N + 1) - (N + 1) / 2.0)
        # Column-major: the first index runs fastest.
        self._target = np.add.outer(np.cos(3.0 + offset), np.sin(4.0 + offset)).ravel()
        self._weight = np.repeat([1.0, alpha], size)
        self._J = sp.csr_array(sp.hstack([_laplacian(int(N)), sp.eye_array(size)], format="csr"))
        self._J.sort_indices()
        every = np.arange(2 * size + 1, dtype=np.int32)
        self._H = sp.csr_array((self._weight, every[:-1], every), shape=(2 * size, 2 * size))

    def _fun(self, x: Vector) -> float:
        w, z = np.split(x, 2)
        gap = w - self._target
        return float(0.5 * (gap @ gap) + 0.5 * self.alpha * (z @ z))

    def _grad(self, x: Vector) -> Vector:
        gradient = self._weight * x
        gradient[: self.m] -= self._target
        return gradient

    def _cons(self, x: Vector) -> Vector:
        values: Vector = self._J @ x
        return values

    def _jac(self, x: Vector) -> Matrix:
        return self._J

    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        return sp.csr_array((obj_weight * self._weight, self._H.indices, self._H.indptr), shape=self._H.shape)

    def _lag_hessp(self, x: Vector, lam: Vector, v: Vector, obj_weight: float) -> Vector:
        return obj_weight * self._weight * v


def _laplacian(N: int) -> Matrix:
    """Five-point Laplacian on N x N interior points with zero boundary values."""
    inverse_h2 = ((N + 1) / 2.0) ** 2
    second = sp.diags_array([inverse_h2, -2.0 * inverse_h2, inverse_h2], offsets=[-1, 0, 1], shape=(N, N))
    identity = sp.eye_array(N)
    # In CSR, since kron would choose blocks with stored zeros for small N.
    return sp.kron(identity, second, format="csr") + sp.kron(second, identity, format="csr")
