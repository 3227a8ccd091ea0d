"""Many small systems of one pattern at once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from numopt import kernels
from numopt._array import (
    asarray_like,
    contiguous,
    device_of,
    is_array,
    is_linear_operator,
    is_sparse,
    namespace,
    promote,
    to_host,
)
from numopt._core.result import make_result
from numopt._core.status import Status
from numopt._core.validation import check_scalar
from numopt._typing import Array, Namespace
from numopt.linear._pattern import Layout
from numopt.linear._stencil import Stencil
from numopt.linear._system import Rows, check_diagonal, csr_rows, default_rtol, dense_rows

__all__ = ["is_batch", "solve_batch"]

# How often a solve is taken up again because the last iterate, recomputed, was not as good as the one before it.
_PASSES = 5


def is_batch(A: Any, b: Any) -> bool:
    """Tell whether the arguments of `sor` are those of several systems."""
    if isinstance(A, list | tuple) and any(is_sparse(item) for item in A):
        return True
    if is_array(A) and A.ndim == 3:
        return True
    shape = tuple(getattr(b, "shape", ()))
    # A column is one right-hand side, as for SciPy's solvers.
    return len(shape) == 2 and shape != (getattr(A, "shape", (0,))[0], 1)


@dataclass(frozen=True)
class _Batch:
    """Checked data: values (n_matrices, nnz) of one pattern, and right-hand sides (n_systems, n)."""

    rows: Rows
    b: Array
    x0: Array | None
    xp: Namespace
    product: Callable[[Array], Array]

    @property
    def n_systems(self) -> int:
        return int(self.b.shape[0])

    def residual_norms(self, x: Array) -> "np.ndarray[Any, Any]":
        """Return ``||b - A x||_2`` of every system, with products of their own."""
        return to_host(self.xp.linalg.vector_norm(self.b - self.product(x), axis=1)).astype(np.float64)


def solve_batch(
    A: Any,
    b: Any,
    x0: Any,
    *,
    omega: Any,
    rtol: float | None,
    atol: float,
    maxiter: int,
    order: int,
    layout: Layout,
    check_finite: bool,
    check_omega: Callable[[Any], float],
) -> OptimizeResult:
    """Sweep each of many systems to its own tolerance; `sor` describes arguments and result."""
    started = time.perf_counter()
    if order == 0 or layout.is_block:
        raise ValueError(
            "`sweep` must be 'forward' or 'backward', and `ordering` one of points, for a batch of systems."
        )
    batch = _check_batch(A, b, x0, check_finite)
    xp, n_systems = batch.xp, batch.n_systems
    omegas = np.asarray(to_host(omega) if is_array(omega) else omega, dtype=np.float64)
    if omegas.ndim > 1 or omegas.size not in (1, n_systems):
        raise ValueError(f"`omega` must be a float or have shape ({n_systems},), got shape {omegas.shape}.")
    for value in np.unique(omegas):
        check_omega(float(value))
    omegas = np.broadcast_to(omegas, (n_systems,)).copy()
    rtol = check_scalar(default_rtol(batch.b, rtol), "rtol", low=0)
    atol = check_scalar(atol, "atol", low=0)
    maxiter = check_scalar(maxiter, "maxiter", kind=int, low=0)

    norms_b = to_host(xp.linalg.vector_norm(batch.b, axis=1)).astype(np.float64)
    targets = np.maximum(rtol * norms_b, atol)
    x, nit, found = _sweep(batch, layout, omegas, order, targets, maxiter)
    # The solution of b = 0 is known, and no tolerance relative to it can be met.
    zero = norms_b == 0
    if zero.any():
        x = xp.where(asarray_like(zero, x)[:, None], xp.zeros_like(x), x)
        nit[zero] = 0
    residuals = batch.residual_norms(x)
    statuses = _statuses(residuals, targets, found, nit, maxiter, zero)
    start = xp.zeros_like(x) if batch.x0 is None else batch.x0
    worse = ~(residuals <= batch.residual_norms(start)) & (statuses != Status.CONVERGED)
    if worse.any():
        x = xp.where(asarray_like(worse, x)[:, None], start, x)
        residuals = batch.residual_norms(x)
    return _result(x, residuals, norms_b, statuses, nit, omegas, time.perf_counter() - started)


def _sweep(
    batch: _Batch,
    layout: Layout,
    omegas: "np.ndarray[Any, Any]",
    order: int,
    targets: "np.ndarray[Any, Any]",
    maxiter: int,
) -> "tuple[Array, np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Return x, the counts and the residual norms at which the kernel ended."""
    xp = batch.xp
    values, arrangement = batch.rows.arrange(layout)
    here = {"ref": batch.b}
    n_systems = batch.n_systems
    which = np.arange(n_systems) if values.shape[0] > 1 else np.zeros(n_systems, dtype=np.int64)
    b = contiguous(arrangement.forward(batch.b))
    x = xp.zeros_like(b) if batch.x0 is None else xp.asarray(contiguous(arrangement.forward(batch.x0)), copy=True)
    places = (arrangement.indices, arrangement.indptr, arrangement.split, arrangement.classes)
    nit, found = np.zeros(n_systems, dtype=np.int64), np.full(n_systems, np.inf)
    todo = np.arange(n_systems)
    k = kernels.bind(xp)
    size = k.sor_batch_work(n_systems, int(batch.b.shape[1]), int(arrangement.indices.shape[0]))
    work = xp.empty(size, dtype=x.dtype, device=device_of(b))
    for turn in range(_PASSES):
        chosen = asarray_like(todo, **here)
        part = todo.size < n_systems
        bs, xs = (xp.take(v, chosen, axis=0) if part else v for v in (b, x))
        counts = xp.empty(todo.size, dtype=xp.int64, device=device_of(b))
        norms = xp.empty(todo.size, dtype=xp.float64, device=device_of(b))
        k.sor_batch(
            values, *places, asarray_like(which[todo], **here), bs, asarray_like(omegas[todo], **here), order,
            asarray_like(targets[todo], **here), maxiter - int(nit[todo].max()), xs, work, counts, norms,
        )  # fmt: skip
        if part:
            place, again = np.zeros(n_systems, dtype=np.int64), np.zeros(n_systems, dtype=bool)
            place[todo], again[todo] = np.arange(todo.size), True
            x = xp.where(asarray_like(again, **here)[:, None], xp.take(xs, asarray_like(place, **here), axis=0), x)
        # Iterate 0 of a later pass is the one after the last that was counted.
        nit[todo] += to_host(counts) + int(turn > 0)
        found[todo] = to_host(norms)
        # The norm belongs to the iterate before the last sweep. Of a matrix that is not normal the last one may be
        # worse again: such a system goes on.
        residuals = batch.residual_norms(arrangement.backward(x))
        todo = np.flatnonzero((found <= targets) & (residuals > targets) & (nit < maxiter))
        if todo.size == 0:
            break
    return arrangement.backward(x), nit, found


