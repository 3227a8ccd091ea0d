"""Sparse regression, classification and graph problems, judged by objectives and optimality recomputed by the bench.

A case gives `numopt.bench.peers._coordinate.Task`, whose docstring says what each model means and which measure is
compared with the levels. Records of a case that sweeps over tolerances have the solver's own tolerance as their
``level``; the tables then show, for each accuracy, the loosest tolerance whose answer reaches it.
"""

from numopt.bench.families.coordinate._family import FAMILY

__all__ = ["FAMILY"]
