"""Mass between the components of the kept graph, which its Newton system cannot move.

Where the kept entries fall apart into components, the links between these were dropped: each component may shift its
potentials, f + t on its rows and g - t on its columns, at no cost in the sparse model. The dual as a function of these
shifts alone, with the exact and not underflowed link strengths, is a problem of one unknown per component.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from numopt import kernels
from numopt._array import asarray_like, namespace, to_host
from numopt._core.status import Status
from numopt._typing import Array
from numopt.ot._bipartite import Bipartite
from numopt.ot._cost import Cost

if TYPE_CHECKING:
    from numopt.ot._engine import Engine, Point

Vector = NDArray[np.float64]
Labels = NDArray[np.int32]

STEPS = 300
# The imbalance of a component divided by this is added on the diagonal: an isolated one then moves by at most this.
LONGEST = 3.0
# Part of the marginal error that must be imbalance of components.
WORTH_IT = 0.5
SETTLED = 1e-3  # of the imbalance at the start


def coarse_step(engine: "Engine", graph: Bipartite) -> "Point | Status | None":
    """Shift whole components; None where that is not what is wrong, or where the dual does not rise.

    INFEASIBLE where components hold mass that no finite cost lets out.
    """
    here = engine.here
    found = components(graph, to_host(here.r), max(16, math.isqrt(graph.shape[0])))
    if found is None:
        return None
    count, row_labels, col_labels = found
    imbalance = np.bincount(row_labels, to_host(here.row_gap), count)
    imbalance -= np.bincount(col_labels, to_host(here.col_gap), count)
    if np.abs(imbalance).sum() <= WORTH_IT * here.error:
        return None
    links = link_strengths(engine.cost, here.f, here.g, engine.reg, row_labels, col_labels, count)
    excess: Vector = np.zeros(count)
    excess += np.bincount(row_labels, to_host(engine.rows.weights), count)
    excess -= np.bincount(col_labels, to_host(engine.cols.weights), count)
    if trapped(links, excess, SETTLED * here.error):
        return Status.INFEASIBLE
    shift = balance(links, excess)
    if shift is None:
        return None
    row_moves, col_moves = (
        asarray_like(engine.reg * shift[labels], here.f, dtype=here.f.dtype) for labels in (row_labels, col_labels)
    )
    point = engine.evaluate(here.f + row_moves, here.g - col_moves)
    engine.counts.coarse += 1
    return point if point.fun > here.fun else None


def components(graph: Bipartite, masses: Vector, most: int) -> tuple[int, Labels, Labels] | None:
    """Number the components by mass, from 0; all beyond the heaviest `most - 1` share the last number."""
    (n, m), indices = graph.shape, graph.rows.indices
    xp = namespace(indices)
    rows, cols = (xp.empty(size, dtype=xp.int32, device=indices.device) for size in (n, m))
    kernels.bind(xp).bipartite_components(
        indices, graph.rows.indptr, graph.columns.indices, graph.columns.indptr, rows, cols
    )
    row_labels, col_labels = to_host(rows), to_host(cols)
    # A column without entries is a component of its own, as a row without is.
    heads, rank = np.unique(np.concatenate([row_labels, col_labels]), return_inverse=True)
    if heads.size < 2:
        return None
    order = np.argsort(-np.bincount(rank[:n], masses, heads.size), kind="stable")
    place = np.empty(heads.size, dtype=np.int32)
    place[order] = np.minimum(np.arange(heads.size), most - 1)
    return min(heads.size, most), place[rank[:n]], place[rank[n:]]


def link_strengths(
    cost: Cost, f: Array, g: Array, reg: float, row_labels: Labels, col_labels: Labels, count: int
) -> Vector:
    """Logarithm of the plan's mass between components, from the potentials; the diagonal is left out (-inf)."""
    xp = namespace(f)
    links = np.full((count, count), -np.inf)
    for label in range(count):
        outside, inside = np.flatnonzero(row_labels != label), np.flatnonzero(col_labels == label)
        if not (outside.size and inside.size):
            continue
        rows, cols = asarray_like(outside, f), asarray_like(inside, f)
        sums = xp.take(f, rows) / reg + cost.part(rows, cols).lse_rows(xp.take(g, cols), reg)
        links[:, label] = _grouped_lse(np.asarray(to_host(sums), dtype=np.float64), row_labels[outside], count)
    return links


def _grouped_lse(values: Vector, labels: Labels, count: int) -> Vector:
    """Log-sum-exp of the values of each label; -inf where there are none."""
    highest = np.full(count, -np.inf)
    np.maximum.at(highest, labels, values)
    safe = np.where(np.isfinite(highest), highest, 0.0)
    sums = np.bincount(labels, np.exp(values - safe[labels]), count)
    with np.errstate(divide="ignore"):
        return safe + np.log(sums)


def trapped(links: Vector, excess: Vector, tol: float) -> bool:
    """Whether the components that one of them reaches through finite costs hold more mass than they take in.

    This is a violated condition of Hall. A component of merged ones counts as reaching what any of them reaches.
    """
    reach = np.isfinite(links) | np.eye(excess.shape[0], dtype=bool)
    for middle in range(excess.shape[0]):
        reach |= reach[:, middle, None] & reach[None, middle, :]
    return bool(np.any(reach @ excess > tol))


def balance(links: Vector, excess: Vector) -> Vector | None:
    """Shifts t that maximise  excess . t - sum_{I != J} exp(links_IJ + t_I - t_J),  by damped Newton steps.

    `links` is the logarithm of the mass between components, `excess` the mass that must leave each. None when the
    maximum is not approached.
    """
    count = excess.shape[0]
    off = ~np.eye(count, dtype=bool)
    t = np.zeros(count)

    def value(t: Vector) -> tuple[float, Vector]:
        with np.errstate(over="ignore"):
            flow = np.where(off, np.exp(links + t[:, None] - t[None, :]), 0.0)
        return float(excess @ t - flow.sum()), flow

    fun, flow = value(t)
    first = last = math.inf
    for _ in range(STEPS):
        gradient = excess - flow.sum(axis=1) + flow.sum(axis=0)
        last = float(np.abs(gradient).sum())
        if first == math.inf:
            first = last
        if last <= SETTLED * first:
            break
        weights = flow + flow.T
        hessian = np.diag(weights.sum(axis=1) + np.abs(gradient) / LONGEST + 1e-300) - weights
        step = np.linalg.lstsq(hessian, gradient)[0]
        step *= min(1.0, LONGEST / max(float(np.abs(step).max()), 1e-300)) if np.all(np.isfinite(step)) else 0.0
        length = 1.0
        while length > 1e-6:
            new, new_flow = value(t + length * step)
            if new > fun:
                break
            length *= 0.5
        else:
            break
        t, fun, flow = t + length * step, new, new_flow
    return t if last < first else None