def _statuses(
    residuals: "np.ndarray[Any, Any]",
    targets: "np.ndarray[Any, Any]",
    found: "np.ndarray[Any, Any]",
    nit: "np.ndarray[Any, Any]",
    maxiter: int,
    zero: "np.ndarray[Any, Any]",
) -> "np.ndarray[Any, Any]":
    statuses = np.full(residuals.size, int(Status.DIVERGED))
    statuses[(nit >= maxiter) & np.isfinite(found)] = Status.MAXITER
    # Solved before the last sweep but not after it, each time: rounding.
    statuses[found <= targets] = Status.PRECISION
    statuses[(residuals <= targets) | zero] = Status.CONVERGED
    return statuses


def _result(
    x: Array,
    residuals: "np.ndarray[Any, Any]",
    norms_b: "np.ndarray[Any, Any]",
    statuses: "np.ndarray[Any, Any]",
    nit: "np.ndarray[Any, Any]",
    omegas: "np.ndarray[Any, Any]",
    seconds: float,
) -> OptimizeResult:
    solved = int(np.sum(statuses == Status.CONVERGED))
    worst = Status(int(statuses.min() if statuses.min() < 0 else statuses.max()))
    message = f"Solved {solved} of {statuses.size} systems."
    if solved < statuses.size:
        first = int(np.argmax(statuses != Status.CONVERGED))
        message += (
            f" System {first} is the first that ended otherwise ({Status(int(statuses[first])).name}, residual norm "
            f"{residuals[first]:.1e}): solve it alone for advice."
        )
    return make_result(
        {
            "x": x,
            "residual_norm": residuals,
            "relative_residual": residuals / np.where(norms_b == 0, 1.0, norms_b),
            "status": worst,
            "statuses": statuses,
            "message": message,
            "nit": nit,
            "omega": omegas,
            "time": seconds,
        }
    )


