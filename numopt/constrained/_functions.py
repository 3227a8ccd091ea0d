"""The user's functions behind one interface: values, first derivatives and Hessians of the Lagrangian, counted.

Everything comes back in the dtype, library and device of `x0`; Jacobians and Hessians stay dense, sparse or operators
as they were given.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from numopt._array import is_numpy, is_sparse
from numopt._typing import Array, Namespace
from numopt.constrained import _finite_differences as differences
from numopt.constrained._constraints import DIFFERENCES, EqualityBlock, equality_shift, is_missing_hessian

SYMMETRY_RTOL = 1e-8


def is_operator(A: Any) -> bool:
    """Whether `A` is known by its products alone."""
    return hasattr(A, "matvec") and not is_sparse(A)


def stack_rows(blocks: list[Any], xp: Namespace) -> Any:
    """Jacobian blocks below each other: dense if all are dense, sparse if one is sparse, an operator if one is."""
    if len(blocks) == 1:
        return blocks[0]
    if any(is_operator(J) for J in blocks):
        return _stack_operators([aslinearoperator(J) for J in blocks])
    if any(is_sparse(J) for J in blocks):
        import scipy.sparse as sp

        return sp.vstack([sp.csr_array(J) for J in blocks], format="csr")
    return xp.concat(blocks, axis=0)


def _stack_operators(blocks: list[LinearOperator]) -> LinearOperator:
    """Rows of several operators as one."""
    ends = np.cumsum([J.shape[0] for J in blocks])

    def rmatvec(y: Array) -> Array:
        return sum(J.rmatvec(part) for J, part in zip(blocks, np.split(y, ends[:-1]), strict=True))

    return LinearOperator(
        (int(ends[-1]), blocks[0].shape[1]),
        matvec=lambda x: np.concatenate([J.matvec(x) for J in blocks]),
        rmatvec=rmatvec,
        dtype=blocks[0].dtype,
    )


def add_matrices(A: Any, B: Any) -> Any:
    """Sum of two Hessian parts, each dense, sparse or an operator."""
    if is_operator(A) or is_operator(B):
        return aslinearoperator(A) + aslinearoperator(B)
    if is_sparse(A) != is_sparse(B):
        return (A.toarray() if is_sparse(A) else A) + (B.toarray() if is_sparse(B) else B)
    return A + B


class Functions:
    """Objective and equality constraints of one solve.

    `lag_hess`, `lag_hessp` take precedence over `hess`, `hessp` and the constraints' own Hessians; what is missing is
    replaced by differences of gradients.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        x0: Array,
        *,
        args: tuple[Any, ...],
        jac: Any,
        hess: Any,
        hessp: Any,
        blocks: list[EqualityBlock],
        lag_hess: Any,
        lag_hessp: Any,
        xp: Namespace,
    ) -> None:
        self.xp = xp
        self.like = x0
        self.n = int(x0.shape[0])
        self.blocks = blocks
        self.sizes: list[int] = []
        self.shifts: list[Array] = []
        self.nfev = self.njev = self.nhev = self.ncev = self.ncjev = 0
        self._symmetric: bool | None = None
        self._pair: tuple[Array, Any, Any] | None = None

        if not callable(fun):
            raise TypeError(f"`fun` must be callable, got {type(fun).__name__}.")
        self._args = args
        self._fun = fun
        self._fun_has_jac = jac is True
        self._central = jac != "2-point"
        if jac is True or callable(jac):
            self._jac = jac
        elif jac is None or jac is False or jac in DIFFERENCES:
            self._jac = None
        else:
            raise ValueError(f"`jac` must be callable, True or one of {DIFFERENCES}, got {jac!r}.")
        if not (callable(hess) or is_missing_hessian(hess)):
            raise ValueError(
                f"`hess` must be callable, a HessianUpdateStrategy (differences are used) or one of {DIFFERENCES}; "
                f"got {hess!r}."
            )
        self._hess = None if is_missing_hessian(hess) else hess
        for name, value in (("hessp", hessp), ("lag_hess", lag_hess), ("lag_hessp", lag_hessp)):
            if value is not None and not callable(value):
                raise TypeError(f"`{name}` must be callable, got {type(value).__name__}.")
        self._hessp, self._lag_hess, self._lag_hessp = hessp, lag_hess, lag_hessp

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Evaluations of f, grad f, the Lagrangian's Hessian (or products), c and J."""
        return self.nfev, self.njev, self.nhev, self.ncev, self.ncjev

    @counts.setter
    def counts(self, counts: tuple[int, int, int, int, int]) -> None:
        self.nfev, self.njev, self.nhev, self.ncev, self.ncjev = counts

    # -- values -------------------------------------------------------------------------------------------------

    def _vector(self, value: Any, name: str) -> Array:
        value = self.xp.asarray(value, dtype=self.like.dtype) if is_numpy(self.xp) else value
        if value.ndim == 0:
            value = self.xp.reshape(value, (1,))
        if value.ndim != 1:
            raise ValueError(f"`{name}` must return a 1-D array, got shape {tuple(value.shape)}.")
        return value

    def fun(self, x: Array) -> float:
        """Objective value as a Python float."""
        self.nfev += 1
        if self._fun_has_jac:
            return self._value_and_gradient(x)[0]
        value = self._fun(x, *self._args)
        return float(value if getattr(value, "ndim", 0) == 0 else self.xp.reshape(value, ())[()])

    def _value_and_gradient(self, x: Array) -> tuple[float, Array]:
        if self._pair is None or self._pair[0] is not x:
            value, gradient = self._fun(x, *self._args)
            self._pair = (x, float(value), gradient)
        return self._pair[1], self._pair[2]

    def grad(self, x: Array) -> Array:
        """Gradient of the objective, shape (n,)."""
        self.njev += 1
        if self._jac is None:
            return differences.jacobian(
                lambda y: self.xp.asarray(self.fun(y), dtype=self.like.dtype, device=self.like.device),
                x,
                self.xp.asarray(0.0 if self._central else self.fun(x), dtype=self.like.dtype, device=self.like.device),
                central=self._central,
                xp=self.xp,
            )
        gradient = self._value_and_gradient(x)[1] if self._fun_has_jac else self._jac(x, *self._args)
        gradient = self._vector(gradient, "jac")
        if gradient.shape[0] != self.n:
            raise ValueError(f"`jac` returned shape {tuple(gradient.shape)} but `x0` has shape ({self.n},).")
        return gradient

    def _block_value(self, i: int, x: Array) -> Array:
        value = self._vector(self.blocks[i].fun(x), f"{self.blocks[i].label}.fun")
        if len(self.shifts) == i:
            self.sizes.append(int(value.shape[0]))
            self.shifts.append(equality_shift(self.blocks[i], int(value.shape[0]), self.xp, self.like))
        return value - self.shifts[i]

    def cons(self, x: Array) -> Array:
        """Constraint residual c(x), shape (m,)."""
        self.ncev += 1
        if not self.blocks:
            return self.xp.zeros(0, dtype=self.like.dtype, device=self.like.device)
        values = [self._block_value(i, x) for i in range(len(self.blocks))]
        return values[0] if len(values) == 1 else self.xp.concat(values)

    def _block_jacobian(self, i: int, x: Array) -> Any:
        block = self.blocks[i]
        if block.jac is None:
            f0 = self._block_value(i, x)
            return differences.jacobian(lambda y: self._block_value(i, y), x, f0, central=block.central, xp=self.xp)
        J = block.jac(x)
        if is_sparse(J) or is_operator(J):
            pass
        else:
            J = self.xp.asarray(J, dtype=self.like.dtype) if is_numpy(self.xp) else J
            if J.ndim == 1:
                J = J[None, :]
        if tuple(J.shape) != (self.sizes[i], self.n):
            raise ValueError(
                f"Jacobian of {block.label} has shape {tuple(J.shape)}; "
                f"expected ({self.sizes[i]}, {self.n}) from c and `x0`."
            )
        return J

    def jac(self, x: Array) -> Any:
        """Jacobian of c, shape (m, n): dense, sparse or an operator."""
        self.ncjev += 1
        if not self.blocks:
            return self.xp.zeros((0, self.n), dtype=self.like.dtype, device=self.like.device)
        return stack_rows([self._block_jacobian(i, x) for i in range(len(self.blocks))], self.xp)

    # -- Hessian of the Lagrangian ------------------------------------------------------------------------------

    @property
    def has_hessian(self) -> bool:
        """Whether every second derivative is the user's own."""
        return self._lag_hess is not None or (
            self._hess is not None and all(block.linear or block.hess is not None for block in self.blocks)
        )

    @property
    def products_only(self) -> bool:
        """Whether the user gave Hessian products and no Hessian."""
        return self._lag_hess is None and (
            self._lag_hessp is not None or (self._hess is None and self._hessp is not None)
        )

    def lag_hess(self, x: Array, lam: Array) -> Any:
        """Hessian of L = f + lam'c, shape (n, n), symmetric."""
        self.nhev += 1
        if self._lag_hess is not None:
            return self._checked_hessian(self._lag_hess(x, lam))
        H = self._objective_hessian(x)
        start = 0
        for i, block in enumerate(self.blocks):
            v = lam[start : start + self.sizes[i]]
            start += self.sizes[i]
            if not block.linear:
                H = add_matrices(H, self._block_hessian(i, x, v))
        return self._checked_hessian(H)

    def _objective_hessian(self, x: Array) -> Any:
        if self._hess is not None:
            H = self._hess(x, *self._args)
            return H if is_sparse(H) or is_operator(H) or not is_numpy(self.xp) else self.xp.asarray(H, dtype=x.dtype)
        return differences.hessian(self.grad, x, self.grad(x), exact=self._jac is not None, xp=self.xp)

    def _block_hessian(self, i: int, x: Array, v: Array) -> Any:
        block = self.blocks[i]
        if block.hess is not None:
            H = block.hess(x, v)
            return H if is_sparse(H) or is_operator(H) or not is_numpy(self.xp) else self.xp.asarray(H, dtype=x.dtype)

        def gradient(y: Array) -> Array:
            return self._block_jacobian(i, y).T @ v

        return differences.hessian(gradient, x, gradient(x), exact=block.jac is not None, xp=self.xp)

    def _checked_hessian(self, H: Any) -> Any:
        if tuple(H.shape) != (self.n, self.n):
            raise ValueError(f"The Hessian has shape {tuple(H.shape)} but `x0` has shape ({self.n},).")
        if is_operator(H):
            return H
        if self._symmetric is None:
            gap, size = H - H.T, H
            if is_sparse(H):
                gap, size = gap.data, H.data
            largest = float(self.xp.max(self.xp.abs(size))) if size.size else 0.0
            skew = float(self.xp.max(self.xp.abs(gap))) if gap.size else 0.0
            if not math.isfinite(largest):
                raise ValueError("The Hessian of the Lagrangian is not finite at `x0`; check `hess` and `constraints`.")
            if skew > SYMMETRY_RTOL * largest:
                raise ValueError(
                    f"The Hessian of the Lagrangian is not symmetric: max |H - H'| = {skew:.1e}, "
                    f"max |H| = {largest:.1e}."
                )
            self._symmetric = skew == 0.0
        return H if self._symmetric else 0.5 * (H + H.T)

    def lag_hessp(self, x: Array, lam: Array, v: Array) -> Array:
        """Product of the Lagrangian's Hessian with `v`, without forming the Hessian where products are given."""
        self.nhev += 1
        if self._lag_hessp is not None:
            return self._vector(self._lag_hessp(x, lam, v), "lag_hessp")
        if self._hessp is not None:
            product = self._vector(self._hessp(x, v, *self._args), "hessp")
        else:
            product = differences.hessian_product(
                self.grad, x, self.grad(x), v, exact=self._jac is not None, xp=self.xp
            )
        start = 0
        for i, block in enumerate(self.blocks):
            lam_i = lam[start : start + self.sizes[i]]
            start += self.sizes[i]
            if block.linear:
                continue
            if block.hess is not None:
                product = product + block.hess(x, lam_i) @ v
            else:

                def gradient(y: Array, i: int = i, lam_i: Array = lam_i) -> Array:
                    return self._block_jacobian(i, y).T @ lam_i

                product = product + differences.hessian_product(
                    gradient, x, gradient(x), v, exact=block.jac is not None, xp=self.xp
                )
        return product
