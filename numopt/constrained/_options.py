"""Options of `sketched_newton`, checked before any work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numopt._core.validation import check_choice, check_scalar
from numopt._typing import RNGLike

LINEAR_SOLVERS = ("auto", "direct", "minres", "gmres", "rk", "gaussian")
MERITS = ("auto", "exact_al", "l1", "l1-adaptive")
HESS_MODS = ("auto", "inertia", "paper", "none")
ACCURACIES = ("practical", "paper")

Theta = float | Callable[[int, float], float]


@dataclass(slots=True, kw_only=True)
class Options:
    """Settings of one solve; names as in the public signature, 'auto' choices resolved."""

    linear_solver: str | Callable[..., Any]
    accuracy: str
    hess_mod: str
    merit: str
    eta1: float
    eta2: float
    delta: float
    nu: float
    beta: float
    xi_B: float
    theta: Theta
    tol: float
    gtol: float | None
    ctol: float | None
    maxiter: int
    max_inner: int
    maxfev: int | None
    time_limit: float | None
    rng: RNGLike


def default_tol(eps: float) -> float:
    """1e-8 in float64; in float32 the square root of its eps."""
    return 1e-8 if eps < 1e-10 else eps**0.5


def check_options(*, eps: float, tol: float | None, max_inner: int | None, **given: Any) -> Options:
    """Resolve 'auto', check ranges and combinations, and name what exists where an option is a later extension."""
    accuracy = check_choice(given["accuracy"], "accuracy", ACCURACIES)
    linear_solver = given["linear_solver"]
    if not callable(linear_solver):
        linear_solver = check_choice(linear_solver, "linear_solver", LINEAR_SOLVERS)
    merit = check_choice(given["merit"], "merit", MERITS)
    hess_mod = check_choice(given["hess_mod"], "hess_mod", HESS_MODS)
    if hess_mod == "auto":
        hess_mod = "paper" if accuracy == "paper" else "inertia"
    check_choice(given["sketch"], "sketch", ("row",))
    if given["block_size"] not in ("auto", 1):
        raise ValueError(f"`block_size` must be 'auto' or 1 (single rows), got {given['block_size']!r}.")

    for name in ("eta1", "eta2", "delta", "xi_B"):
        given[name] = check_scalar(given[name], name, kind=float, low=0.0, include_low=False)
    given["nu"] = check_scalar(given["nu"], "nu", kind=float, low=1.0, include_low=False)
    given["beta"] = check_scalar(
        given["beta"], "beta", kind=float, low=0.0, high=0.5, include_low=False, include_high=False
    )
    if not callable(given["theta"]):
        given["theta"] = check_scalar(given["theta"], "theta", kind=float, low=0.0, include_low=False)
    for name in ("gtol", "ctol", "time_limit"):
        if given[name] is not None:
            given[name] = check_scalar(given[name], name, kind=float, low=0.0, include_low=False)
    tol = default_tol(eps) if tol is None else check_scalar(tol, "tol", kind=float, low=0.0, include_low=False)
    maxiter = check_scalar(given["maxiter"], "maxiter", kind=int, low=0)
    if given["maxfev"] is not None:
        given["maxfev"] = check_scalar(given["maxfev"], "maxfev", kind=int, low=1)
    if max_inner is not None:
        max_inner = check_scalar(max_inner, "max_inner", kind=int, low=1)

    l1 = merit in ("l1", "l1-adaptive")
    if l1:
        if accuracy != "paper":
            raise ValueError(f"`merit`={merit!r} is a baseline of the paper; give accuracy='paper' with it.")
        if linear_solver not in ("auto", "gmres"):
            raise ValueError(f"`merit`={merit!r} works with linear_solver='gmres', got {linear_solver!r}.")
        linear_solver = "gmres"
    elif accuracy == "paper":
        if linear_solver == "auto":
            linear_solver = "rk"
        if callable(linear_solver) or linear_solver not in ("rk", "gaussian", "direct"):
            raise ValueError(
                f"accuracy='paper' works with linear_solver 'rk', 'gaussian' or 'direct', got {linear_solver!r}."
            )
    if not l1:
        merit = "exact_al"
    return Options(
        linear_solver=linear_solver,
        accuracy=accuracy,
        hess_mod=hess_mod,
        merit=merit,
        eta1=given["eta1"],
        eta2=given["eta2"],
        delta=given["delta"],
        nu=given["nu"],
        beta=given["beta"],
        xi_B=given["xi_B"],
        theta=given["theta"],
        tol=tol,
        gtol=given["gtol"],
        ctol=given["ctol"],
        maxiter=maxiter,
        max_inner=100_000 if max_inner is None else max_inner,
        maxfev=given["maxfev"],
        time_limit=given["time_limit"],
        rng=given["rng"],
    )
