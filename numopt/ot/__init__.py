"""Entropic optimal transport."""

from numopt.ot._result import LazyPlan, OTResult
from numopt.ot._solve import solve, solve_points

__all__ = ["LazyPlan", "OTResult", "solve", "solve_points"]
