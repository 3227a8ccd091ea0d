"""Exponential weights: Exp3, which sees one cost a round, and Hedge, which sees those of all arms."""

import math
from typing import Any

import numpy as np

from numopt.tuning._policy import CellPolicy, Costs, Draw, Floats


class ExponentialPolicy(CellPolicy):
    """Arms are drawn with probabilities that fall exponentially with their estimated losses."""

    def __init__(self, d: int, n_cells: int, costs: Costs, *, full: bool) -> None:
        super().__init__(d, n_cells, costs)
        # eta_t = sqrt(log d / (d t)), and sqrt(8 log d / t) where nothing need be explored.
        self._rate = math.sqrt(8 * math.log(d)) if full else math.sqrt(math.log(d) / d)
        self._kernel = self.kernels.exponential_draw

    def draw(self, where: int, limits: Floats, rng: np.random.Generator) -> Draw:
        """Draw an arm in a cell."""
        costs, out = self.costs, self._out
        self._kernel(
            self.arms, self.totals, where, costs.floor, costs.scale, costs.horizon, self._rate, limits,
            rng.random(), self._p, out,
        )  # fmt: skip
        arm, probability, shift, _ = out.tolist()
        return Draw(int(arm), probability, shift)


class HedgePolicy(ExponentialPolicy):
    """Exponential weights on the costs of all arms."""

    def __init__(self, d: int, costs: Costs) -> None:
        super().__init__(d, 1, costs, full=True)
        self.charged = np.zeros(1)  # sum of the costs of the arms drawn

    def record(self, where: int, drawn: Any, arm: int, cost: Any, weight: float = 1.0) -> None:
        """Take in the costs of all arms of one round."""
        costs = np.asarray(cost, dtype=np.float64)
        totals, arms = self.totals[where], self.arms[where]
        arms *= self.costs.discount
        totals[:2] *= self.costs.discount
        arms += weight * np.stack([costs - self.costs.floor, np.ones_like(costs), costs, costs**2], axis=1)
        first = totals[4] == 0
        totals[0] += weight
        totals[1] += weight * costs.mean()
        totals[2] = costs.min() if first else min(totals[2], costs.min())
        totals[3] = costs.max() if first else max(totals[3], costs.max())
        if weight > 0:
            totals[4] += weight
            self.charged += costs[arm]

    def regret(self) -> float:
        """Return the costs of the arms drawn less those of the best arm."""
        return float(self.charged[0] - self.arms[0, :, 2].min()) if self.totals[0, 0] > 0 else 0.0

    def arrays(self) -> dict[str, Floats]:
        """Return the state, by name."""
        return super().arrays() | {"charged": self.charged}
