"""What the solvers of optimal transport return."""

from collections.abc import Callable
from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import asarray_like, is_cupy, namespace
from numopt._core.status import Status
from numopt._typing import Array
from numopt.ot._cost import Cost
from numopt.ot._spread import spread

Pullback = Callable[[Any, Any, Any, Any, Any], dict[str, Array]]


REMEDIES = {
    Status.MAXITER: "raise maxiter or reg, or use anneal='auto'",
    Status.TIME_LIMIT: "raise time_limit or reg",
    Status.PRECISION: "use float64, a larger reg or a looser tol",
    Status.STALLED: "raise reg, or use a looser tol",
    Status.INFEASIBLE: "check which pairs have costs of +inf",
}
"""What a user can try, by outcome."""


class OTResult(OptimizeResult):
    """Result of an entropic transport problem.

    Attributes
    ----------
    plan, x : array of shape (n, m), sparse matrix, LazyPlan or None
        The transport plan in the form that was asked for.
    f, g : array of shape (n,), (m,)
        Dual potentials in units of the cost, with sum(b * g) = 0 where both marginals are fixed.
    value : float
        <C, P>.
    reg_value, fun : float
        The regularised objective <C, P> + reg * sum P (log P - 1), penalties included.
    dual_value : float
        The dual objective at f, g; never above the regularised optimum.
    upper_bound, lower_bound : float
        They bracket the cost of unregularised transport: cost of the plan rounded to the marginals, and the dual value
        of a feasible pair made from f. NaN where there is no such problem (unbalanced or constrained).
    marginal_error, marginal_error_linf : float
        `|P 1 - a|_1 + |P' 1 - b|_1` and the largest entry of both, recomputed for the answer that is returned.
    multipliers, constraint_values, slack : array of shape (K,)
        With constraints: the multiplier w_k of each, in P = exp((f + g' + sum_k w_k D_k - C) / reg), which is the slope
        of `reg_value` in t_k; <D_k, P>; and the slack of each inequality, zero for equations.
    constraint_error : float
        With constraints: the largest `|<D_k, P> - slack_k - t_k|`, relative to half the range of D_k.
    success, status, message : bool, Status, str
        `status` is one of `numopt.Status`; the message says what to try.
    nit, nit_sinkhorn, nit_newton, nit_coarse : int
        Steps in total and by kind, over all stages of the annealing.
    ncg, nkernel : int
        Iterations of conjugate gradients, and passes over all n * m pairs that took exponentials.
    density_used : float
        Largest part of the entries that a Newton system kept.
    stage_seconds : list of (float, float)
        Regularisation and seconds of each stage.
    time : float
        Seconds in total.
    history : dict of arrays
        With ``history=True``: per step the regularisation, error, dual value, kind of step and more.
    """

    # Set by `attach`; not an item, which OptimizeResult would print and compare.
    _pullback: Pullback | None = None

    def attach(self, pullback: Pullback | None) -> "OTResult":
        """Give the result its derivative."""
        object.__setattr__(self, "_pullback", pullback)
        return self

    def __getstate__(self) -> None:
        """Leave the derivative out of copies and pickles: it holds the costs."""

    def vjp(
        self, plan: Any = None, f: Any = None, g: Any = None, value: Any = None, reg_value: Any = None
    ) -> dict[str, Array]:
        """Pull cotangents of the answer back to the data of the problem.

        For a function l of the answer, whose gradients by some of its fields are given, return its gradients by `a`,
        `b` and `C` (by `X` and `Y` for `solve_points`). Several cotangents add up.

        Parameters
        ----------
        plan : array of shape (n, m), optional
            Gradient of l by the plan, dense whatever form the plan was asked for.
        f, g : array of shape (n,), (m,), optional
            Gradients by the potentials. Atoms without mass do not count.
        value, reg_value : float, optional
            Derivatives by <C, P> and by the regularised objective. ``vjp(reg_value=1.0)`` gives f, g and P themselves,
            the gradient of the objective by the envelope theorem, without any solve.

        Returns
        -------
        dict
            Arrays under 'a', 'b', and 'C' or 'X', 'Y'; library, dtype and device of the data.

        Raises
        ------
        ValueError
            If the solve did not converge, had constraints or was of a batch, or a cotangent has the wrong shape or is
            not finite.

        Notes
        -----
        Where both marginals are fixed, `solve` scales b to the mass of a; the gradients are those of the function with
        this scaling, so that ``sum(b * res.vjp(...)['b'])`` is zero. On the simplex only differences between the
        entries of a gradient by weights count: subtract its mean to stay in the plane sum = 0.

        The gradient by a forbidden pair's cost, and by costs and points of atoms without mass, is zero. By the weight
        of such an atom it is the limit from above, except in the parts of `reg_value` and of a common shift of f and g:
        there the true slope is infinite, and the potential, a c-transform, takes the place of the logarithm. With
        penalised marginals only these parts are there.

        Everything is exact up to the marginal error: solve to `tol` well below the accuracy wanted. One linear system
        with the whole plan is solved in float64 to a relative residual of 1e-12 (by Cholesky up to 2000 atoms on the
        shorter side, O(n^2 m); beyond by preconditioned conjugate gradients), and one or two passes over the pairs are
        made. Costs between more than 2^24 pairs of points are not stored.

        Examples
        --------
        >>> import numpy as np
        >>> from numopt.ot import solve
        >>> a, b = np.array([0.5, 0.5]), np.array([0.25, 0.75])
        >>> C = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> res = solve(a, b, C, 0.1, tol=1e-13)
        >>> bool(np.allclose(res.vjp(reg_value=1.0)["C"], res.plan))
        True
        >>> h = np.array([[0.0, 1e-6], [0.0, 0.0]])
        >>> high, low = (solve(a, b, C + s * h, 0.1, tol=1e-13).value for s in (1, -1))
        >>> bool(np.isclose(res.vjp(value=1.0)["C"][0, 1], (high - low) / 2e-6, rtol=1e-6))
        True
        """
        if self._pullback is None:
            raise ValueError(
                "This result has no derivative: it did not converge, has constraints, is of a batch, or was copied."
            )
        return self._pullback(plan, f, g, value, reg_value)


