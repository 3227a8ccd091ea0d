"""Path of a solver: the points at which it asked for a gradient, judged after the clock has stopped.

While the solver runs, a point costs one copy and one reading of the clock. Values and residuals are computed later, so
the path serves time-to-accuracy curves and data profiles without touching the times.
"""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.bench._records import digits
from numopt.bench.families._base import Watch
from numopt.bench.families.equality._judge import DENSE_ENTRIES, judge
from numopt.problems import Problem

LARGEST = 2000
"""Problems with more variables are not traced: the copies and the judging would cost too much."""

MOST_POINTS = 64
SECONDS = 5.0


class Trace(Watch):
    """Record the points of one solve; `rows` is what goes into the record."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._points: list[tuple[int, float, NDArray[np.float64]]] = []
        self._start = 0.0

    @staticmethod
    def suits(problem: Problem) -> bool:
        """Whether tracing this problem is affordable."""
        return problem.n <= LARGEST and problem.n * problem.m <= DENSE_ENTRIES

    def __enter__(self) -> "Trace":
        inner = self._problem._grad

        def noted(x: NDArray[np.float64]) -> Any:
            self._points.append((self._problem.counters.f, time.perf_counter(), x.copy()))
            return inner(x)

        # On the instance, so that views and converters made earlier, which delegate to it, are seen as well.
        self._problem._grad = noted  # type: ignore[method-assign]
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> None:
        del self._problem._grad

    def rows(self) -> list[tuple[float, ...]]:
        """``(f evaluations, f, ||c||, seconds, KKT)`` along the path, at most `MOST_POINTS` of them, ends included."""
        if not self._points:
            return []
        # The first points one by one, then ever sparser: the curves have logarithmic axes.
        chosen = np.unique(np.geomspace(1, len(self._points), MOST_POINTS).round().astype(int)) - 1
        rows: list[tuple[float, ...]] = []
        end = time.perf_counter() + SECONDS
        for i in chosen:
            count, when, x = self._points[i]
            verdict = judge(self._problem, x)
            path = verdict.constr_violation, when - self._start, verdict.kkt
            rows.append((count, digits(verdict.fun, 12), *map(digits, path)))
            if time.perf_counter() > end:
                break
        return rows
