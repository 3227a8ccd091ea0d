"""`barycenter`: entropic Wasserstein barycentres of histograms, with POT's signature and returns.

Iterative Bregman projections (Benamou, Carlier, Cuturi, Nenna, Peyre, SIAM J. Sci. Comput. 37, 2015) in the log domain,
debiased ones (Janati, Cuturi, Gramfort, ICML 2020), and Newton steps on the dual between them.

With potentials in units of `reg`, phi_k on the side of the data and gamma_k on that of the barycentre, the plans are
P_k = exp(phi_k + gamma_k' - M / reg). phi_k is always the best for gamma_k, so that P_k 1 = a_k, and sum_k w_k gamma_k
= 0 (debiased: = log d). The dual is F(gamma) = sum_k w_k <a_k, phi_k(gamma_k)>; at its maximum all P_k' 1 agree.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from numopt._array import asarray_like, is_array, namespace, promote, scalars
from numopt._core.loop import Measure, run
from numopt._core.messages import outcome_message
from numopt._core.progress import Progress
from numopt._core.status import Status
from numopt._core.validation import check_matrix, check_scalar, check_verbose
from numopt._core.warnings import ConvergenceWarning, NumericalWarning
from numopt._core.warnings import warn as issue
from numopt._krylov import pcg
from numopt._typing import Array
from numopt.ot._calls import MASS_TOL, read_method
from numopt.ot._gibbs_operator import GibbsOperator, gibbs_operator
from numopt.ot._options import stages

METHODS = ("sns", "debiased", "sinkhorn", "sinkhorn_stabilized", "sinkhorn_log")

STAGE_ERROR = 1e-2  # of the mass: where an intermediate stage of the annealing ends
LEAST_SWEEPS = 3
# A Newton step is taken where at least so many sweeps are still to come at their current rate.
SWEEPS_WORTH = 20
# Newton's model holds only where the columns of the plans agree to within this factor exp(.).
CLOSE = 3.0
UNSEEN = 1e-3  # part of the error
CG_LIMIT = 100
RADIUS, SMALLEST_RADIUS = 10.0, 2.0  # largest change of a potential in one step, in units of the regularisation
# Atoms of next to no mass may want to move much further. They are cut short; where that takes more than the rest of
# this part of the rise, the whole step is damped.
KEPT = 0.5
SMALLEST_SHIFT, LARGEST_SHIFT = 1e-6, 10.0
ACCEPT = 1e-4  # part of the predicted rise that a step must bring
TRIALS = 20
REST = 20  # sweeps after a Newton step that failed
FAILURES = 3
SLOW_SWEEPS = 50  # without progress: the end


def barycenter(
    A: Any,
    M: Any,
    reg: float,
    weights: Any = None,
    method: str = "sns",
    numItermax: int = 10000,
    stopThr: float = 1e-4,
    verbose: bool | int = False,
    log: bool = False,
    warn: bool = True,
    *,
    anneal: bool | str | None = "auto",
    time_limit: float | None = None,
    callback: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Entropic Wasserstein barycentre of histograms, called as `ot.barycenter` of POT.

    Minimises  sum_k weights_k * W(A_k, p)  over p, where W(a, p) = min <M, P> + reg * sum P log P  subject to P 1 = a
    and P' 1 = p; with ``method='debiased'``, W is the Sinkhorn divergence, whose barycentre is not blurred.

    Parameters
    ----------
    A : array of shape (m, k), float32 or float64
        Histograms in its columns, of the same mass each; zeros are allowed.
    M : array of shape (m, n)
        Finite costs between the atoms of the histograms and those of the barycentre, in POT the same; for 'debiased'
        square and symmetric.
    reg : float
        Regularisation, in the unit of `M`.
    weights : array of shape (k,), optional
        Non-negative weights of the histograms that sum to 1; None means equal ones.
    method : str, default 'sns'
        'sns' takes Newton steps where projections converge slowly; POT's names 'sinkhorn', 'sinkhorn_log' and
        'sinkhorn_stabilized' are projections alone; 'debiased' is POT's `barycenter_debiased`, by projections.
    numItermax : int, default 10000
        Largest number of projections and Newton steps together.
    stopThr : float, default 1e-4
        Bound on the sum over the atoms of the standard deviation of the k column sums (P_k' 1)_j, which all equal the
        barycentre in the end: POT's measure. 'debiased' adds `|d * K d - p|_1` for its own scaling d.
    verbose : bool or int, default False
        True or 1 shows a progress bar, 2 a line per step.
    log : bool, default False
        Return a dictionary as well.
    warn : bool, default True
        Warn where `stopThr` was not met, or cannot be in this dtype.
    anneal : 'auto', bool or None, default 'auto'
        Whether 'sns' solves for larger regularisations first; 'auto' and True do so below a hundredth of the largest
        cost.
    time_limit : float, optional
        Seconds.
    callback : callable, optional
        By SciPy's rule: called after every step with the barycentre so far as `x`; StopIteration stops.
    **kwargs
        Options of POT's single methods (`tau`), ignored; others warn.

    Returns
    -------
    p : array of shape (n,)
        The barycentre, of the mass of the histograms up to the square of the error.
    log : dict
        Only with ``log=True``. 'err': the stopping measure after each step at the final `reg`; 'niter': steps;
        'n_newton': Newton steps among them.

    Raises
    ------
    ValueError
        If a shape does not fit, `A` has negative entries, an empty column or columns whose masses differ by more than
        1e-6 of them, `weights` are negative or do not sum to 1, `M` is not finite (for 'debiased' not symmetric), `reg`
        is not positive or too small for the dtype, or an option is unknown.
    TypeError
        If the arrays come from different libraries, or are complex or sparse.

    Warns
    -----
    UserWarning
        If `stopThr` is not met, or below the rounding floor of the dtype, which is used instead.

    Notes
    -----
    Projections converge linearly, 'debiased' ones in the end sublinearly, as mass keeps leaving the tails: expect
    hundreds of them for a `stopThr` of 1e-6. POT 0.9.7's default method is wrong for unequal weights (its
    `sinkhorn_log` is right): values differ there.

    A projection costs two products of (m, n) and (n, k) matrices, or 2 k passes of log-sum-exp over the costs where
    exp(-M / reg) would underflow; an iteration of conjugate gradients in a Newton step the same two products, or less.

    Examples
    --------
    >>> import numpy as np
    >>> import numopt.ot as ot
    >>> x = np.arange(50.0)
    >>> A = np.stack([np.exp(-((x - mean) ** 2) / 18) for mean in (13, 27)], axis=1)
    >>> p = ot.barycenter(A / A.sum(axis=0), (x[:, None] - x) ** 2, reg=1.0, weights=np.array([0.9, 0.1]))
    >>> round(float(p @ x), 2)
    14.4
    """
    method = read_method(method, METHODS, kwargs, "barycenter")
    A, M, shares = _check(A, M, weights, symmetric=method == "debiased")
    reg = check_scalar(reg, "reg", low=0.0, include_low=False)
    threshold = check_scalar(stopThr, "stopThr", low=0.0)
    maxiter = check_scalar(numItermax, "numItermax", kind=int, low=1)
    if anneal is not None and anneal != "auto" and not isinstance(anneal, bool):
        raise ValueError(f"`anneal` must be 'auto', True, False or None, got {anneal!r}.")
    xp = namespace(A)
    least, most, mass = scalars(xp, xp.min(M), xp.max(M), xp.sum(A[:, 0]))
    span = (most - least) or 1.0
    eps = float(xp.finfo(A.dtype).eps)
    if not span / reg < float(xp.finfo(A.dtype).max):
        raise ValueError(f"`reg` of {reg:g} is too small: `M` / `reg` overflows {A.dtype}.")
    floor = 10.0 * eps * max(4.0, 0.05 * span / reg) * mass
    if threshold < floor:
        if warn:
            issue(
                f"`stopThr` of {threshold:g} is below what {A.dtype} can reach here; {floor:.1e} is used.",
                NumericalWarning,
            )
        threshold = floor
    regs = stages(reg, span, bool(anneal) and method == "sns")
    # An offset of all costs only moves the potentials, and takes digits.
    work = _Work(A, M - least, shares, regs, method, threshold, mass)
    verbose = check_verbose(verbose)
    with Progress(verbose, "ot.barycenter", maxiter) as progress:
        outcome = run(
            work.step,
            work.measure,
            tol=threshold,
            # The first projection was made before the loop.
            maxiter=maxiter - 1,
            time_limit=time_limit,
            callback=callback,
            progress=progress,
        )
    best = work.answer()
    if warn and not best.error <= threshold:
        issue(
            outcome_message(
                outcome.status if outcome.status is not Status.CONVERGED else Status.PRECISION,
                measure_name="spread of the column sums",
                value=best.error,
                tol=threshold,
                nit=work.sweeps + work.newton,
                remedy="raise numItermax or reg",
            ),
            ConvergenceWarning,
        )
    p = xp.exp(best.log_p)
    if not log:
        return p
    return p, {"err": work.errors, "niter": work.sweeps + work.newton, "n_newton": work.newton}


