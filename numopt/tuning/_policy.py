"""What all policies share: sums per arm in each cell of the contexts."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from numopt import kernels

Floats = NDArray[np.float64]

GUESS = 0.5  # plays that an interpolated arm counts for


class Draw(NamedTuple):
    """An arm, and what its cost will be weighed with."""

    arm: int
    probability: float
    shift: float = 0.0
    best: float = 0.0
    features: Any = None


class Costs(NamedTuple):
    """What a policy needs to know of the costs: the least one there can be, a fixed unit or 0, the forgetting."""

    floor: float
    scale: float
    horizon: float
    discount: float


class CellPolicy:
    """One bandit in each cell; a subclass says how it draws."""

    def __init__(self, d: int, n_cells: int, costs: Costs) -> None:
        self.costs = costs
        self.kernels = kernels.bind(np)
        self.arms = np.zeros((n_cells, d, 4))
        self.totals = np.zeros((n_cells, 5))
        self._p = np.zeros(d)
        self._scores = np.zeros(d)
        self._out = np.zeros(4)

    def draw(self, where: Any, limits: Floats, rng: np.random.Generator) -> Draw:
        """Draw an arm in a cell."""
        raise NotImplementedError

    def record(self, where: Any, drawn: Any, arm: int, cost: float, weight: float = 1.0) -> None:
        """Take in the cost of an arm; `drawn` has the probability and the shift of its draw."""
        costs = self.costs
        self.kernels.record_cost(
            self.arms, self.totals, where, arm, drawn.probability, drawn.shift, cost, costs.floor, weight,
            costs.discount,
        )  # fmt: skip

    def means(self, where: Any) -> Floats:
        """Return the mean cost of each arm, NaN where it was never played."""
        return _ratio(self.arms[where, :, 2], self.arms[where, :, 1])

    def errors(self, where: int) -> Floats:
        """Return the standard errors of the means; the variance within all arms counts as one more own observation."""
        n, means = self.arms[where, :, 1], self.means(where)
        own = np.maximum(self.arms[where, :, 3] - n * means**2, 0) + self.spread(where) ** 2
        return _ratio(np.sqrt(own), n)

    def ranking(self, where: Any) -> Floats:
        """Return what is least for the best arm, NaN where it was never played: means that allow for their errors."""
        return self.means(where) + self.errors(where)

    def spread(self, where: Any) -> float:
        """Return the standard deviation of the costs of the cell around their arms' means."""
        n = self.arms[where, :, 1]
        squares = np.sum(self.arms[where, :, 3] - n * np.nan_to_num(self.means(where)) ** 2)
        return float(np.sqrt(max(squares / max(n.sum(), 1.0), 0.0)))

    def regret(self) -> float:
        """Return the sum over the cells of the costs less the mean of the best arm."""
        total = 0.0
        for cell in range(self.totals.shape[0]):
            if self.totals[cell, 0] > 0:
                best = np.nanargmin(self.ranking(cell))
                total += self.totals[cell, 1] - self.totals[cell, 0] * self.means(cell)[best]
        return float(total)

    def separated(self, keep: NDArray[np.bool_]) -> bool:
        """Tell whether the arms outside `keep` are worse than the best one beyond doubt, in all cells."""
        for cell in range(self.totals.shape[0]):
            n, means = self.arms[cell, :, 1], self.means(cell)
            if np.any(n < 1):
                return False
            error = 2 * self.errors(cell)
            best = np.nanargmin(self.ranking(cell))
            if not keep[best] or np.any((means - error)[~keep] <= means[best] + error[best]):
                return False
        return True

    def best_arms(self) -> list[int]:
        """Return the best arm of each cell that was played."""
        return [int(np.nanargmin(self.ranking(c))) for c in range(self.totals.shape[0]) if self.totals[c, 0] > 0]

    def regrid(self, weights: Floats) -> Floats:
        """Interpolate the sums for new arms; return the factor by which what is known of each counts."""
        self.arms = np.ascontiguousarray(np.einsum("ij,cjk->cik", weights, self.arms))
        # An arm in between was never played: its sums are a guess, outweighed by its first cost. Losses stay.
        plays = self.arms[:, :, 1].max(axis=0)
        guess = weights.max(axis=1) < 1
        factor = np.where(guess, np.minimum(1.0, GUESS / np.maximum(plays, GUESS)), 1.0)
        self.arms[:, :, 1:] *= factor[:, None]
        return factor

    def arrays(self) -> dict[str, Floats]:
        """Return the state, by name."""
        return {"arms": self.arms, "totals": self.totals}

    def reset(self) -> None:
        """Forget all costs."""
        for array in self.arrays().values():
            array[...] = 0.0


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 1e-9)
    return out
