"""Options of the transport solvers, checked and with their defaults filled in."""

import math
from dataclasses import dataclass
from typing import Any

from numopt._core.validation import check_choice, check_scalar

METHODS = ("sns", "sinkhorn")
LINEAR_SOLVERS = ("auto", "cg", "exact-pcg", "direct", "tree")
PLANS = ("dense", "sparse", "lazy")

# Annealing starts at the largest cost / 20 and divides the regularisation by at most 4 a stage; no annealing from
# 1e-2 of the largest cost on, where plain sweeps converge fast (spec section 2.7; 2 to 6 differ by a tenth in time).
FIRST_STAGE = 1 / 20
STAGE_RATIO = 4.0
NO_ANNEALING = 1e-2

TOL = 1e-9  # in float64


@dataclass(frozen=True)
class Options:
    """What the solver loop needs to know; all numbers checked."""

    reg: float
    tol: float
    norm: str
    method: str
    warmup: int | None  # sweeps before the first Newton step of a stage; None: decide by the progress
    density: float | str
    linsolver: str
    anneal: bool
    maxiter: int
    time_limit: float | None


def check_options(
    *,
    reg: Any,
    tol: Any,
    norm: Any,
    method: Any,
    warmup: Any,
    density: Any,
    linsolver: Any,
    anneal: Any,
    maxiter: Any,
    time_limit: Any,
    default_tol: float,
) -> Options:
    """Check each option before any work."""
    if not isinstance(density, str):
        density = check_scalar(density, "density", low=0.0, high=1.0, include_low=False)
    else:
        check_choice(density, "density", ("auto", "paper", "ssns"))
    if anneal is not None and anneal != "auto" and not isinstance(anneal, bool):
        raise ValueError(f"`anneal` must be 'auto', True, False or None, got {anneal!r}.")
    if warmup != "auto":
        warmup = check_scalar(warmup, "warmup", kind=int, low=0)
    if time_limit is not None:
        time_limit = check_scalar(time_limit, "time_limit", low=0.0, include_low=False)
    return Options(
        reg=check_scalar(reg, "reg", low=0.0, include_low=False),
        tol=default_tol if tol is None else check_scalar(tol, "tol", low=0.0, include_low=False),
        norm=check_choice(norm, "norm", ("l1", "linf")),
        method=check_choice(method, "method", METHODS),
        warmup=None if warmup == "auto" else warmup,
        density=density,
        linsolver=check_choice(linsolver, "linsolver", LINEAR_SOLVERS),
        anneal=bool(anneal),
        maxiter=10_000 if maxiter is None else check_scalar(maxiter, "maxiter", kind=int, low=0),
        time_limit=time_limit,
    )


def stages(reg: float, largest_cost: float, anneal: bool) -> list[float]:
    """The regularisations to solve for, from the largest to `reg`, in equal ratios."""
    if not anneal or reg >= NO_ANNEALING * largest_cost:
        return [reg]
    first = FIRST_STAGE * largest_cost
    count = math.ceil(math.log(first / reg) / math.log(STAGE_RATIO))
    return [first * (reg / first) ** (k / count) for k in range(count)] + [reg]
