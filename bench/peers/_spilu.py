"""The drop tolerance of an incomplete factorisation: tuned by the time it takes, drawn at random, or replayed."""

import time
from typing import Any, ClassVar

import numpy as np

from numopt.bench._records import digits
from numopt.bench.peers import _linear as linear
from numopt.bench.peers._base import UnsuitableProblemError
from numopt.bench.peers._numopt_linear import learned_outcome

RAISES = "raises"
"""The arm that always fails: what a tuner must learn to leave alone."""

# In the natural order and with SuperLU's dynamic rule a small tolerance fills the factors up to `fill_factor`, after
# which the rule drops what matters: the arms' costs then differ by a factor of about 3.
ILU: dict[str, Any] = {"permc_spec": "NATURAL", "drop_rule": "basic,area,dynamic"}

EVERY = 10
"""Every so many systems are replayed with each arm."""


class _Spilu(linear.LinearSolver):
    """BiCGSTAB preconditioned by `scipy.sparse.linalg.spilu`."""

    distribution: ClassVar[str | None] = "scipy"
    kinds: tuple[type[linear.Task], ...] = (linear.Steps,)

    def prepare(self) -> None:
        task = self.task
        assert isinstance(task, linear.Steps)
        if task.spilu is None:
            raise UnsuitableProblemError(f"{task.name} is no problem for incomplete factorisations.")
        self._fill = task.spilu
        self._arms = list(task.arms)
        self._rng = np.random.default_rng(self.settings.seed)

    def solve(self, A: Any, b: Any, *, drop_tol: Any) -> Any:
        """Solve one system with one arm."""
        from scipy.optimize import OptimizeResult
        from scipy.sparse.linalg import LinearOperator, bicgstab, spilu

        if drop_tol == RAISES:
            raise RuntimeError("this arm fails.")
        factor = spilu(A.tocsc(), drop_tol=drop_tol, fill_factor=self._fill, **ILU)
        M = LinearOperator(A.shape, factor.solve)
        count = 0

        def tick(_: Any) -> None:
            nonlocal count
            count += 1

        # The residual that the recurrence carries is a little off: half of the tolerance makes up for it.
        x, info = bicgstab(A, b, rtol=0.5 * self.rtol, atol=0.0, M=M, callback=tick)
        result = OptimizeResult()
        result.update(x=x, success=info == 0, nit=count)
        return result


class TunedSpilu(_Spilu):
    """`numopt.tuning.BanditTuner` with the seconds of each solve as the cost."""

    name = "numopt-spilu"
    distribution = None

    def prepare(self) -> None:
        from numopt.tuning import BanditTuner

        super().prepare()
        self._tuner = BanditTuner(self._arms, method="tsallis-inf", cost="time", rng=self.settings.seed)

    def run(self) -> None:
        from numopt.tuning import solve_sequence

        task = self.task
        assert isinstance(task, linear.Steps)
        self._result = solve_sequence(
            task, self._tuner, self.solve, param="drop_tol", x0=None, rtol=self.rtol, keep=True
        )

    def get_result(self) -> linear.Solutions:
        drawn = [str(value) for value in self._result["chosen"]]
        found = learned_outcome(self._result, plays={str(arm): drawn.count(str(arm)) for arm in self._arms})
        found.chosen = None
        return found


class UniformSpilu(_Spilu):
    """A working arm drawn at random for each system."""

    name = "scipy-spilu-uniform"

    def run(self) -> None:
        self.log = log = linear.Log()
        assert isinstance(self.task, linear.Steps)
        working = [arm for arm in self._arms if arm != RAISES]
        for A, b, _ in self.task:
            result = self.solve(A, b, drop_tol=working[self._rng.integers(len(working))])
            log.solutions.append(result.x)
            log.nits.append(result.nit)

    def get_result(self) -> linear.Solutions:
        return self.log.outcome(self.task)


class ReplayedSpilu(_Spilu):
    """The best of the arms for all systems; before that every arm on some of them, in turn, which is not timed."""

    name = "scipy-spilu-best"

    def prepare(self) -> None:
        super().prepare()
        assert isinstance(self.task, linear.Steps)
        spent: dict[Any, list[float]] = {arm: [] for arm in self._arms if arm != RAISES}
        for step, (A, b, _) in enumerate(self.task):
            if step % EVERY == 0:
                for arm, seconds in spent.items():
                    start = time.perf_counter()
                    self.solve(A, b, drop_tol=arm)
                    seconds.append(time.perf_counter() - start)
        self._means = {arm: float(np.mean(seconds)) for arm, seconds in spent.items()}
        self._best = min(self._means, key=lambda arm: self._means[arm])

    def run(self) -> None:
        self.log = log = linear.Log()
        assert isinstance(self.task, linear.Steps)
        for A, b, _ in self.task:
            result = self.solve(A, b, drop_tol=self._best)
            log.solutions.append(result.x)
            log.nits.append(result.nit)

    def get_result(self) -> linear.Solutions:
        means = {f"{arm:g}": digits(mean) for arm, mean in self._means.items()}
        return self.log.outcome(self.task, arms=means, best=f"{self._best:g}")


SOLVERS: dict[str, Any] = {solver.name: solver for solver in (TunedSpilu, UniformSpilu, ReplayedSpilu)}
