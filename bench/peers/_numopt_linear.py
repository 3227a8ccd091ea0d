"""numopt's solvers of linear systems, with a parameter that is fixed, known from theory, or learned on the way."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from numopt.bench._records import digits
from numopt.bench.peers import _linear as linear
from numopt.bench.peers._base import UnsuitableProblemError, own_limit

OMEGA = 1.9
"""A good factor for SSOR-CG on grids of 100 x 100 points, and no bad one beside that."""

FIXED = ("1", "1.3", "1.5", "1.75", "1.9", "1.95")
ELSEWHERE = 1.5
"""SOR's factor where Young's theory says nothing."""


class ConjugateGradients(linear.Marching):
    """`numopt.linear.cg` without a preconditioner."""

    name = "numopt-cg"
    omega: ClassVar[float | None] = None

    def prepare(self) -> None:
        from numopt.linear import cg

        # The matrices are known to be symmetric; a user of a sequence says so as well.
        self._cg: Callable[..., Any] = functools.partial(
            cg, rtol=self.rtol, maxiter=linear.MAXITER, assume_symmetric=True, check_finite=False
        )

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        result = self._cg(A, b, x0, ssor_omega=self.omega if omega is None else omega)
        return result.x, int(result.nit)


class SSOR(ConjugateGradients):
    """`numopt.linear.cg` in Eisenstat's form with one factor for all systems (a scan prescribes its own)."""

    name = "numopt-ssor-cg"
    omega = OMEGA


class ColouredSSOR(SSOR):
    """The same with the unknowns taken colour by colour."""

    name = "numopt-ssor-cg-multicolor"

    def prepare(self) -> None:
        super().prepare()
        self._cg = functools.partial(self._cg, ordering="multicolor")


def _fixed(word: str) -> type[SSOR]:
    return type(f"SSOR{word.replace('.', '')}", (SSOR,), {"name": f"numopt-ssor-cg-{word}", "omega": float(word)})


class SSORYoung(ConjugateGradients):
    """Eisenstat's form with the best factor of SOR, which is found on the clock."""

    name = "numopt-ssor-cg-young"
    kinds: tuple[type[linear.Task], ...] = (linear.Solve,)

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        return super().step(A, b, x0, context, young(A))


class SOR(linear.Marching):
    """`numopt.linear.sor` with Young's factor of each matrix; many independent systems are given at once."""

    name = "numopt-sor"

    def prepare(self) -> None:
        from numopt.linear import sor

        self._one: Callable[..., Any]
        limit = own_limit(self.settings.time_limit)
        self._sor: Callable[..., Any] = functools.partial(sor, rtol=self.rtol, maxiter=linear.MAXITER)
        self._one = functools.partial(self._sor, time_limit=limit)

    def run(self) -> None:
        task = self.task
        if not isinstance(task, linear.Steps) or task.omegas is not None:
            super().run()
            return
        if task.sequence.x0 is not None:
            raise UnsuitableProblemError(f"{self.name} takes sequences of independent systems.")
        matrices, sides, contexts = zip(*task, strict=True)
        self.log = solve_batch(self._sor, matrices, sides, young_of_shifts(matrices[0], contexts))

    def step(self, A: Any, b: Any, x0: Any, context: float | None, omega: float | None) -> tuple[Any, int]:
        result = self._one(A, b, x0, omega=young(A) if omega is None else omega)
        return result.x, int(result.nit)


class SORGrid(SOR):
    """Every value of the grid for all systems; the best one's solutions count."""

    name = "numopt-sor-grid"
    kinds: tuple[type[linear.Task], ...] = (linear.Steps,)

    def run(self) -> None:
        task = self.task
        assert isinstance(task, linear.Steps)
        matrices, sides, _ = zip(*task, strict=True)
        logs = [solve_batch(self._sor, matrices, sides, float(omega)) for omega in task.arms]
        totals = [sum(log.nits) for log in logs]
        self.log = logs[int(np.argmin(totals))]
        self._arms = {f"{omega:g}": total / task.steps for omega, total in zip(task.arms, totals, strict=True)}
        self._each = float(np.min([log.nits for log in logs], axis=0).mean())

    def get_result(self) -> linear.Solutions:
        assert isinstance(self.task, linear.Steps)
        return self.log.outcome(
            self.task, arms={omega: digits(mean) for omega, mean in self._arms.items()}, best_each=digits(self._each)
        )


class _Learned(linear.LinearSolver):
    """A tuner that chooses the factor of each solve from the counts of those before."""

    kinds = (linear.Steps,)
    options: ClassVar[dict[str, Any]] = {}
    contextual: ClassVar[bool] = False

    def prepare(self) -> None:
        from numopt.tuning import BanditTuner

        task = self.task
        assert isinstance(task, linear.Steps)
        if not task.arms:
            raise UnsuitableProblemError(f"{task.name} names no values to choose from.")
        options = dict(self.options)
        if self.contextual:
            options["context_bounds"] = task.sequence.context_bounds
        if options.get("method") == "tsallis-inf-cb":
            options["bins"] = task.bins
        self._tuner = BanditTuner(list(task.arms), rng=self.settings.seed, **options)

    def run(self) -> None:
        from numopt.tuning import solve_sequence

        task = self.task
        assert isinstance(task, linear.Steps)
        start = task.sequence.x0
        more = {"check_finite": False} | ({"assume_symmetric": True} if task.method == "ssor-cg" else {})
        self._result: Any = solve_sequence(
            task,
            self._tuner,
            task.method,
            x0="zero" if start is None else start,
            rtol=self.rtol,
            maxiter=task.maxiter,
            keep=True,
            solver_options=more,
        )

    def get_result(self) -> linear.Solutions:
        return learned_outcome(self._result)


