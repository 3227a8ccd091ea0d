"""What a solver adapter is."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from numopt.problems import Problem, TransportProblem


@dataclass(frozen=True)
class Settings:
    """What a run fixes for every solver.

    `tol` is the accuracy in the family's own measure, None where every solver has its best one. `options` goes to
    numopt's own methods only: peers always run with their best settings.
    """

    time_limit: float = 20.0
    maxiter: int = 3000
    tol: float | None = None
    seed: int | None = None
    threads: int = 1
    device: str = "cpu"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Outcome:
    """What a solver says about its end; the families add their kind of answer."""

    success: bool
    outcome: str
    message: str
    nit: int | None = None
    inner_nit: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Point(Outcome):
    """A point and its multipliers, if there are any."""

    x: NDArray[np.float64]
    lam: NDArray[np.float64] | None


@dataclass(kw_only=True)
class Coupling(Outcome):
    """A transport plan and its potentials, in the form that the solver has them (possibly on a device).

    With potentials the plan is ``exp((f_i + g_j - C_ij) / reg)``; a solver of the problem without entropy has none.
    """

    plan: Any = None
    f: Any = None
    g: Any = None


class UnsuitableProblemError(Exception):
    """A problem is not of the kind that a solver can be given."""


P = TypeVar("P")
O_co = TypeVar("O_co", bound=Outcome, covariant=True)


class Solver(ABC, Generic[P, O_co]):
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
    def set_problem(self, problem: P, settings: Settings) -> None:
        """Prepare a solve from the starting point (called again before every repetition)."""

    @abstractmethod
    def run(self) -> None:
        """Solve. Only this is timed."""

    @abstractmethod
    def get_result(self) -> O_co:
        """Result of the last `run`."""


class PointSolver(Solver[Problem, Point]):
    """An adapter for problems whose answer is a point."""


class TransportSolver(Solver[TransportProblem, Coupling]):
    """An adapter for optimal transport."""


def own_limit(limit: float) -> float:
    """Time limit handed to a solver: a little less than the kill, so that it can still return its best point."""
    return 0.95 * limit
