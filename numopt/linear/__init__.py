"""Relaxation methods and conjugate gradients for linear systems."""

from numopt.linear._cg import cg
from numopt.linear._omega import axelsson_bound, near_asymptotic_bound, optimal_omega, young_rate
from numopt.linear._preconditioner import SSORPreconditioner
from numopt.linear._sor import sor, ssor
from numopt.linear._stencil import Stencil

__all__ = [
    "SSORPreconditioner",
    "Stencil",
    "axelsson_bound",
    "cg",
    "near_asymptotic_bound",
    "optimal_omega",
    "sor",
    "ssor",
    "young_rate",
]
