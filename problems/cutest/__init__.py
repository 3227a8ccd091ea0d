"""CUTEst problems: Python translations (S2MPJ), closed forms, and pycutest.

`find` selects from a shipped table without loading anything, `load` builds a `numopt.problems.Problem`, `suite` names
the sets that the benchmarks run, `missing` says which of a suite's problems this installation lacks.
"""

from numopt.problems.cutest._loader import load, missing, start_kkt, suite
from numopt.problems.cutest._table import ProblemInfo, find

__all__ = ["ProblemInfo", "find", "load", "missing", "start_kkt", "suite"]
