"""Performance profiles (Dolan and More), data profiles (More and Wild) and accuracy profiles.

They work on a *table*: a sequence of mappings with the keys ``problem``, ``solver``, the cost, and ``solved`` (a bool,
or a mapping from a tolerance such as ``"1e-8"`` to a bool), as the lines of a results file have them. Several entries
of one problem and solver are repetitions of a randomized solver.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = Iterable[Mapping[str, Any]]
Floats = NDArray[np.float64]

TIMER_RESOLUTION = 1e-3
"""Seconds below which two times count as equal."""

BAND = (0.1, 0.9)
FEASIBLE = 1e-6
"""Constraint violation below which an objective value may serve as the best one known (data profiles)."""


@dataclass(frozen=True)
class _Profile:
    solvers: tuple[str, ...]
    n_problems: int
    n_unsolved: int

    def _draw(self, ax: Any, x: Floats, curves: Mapping[str, Floats], band: Mapping[str, tuple[Floats, Floats]]) -> Any:
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure(figsize=(6, 4), layout="constrained").subplots()
        for solver in self.solvers:
            (line,) = ax.step(x, curves[solver], where="post", label=solver)
            if solver in band:
                ax.fill_between(x, *band[solver], step="post", color=line.get_color(), alpha=0.15, linewidth=0)
        ax.set_ylim(-0.02, 1.02)
        ax.set_ylabel("fraction of problems")
        ax.legend(loc="lower right")
        return ax


@dataclass(frozen=True)
class PerformanceProfile(_Profile):
    """Result of `performance_profile`.

    Attributes
    ----------
    tau : ndarray
        Ratios to the best solver at which some curve steps, from 1 to `tau_max`.
    rho : dict of str to ndarray
        For each solver the fraction of problems solved within `tau` times the best cost.
    band : dict of str to (ndarray, ndarray)
        For the solvers with repetitions: `rho` of the 90 % and of the 10 % quantile of the cost.
    solvers : tuple of str
    n_problems, n_unsolved : int
        Size of the set, and how many of its problems no solver solved (they stay in the denominator).
    """

    tau: Floats
    rho: dict[str, Floats]
    band: dict[str, tuple[Floats, Floats]]

    def plot(self, ax: Any = None) -> Any:
        """Draw with matplotlib on a logarithmic axis to base 2 and return the axes."""
        ax = self._draw(ax, self.tau, self.rho, self.band)
        ax.set_xscale("log", base=2)
        ax.set_xlabel("ratio to the best")
        return ax


@dataclass(frozen=True)
class DataProfile(_Profile):
    """Result of `data_profile`.

    Attributes
    ----------
    kappa : ndarray
        Evaluations divided by n + 1 at which some curve steps.
    d : dict of str to ndarray
        For each solver the fraction of problems converged within ``kappa * (n + 1)`` evaluations.
    solvers : tuple of str
    n_problems, n_unsolved : int
        Size of the set, and how many of its problems no solver brought to `tau`.
    """

    kappa: Floats
    d: dict[str, Floats]

    def plot(self, ax: Any = None) -> Any:
        """Draw with matplotlib and return the axes."""
        ax = self._draw(ax, self.kappa, self.d, {})
        ax.set_xscale("symlog", base=2, linthresh=1.0)
        ax.set_xlabel("evaluations / (n + 1)")
        return ax


def performance_profile(
    table: Table,
    cost: str = "seconds",
    tau_max: float = 100.0,
    *,
    solvers: Sequence[str] | None = None,
    tol: str = "1e-8",
    resolution: float | None = None,
) -> PerformanceProfile:
    """Dolan-More performance profile of several solvers on one set of problems.

    With the cost ``t[p, s]`` of solver s on problem p (infinite when not solved) and the ratio
    ``r[p, s] = t[p, s] / min_s t[p, s]``, the profile is ``rho_s(tau) = |{p : r[p, s] <= tau}| / |P|``.

    Parameters
    ----------
    table : iterable of mappings
        Records with ``problem``, ``solver``, ``solved`` and the cost. A missing pair counts as not solved.
    cost : str, default "seconds"
        Name of the field to compare.
    tau_max : float, default 100
        Largest ratio of the returned grid; infinity stands for the largest one there is.
    solvers : sequence of str, optional
        Solvers to compare, in this order; all of the table by default. Profiles of more than two solvers can change
        their order when one is left out [2]_, so compare pairs as well.
    tol : str, default "1e-8"
        Which entry of ``solved`` counts, where that is a mapping.
    resolution : float, optional
        Costs that differ by no more are equal: 1e-3 by default for seconds, 0 for everything else.

    Returns
    -------
    PerformanceProfile
        The curves as arrays, with a `plot` method.

    Raises
    ------
    ValueError
        If the table is empty or `tau_max` is below 1.

    Notes
    -----
    Problems that no solver solved stay in the set [1]_. Repetitions (seeds) of a randomized solver enter by the median
    of their costs; the band is the profile of the 10 % and 90 % quantiles against the same best medians.

    References
    ----------
    .. [1] E. D. Dolan, J. J. More, "Benchmarking optimization software with performance profiles", Math. Program.
       91, 2002.
    .. [2] N. Gould, J. Scott, "A note on performance profiles for benchmarking software", ACM TOMS 43, 2016.

    Examples
    --------
    >>> from numopt.bench import performance_profile
    >>> table = [
    ...     {"problem": "p", "solver": "a", "nit": 4, "solved": True},
    ...     {"problem": "p", "solver": "b", "nit": 8, "solved": True},
    ...     {"problem": "q", "solver": "a", "nit": 9, "solved": False},
    ...     {"problem": "q", "solver": "b", "nit": 5, "solved": True},
    ... ]
    >>> profile = performance_profile(table, cost="nit")
    >>> profile.rho["a"].tolist(), profile.rho["b"].tolist()
    ([0.5, 0.5, 0.5], [0.5, 1.0, 1.0])
    """
    if not tau_max >= 1:
        raise ValueError(f"`tau_max` must be at least 1, got {tau_max!r}.")
    problems, names, samples = _costs(table, cost, tol, solvers)
    if resolution is None:
        resolution = TIMER_RESOLUTION if cost == "seconds" else 0.0
    shape = (len(problems), len(names))
    middle, low, high = np.full(shape, np.inf), np.full(shape, np.inf), np.full(shape, np.inf)
    repeated = set()
    for (i, j), values in samples.items():
        middle[i, j], low[i, j], high[i, j] = (_quantile(values, q) for q in (0.5, *BAND))
        if len(values) > 1:
            repeated.add(names[j])
    best = middle.min(axis=1, initial=np.inf)
    ratios = _ratios(middle, best, resolution)
    finite = ratios[np.isfinite(ratios)]
    last = float(finite.max(initial=1.0)) if math.isinf(tau_max) else float(tau_max)
    tau = np.unique(np.concatenate([[1.0, last], finite[finite <= last]]))
    rho = {name: _steps(ratios[:, j], tau) for j, name in enumerate(names)}
    slow, fast = _ratios(high, best, resolution), _ratios(low, best, resolution)
    band = {n: (_steps(slow[:, j], tau), _steps(fast[:, j], tau)) for j, n in enumerate(names) if n in repeated}
    return PerformanceProfile(tuple(names), len(problems), int(np.isinf(best).sum()), tau, rho, band)


def data_profile(
    table: Table,
    tau: float = 1e-3,
    *,
    evaluations: int = 0,
    kappa_max: float | None = None,
    solvers: Sequence[str] | None = None,
) -> DataProfile:
    """More-Wild data profile: fraction of problems converged within a budget of evaluations.

    ``d_s(kappa) = |{p : evaluations[p, s] / (n_p + 1) <= kappa}| / |P|``, where a run has converged at the first
    evaluation whose merit is at most `tau` times the merit at the starting point. With constraints the merit is
    ``max(0, f - f_L) / max(1, |f_L|) + ||c||`` and f_L the lowest feasible objective that any solver found.

    Parameters
    ----------
    table : iterable of mappings
        Records with ``problem``, ``solver``, ``n``, ``fun``, ``constr_violation`` and ``trace``: rows
        ``(f evaluations, objective, constraint violation, ...)`` of which the first is the starting point.
    tau : float, default 1e-3
        Reduction of the merit that counts as convergence.
    evaluations : int, default 0
        Column of the trace that holds the count.
    kappa_max : float, optional
        Largest budget of the returned grid; the largest one seen by default.
    solvers : sequence of str, optional
        Solvers to compare, in this order; all of the table by default.

    Returns
    -------
    DataProfile
        The curves as arrays, with a `plot` method.

    Raises
    ------
    ValueError
        If the table is empty, or `tau` is not between 0 and 1.

    Notes
    -----
    A problem for which no run is feasible (violation at most 1e-6) counts as converged for nobody. Repetitions enter by
    their median.

    References
    ----------
    .. [1] J. J. More, S. M. Wild, "Benchmarking derivative-free optimization algorithms", SIAM J. Optim. 20, 2009.

    Examples
    --------
    >>> from numopt.bench import data_profile
    >>> trace = [(1, 4.0, 0.0), (3, 1.0, 0.0), (5, 0.0, 0.0)]
    >>> table = [{"problem": "p", "solver": "a", "n": 1, "fun": 0.0, "constr_violation": 0.0, "trace": trace}]
    >>> profile = data_profile(table, tau=0.1)
    >>> profile.kappa.tolist(), profile.d["a"].tolist()
    ([0.0, 2.5], [0.0, 1.0])
    """
    if not 0 < tau < 1:
        raise ValueError(f"`tau` must lie between 0 and 1, got {tau!r}.")
    records = [dict(record) for record in table]
    best = _best_objectives(records)
    for record in records:
        counted = _evaluations_to(record, best.get(record["problem"]), tau, evaluations)
        record["kappa"] = counted / ((record.get("n") or 0) + 1)
        record["solved"] = math.isfinite(counted)
    problems, names, samples = _costs(records, "kappa", "", solvers)
    budget = np.full((len(problems), len(names)), np.inf)
    for (i, j), values in samples.items():
        budget[i, j] = _quantile(values, 0.5)
    finite = budget[np.isfinite(budget)]
    limit = kappa_max if kappa_max is not None else float(finite.max(initial=0.0))
    kappa = np.unique(np.concatenate([[0.0, limit], finite[finite <= limit]]))
    d = {name: _steps(budget[:, j], kappa) for j, name in enumerate(names)}
    return DataProfile(tuple(names), len(problems), int(np.isinf(budget).all(axis=1).sum()), kappa, d)


def accuracy_profile(table: Table, *, solvers: Sequence[str] | None = None) -> tuple[Floats, dict[str, Floats]]:
    """Fraction of problems whose recomputed KKT norm reached 10^-digits, against the digits (from 0 to 16)."""
    entries = [{**record, "solved": record.get("kkt") is not None} for record in table]
    problems, names, samples = _costs(entries, "kkt", "", solvers)
    digits = np.linspace(0.0, 16.0, 161)
    reached = np.full((len(problems), len(names)), -np.inf)
    for (i, j), values in samples.items():
        kkt = _quantile(values, 0.5)
        reached[i, j] = 16.0 if kkt == 0 else min(16.0, -math.log10(kkt)) if math.isfinite(kkt) else -np.inf
    fractions = (reached[None] >= digits[:, None, None]).mean(axis=1)
    return digits, {name: fractions[:, j] for j, name in enumerate(names)}


def is_solved(record: Mapping[str, Any], tol: str) -> bool:
    """Whether a record counts as solved at `tol`."""
    solved = record.get("solved")
    return bool(solved.get(tol)) if isinstance(solved, Mapping) else bool(solved)


def _costs(
    table: Table, cost: str, tol: str, solvers: Sequence[str] | None
) -> tuple[list[Hashable], list[str], dict[tuple[int, int], list[float]]]:
    """Index problems and solvers and collect the costs of each pair, infinite where not solved."""
    records = list(table)
    if not records:
        raise ValueError("The table is empty: nothing to profile.")
    problems = list(dict.fromkeys(record["problem"] for record in records))
    names = list(solvers) if solvers is not None else list(dict.fromkeys(record["solver"] for record in records))
    row, column = {p: i for i, p in enumerate(problems)}, {s: j for j, s in enumerate(names)}
    samples: dict[tuple[int, int], list[float]] = {}
    for record in records:
        if record["solver"] not in column:
            continue
        value = record.get(cost)
        value = float(value) if value is not None and is_solved(record, tol) else math.inf
        samples.setdefault((row[record["problem"]], column[record["solver"]]), []).append(value)
    return problems, names, samples


def _quantile(values: Sequence[float], q: float) -> float:
    """Linear quantile in which infinity is larger than everything (never NaN)."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    fraction = position - low
    if fraction == 0:
        return ordered[low]
    upper = ordered[low + 1]
    return ordered[low] + fraction * (upper - ordered[low]) if math.isfinite(upper) else math.inf


