"""Entropic optimal transport."""

from numopt.ot._barycenter import barycenter
from numopt.ot._batch import solve_batch
from numopt.ot._pot import sinkhorn, sinkhorn2
from numopt.ot._result import LazyPlan, OTResult
from numopt.ot._solve import solve, solve_points
from numopt.ot._unbalanced import sinkhorn_unbalanced

__all__ = [
    "LazyPlan",
    "OTResult",
    "barycenter",
    "sinkhorn",
    "sinkhorn2",
    "sinkhorn_unbalanced",
    "solve",
    "solve_batch",
    "solve_points",
]
