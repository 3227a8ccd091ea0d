"""The updates of a block by name, and which of them a problem admits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numopt._array import is_array
from numopt._core.validation import check_choice, check_scalar
from numopt._typing import Array
from numopt.coordinate._blocks import BlockCache
from numopt.coordinate._composite_updates import ExactUpdate, ProxNewtonUpdate, TwoMetricUpdate
from numopt.coordinate._gradient_updates import DiagonalUpdate, EstimatedGradientUpdate, GradientUpdate
from numopt.coordinate._line_search import SUFFICIENT_DECREASE
from numopt.coordinate._newton_updates import CubicUpdate, MatrixUpdate, MessageUpdate, NewtonUpdate
from numopt.coordinate._partition import Partition
from numopt.coordinate._problem import Problem, check_values
from numopt.coordinate._smooth import Smooth
from numopt.coordinate._step import Update

__all__ = ["UPDATES", "make_update"]

UPDATES = ("gradient", "diag", "matrix", "newton", "cubic", "exact", "prox_newton", "tmp", "message_passing", "auto")
"""Names that `make_update` takes."""

_SHRINK = 0.8
# What each kind of penalty admits.
_SMOOTH = ("gradient", "diag", "matrix", "newton", "cubic", "exact", "prox_newton", "tmp", "message_passing")
_SEPARABLE = ("gradient", "diag", "exact", "prox_newton", "tmp")
_GROUPS = ("gradient", "exact", "prox_newton")
_RELAXED = ("matrix", "newton", "exact", "prox_newton", "message_passing")
_WITH_HESSIAN = ("newton", "cubic", "exact", "prox_newton", "tmp")


def make_update(
    problem: Problem,
    partition: Partition,
    name: str = "auto",
    *,
    lipschitz: Any = "exact",
    line_search: bool | None = None,
    options: Mapping[str, Any] | None = None,
    cache: BlockCache | None = None,
) -> Update:
    """Return the update of a name for a problem.

    Parameters
    ----------
    problem : Problem
        What is solved.
    partition : Partition
        The blocks; factors are kept for fixed ones.
    name : str, default 'auto'
        ``'gradient'``: proximal gradient step with L_b. ``'diag'``: the same with a diagonal bound. ``'matrix'``: step
        with the matrix H_b. ``'newton'``: Newton with a line search. ``'cubic'``: minimiser of the cubic model.
        ``'exact'``: minimiser over the block. ``'prox_newton'``: proximal Newton with a line search. ``'tmp'``:
        two-metric projection. ``'message_passing'``: exact step on blocks whose graph is a forest. ``'auto'``:
        message passing for blocks of a graph, else the second-order step that the penalty admits.
    lipschitz : 'exact', 'estimate' or array of shape (n_variables,), default 'exact'
        Constants of the gradient update: L_b of the problem, estimates by doubling, or given bounds along the unknowns,
        whose sum bounds a block (the diagonal update takes them times the size of the block).
    line_search : bool, optional
        Whether steps must decrease F sufficiently; by default where they are no minimisers of an upper bound.
    options : dict, optional
        `gsd_diag`, `shrink`, `omega` and `sufficient_decrease` count here.
    cache : BlockCache, optional
        To be shared with a selection rule.

    Raises
    ------
    ValueError
        For an unknown name, and for combinations that do not exist; the message lists what does.
    TypeError
        For arguments of a wrong kind.
    """
    options = {} if options is None else options
    check_choice(name, "update", UPDATES)
    if name == "auto":
        name = automatic_update(problem, partition)
    _check_admissible(problem, name)
    search = _search_options(line_search, options)
    constants = _constants(problem, name, lipschitz)
    omega = check_scalar(options.get("omega", 1.0), "omega", low=0, high=2, include_low=False, include_high=False)
    if omega != 1 and not (problem.is_quadratic and problem.penalty.is_zero and name in _RELAXED):
        raise ValueError(
            f"`omega` relaxes smooth quadratics with one of the updates {_listed(_RELAXED)}; got omega={omega} with "
            f"update={name!r}."
        )
    cache = BlockCache(problem, partition) if cache is None else cache
    if isinstance(lipschitz, str) and lipschitz == "estimate":
        shrink = check_scalar(options.get("shrink", _SHRINK), "shrink", low=0, high=1, include_low=False)
        return EstimatedGradientUpdate(problem, cache, shrink=shrink)
    if name == "gradient":
        return GradientUpdate(problem, cache, constants=constants, **search)
    if name == "diag":
        diagonal = options.get("gsd_diag", "lipschitz")
        return DiagonalUpdate(problem, cache, gsd_diag=diagonal, constants=constants, **search)
    if name == "matrix" or (name == "newton" and problem.is_quadratic):
        return MatrixUpdate(problem, cache, omega=omega, **search)
    if name == "message_passing":
        return MessageUpdate(problem, cache, omega=omega, **search)
    if name == "exact":
        return ExactUpdate(problem, cache, omega=omega, **search)
    if name == "prox_newton":
        return ProxNewtonUpdate(problem, cache, omega=omega, **search)
    simple: dict[str, type[Update]] = {"newton": NewtonUpdate, "cubic": CubicUpdate, "tmp": TwoMetricUpdate}
    return simple[name](problem, cache, **search)


def automatic_update(problem: Problem, partition: Partition) -> str:
    """Return the name that 'auto' stands for."""
    if isinstance(problem, Smooth) and problem.hess_block is None:
        return "gradient"
    if not problem.penalty.is_zero:
        separable = problem.penalty.is_separable
        return "prox_newton" if separable or problem.is_quadratic else "gradient"
    if partition.kind == "graph":
        return "message_passing"
    return "matrix" if problem.is_quadratic else "newton"


def _check_admissible(problem: Problem, name: str) -> None:
    penalty = problem.penalty
    names: tuple[str, ...]
    if penalty.is_zero:
        names, what = _SMOOTH, "a problem without l1 norm, bounds and groups"
    elif penalty.is_separable:
        names, what = _SEPARABLE, "a problem with an l1 norm or bounds"
    else:
        names, what = _GROUPS, "a problem with group norms"
    if name not in names:
        raise ValueError(f"`update` must be one of {_listed(names)} for {what}, got {name!r}.")
    if name == "message_passing" and problem.graph is None:
        raise ValueError("`update='message_passing'` needs a problem with a sparse Hessian; this one has no graph.")
    if isinstance(problem, Smooth) and name == "cubic":
        raise ValueError(
            "`update='cubic'` needs a bound on third derivatives, which is not known of a user's function."
        )
    if isinstance(problem, Smooth) and problem.hess_block is None and name in _WITH_HESSIAN:
        raise ValueError(f"`update={name!r}` needs `hess_block` of the problem; 'gradient' and 'diag' do without.")


def _search_options(line_search: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    if line_search is not None and not isinstance(line_search, bool | np.bool_):
        raise TypeError(f"`line_search` must be a bool or None, got {line_search!r}.")
    decrease = check_scalar(
        options.get("sufficient_decrease", SUFFICIENT_DECREASE),
        "sufficient_decrease",
        low=0,
        high=0.5,
        include_low=False,
        include_high=False,
    )
    return {"line_search": None if line_search is None else bool(line_search), "decrease": decrease}


def _constants(problem: Problem, name: str, lipschitz: Any) -> Array | None:
    """Return given constants, None for the problem's own and for estimates."""
    if isinstance(lipschitz, str):
        check_choice(lipschitz, "lipschitz", ("exact", "estimate"))
        if lipschitz == "estimate" and name != "gradient":
            raise ValueError(f"`lipschitz='estimate'` belongs to update='gradient', got update={name!r}.")
        return None
    if not (is_array(lipschitz) or isinstance(lipschitz, list | tuple)):
        raise TypeError(
            "`lipschitz` must be 'exact', 'estimate' or an array with one bound for each unknown, got "
            f"{type(lipschitz).__name__}."
        )
    if name not in ("gradient", "diag"):
        raise ValueError(f"`lipschitz` of your own belongs to update='gradient' or 'diag', got update={name!r}.")
    constants = check_values(lipschitz, "lipschitz", problem)
    if bool(problem.xp.any(constants < 0)):
        raise ValueError("`lipschitz` must be non-negative.")
    return constants


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in names)
