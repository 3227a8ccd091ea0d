"""One sparse Newton step on the dual, made safe by a trust region in the logarithm of the plan.

The system is (H + mu D) d = gradient, with D = diag(r, c) and H the kept part of -reg * Hessian. mu is zero unless a
step would change some potential by more than the radius (in units of the regularisation, so that exp(radius) bounds the
change of an entry) or does not raise the dual as promised. The shift damps just the modes that the kept graph hardly
holds, components that almost came apart, where scaling the whole step would stop all others too; it also keeps
conjugate gradients short. mu vanishes near the solution, where the steps are the paper's.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numopt import kernels
from numopt._array import scalars, to_host
from numopt.ot import _sparsify
from numopt.ot._bipartite import Bipartite
from numopt.ot._linear import CG_LIMIT, Direction, System, solve
from numopt.ot._region import ACCEPT, EXTEND, LARGEST_SHIFT, TRIALS, Region, extended

if TYPE_CHECKING:
    from numopt.ot._engine import Engine, Point

RAISE = math.log(4.0)  # of the floors, while too many entries reach them
SHORT_STEPS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 1e-3, 1e-4)
# SSNS's constants: shift mu * ||gradient||, mu between these, changed by these factors at these ratios.
SSNS_SMALLEST, SSNS_GROWTH, SSNS_DECAY = 1e-3, 4.0, 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """An accepted step."""

    point: "Point"
    cg: int
    density: float
    shift: float
    extended: bool = False


def kept_graph(engine: "Engine") -> Bipartite:
    """The entries that the Newton system at the engine's point keeps."""
    here, cost = engine.here, engine.cost
    floors = _floors(engine)
    n, m = cost.shape
    engine.capped_graph = False
    # No count is needed where even all entries fit.
    while n * m > cost.max_nnz and cost.count(here.f, here.g, engine.reg, *floors) > cost.max_nnz:
        engine.capped_graph = True
        floors = _sparsify.Floors(floors.rows + RAISE, floors.columns + RAISE)
    return cost.compact(here.f, here.g, engine.reg, *floors)


def newton_step(engine: "Engine", region: Region, graph: Bipartite) -> Step | None:
    """Take one step from the engine's point; None when no step along a Newton direction is acceptable."""
    rule = engine.options.density
    if rule == "auto":
        return _trust_region(engine, region, graph)
    return _line_search(engine, region, graph, shifted=rule == "ssns")


def _floors(engine: "Engine") -> _sparsify.Floors:
    here, rule = engine.here, engine.options.density
    if rule == "auto":
        return _sparsify.by_error(here.r, here.c, engine.inexactness())
    if rule == "ssns":
        return _sparsify.by_mass(engine.cost, here.f, here.g, engine.reg, here.r, here.c, _gradient_norm(here))
    return _sparsify.by_count(engine.cost, here.f, here.g, engine.reg, here.r, here.c, rule)


def _gradient_norm(here: "Point") -> float:
    xp = here.xp
    (squared,) = scalars(xp, xp.sum(here.row_gap**2) + xp.sum(here.col_gap**2))
    return math.sqrt(squared)


def _system(engine: "Engine", graph: Bipartite, shift: float, absolute: float = 0.0) -> System:
    """The system with mu D and an absolute shift on the diagonal, and the penalties' own curvature."""
    here, reg = engine.here, engine.reg
    diagonals = []
    for side, potential, sums in ((engine.rows, here.f, here.r), (engine.cols, here.g, here.c)):
        stiffness = side.stiffness(side.target(potential), reg)
        diagonal = sums if stiffness is None else sums + stiffness
        diagonals.append(diagonal * (1.0 + shift) + absolute)
    return System(graph, diagonals[0], diagonals[1], here.row_gap, here.col_gap)


def _solve(engine: "Engine", region: Region, system: System, rtol: float) -> Direction:
    method = engine.options.linsolver
    if method == "auto":
        if engine.capped_graph:
            method = "exact-pcg"
        else:
            method = "direct" if region.capped >= 2 and engine.factor_fits else "cg"
    here = engine.here
    direction = solve(system, rtol, method, lambda: engine.cost.products(here.f, here.g, engine.reg))
    engine.counts.cg += direction.iterations
    return direction


