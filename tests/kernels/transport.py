"""Entropic transport problems for kernels, and what long doubles say the plan is."""

from typing import Any, NamedTuple

import numpy as np

from tests.kernels.cases import tolerance

# One row, one column, both; odd sizes; more columns than the CPU's tile and the GPU's block.
SHAPES = [(1, 1), (1, 7), (9, 1), (33, 65), (6, 600)]
# Of the costs and of everything else.
TYPES = [("f8", "f8"), ("f4", "f8"), ("f4", "f4")]


class Plan(NamedTuple):
    """Costs, potentials and 1 / reg: the first arguments of the dense kernels."""

    C: np.ndarray
    f: np.ndarray
    g: np.ndarray
    inv_reg: float

    @property
    def magnitude(self) -> float:
        """Return the size of what is added up in an exponent: a rounding error of it is one of the plan's."""
        C = self.C[np.isfinite(self.C)]
        return self.inv_reg * float(sum(np.abs(part).max(initial=0) for part in (C, self.f, self.g)))


def plan(n: int, m: int, types: tuple[str, str] = ("f8", "f8"), inv_reg: float = 7.0, seed: int = 0) -> Plan:
    """Draw a problem; larger ones have forbidden pairs, a forbidden row and a forbidden column."""
    cost, real = types
    rng = np.random.default_rng(seed)
    C = rng.random((n, m)).astype(cost)
    if min(n, m) > 5:
        C[rng.random((n, m)) < 0.05] = np.inf
        C[2] = C[:, 3] = np.inf
    return Plan(C, rng.standard_normal(n).astype(real), rng.standard_normal(m).astype(real), inv_reg)


def exact(problem: Plan) -> np.ndarray:
    """Return the plan in long doubles."""
    C, f, g = (part.astype(np.longdouble) for part in problem[:3])
    return np.exp((f[:, None] + g - C) * np.longdouble(problem.inv_reg))


def exponents(problem: Plan) -> np.ndarray:
    """Return the exponents rounded as the kernels are to round them."""
    real = problem.f.dtype.type
    return ((problem.f[:, None] + problem.g) - problem.C.astype(real)) * real(problem.inv_reg)


def floors(problem: Plan, level: float = -6.0) -> tuple[np.ndarray, np.ndarray]:
    """Return floors that keep some of the entries, with rows or columns that keep all and none."""
    row, col = np.full_like(problem.f, level), level + problem.g
    if row.size > 5:
        row[:3] = np.inf, -np.inf, np.inf
    if col.size > 5:
        col[:3] = np.inf, np.inf, -np.inf
    return row, col


def kept(problem: Plan, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Return which entries the floors keep."""
    return exponents(problem) >= np.minimum(row[:, None], col)


def rounding(problem: Plan, dtype: Any = None) -> float:
    """Return a bound of the relative error of sums over the plan."""
    dtype = np.dtype(dtype or problem.f.dtype).str[1:]
    return tolerance(dtype, 8 + 4 * problem.magnitude + sum(problem.C.shape))


def slices(n: int, parts: int) -> list[slice]:
    """Return the row slices of a kernel with `parts` accumulators."""
    return [slice(n * part // parts, n * (part + 1) // parts) for part in range(parts)]


def unset(dtype: Any, *shape: int) -> np.ndarray:
    """Return an output or scratch array with leftovers in it."""
    dtype = np.dtype(dtype)
    return np.full(shape, np.nan if dtype.kind == "f" else 77, dtype)
