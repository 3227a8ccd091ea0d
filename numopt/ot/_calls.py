"""What the functions with POT's signatures share: their arguments, their stopping rule and their warnings."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numopt._array import asarray_like, is_array, namespace, scalars
from numopt._core.validation import check_choice, check_unknown_options
from numopt._core.warnings import ConvergenceWarning, NumericalWarning, warn
from numopt._typing import Array
from numopt.ot._problem import Problem, dense_problem
from numopt.ot._result import OTResult
from numopt.ot._solve import rounding_floor, solve_problem
from numopt.ot._spread import spread

MASS_TOL = 1e-6

# Options of single methods of POT: they steer safeguards that are not needed here.
POT_OPTIONS = {"tau", "epsilon0", "numInnerItermax", "print_period"}

# The norm that bounds all others asks for more than is needed; this part of its usual multiple is tried first.
FIRST_TRY = 0.5
LOOSEST = 0.1


def read_method(method: Any, methods: Collection[str], extra: Mapping[str, Any], function: str) -> str:
    """Return a method's name in lower case, as POT reads it; warn about options that POT has not either."""
    check_unknown_options(set(extra) - POT_OPTIONS, function)
    return check_choice(method.lower() if isinstance(method, str) else method, "method", methods)


def uniform_if_empty(weights: Any) -> Any:
    """POT's `[]` as the None of `numopt.ot.solve`."""
    return None if weights is not None and tuple(np.shape(weights)) == (0,) else weights


def columns_of(b: Any) -> list[Array] | None:
    """The columns of a 2-D `b`, each a target of its own; None where there is only one."""
    if b is None or np.ndim(b) != 2:
        return None
    b = b if is_array(b) else np.asarray(b)
    if b.shape[1] == 0:
        raise ValueError(f"`b` must have at least one column, got shape {tuple(b.shape)}.")
    return [b[:, k] for k in range(b.shape[1])]


def problem_of(a: Any, b: Any, M: Any, rho: tuple[float, float] = (math.inf, math.inf)) -> Problem:
    """Check weights and costs; the messages speak of `M`, as the caller does."""
    try:
        return dense_problem(a, b, M, mass_tol=MASS_TOL, rho=rho, refine=False)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`C`", "`M`")) from None


def starts_of(warmstart: Any, count: int | None) -> list[tuple[Any, Any] | None]:
    """Split a warm start (log u, log v), of columns where there are several targets, into one for each target."""
    if warmstart is None:
        return [None] * (count or 1)
    if not isinstance(warmstart, Sequence) or len(warmstart) != 2:
        raise ValueError("`warmstart` must be a pair (log u, log v) as the log holds it.")
    if count is None:
        return [(warmstart[0], warmstart[1])]
    log_u, log_v = (part if is_array(part) else np.asarray(part) for part in warmstart)
    for name, part in (("log u", log_u), ("log v", log_v)):
        if part.ndim != 2 or part.shape[1] != count:
            raise ValueError(f"`warmstart` must hold {name} with {count} columns as `b`, got {tuple(part.shape)}.")
    return [(log_u[:, k], log_v[:, k]) for k in range(count)]


def potentials(problem: Problem, start: tuple[Any, Any] | None, reg: float) -> tuple[Array, Array] | None:
    """The potentials of scalings; those of atoms without mass, -inf in POT's logs, do not matter."""
    if start is None:
        return None
    pair = []
    for part, name, axis in ((start[0], "log u", 0), (start[1], "log v", 1)):
        weights = whole_weights(problem, axis)
        part = asarray_like(part, weights, dtype=weights.dtype)
        if tuple(part.shape) != tuple(weights.shape):
            raise ValueError(f"`warmstart` must hold {name} of shape {tuple(weights.shape)}, got {tuple(part.shape)}.")
        pair.append(problem.xp.where(weights > 0, reg * part, problem.xp.zeros_like(part)))
    if not all(bool(problem.xp.all(problem.xp.isfinite(part))) for part in pair):
        raise ValueError("`warmstart` must be finite wherever there is mass, got NaN or infinite values.")
    return pair[0], pair[1]


def whole_weights(problem: Problem, axis: int) -> Array:
    """The weights of all atoms, those without mass included."""
    side, kept = (problem.rows, problem.kept_rows) if axis == 0 else (problem.cols, problem.kept_cols)
    whole: Array = spread(side.weights, kept, problem.shape[axis])
    return whole


class Remarks:
    """Warnings of one call: the first of each category is given, however many targets there are."""

    def __init__(self, wanted: bool) -> None:
        self._silent: set[type[Warning]] = set() if wanted else {NumericalWarning, ConvergenceWarning}

    def add(self, message: str, category: type[Warning]) -> None:
        """Warn, unless that is not wanted or has been done."""
        if category not in self._silent:
            self._silent.add(category)
            warn(message, category)