class LazyPlan:
    """A plan given by its potentials: entries are worked out when asked for, nothing of size n * m is stored.

    Parameters
    ----------
    cost : Cost
        Costs between the atoms that have mass.
    f, g : array
        Potentials of these atoms.
    reg : float
        Regularisation.
    rows, columns : array of int or None
        Where these atoms stand among all; None when all have mass.
    shape : tuple of int
        Shape of the whole plan.
    """

    def __init__(
        self, cost: Cost, f: Array, g: Array, reg: float, rows: Any, columns: Any, shape: tuple[int, int]
    ) -> None:
        self._cost, self._f, self._g, self._reg = cost, f, g, reg
        self._rows, self._columns = rows, columns
        self.shape = shape
        self.dtype = f.dtype

    def __repr__(self) -> str:
        return f"LazyPlan(shape={self.shape}, dtype={self.dtype}, reg={self._reg:g})"

    @property
    def T(self) -> "LazyPlan":
        """The transposed plan."""
        return LazyPlan(
            self._cost.transposed(), self._g, self._f, self._reg, self._columns, self._rows, self.shape[::-1]
        )

    def __matmul__(self, V: Any) -> Array:
        """Return P @ V for V of shape (m,) or (m, k)."""
        xp = namespace(self._f)
        V = asarray_like(V, self._f, dtype=self._f.dtype)
        if V.ndim not in (1, 2) or V.shape[0] != self.shape[1]:
            raise ValueError(f"`V` must have shape ({self.shape[1]},) or ({self.shape[1]}, k), got {tuple(V.shape)}.")
        columns = V[:, None] if V.ndim == 1 else V
        columns = columns if self._columns is None else xp.take(columns, self._columns, axis=0)
        kept = self._cost.apply(self._f, self._g, self._reg, xp.asarray(columns, copy=True))
        out = spread(kept, self._rows, self.shape[0])
        return out[:, 0] if V.ndim == 1 else out

    def sum(self, axis: int | None = None) -> Any:
        """Sums as of an array: of all entries, over the rows (axis 0) or over the columns (axis 1)."""
        xp = namespace(self._f)
        r, c = self._cost.sums(self._f, self._g, self._reg)
        if axis is None:
            return xp.sum(r)
        if axis not in (0, 1):
            raise ValueError(f"`axis` must be None, 0 or 1, got {axis!r}.")
        return spread(c, self._columns, self.shape[1]) if axis == 0 else spread(r, self._rows, self.shape[0])

    def nnz(self, threshold: float) -> int:
        """Number of entries that are at least `threshold`."""
        return int(self._kept(threshold).nnz)

    def tocsr(self, threshold: float) -> Any:
        """Entries that are at least `threshold` as a CSR array of scipy.sparse or cupyx.scipy.sparse."""
        return sparse_plan(self._kept(threshold).rows, self._rows, self._columns, self.shape)

    def toarray(self) -> Array:
        """The dense plan."""
        P = self._cost.plan(self._f, self._g, self._reg)[0]
        return spread(spread(P, self._rows, self.shape[0], 0), self._columns, self.shape[1], 1)

    def _kept(self, threshold: float) -> Any:
        if not threshold > 0:
            raise ValueError(f"`threshold` must be positive, got {threshold!r}.")
        xp = namespace(self._f)
        floor = float(xp.log(xp.asarray(threshold, dtype=xp.float64)))
        row_floor, col_floor = xp.full_like(self._f, floor), xp.full_like(self._g, floor)
        return self._cost.compact(self._f, self._g, self._reg, row_floor, col_floor)


def sparse_plan(rows: Any, where: Any, columns: Any, shape: tuple[int, int]) -> Any:
    """Build the CSR array of the whole plan from that of the atoms with mass."""
    xp = namespace(rows.data)
    if is_cupy(xp):
        from cupyx.scipy.sparse import csr_matrix as csr
    else:
        from scipy.sparse import csr_array as csr
    data, indices, indptr = rows
    if columns is not None:
        indices = xp.take(columns, xp.astype(indices, xp.int64))
    if where is not None:
        counts = spread(indptr[1:] - indptr[:-1], where, shape[0])
        indptr = xp.cumulative_sum(counts, include_initial=True)
    return csr((data, indices, indptr), shape=shape)
