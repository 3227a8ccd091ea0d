"""Entropic optimal transport, judged by the marginals of the answer."""

from numopt.bench.families.transport._family import FAMILY

__all__ = ["FAMILY"]
