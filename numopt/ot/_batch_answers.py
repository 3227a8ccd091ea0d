"""Outcomes of a batch: of the batched method, and of the problems that are solved one by one."""

from collections.abc import Generator

import numpy as np

from numopt._core.loop import Measure
from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._typing import Array
from numopt.ot._batch_engine import RESCUE, BatchEngine
from numopt.ot._batch_problem import Batch, Floats, Ints, chosen, masked, merged
from numopt.ot._batch_result import certify
from numopt.ot._options import Options
from numopt.ot._problem import dense_problem
from numopt.ot._solve import solve_problem

# Problems with more pairs than this are solved one after another, by the solver that keeps few entries of the plan.
PAIRS_LIMIT = 250_000
COUNTS = ("nit_sinkhorn", "nit_newton", "nit_coarse", "nkernel")


class Answers:
    """Potentials and outcomes of all problems: of the batched method, and of those that are solved one by one."""

    def __init__(self, batch: Batch, options: Options, tols: Floats, start: Array | None, deadline: Deadline) -> None:
        self.batch, self.options, self.tols, self.start, self.deadline = batch, options, tols, start, deadline
        n, m = batch.shape
        self.engine = BatchEngine(batch, options, tols, start) if n * m <= PAIRS_LIMIT and batch.count else None
        self.singles: list[int] = []
        self.f: list[Array] = []
        self.g: list[Array] = []
        self.status: Ints = np.zeros(batch.count, dtype=np.int64)
        self.counts: dict[str, Ints] = {name: np.zeros(batch.count, dtype=np.int64) for name in COUNTS}

    def work(self) -> Generator[Status | None, None, None]:
        """Solve all problems: each `next` does one round of the batch, or one single problem."""
        if self.engine is not None:
            for status in self.engine.work():
                if not self.engine.control.ids.size:
                    self._collect()
                yield status
        for i in self._missing():
            self._solve_single(i, self.options.maxiter)
            yield None

    def finish(self, status: Status) -> None:
        """Give every problem an answer, also those that a limit or the user left unsolved."""
        if self.engine is not None and self.engine.control.ids.size:
            self.engine.finish(status)
            self._collect()
        for i in self._missing():
            self._solve_single(i, 0)
            self.status[i] = int(status)

    def _missing(self) -> list[int]:
        """Problems that wait for the solver of single ones."""
        if self.engine is None:
            return list(range(len(self.singles), self.batch.count))
        return [int(i) for i in np.flatnonzero(self.status == RESCUE)]

    def _collect(self) -> None:
        """Take over what the batched method has found."""
        assert self.engine is not None
        outcome = self.engine.outcome()
        self.status = outcome.status.copy()
        self.counts["nit_sinkhorn"] += outcome.sinkhorn
        self.counts["nit_newton"] += outcome.newton
        self.counts["nkernel"] += outcome.passes

    def _solve_single(self, i: int, maxiter: int) -> None:
        batch, xp = self.batch, self.batch.xp
        one = np.asarray([i])
        C = xp.reshape(batch.costs(one), batch.shape)
        problem = dense_problem(batch.a[i, :], batch.b[i, :], C, mass_tol=1.0, rho=(np.inf, np.inf), refine=False)
        init = None if self.start is None else (xp.zeros_like(batch.a[i, :]), self.start[i, :])
        left = None if self.options.time_limit is None else max(self.deadline.remaining(), 1e-9)
        result = solve_problem(
            problem,
            reg=float(batch.reg[i]),
            init=init,
            plan=None,
            with_bounds=False,
            method="sns",
            warmup="auto",
            density="auto",
            linsolver="auto",
            maxiter=maxiter,
            time_limit=left,
            tol=float(self.tols[i]),
            norm=self.options.norm,
            anneal=self.options.anneal,
        )
        self.singles.append(i)
        self.f.append(masked(xp, result.f[None, :], None if batch.rows is None else batch.rows[i : i + 1, :], 0.0))
        self.g.append(masked(xp, result.g[None, :], None if batch.cols is None else batch.cols[i : i + 1, :], 0.0))
        self.status[i] = int(result.status)
        for name in COUNTS:
            self.counts[name][i] += int(result[name])

    def potentials(self) -> tuple[Array, Array]:
        """Of all problems, in order: answers, and where the unfinished ones are."""
        batch, xp = self.batch, self.batch.xp
        if self.engine is not None:
            f, g = self.engine.current()
        else:
            f, g = xp.zeros_like(batch.a), xp.zeros_like(batch.b) if self.start is None else self.start
        if not self.singles:
            return f, g
        rest = np.setdiff1d(np.arange(batch.count), self.singles)
        single = ((np.asarray([i]), *pair) for i, *pair in zip(self.singles, self.f, self.g, strict=True))
        f, g = merged((rest, chosen(f, rest), chosen(g, rest)), *single)
        return f, g

    def measure(self) -> Measure:
        """The numbers of the batch for the loop."""
        engine, left = self.engine, len(self._missing())
        if engine is not None and engine.control.ids.size:
            numbers = engine.measure()
        else:
            numbers = Measure(np.inf if left else 0.0, name="marginal_error", fields={"unfinished": float(left)})
        numbers.arrays = self._arrays
        return numbers

    def _arrays(self) -> dict[str, Array]:
        """What a callback sees."""
        batch, xp = self.batch, self.batch.xp
        at = certify(batch, *self.potentials(), with_plan=True, with_bounds=False)
        (n, m), lead = batch.shape, batch.lead
        assert at.plan is not None
        return {
            "f": xp.reshape(at.f, (*lead, n)),
            "g": xp.reshape(at.g, (*lead, m)),
            "x": xp.reshape(at.plan, (*lead, n, m)),
        }
