"""What a solver adapter is."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from numopt.problems import Problem


@dataclass(frozen=True)
class Settings:
    """What a run fixes for every solver.

    `options` goes to numopt's own methods only: peers always run with their best settings.
    """

    time_limit: float = 20.0
    maxiter: int = 3000
    seed: int | None = None
    threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a solver returned, in one form for all."""

    x: NDArray[np.float64]
    lam: NDArray[np.float64] | None
    success: bool
    outcome: str
    message: str
    nit: int | None = None
    inner_nit: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class UnsuitableProblemError(Exception):
    """A problem is not of the kind that a solver can be given."""


class Solver(ABC):
    """An adapter: `set_problem` prepares, `run` is timed, `get_result` translates.

    `module` is imported by the adapter and may be missing; `distribution` is where its version is found.
    """

    name: ClassVar[str]
    module: ClassVar[str | None] = None
    distribution: ClassVar[str | None] = None

    def missing(self) -> str | None:
        """Name of the package to install when this solver cannot run here."""
        if self.module is None or importlib.util.find_spec(self.module) is not None:
            return None
        return self.distribution

    @abstractmethod
    def set_problem(self, problem: Problem, settings: Settings) -> None:
        """Prepare a solve from the starting point (called again before every repetition)."""

    @abstractmethod
    def run(self) -> None:
        """Solve. Only this is timed."""

    @abstractmethod
    def get_result(self) -> Outcome:
        """Result of the last `run`."""


def own_limit(limit: float) -> float:
    """Time limit handed to a solver: a little less than the kill, so that it can still return its best point."""
    return 0.95 * limit
