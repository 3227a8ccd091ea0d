"""Policies on the mean costs: UCB1, epsilon-greedy, Thompson sampling, and a fixed arm."""

import numpy as np

from numopt.tuning._policy import CellPolicy, Costs, Draw, Floats

EXPLORE = 5.0  # epsilon_t = min(1, 5 d / t), after Auer, Cesa-Bianchi and Fischer (2002)


class ConfidencePolicy(CellPolicy):
    """UCB1 for costs: the least lower confidence bound."""

    def draw(self, where: int, limits: Floats, rng: np.random.Generator) -> Draw:
        """Choose an arm in a cell."""
        out = self._out
        self.kernels.confidence_draw(self.arms, self.totals, where, limits, rng.random(), self._p, self._scores, out)
        arm, probability, shift, _ = out.tolist()
        return Draw(int(arm), probability, shift)


class GreedyPolicy(CellPolicy):
    """The best mean so far, now and then any arm."""

    def __init__(self, d: int, n_cells: int, costs: Costs, *, epsilon: float | None) -> None:
        super().__init__(d, n_cells, costs)
        self._epsilon = epsilon

    def draw(self, where: int, limits: Floats, rng: np.random.Generator) -> Draw:
        """Choose an arm in a cell."""
        out, epsilon = self._out, self._epsilon
        if epsilon is None:
            epsilon = min(1.0, EXPLORE * limits.size / (float(self.totals[where, 0]) + 1.0))
        self.kernels.greedy_draw(
            self.arms, self.totals, where, epsilon, limits, rng.random(), self._p, self._scores, out
        )
        arm, probability, shift, _ = out.tolist()
        return Draw(int(arm), probability, shift)


class ThompsonPolicy(CellPolicy):
    """The best of one draw from each arm's normal posterior."""

    def draw(self, where: int, limits: Floats, rng: np.random.Generator) -> Draw:
        """Choose an arm in a cell."""
        out = self._out
        normals = rng.standard_normal(limits.size)
        self.kernels.thompson_draw(
            self.arms, self.totals, where, normals, limits, rng.random(), self._p, self._scores, out
        )
        arm, probability, shift, _ = out.tolist()
        return Draw(int(arm), probability, shift)


class FixedPolicy(CellPolicy):
    """The first arm that does not fail."""

    def draw(self, where: int, limits: Floats, rng: np.random.Generator) -> Draw:
        """Return the arm."""
        return Draw(int(np.argmax(limits)), 1.0)
