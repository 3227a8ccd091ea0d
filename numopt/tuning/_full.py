"""One system solved with every value of the grid: what full information costs."""

import math
from typing import Any

import numpy as np

from numopt._array import namespace
from numopt.tuning._attempt import Attempt, CostOf, Run, timed
from numopt.tuning._outcome import Outcome
from numopt.tuning._solvers import Solver
from numopt.tuning._timing import stopwatch
from numopt.tuning._tuner import BanditTuner


def attempt_all(tuner: BanditTuner, context: Any, run: Run, cost_of: CostOf) -> Attempt:
    """Ask, solve with all values one after the other, and tell all costs; a failed solve costs as much as the worst."""
    value, ticket = tuner.ask(context, ticket=True)
    outcomes: list[Outcome | None] = []
    first_error: Exception | None = None
    for other in tuner.grid:
        try:
            outcomes.append(timed(run, other, None))
        except Exception as error:
            first_error = first_error or error
            outcomes.append(None)
    costs = [math.nan if o is None or not (o.solved or o.limited) else cost_of(o) for o in outcomes]
    if all(math.isnan(cost) for cost in costs):
        tuner.fail(ticket=ticket)
        if first_error is not None:
            raise first_error
    else:
        worst = max(cost for cost in costs if not math.isnan(cost))
        worst = max(worst, tuner.max_cost or 0.0)
        tuner.tell([worst if math.isnan(cost) else cost for cost in costs], ticket=ticket)
    arm = tuner.grid.index(value)
    chosen = outcomes[arm]
    if chosen is None or math.isnan(costs[arm]):
        # Any answer is better than none.
        known = [o for o in outcomes if o is not None]
        chosen = min(known, key=lambda o: (not o.solved, not o.limited))
    seconds = sum(o.seconds for o in outcomes if o is not None)
    cost = cost_of(chosen)
    return Attempt(chosen, value, cost, chosen.nit, seconds)


class Batch:
    """All values at once, by one call of `sor` on a batch; looked up by `run` afterwards."""

    def __init__(self, solver: Solver, A: Any, b: Any, x0: Any, values: list[Any]) -> None:
        xp = namespace(b)
        d = len(values)
        start = None if x0 is None else xp.stack([x0] * d)
        omegas = np.asarray(values, dtype=np.float64)
        self._values = values
        self._result, self.seconds = stopwatch(solver, A, xp.stack([b] * d), start, omegas)

    def answer(self, value: Any) -> dict[str, Any]:
        """Return what a solve with one value would have returned."""
        k, res = self._values.index(value), self._result
        return {
            "x": res.x[k, ...],
            "nit": int(res.nit[k]),
            "status": int(res.statuses[k]),
            "success": int(res.statuses[k]) == 0,
            "relative_residual": float(res.relative_residual[k]),
        }
