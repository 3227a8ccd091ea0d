"""What the solvers of optimal transport return."""

from typing import Any

from scipy.optimize import OptimizeResult

from numopt._array import asarray_like, is_cupy, namespace
from numopt._typing import Array
from numopt.ot._cost import Cost


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
        |P 1 - a|_1 + |P' 1 - b|_1 and the largest entry of both, recomputed for the answer that is returned.
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

    def vjp(self, **cotangents: Any) -> dict[str, Any]:
        """Pull cotangents of the outputs back to `a`, `b` and `C`; see `numopt.ot.solve`."""
        pullback = self["_vjp"]
        if pullback is None:
            raise ValueError("This result has no derivative: it has constraints, or did not converge.")
        gradients: dict[str, Any] = pullback(**cotangents)
        return gradients


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
        return self._kept(threshold).nnz

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


def spread(values: Any, where: Array | None, size: int, axis: int = 0) -> Any:
    """Put the slices of `values` where they stand among all along an axis, zero elsewhere."""
    if where is None:
        return values
    xp = namespace(values)
    shape = (*values.shape[:axis], size, *values.shape[axis + 1 :])
    out = xp.zeros(shape, dtype=values.dtype, device=values.device)
    out[(slice(None),) * axis + (where, ...)] = values
    return out


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
