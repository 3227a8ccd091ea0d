"""What one run is: the description that travels to a worker process and names the line in the results file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """One solver on one problem, once (or `repeats` times in a row, for the clock).

    `family` is the kind of problem, `problem` the label in tables, `level` the accuracy that is asked of the solver
    (where a case has several), `spec` what the case's `setup` needs to build the problem, `options` what the solver
    adapter gets on top of its own best settings.
    """

    case: str
    problem: str
    solver: str
    family: str = "equality"
    suite: str | None = None
    mode: str = "practical"
    level: str | None = None
    seed: int | None = None
    draw: int | None = None
    labels: str | None = None
    device: str = "cpu"
    threads: int = 1
    spec: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float = 20.0
    memory_limit: int | None = None
    repeats: int = 1
    warm: bool = False
    trace: bool = False

    def key(self) -> tuple[Any, ...]:
        """What makes this run the same as a recorded one, apart from the versions."""
        return tuple(getattr(self, name) for name in KEY_FIELDS)


KEY_FIELDS = (
    "case",
    "suite",
    "problem",
    "solver",
    "mode",
    "level",
    "seed",
    "draw",
    "labels",
    "device",
    "threads",
    "time_limit",
    "repeats",
)