class Answer(NamedTuple):
    """A plan, where it was made, its loss and scalings, the 2-norm of its marginal errors and the steps it took."""

    plan: Array | None
    loss: float
    log_u: Array
    log_v: Array
    error: float
    errors: list[float]
    steps: int


def solve_to(
    problem: Problem,
    *,
    reg: float,
    threshold: float,
    maxiter: int,
    start: tuple[Any, Any] | None,
    done: int = 0,
    log: bool,
    verbose: Any,
    remarks: Remarks,
    **options: Any,
) -> Answer:
    """Solve until the 2-norm of the marginal errors is at most `threshold`; `done` steps led to `start`.

    The solver stops by the 1-norm, which bounds the 2-norm but exceeds it by sqrt(n) where the error is spread out. So
    a looser tolerance comes first; where the 2-norm then is not small enough, the solve goes on from there.
    """
    xp, a, b = problem.xp, problem.rows.weights, problem.cols.weights
    mass, a_norm, b_norm = scalars(xp, xp.sum(a), xp.linalg.vector_norm(a), xp.linalg.vector_norm(b))
    least = 10.0 * rounding_floor(problem, reg)
    # An error in proportion to the weights has this 2-norm for a 1-norm of 1.
    spread_out = max(a_norm, b_norm) / mass
    if threshold < least * mass * spread_out:
        remarks.add(
            f"`stopThr` of {threshold:g} is below what {a.dtype} can reach at this `reg`; "
            f"{least * mass * spread_out:.1e} is used.",
            NumericalWarning,
        )
        threshold = least * mass * spread_out
    strictest = max(threshold / mass, least)
    tol = min(max(FIRST_TRY * threshold / (mass * spread_out), strictest), LOOSEST)
    init: Any = potentials(problem, start, reg)
    errors: list[float] = []
    steps = done
    while True:
        # The first step makes the first point, and does not count as an iteration in the solver's loop.
        result = solve_problem(
            problem,
            reg=reg,
            tol=tol,
            init=init,
            maxiter=max(maxiter - steps - 1, 0),
            verbose=int(verbose),
            history=log,
            with_bounds=False,
            norm="l1",
            method="sns",
            **options,
        )
        error = _two_norm(problem, result.plan)
        steps += result.nit_sinkhorn + result.nit_newton
        if log:
            final = result.history["reg"] == reg
            errors += [float(e) for e in result.history["l1"][final]]
        if error <= threshold or not result.success or tol <= strictest or steps >= maxiter:
            break
        tol = min(max(FIRST_TRY * tol * threshold / error, strictest), 0.5 * tol)
        init = result
    if not error <= threshold:
        remarks.add(
            f"{result.message} (2-norm of the marginal error {error:.1e}, stopThr {threshold:.1e})", ConvergenceWarning
        )
    log_u, log_v = log_scalings(problem, result, reg)
    return Answer(result.plan, result.value, log_u, log_v, error, [*errors, error], steps)


def _two_norm(problem: Problem, P: Array) -> float:
    xp = problem.xp
    rows = xp.sum(P, axis=1) - whole_weights(problem, 0)
    cols = xp.sum(P, axis=0) - whole_weights(problem, 1)
    return math.sqrt(sum(scalars(xp, xp.sum(rows * rows), xp.sum(cols * cols))))


def log_scalings(problem: Problem, result: OTResult, reg: float) -> tuple[Array, Array]:
    """Logarithms of u and v: P = diag(u) exp(-M / reg) diag(v) for all atoms, so -inf for those without mass."""
    xp, pair = problem.xp, []
    for potential, axis in ((result.f, 0), (result.g, 1)):
        nothing = xp.full_like(potential, -math.inf)
        pair.append(xp.where(whole_weights(problem, axis) > 0, potential / reg, nothing))
    return pair[0], pair[1]


def exponential(x: Array) -> Array:
    """exp(x), inf where it overflows, without a warning."""
    xp = namespace(x)
    top = math.log(float(xp.finfo(x.dtype).max))
    top = xp.asarray(top * (1.0 - 1e-6), dtype=x.dtype, device=x.device)
    return xp.where(x < top, xp.exp(xp.minimum(x, top)), xp.full_like(x, math.inf))


def as_scalar(value: float, like: Array) -> Any:
    """A number as the array library of `like` returns a sum: NumPy a scalar, others a 0-d array."""
    xp = namespace(like)
    return xp.asarray(value, dtype=like.dtype, device=like.device)[()]
