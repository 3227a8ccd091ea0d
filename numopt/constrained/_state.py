"""What all modes of `sketched_newton` carry from step to step."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numopt._core.status import Status
from numopt._core.timer import Deadline
from numopt._typing import Namespace
from numopt.constrained._functions import Functions
from numopt.constrained._iterate import Iterate
from numopt.constrained._merit import ExactMerit
from numopt.constrained._options import Options

CAPPED_LIMIT, CAPPED_FALL = 3, 0.9


@dataclass(slots=True, kw_only=True)
class State:
    """The running solve: current and best iterate, merit weights, counters and the last step's numbers."""

    functions: Functions
    options: Options
    xp: Namespace
    point: Iterate
    best: Iterate
    merit: ExactMerit
    rng: np.random.Generator
    deadline: Deadline
    jacobian_reference: float
    delta: float
    nit: int = 0
    alpha: float = math.nan
    inner_nit: int = 0
    last_inner: int = 0
    last_residual: float = math.nan
    n_inner_capped: int = 0
    n_hess_mod: int = 0
    capped_in_a_row: int = 0
    detail: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def move(self, point: Iterate, alpha: float) -> None:
        """Take the accepted iterate."""
        self.point = point
        self.alpha = alpha
        self.nit += 1
        if point.kkt < self.best.kkt:
            self.best = point

    def inner_limit(self, previous: float) -> Status | None:
        """INNER_LIMIT once more than three capped inner solves in a row no longer reduce ||r||."""
        if self.capped_in_a_row <= CAPPED_LIMIT or self.point.kkt <= CAPPED_FALL * previous:
            return None
        self.detail = f"The relative residual of the last inner solve was {self.last_residual:.1e}"
        return Status.INNER_LIMIT

    def record_inner(self, steps: int, residual: float, capped: bool) -> None:
        """Book the inner work of one outer step."""
        self.inner_nit += steps
        self.last_inner = steps
        self.last_residual = residual
        self.n_inner_capped += capped
        self.capped_in_a_row = self.capped_in_a_row + 1 if capped else 0
