"""ChebCB (Khodak, Chow, Balcan and Talwalkar 2024): costs predicted from the context, arms drawn by inverse gaps.

Differs from the paper's code: least squares from sums (O(1) in the number of rounds) instead of refits to all data;
costs, predictions and bounds stay in the unit of the costs, since their scale cancels in all probabilities; earlier
prediction errors are compared in that unit too.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numopt.tuning._contexts import Features
from numopt.tuning._policy import CellPolicy, Costs, Draw, Floats

CLEAR = 1.1  # the ratio of predicted costs that counts as worse beyond doubt


class ChebyshevPolicy(CellPolicy):
    """Bounded least squares on features of the context for each arm."""

    def __init__(self, d: int, features: Features, costs: Costs) -> None:
        super().__init__(d, 1, costs)
        m = features.degrees.size
        self.space = features
        self.squares = np.zeros(4)
        self.gram = np.zeros((d, m, m))
        self.moments = np.zeros((d, m))
        self.theta = np.zeros((d, m))
        self.gaps = np.zeros(1)  # sum of costs less the best prediction
        self._features = np.zeros(m)
        self._work = np.zeros((m + 3, m))
        self._given = features.powers.shape[0] == 0
        self._no_point = np.zeros(1)
        self._all_played = False
        self._record = self.kernels.chebyshev_record

    def _map(self, where: Floats) -> Floats:
        """Return the point for the kernel, after a user's features were put in their place."""
        if self._given:
            self._features[...] = where
            return self._no_point
        return where

    def draw(self, where: Any, limits: Floats, rng: np.random.Generator) -> Draw:
        """Draw an arm at a point."""
        out, features = self._out, self._features
        self.kernels.chebyshev_draw(
            self.arms, self.totals, self.squares, self.theta, self._map(where), self.space.powers,
            self.space.degrees, features, limits, rng.random(), self._p, out,
        )  # fmt: skip
        arm, probability, shift, best = out.tolist()
        return Draw(int(arm), probability, shift, best, features.copy())

    def record(self, where: Any, drawn: Any, arm: int, cost: float, weight: float = 1.0) -> None:
        """Take in the cost of an arm at the point of its draw."""
        costs = self.costs
        if not self._all_played:
            # Until then the best prediction may be that of an unknown arm.
            self._all_played = bool(np.all(self.arms[0, :, 1] > 0))
        if weight > 0 and self._all_played:
            least = max(drawn.best + costs.floor, self.totals[0, 2])
            self.gaps[0] += cost - least
        self._record(
            self.arms, self.totals, self.squares, self.gram, self.moments, self.theta, self.space.degrees,
            drawn.features, arm, drawn.shift, cost, costs.floor, weight, costs.discount, self._work,
        )  # fmt: skip

    def means(self, where: Any) -> Floats:
        """Return the predicted costs, between the floor and the largest one seen, NaN without data."""
        if self._given:
            features = where
        else:
            angles = np.arccos(np.clip(where, -1, 1))
            features = np.prod(np.cos(self.space.powers * angles), axis=1)
        predicted = self.theta @ features + self.costs.floor
        predicted = np.clip(predicted, min(self.costs.floor, self.totals[0, 2]), self.totals[0, 3])
        return np.where(self.arms[0, :, 1] > 1e-9, predicted, np.nan)

    def ranking(self, where: Any) -> Floats:
        """Return the predicted costs, NaN without data."""
        return self.means(where)

    def spread(self, where: Any) -> float:
        """Return the root mean square of the prediction errors."""
        squares = self.squares[0] - 2 * self.squares[1] + self.squares[2]
        return float(np.sqrt(max(squares / max(self.totals[0, 0], 1.0), 0.0)))

    def regret(self) -> float:
        """Return the sum of the costs less the best prediction of the time."""
        return float(self.gaps[0])

    def separated(self, keep: NDArray[np.bool_]) -> bool:
        """Tell whether the arms outside `keep` are predicted to be clearly worse than the best one everywhere."""
        if np.any(self.arms[0, :, 1] < self.space.degrees.size) or not self.space.samples().size:
            return False
        predicted = np.array([self.means(point) for point in self.space.samples()])
        best = predicted.min(axis=1, keepdims=True)
        return bool(np.all(predicted[:, ~keep] > CLEAR * best))

    def best_arms(self) -> list[int]:
        """Return the best arm at each of some points."""
        played = np.all(self.arms[0, :, 1] > 1e-9)
        return [int(np.argmin(self.means(point))) for point in self.space.samples()] if played else []

    def regrid(self, weights: Floats) -> Floats:
        """Interpolate the sums for new arms; their fits follow from the sums at the next cost of each."""
        factor = super().regrid(weights)
        for name in ("gram", "moments", "theta"):
            old = getattr(self, name)
            new = (weights @ old.reshape(old.shape[0], -1)).reshape(old.shape)
            if name != "theta":
                new *= factor.reshape(-1, *(1,) * (new.ndim - 1))
            setattr(self, name, np.ascontiguousarray(new))
        return factor

    def arrays(self) -> dict[str, Floats]:
        """Return the state, by name."""
        own = {name: getattr(self, name) for name in ("squares", "gram", "moments", "theta", "gaps")}
        return super().arrays() | own

    def reset(self) -> None:
        """Forget all costs."""
        super().reset()
        self._all_played = False
