"""Programs with equality constraints, judged by their KKT residual."""

from numopt.bench.families.equality._family import FAMILY, Tiny

__all__ = ["FAMILY", "Tiny"]
