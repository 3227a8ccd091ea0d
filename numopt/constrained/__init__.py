"""Optimisation under equality constraints."""

from numopt.constrained._sketched_newton import sketched_newton

__all__ = ["sketched_newton"]
