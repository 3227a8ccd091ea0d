"""What all modes of `sketched_newton` carry from step to step."""

import math
from collections import deque
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
    capped_best: deque[float] = field(default_factory=lambda: deque(maxlen=CAPPED_LIMIT + 1))
    detail: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def move(self, point: Iterate, alpha: float) -> None:
        """Take the accepted iterate."""
        self.point = point
        self.alpha = alpha
        self.nit += 1
        if point.kkt < self.best.kkt:
            self.best = point

    def inner_limit(self) -> Status | None:
        """INNER_LIMIT once a run of capped inner solves has not lowered the best ||r|| by a tenth over three steps."""
        best = self.capped_best
        if best:  # the last inner solve was capped
            best[-1] = self.best.kkt
        if len(best) <= CAPPED_LIMIT or best[-1] <= CAPPED_FALL * best[0]:
            return None
        self.detail = f"The relative residual of the last inner solve was {self.last_residual:.1e}"
        return Status.INNER_LIMIT

    def record_inner(self, steps: int, residual: float, capped: bool) -> None:
        """Book the inner work of one outer step."""
        self.inner_nit += steps
        self.last_inner = steps
        self.last_residual = residual
        self.n_inner_capped += capped
        if capped:
            self.capped_best.append(self.best.kkt)
        else:
            self.capped_best.clear()
