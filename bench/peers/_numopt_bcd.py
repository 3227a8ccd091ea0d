"""`numopt.coordinate.bcd` with the partition, the rule and the update of one curve of the paper's figures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numopt.bench._records import digits
from numopt.bench.peers import _coordinate as coordinate
from numopt.bench.peers._base import UnsuitableProblemError

ITERATIONS = 500
"""Block updates that the paper's figures show."""

FIRST, THEN = 20, 10
"""A curve is kept at its first iterations and at every tenth one after those."""


@dataclass(frozen=True, eq=False)
class Curve(coordinate.Task):
    """A task with the arguments of `bcd`; with a `target` it ends as soon as ``F - f_opt`` is no more than that."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    target: float | None = None


class BlockDescent(coordinate.CoordinateSolver):
    """As many block updates as the figure shows, with their objectives."""

    name = "numopt-bcd"
    models = ("least-squares", "logistic", "multinomial", "quadratic")

    def prepare(self) -> None:
        from numopt import coordinate as solvers

        task = self.task
        if not isinstance(task, Curve):
            raise UnsuitableProblemError(f"{self.name} draws the paper's curves only.")
        self._curve = task
        common: dict[str, Any] = {"l1": task.l1, "l2": task.l2, "nonneg": task.nonneg}
        makers: dict[str, Any] = {
            "least-squares": solvers.LeastSquares,
            "logistic": solvers.Logistic,
            "multinomial": solvers.Multinomial,
            "quadratic": solvers.Quadratic,
        }
        self._bcd = solvers.bcd
        self._problem = makers[task.model](task.A, task.b, **common)

    def run(self) -> None:
        curve = self._curve
        # Neither the tolerance nor the passes are to end it.
        limits: dict[str, Any] = {"tol": 0.0, "maxiter": ITERATIONS, "max_passes": math.inf, "history": True}
        self._result: Any = self._bcd(
            self._problem, callback=self._enough, rng=self.settings.seed, **limits, **curve.arguments
        )

    def _enough(self, intermediate_result: Any) -> None:
        curve = self._curve
        if curve.target is not None and curve.f_opt is not None and self._is_there(intermediate_result.fun):
            raise StopIteration

    def _is_there(self, fun: float) -> bool:
        curve = self._curve
        assert curve.target is not None
        assert curve.f_opt is not None
        return fun - curve.f_opt <= curve.target

    def get_result(self) -> coordinate.Coefficients:
        result, curve = self._result, self._curve
        nit, fun = result.history["nit"], result.history["fun"]
        extra: dict[str, Any] = {"active_set_iter": int(result.active_set_iter)}
        if curve.f_opt is not None:
            kept = [k for k, i in enumerate(nit) if i <= FIRST or i % THEN == 0 or i == nit[-1]]
            extra["curve"] = [[int(nit[k]) for k in kept], [digits(float(fun[k]) - curve.f_opt, 4) for k in kept]]
        if curve.target is not None:
            there = np.array([self._is_there(float(value)) for value in fun])
            extra["reached"] = int(nit[there.argmax()]) if there.any() else None
        return coordinate.Coefficients(
            x=result.x,
            success=True,
            outcome=result.status.name,
            message=str(result.message),
            nit=int(result.nit),
            extra=extra,
        )


SOLVERS: dict[str, Any] = {BlockDescent.name: BlockDescent}