@dataclass(frozen=True, slots=True)
class _Point:
    """Potentials with what follows from them; logarithms are finite but for rows without mass in `phi`."""

    gamma: Array
    phi: Array
    log_sums: Array  # log K' exp(phi)
    columns: Array  # P_k' 1
    log_p: Array
    error: float
    fun: float
    apart: float  # largest |log of a column sum - log p|


class _Work:
    """The state and the steps of the method."""

    def __init__(
        self, A: Array, M: Array, shares: Array, regs: list[float], method: str, threshold: float, mass: float
    ) -> None:
        self.xp = namespace(A)
        self.A, self.M, self.w = A, M, shares
        self.positive = A > 0
        safe = self.xp.where(self.positive, A, self.xp.ones_like(A))
        self.log_A = self.xp.where(self.positive, self.xp.log(safe), self.xp.full_like(A, -math.inf))
        self.method = method
        self.regs = regs
        self.stage_target = max(STAGE_ERROR * mass, threshold)
        self.threshold, self.mass = threshold, mass
        self.shift, self.radius = 0.0, RADIUS
        self.sweeps = self.newton = self.failures = self.rest = 0
        self.errors: list[float] = []
        self.log_d = self.xp.zeros(M.shape[1], dtype=A.dtype, device=A.device) if method == "debiased" else None
        gamma = self.xp.zeros((M.shape[1], A.shape[1]), dtype=A.dtype, device=A.device)
        self.log_Kd: Array
        self.best: _Point | None = None
        self._enter(0, gamma)

    # -- steps ----------------------------------------------------------------------------------------------------

    def step(self) -> Status | None:
        """One projection, Newton step or start of a stage."""
        if not self.final and self.here.error <= self.stage_target:
            self._enter(self.stage + 1, self.here.gamma * (self.reg / self.regs[self.stage + 1]))
            return None
        if self._wants_newton():
            new = self._newton_step()
            if new is not None:
                self.newton += 1
                self._arrive(new, "newton")
                return None
            self.failures += 1
            self.rest = REST
        return self._sweep()

    def answer(self) -> _Point:
        """The point of least error at the final regularisation; one projection gets there from an earlier stage."""
        if self.best is None:
            self._enter(len(self.regs) - 1, self.here.gamma * (self.reg / self.regs[-1]))
        assert self.best is not None
        return self.best

    def measure(self) -> Measure:
        """The numbers of the current point for the loop; an intermediate stage is never the end."""
        return Measure(
            value=self.here.error if self.final else math.inf,
            fun=self.here.fun * self.reg,
            name="spread",
            fields={"reg": self.reg, "error": self.here.error},
            arrays=lambda: {"x": self.xp.exp(self.here.log_p)},
        )

    @property
    def final(self) -> bool:
        """Whether this is the last stage."""
        return self.stage == len(self.regs) - 1

    def _enter(self, stage: int, gamma: Array) -> None:
        """Start a stage with one projection."""
        self.stage, self.reg = stage, self.regs[stage]
        self.operator: GibbsOperator = gibbs_operator(self.M, self.reg)
        self.in_stage = self.slow = 0
        self.here = self._point(gamma)
        self.sweeps += 1
        self._arrive(self.here, "start")

    def _arrive(self, point: _Point, kind: str) -> None:
        self.previous, self.here, self.kind = self.here.error, point, kind
        if self.final:
            self.errors.append(point.error)
            if self.best is None or point.error < self.best.error:
                self.best = point

    def _sweep(self) -> Status | None:
        """One projection: all column sums become p, then all row sums a_k."""
        log_p = self.here.log_p
        if self.log_d is not None:
            self.log_d = 0.5 * (self.log_d + log_p - self.log_Kd)
        new = self._point(log_p[:, None] - self.here.log_sums)
        self.sweeps += 1
        self.in_stage += 1
        self.rest = max(self.rest - 1, 0)
        self._arrive(new, "sweep")
        self.slow = self.slow + 1 if new.error > (1.0 - 1e-6) * self.previous else 0
        # Debiased projections have no such rate; their error may stand still and fall again.
        return Status.STALLED if self.slow >= SLOW_SWEEPS and self.log_d is None else None

    def _point(self, gamma: Array) -> _Point:
        xp, w = self.xp, self.w
        phi = self.log_A - self.operator.log_rows(gamma)
        log_sums = self.operator.log_cols(phi)
        log_columns = log_sums + gamma
        log_p = xp.matmul(log_sums, w)
        columns = xp.exp(log_columns)
        error = xp.sum(xp.std(columns, axis=1))
        if self.log_d is not None:
            self.log_Kd = self.operator.log_rows(self.log_d[:, None])[:, 0]
            log_p = log_p + self.log_d
            error = error + xp.sum(xp.abs(xp.exp(self.log_d + self.log_Kd) - xp.exp(log_p)))
        fun = xp.sum(self.A * xp.where(self.positive, phi, xp.zeros_like(phi)) * w)
        # Atoms whose mass does not matter to the error may be far apart.
        seen = xp.maximum(columns, xp.exp(log_p)[:, None]) > UNSEEN / gamma.shape[0] * error
        apart = xp.max(xp.where(seen, xp.abs(log_columns - log_p[:, None]), xp.zeros_like(columns)))
        return _Point(gamma, phi, log_sums, columns, log_p, *scalars(xp, error, fun, apart))

    # -- Newton steps -----------------------------------------------------------------------------------------------

    def _wants_newton(self) -> bool:
        """Whether a Newton step is the faster way on from the last projection."""
        here = self.here
        if self.method != "sns" or self.kind != "sweep" or self.in_stage < LEAST_SWEEPS:
            return False
        if self.failures >= FAILURES or self.rest > 0 or here.apart > CLOSE or not 0.0 < here.error < math.inf:
            return False
        ratio = here.error / self.previous
        target = self.threshold if self.final else self.stage_target
        return ratio >= 1.0 or math.log(target / here.error) / math.log(ratio) > SWEEPS_WORTH

    def _newton_step(self) -> _Point | None:
        """Maximise the second-order model of the dual within a trust region; None where that does not raise it.

        -reg * Hessian is w_k S_k for each k, S_k the Laplacian of P_k' diag(1 / a_k) P_k, on sum_k w_k d_k = 0. In the
        unknowns e_k = sqrt(w_k c_k) d_k its spectrum lies in [0, 1], and the constraint is an orthogonal projection.
        The shift damps the modes that hardly change the plans, parts that are almost apart.
        """
        xp, w, here = self.xp, self.w, self.here
        shape, eps = here.gamma.shape, float(xp.finfo(self.A.dtype).eps)
        tiny = xp.asarray(
            float(xp.finfo(self.A.dtype).smallest_normal) ** 0.8, dtype=self.A.dtype, device=self.A.device
        )
        scale = xp.sqrt(w * xp.maximum(here.columns, tiny))
        normal = w / scale
        normal = normal / xp.sqrt(xp.sum(normal * normal, axis=1))[:, None]

        def project(r: Array) -> Array:
            return xp.reshape(r - xp.sum(r * normal, axis=1)[:, None] * normal, (-1,))

        S = self.operator.laplacian(here.phi, here.gamma, self.A, here.columns, here.error / self.mass)

        def curvature(e: Array) -> Array:
            e = xp.reshape(e, shape)
            return project(w * S(e / scale) / scale + self.shift * e)

        gradient = w * (xp.exp(here.log_p)[:, None] - here.columns)
        rhs = project(gradient / scale)
        rtol = min(0.1, math.sqrt(here.error / self.mass))
        for _ in range(TRIALS):
            found = pcg(curvature, rhs, rtol=rtol, maxiter=CG_LIMIT)
            direction = xp.reshape(found.x, shape) / scale
            # Each atom's changes stay within the radius, in proportion: that keeps to the constraint.
            longest = xp.max(xp.abs(direction), axis=1)
            direction = direction * (self.radius / xp.maximum(longest, xp.full_like(longest, self.radius)))[:, None]
            most, whole, slope, length = scalars(
                xp,
                xp.max(xp.abs(direction)),
                xp.sum(rhs * found.x),
                xp.sum(gradient * direction),
                xp.sum(scale * scale * direction * direction),
            )
            hard = found.nit >= CG_LIMIT and found.relative_residual > 0.5
            if self.shift < LARGEST_SHIFT and (hard or not slope > KEPT * whole):
                self.shift = max(10.0 * self.shift, SMALLEST_SHIFT)
                continue
            predicted = 0.5 * (slope + self.shift * length)
            new = self._point(here.gamma + direction)
            ratio = (new.fun - here.fun) / predicted if predicted > 0.0 else math.nan
            # Where rises of the dual drown in rounding errors, the error itself decides.
            flat = abs(slope) < 1e3 * eps * (abs(here.fun) + self.mass)
            if ratio > ACCEPT or (flat and new.error < here.error):
                if ratio > 0.75 and most > 0.5 * self.radius:
                    self.radius *= 2.0
                if ratio > 0.5:
                    self.shift = self.shift / 4.0 if self.shift > SMALLEST_SHIFT else 0.0
                elif ratio < 0.25 and not flat:
                    self.shift = max(2.0 * self.shift, SMALLEST_SHIFT)
                return new
            if self.shift >= LARGEST_SHIFT:
                return None
            self.shift = max(4.0 * self.shift, SMALLEST_SHIFT)
            self.radius = max(0.25 * most, SMALLEST_RADIUS)
        return None


