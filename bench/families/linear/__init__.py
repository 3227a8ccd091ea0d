"""Linear systems, one or a sequence of them, judged by the true residuals of the answers."""

from numopt.bench.families.linear._family import FAMILY

__all__ = ["FAMILY"]