def _check_batch(A: Any, b: Any, x0: Any, check_finite: bool) -> _Batch:
    several = isinstance(A, list | tuple)
    items = tuple(A) if several else (A,)
    xp = namespace(*(None if isinstance(item, Stencil) else item for item in items), b, x0)
    if any(is_linear_operator(item) for item in items):
        raise TypeError(
            "`A` must be dense arrays, sparse matrices or a Stencil, since rows are needed; got a LinearOperator."
        )
    if several and not all(is_sparse(item) for item in items):
        raise TypeError(
            "`A` must be sparse matrices where it is a sequence; pass dense ones as one array (n_systems, n, n)."
        )
    if isinstance(A, Stencil):
        items = (A.tocsr(),)
    (b, x0) = promote(b, x0, xp=xp)
    if b is None or b.ndim != 2:
        raise ValueError(f"`b` must have shape (n_systems, n) for a batch of systems, got {getattr(b, 'shape', None)}.")
    n_systems, n = (int(size) for size in b.shape)
    shapes = {tuple(item.shape)[-2:] for item in items}
    if shapes != {(n, n)}:
        raise ValueError(f"`A` must be square with as many rows as `b` has columns, {n}, got shapes {sorted(shapes)}.")
    if x0 is not None and x0.shape != b.shape:
        raise ValueError(f"`x0` must have the shape of `b`, {tuple(b.shape)}, got {tuple(x0.shape)}.")
    *items_, b, x0 = promote(*items, b, x0, xp=xp)
    n_matrices = int(items_[0].shape[0]) if getattr(items_[0], "ndim", 2) == 3 else len(items_)
    if n_systems == 0 or n_matrices not in (1, n_systems):
        raise ValueError(f"`A` must be one matrix or one for each of the {n_systems} systems, got {n_matrices}.")
    rows, product = _rows_and_product(items_, b, xp)
    if check_finite:
        for name, values in (("A", rows.data), ("b", b), ("x0", x0)):
            if values is not None and not bool(xp.all(xp.isfinite(values))):
                raise ValueError(f"`{name}` must be finite, got NaN or infinite values.")
    check_diagonal(rows)
    return _Batch(rows, b, x0, xp, product)


def _rows_and_product(items: list[Any], b: Array, xp: Namespace) -> tuple[Rows, Callable[[Array], Array]]:
    """Return the values of all matrices on their one pattern, and what multiplies every system."""
    if not is_sparse(items[0]):
        rows = dense_rows(items[0] if items[0].ndim == 3 else items[0][None, ...])
        return rows, lambda x: xp.matmul(items[0], x[:, :, None])[:, :, 0]
    each = [csr_rows(item, b) for item in items]
    if any(rows.pattern is not each[0].pattern for rows in each):
        raise ValueError("`A` must be sparse matrices of one pattern (store the zeros that fill it), got several.")
    values = xp.stack([rows.data for rows in each], axis=0)
    if len(items) == 1:
        return Rows(values, each[0].pattern), lambda x: xp.matrix_transpose(items[0] @ xp.matrix_transpose(x))
    return Rows(values, each[0].pattern), lambda x: xp.stack([A @ x[s, :] for s, A in enumerate(items)], axis=0)
