"""SciPy's constraint forms read as blocks of equalities c(x) = 0.

A block knows its value, its Jacobian and, where the user gave one, the Hessian of v'c. Finite bounds that differ, and
inequality dictionaries, are refused by name: an equality solver must not treat them as something else.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import LinearConstraint, NonlinearConstraint

from numopt._array import is_sparse, to_host
from numopt._typing import Array, Namespace

DIFFERENCES = ("2-point", "3-point")


@dataclass(slots=True)
class EqualityBlock:
    """One group of equalities: `fun(x) - shift = 0`; `jac` or `hess` None where differences must serve."""

    label: str
    fun: Callable[[Array], Any]
    jac: Callable[[Array], Any] | None
    hess: Callable[[Array, Array], Any] | None
    central: bool
    lower: Any
    upper: Any
    linear: bool = False


def _difference_scheme(jac: Any, label: str) -> tuple[Callable[..., Any] | None, bool]:
    """The user's Jacobian and, where there is none, whether central differences were meant."""
    if callable(jac):
        return jac, True
    if jac is None or jac == "3-point":
        return None, True
    if jac == "2-point":
        return None, False
    raise ValueError(f"`jac` of {label} must be callable or one of {DIFFERENCES}, got {jac!r}.")


def is_missing_hessian(hess: Any) -> bool:
    """Whether differences must serve: nothing given, a difference scheme, or a quasi-Newton strategy."""
    # Quasi-Newton strategies are recognised by their method: NonlinearConstraint's own default is BFGS().
    return (
        hess is None or hess is False or hasattr(hess, "get_matrix") or (isinstance(hess, str) and hess in DIFFERENCES)
    )


def _constraint_hessian(hess: Any, label: str) -> Callable[[Array, Array], Any] | None:
    if is_missing_hessian(hess):
        return None
    if callable(hess):
        return hess  # type: ignore[no-any-return]
    raise ValueError(
        f"`hess` of {label} must be callable, a HessianUpdateStrategy or one of {DIFFERENCES}, got {hess!r}."
    )


def _linear_block(constraint: LinearConstraint, label: str, xp: Namespace, like: Array) -> EqualityBlock:
    A: Any = constraint.A
    if not is_sparse(A):
        A = xp.asarray(A, dtype=like.dtype)
        if A.ndim == 1:
            A = A[None, :]
    if A.shape[1] != like.shape[0]:
        raise ValueError(f"`A` of {label} has shape {tuple(A.shape)} but `x0` has shape {tuple(like.shape)}.")
    return EqualityBlock(
        label=label,
        fun=lambda x: A @ x,
        jac=lambda x: A,
        hess=None,
        central=True,
        lower=constraint.lb,
        upper=constraint.ub,
        linear=True,
    )


def _dictionary_block(constraint: dict[str, Any], label: str) -> EqualityBlock:
    kind = str(constraint.get("type", "")).lower()
    if kind == "ineq":
        raise ValueError(f"{label} has type 'ineq'; `sketched_newton` takes equality constraints only.")
    if kind != "eq":
        raise ValueError(f"`type` of {label} must be 'eq', got {constraint.get('type')!r}.")
    if not callable(constraint.get("fun")):
        raise TypeError(f"`fun` of {label} must be callable, got {type(constraint.get('fun')).__name__}.")
    args = tuple(constraint.get("args", ()))
    fun, given = constraint["fun"], constraint.get("jac")
    jac, central = _difference_scheme(given, label)
    return EqualityBlock(
        label=label,
        fun=lambda x: fun(x, *args),
        jac=None if jac is None else (lambda x: jac(x, *args)),
        hess=None,
        central=central,
        lower=0.0,
        upper=0.0,
    )


def read_constraints(constraints: Any, xp: Namespace, like: Array) -> list[EqualityBlock]:
    """Blocks of the user's `constraints`; ValueError or TypeError names the one that does not fit."""
    if constraints is None:
        return []
    single = isinstance(constraints, NonlinearConstraint | LinearConstraint | dict)
    if not single and not isinstance(constraints, Iterable):
        raise TypeError(
            "`constraints` must be a NonlinearConstraint, a LinearConstraint, a dict or a list of these, "
            f"got {type(constraints).__name__}."
        )
    blocks = []
    for i, constraint in enumerate([constraints] if single else constraints):
        label = f"constraints[{i}]"
        if isinstance(constraint, LinearConstraint):
            blocks.append(_linear_block(constraint, label, xp, like))
        elif isinstance(constraint, NonlinearConstraint):
            jac, central = _difference_scheme(constraint.jac, label)
            blocks.append(
                EqualityBlock(
                    label=label,
                    fun=constraint.fun,
                    jac=jac,
                    hess=_constraint_hessian(constraint.hess, label),
                    central=central,
                    lower=constraint.lb,
                    upper=constraint.ub,
                )
            )
        elif isinstance(constraint, dict):
            blocks.append(_dictionary_block(constraint, label))
        else:
            raise TypeError(f"{label} must be a SciPy constraint or a dict, got {type(constraint).__name__}.")
    return blocks


def equality_shift(block: EqualityBlock, size: int, xp: Namespace, like: Array) -> Array:
    """Right-hand side of a block of `size` rows, after checking that every lower bound equals its upper bound."""
    lower, upper = (np.broadcast_to(_host(bound), (size,)) for bound in (block.lower, block.upper))
    unequal = np.flatnonzero(~(lower == upper))
    if unequal.size:
        i = int(unequal[0])
        raise ValueError(
            f"{block.label} component {i} has bounds ({lower[i]:g}, {upper[i]:g}); "
            "`sketched_newton` takes equality constraints only (lb == ub)."
        )
    if not np.all(np.isfinite(lower)):
        i = int(np.flatnonzero(~np.isfinite(lower))[0])
        raise ValueError(f"{block.label} component {i} must equal a finite number, got {lower[i]:g}.")
    return xp.asarray(lower.astype(np.float64), dtype=like.dtype, device=like.device)


def _host(bound: Any) -> np.ndarray[Any, Any]:
    """Bounds are checked on the host: they are read once, before the solve."""
    return np.asarray(bound if isinstance(bound, float | int | list | tuple) else to_host(bound), dtype=float)


def check_bounds(bounds: Any) -> None:
    """Accept None and infinite bounds; name the first finite one."""
    if bounds is None:
        return
    if hasattr(bounds, "lb"):
        lower, upper = np.atleast_1d(bounds.lb), np.atleast_1d(bounds.ub)
    else:
        pairs = list(bounds)
        lower = np.array([-np.inf if lo is None else lo for lo, _ in pairs], dtype=float)
        upper = np.array([np.inf if hi is None else hi for _, hi in pairs], dtype=float)
    for name, values in (("lower", lower), ("upper", upper)):
        finite = np.flatnonzero(np.isfinite(values))
        if finite.size:
            i = int(finite[0])
            raise ValueError(
                f"`bounds` has the finite {name} bound {values[i]:g} on component {i}; "
                "`sketched_newton` takes equality constraints only."
            )