class Tsallis(_Learned):
    """Tsallis-INF: no context."""

    name = "numopt-tsallis"
    options: ClassVar[dict[str, Any]] = {"method": "tsallis-inf"}


class TsallisCB(_Learned):
    """Tsallis-INF in each cell of the context."""

    name = "numopt-tsallis-cb"
    options: ClassVar[dict[str, Any]] = {"method": "tsallis-inf-cb"}
    contextual = True


class ChebCB(_Learned):
    """A polynomial of the context for each value."""

    name = "numopt-chebcb"
    options: ClassVar[dict[str, Any]] = {"method": "chebcb"}
    contextual = True


class Sweeps(linear.LinearSolver):
    """Sweeps of `numopt.linear.sor` in natural order with the residual found inside them; on a GPU by levels."""

    name = "numopt-sweeps"
    kinds = (linear.Sweeps,)
    ordering: ClassVar[str] = "natural"

    def run(self) -> None:
        from numopt.linear import sor

        task = self.task
        assert isinstance(task, linear.Sweeps)
        self._result: Any = sor(
            task.system.A,
            task.system.b,
            omega=task.omega,
            rtol=0.0,
            maxiter=task.count,
            ordering=self.ordering,
            check_finite=False,
        )

    def get_result(self) -> linear.Solutions:
        result = self._result
        return linear.Solutions(
            solutions=[result.x],
            success=True,
            outcome=result.status.name,
            message=str(result.message),
            nit=int(result.nit),
            extra={"order": self.ordering},
        )


class ColouredSweeps(Sweeps):
    """Sweeps colour by colour, which may be done in parallel."""

    name = "numopt-sweeps-multicolor"
    ordering = "multicolor"


class SORBatch(linear.LinearSolver):
    """All systems of a batch in one call."""

    name = "numopt-sor-batch"
    kinds = (linear.Batch,)

    def run(self) -> None:
        from numopt.linear import sor

        task = self.task
        assert isinstance(task, linear.Batch)
        self._result: Any = sor(task.matrices, task.rhs, omega=task.omega, rtol=self.rtol, check_finite=False)

    def get_result(self) -> linear.Solutions:
        result = self._result
        return linear.Solutions(
            solutions=[result.x],
            success=bool(result.success),
            outcome=result.status.name,
            message=str(result.message),
            nit=int(np.sum(result.nit)),
        )


class SORLoop(SORBatch):
    """The systems of a batch one after the other."""

    name = "numopt-sor-loop"

    def run(self) -> None:
        from numopt.linear import sor

        task = self.task
        assert isinstance(task, linear.Batch)
        results: list[Any] = [
            sor(A, b, omega=task.omega, rtol=self.rtol, check_finite=False)
            for A, b in zip(task.matrices, task.rhs, strict=True)
        ]
        self._log = linear.Log([np.stack([r.x for r in results])], [sum(int(r.nit) for r in results)])

    def get_result(self) -> linear.Solutions:
        return self._log.outcome(self.task)


def young(A: Any) -> float:
    """Young's factor of a matrix where the theory applies."""
    from numopt.linear import optimal_omega

    try:
        return float(optimal_omega(A))
    except ValueError:
        return ELSEWHERE


def young_of_shifts(A: Any, contexts: Any) -> Any:
    """Young's factors of ``A + (c - contexts[0]) I``: one spectral radius serves all."""
    from numopt.linear import optimal_omega

    return optimal_omega(A, context=np.asarray(contexts) - contexts[0])


def solve_batch(sor: Callable[..., Any], matrices: Any, sides: Any, omega: Any) -> linear.Log:
    """Solve independent systems of one pattern at once."""
    result = sor(list(matrices), np.stack(sides), omega=omega)
    chosen = [float(w) for w in omega] if np.ndim(omega) else []
    return linear.Log(list(result.x), [int(nit) for nit in result.nit], chosen)


def learned_outcome(result: Any, **extra: Any) -> linear.Solutions:
    """What `numopt.tuning.solve_sequence` found."""
    return linear.Solutions(
        solutions=result.solutions,
        nits=[int(nit) for nit in result.iterations],
        chosen=list(result["chosen"]),
        success=bool(result.success),
        outcome=result.status.name,
        message=str(result.message),
        nit=int(result.iterations.sum()),
        extra={
            "tuning_seconds": digits(float(result.tuning_time)),
            "solve_seconds": digits(float(result.solve_time)),
            **extra,
        },
    )


_ALL: tuple[type[linear.LinearSolver], ...] = (
    SSOR, ColouredSSOR, SSORYoung, *map(_fixed, FIXED), ConjugateGradients, SOR, SORGrid, Tsallis, TsallisCB,
    ChebCB, Sweeps, ColouredSweeps, SORBatch, SORLoop,
)  # fmt: skip
SOLVERS: dict[str, Any] = {solver.name: solver for solver in _ALL}