def _check(A: Any, M: Any, weights: Any, *, symmetric: bool) -> tuple[Array, Array, Array]:
    """Histograms of positive weight, scaled to the mass of the first, costs, and the weights."""
    xp = namespace(A, M, weights)
    A, M = promote(check_matrix(A, "A", xp=xp), check_matrix(M, "M", xp=xp), xp=xp)
    (m, count), n = (int(size) for size in A.shape), int(M.shape[1])
    if M.shape[0] != m:
        raise ValueError(f"`M` must have {m} rows as `A` has, got shape {tuple(M.shape)}.")
    if symmetric:
        if m != n:
            raise ValueError(f"`M` must be square for method='debiased', got shape {tuple(M.shape)}.")
        (skew, most) = scalars(xp, xp.max(xp.abs(M - M.T)), xp.max(xp.abs(M)))
        if skew > 1e-6 * most:
            raise ValueError(f"`M` must be symmetric for method='debiased', got differences up to {skew:g}.")
    masses = xp.sum(A, axis=0)
    (least, lightest, heaviest) = scalars(xp, xp.min(A), xp.min(masses), xp.max(masses))
    if least < 0.0:
        raise ValueError(f"`A` must hold non-negative weights, got a smallest of {least:g}.")
    if not lightest > 0.0:
        raise ValueError("`A` must have positive mass in every column.")
    if heaviest - lightest > MASS_TOL * heaviest:
        raise ValueError(
            f"The columns of `A` must have the same mass, got masses from {lightest:.9g} to {heaviest:.9g}."
        )
    if heaviest > lightest:
        A = A * (masses[0] / masses)
    if weights is None:
        return A, M, xp.full(count, 1.0 / count, dtype=A.dtype, device=A.device)
    shares = asarray_like(weights if is_array(weights) else np.asarray(weights), A)
    if xp.isdtype(shares.dtype, "complex floating"):
        raise TypeError(f"`weights` must be real, got dtype {shares.dtype}.")
    shares = xp.astype(shares, A.dtype)
    if tuple(shares.shape) != (count,):
        raise ValueError(f"`weights` must have shape ({count},) as `A` has columns, got {tuple(shares.shape)}.")
    smallest, total = scalars(xp, xp.min(shares), xp.sum(shares))
    if not smallest >= 0.0 or not abs(total - 1.0) <= MASS_TOL:
        raise ValueError(f"`weights` must be non-negative and sum to 1, got a smallest of {smallest:g}, sum {total:g}.")
    shares = shares / total
    if smallest > 0.0:
        return A, M, shares
    counted = xp.nonzero(shares > 0)[0]
    return xp.take(A, counted, axis=1), M, xp.take(shares, counted)