def _ratios(costs: Floats, best: Floats, resolution: float) -> Floats:
    """Ratios to the best cost; 1 within the resolution, infinite where not solved."""
    ratios = np.full_like(costs, np.inf)
    # A best cost of zero (no iteration at all) would make every other ratio infinite: it counts as one unit.
    unit = np.where(best > 0, best, resolution if resolution > 0 else 1.0)
    solved = np.isfinite(costs)
    reference = np.broadcast_to(unit[:, None], costs.shape)
    ratios[solved] = np.maximum(1.0, costs[solved] / reference[solved])
    tied = solved & (costs - np.where(np.isfinite(best), best, 0.0)[:, None] <= resolution)
    ratios[tied] = 1.0
    return ratios


def _steps(values: Floats, grid: Floats) -> Floats:
    """Fraction of `values` at or below each grid point."""
    return np.searchsorted(np.sort(values), grid, side="right") / max(1, values.size)


def _best_objectives(records: Iterable[Mapping[str, Any]]) -> dict[Hashable, float]:
    """Lowest objective of a feasible final point of each problem."""
    best: dict[Hashable, float] = {}
    for record in records:
        fun, violation = record.get("fun"), record.get("constr_violation")
        if fun is not None and violation is not None and violation <= FEASIBLE:
            best[record["problem"]] = min(fun, best.get(record["problem"], math.inf))
    return best


def _evaluations_to(record: Mapping[str, Any], best: float | None, tau: float, column: int) -> float:
    """Evaluations until the merit fell below `tau` times its first value, infinite when it never did."""
    rows = record.get("trace")
    if not rows or best is None:
        return math.inf

    def merit(row: Sequence[float | None]) -> float:
        fun, violation = row[1], row[2]
        if fun is None or violation is None:
            return math.inf
        return max(0.0, fun - best) / max(1.0, abs(best)) + violation

    start = merit(rows[0])
    for row in rows:
        if merit(row) <= tau * start:
            return float(row[column])
    return math.inf
