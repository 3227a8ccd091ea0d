"""Symmetric over-relaxation as a preconditioner."""

from typing import Any

from numopt import kernels
from numopt._array import device_of, namespace
from numopt._typing import Array
from numopt.linear._relaxation import split_values
from numopt.linear._scaling import positive_roots
from numopt.linear._sor import check_layout, check_omega
from numopt.linear._stencil import Stencil
from numopt.linear._system import check_rows, check_system, real_dtype

__all__ = ["SSORPreconditioner"]


class SSORPreconditioner:
    """Approximate inverse of a matrix by one symmetric sweep of over-relaxation.

    ``M = (D + omega L) D^-1 (D + omega U) / (omega (2 - omega))`` for ``A = L + D + U``; the object applies ``M^-1``.

    Parameters
    ----------
    A : array of shape (n, n), sparse matrix or Stencil
        As for `numopt.linear.sor`; need not be symmetric (but for conjugate gradients M must be).
    omega : float, default 1
        Relaxation factor in (0, 2).
    ordering : {'natural', 'red-black', 'multicolor'} or int array of shape (n,), default 'natural'
        Order of the unknowns, as for `sor`.
    reverse : bool, default False
        Sweep backward first.

    Attributes
    ----------
    shape : (n, n)
        Of the matrix.
    dtype : dtype
        Of the matrix.
    omega : float
        Relaxation factor.

    Raises
    ------
    TypeError, ValueError
        As from `numopt.linear.sor`.

    Notes
    -----
    It has ``shape``, ``dtype``, ``matvec``, ``matmat`` and ``@``, which is what `scipy.sparse.linalg.aslinearoperator`,
    the ``M=`` of SciPy's, CuPy's and PyAMG's Krylov solvers, and `numopt.linear.cg` take. An application costs two
    triangular solves, 2 nnz flops; `numopt.linear.cg` with ``ssor_omega`` gives the same iterates for half of that.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import aslinearoperator, cg
    >>> from numopt.linear import SSORPreconditioner, Stencil
    >>> A = Stencil((20, 20), (4.0, -1.0, -1.0, -1.0, -1.0)).tocsr()
    >>> x, info = cg(A, np.ones(400), M=aslinearoperator(SSORPreconditioner(A, 1.7)))
    >>> info
    0
    """

    def __init__(self, A: Any, omega: float = 1.0, *, ordering: Any = "natural", reverse: bool = False) -> None:
        self.omega = check_omega(omega)
        layout = check_layout(ordering, 1, reverse=bool(reverse))
        shape, xp = getattr(A, "shape", (0,)), namespace(None if isinstance(A, Stencil) else A)
        # A right-hand side of zeros lets the checks of a system serve here; float32 is what gives way to any matrix
        # but one of integers.
        floating = xp.isdtype(getattr(A, "dtype", xp.float64), ("real floating", "complex floating"))
        system = check_system(
            A, xp.zeros(shape[0], dtype=xp.float32 if floating else xp.float64, device=device_of(A)), None
        )
        xp = system.xp
        rows = check_rows(system)
        data, arrangement = rows.arrange(layout)
        self.shape, self.dtype = (system.n, system.n), system.b.dtype
        self._xp, self._arrangement, self._like = xp, arrangement, system.b
        bad_row, root = positive_roots(data, arrangement)
        # A positive diagonal is scaled to one from both sides, any other from the left: the same M either way.
        self._left: Array | None = None
        if bad_row is None and root is not None:
            scale = 1 / root
        else:
            scale = xp.ones(system.n, dtype=real_dtype(system.b), device=device_of(data))
            self._left = 1 / xp.take(data, arrangement.split, axis=0)
            counts = arrangement.indptr[1:] - arrangement.indptr[:-1]
            data = data * xp.repeat(self._left, counts)
        ldata, udata = split_values(data, arrangement, scale)
        triangles = arrangement.triangles
        self._matrix = (
            ldata, triangles.lindices, triangles.lindptr, udata, triangles.uindices, triangles.uindptr, scale,
            arrangement.classes, self.omega,
        )  # fmt: skip
        self._solve = kernels.bind(xp).ssor_solve

    def __repr__(self) -> str:
        return f"<SSORPreconditioner of shape {self.shape}, omega {self.omega:g}>"

    def matvec(self, r: Array) -> Array:
        """Return ``M^-1 r`` for `r` of shape (n,), or (n, 1)."""
        xp = namespace(r, self._like)
        if r.ndim == 2 and r.shape[1] == 1:
            return xp.reshape(self.matvec(xp.reshape(r, (-1,))), (-1, 1))
        if tuple(r.shape) != self.shape[:1]:
            raise ValueError(f"`r` must have shape {self.shape[:1]}, got {tuple(r.shape)}.")
        v = self._arrangement.forward(xp.astype(r, self.dtype, copy=False))
        if self._left is not None:
            v = self._left * v
        z = xp.empty_like(v)
        self._solve(*self._matrix, v, z)
        return self._arrangement.backward(z)

    def matmat(self, R: Array) -> Array:
        """Return ``M^-1 R`` for `R` of shape (n, k)."""
        xp = namespace(R, self._like)
        return xp.stack([self.matvec(R[:, k]) for k in range(R.shape[1])], axis=1)

    def __matmul__(self, r: Array) -> Array:
        return self.matvec(r) if r.ndim == 1 else self.matmat(r)

    __call__ = matvec