def _numbers(engine: "Engine", d: Direction) -> tuple[float, float, float]:
    """Largest change, slope of the dual along the step and d'Dd, all in units of the regularisation."""
    xp, here, k = engine.xp, engine.here, kernels.bind(engine.xp)
    terms = xp.empty((2, 3), dtype=xp.float64, device=here.f.device)
    k.step_terms(d.rows, here.row_gap, here.r, terms[0, :])
    k.step_terms(d.columns, here.col_gap, here.c, terms[1, :])
    (row_max, row_slope, row_length), (col_max, col_slope, col_length) = to_host(terms).tolist()
    return max(row_max, col_max), row_slope + col_slope, row_length + col_length


def _rtol(engine: "Engine") -> float:
    """Forcing term: superlinear convergence needs it to vanish with the error."""
    return min(0.1, math.sqrt(engine.inexactness()))


def _trust_region(engine: "Engine", region: Region, graph: Bipartite) -> Step | None:
    here, reg = engine.here, engine.reg
    mu, spent = region.shift, engine.counts.cg
    for _ in range(TRIALS):
        d = _solve(engine, region, _system(engine, graph, mu), _rtol(engine))
        largest, slope, length = _numbers(engine, d)
        unsolved = d.iterations >= CG_LIMIT and d.relative_residual > 0.5
        if mu < LARGEST_SHIFT and (unsolved or not largest <= region.radius):
            mu = region.damped(mu, math.inf if unsolved else largest)
            continue
        predicted = 0.5 * reg * (slope + mu * length)
        new = _along(engine, d, 1.0)
        ratio = (new.fun - here.fun) / predicted if predicted > 0.0 else math.nan
        flat = engine.is_flat(reg * slope)
        if ratio > ACCEPT or (flat and new.error < here.error):
            break
        if flat and mu >= 1.0:
            return None
        mu = region.rejected(mu, largest)
    else:
        return None
    region.capped = region.capped + 1 if d.iterations >= CG_LIMIT else 0
    further = ratio > EXTEND and not flat
    if further:
        new = extended(lambda t: _along(engine, d, t), new, largest)
    region.accepted(mu, ratio, largest, flat=flat)
    return Step(new, engine.counts.cg - spent, graph.density, mu, further)


def _along(engine: "Engine", d: Direction, t: float) -> "Point":
    """The point `t` times the direction away."""
    here, length = engine.here, t * engine.reg
    return engine.evaluate(here.f + length * d.rows, here.g + length * d.columns)


def _line_search(engine: "Engine", region: Region, graph: Bipartite, *, shifted: bool) -> Step | None:
    """The paper's method, and SSNS's with its shift: backtracking along one direction."""
    here, reg = engine.here, engine.reg
    spent = engine.counts.cg
    absolute = region.ssns_mu * _gradient_norm(here) if shifted else 0.0
    d = _solve(engine, region, _system(engine, graph, 0.0, absolute), _rtol(engine))
    largest, slope, _ = _numbers(engine, d)
    if not (math.isfinite(largest) and slope > 0.0):
        region.capped = 2
        return None
    reach = min(1.0, 30.0 / largest) if largest > 0.0 else 1.0
    flat = engine.is_flat(reg * slope)
    for t in SHORT_STEPS:
        length = reach * t
        new = _along(engine, d, length)
        if new.fun >= here.fun + ACCEPT * length * reg * slope or (flat and new.error < here.error):
            break
    else:
        return None
    if shifted:
        ratio = (new.fun - here.fun) / (reg * length * (1.0 - 0.5 * length) * slope)
        if ratio < 0.25:
            region.ssns_mu *= SSNS_GROWTH
        elif ratio > 0.75:
            region.ssns_mu = max(SSNS_SMALLEST, SSNS_DECAY * region.ssns_mu)
    hard = d.iterations >= CG_LIMIT or length < 0.05
    region.capped = region.capped + 1 if hard else region.capped
    return Step(new, engine.counts.cg - spent, graph.density, absolute)
