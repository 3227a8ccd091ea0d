"""Tsallis-INF (Zimmert and Seldin 2021), and a copy of it in each cell of the contexts."""

import numpy as np

from numopt.tuning._policy import CellPolicy, Costs, Draw, Floats


class TsallisPolicy(CellPolicy):
    """Arms are drawn with probabilities that fall as the inverse square of their estimated losses."""

    def __init__(self, d: int, n_cells: int, costs: Costs, *, reduced: bool) -> None:
        super().__init__(d, n_cells, costs)
        self._reduced = int(reduced)
        self._kernel = self.kernels.tsallis_draw

    def draw(self, where: int, limits: Floats, rng: np.random.Generator) -> Draw:
        """Draw an arm in a cell."""
        costs, out = self.costs, self._out
        self._kernel(
            self.arms, self.totals, where, costs.floor, costs.scale, costs.horizon, self._reduced, limits,
            rng.random(), self._p, out,
        )  # fmt: skip
        arm, probability, shift, _ = out.tolist()
        return Draw(int(arm), probability, shift)
