"""What a family of problems is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from numopt.bench._plots import Figure
from numopt.bench._records import Record
from numopt.bench._tables import Table
from numopt.bench.peers import Outcome, Settings, Solver

P = TypeVar("P")
"""The family's problem."""

O = TypeVar("O", bound=Outcome)  # noqa: E741 (as in the words outcome and P: problem)
"""What the family's solvers return."""


@dataclass(frozen=True)
class Card:
    """One solver at a glance: how many of its problems it solved, and a remark."""

    solver: str
    solved: int
    total: int
    note: str


class Watch(AbstractContextManager[Any]):
    """Record the path of one solve while it runs (cheaply), judge it afterwards."""

    @abstractmethod
    def rows(self) -> list[tuple[float, ...]]:
        """What goes into the record as its ``trace``."""


class Family(ABC, Generic[P, O]):
    """A kind of problem: its description and warm-up, the bench's judgement of an answer, and the report.

    The first group of methods is called in the worker process of a run, the second for the tables and pages, with
    records of one case, suite, mode and machine. What `judge` returns is what the second group finds in the records.
    """

    name: ClassVar[str]
    levels: ClassVar[tuple[str, ...]]
    """Accuracies at which a run may count as solved, the tightest last."""

    @abstractmethod
    def describe(self, problem: P) -> dict[str, Any]:
        """Identify a problem: ``n``, ``m``, ``source`` and what tells it from others of its name."""

    @abstractmethod
    def warm_up(self, problem: P, solver: Solver[P, O], settings: Settings) -> None:
        """Load and compile what a first call needs, on something small."""

    @abstractmethod
    def judge(self, problem: P, found: O, placed: P) -> dict[str, Any]:
        """Judge an answer on the host in float64: ``solved`` (a bool for each level) and the family's own fields.

        `placed` is what the solver worked on: `problem` itself or its copy on a device.
        """

    def reset(self, problem: P) -> None:
        """Forget earlier solves (evaluation counts), before each repetition."""
        return

    def watch(self, problem: P) -> Watch | None:
        """Something to record the path of a solve on this problem, None where that cannot be done or costs too much."""
        return None

    @abstractmethod
    def progress(self, record: Record) -> str:
        """The outcome of one finished run in a few words."""

    @abstractmethod
    def headline(self, records: Sequence[Record]) -> str:
        """One sentence with the outcome."""

    @abstractmethod
    def tables(self, records: Sequence[Record]) -> list[Table]:
        """The tables for the terminal and the documentation, an overview first."""

    def page_tables(self, records: Sequence[Record]) -> list[Table]:
        """The tables of the page; they may carry marks."""
        return self.tables(records)

    @abstractmethod
    def cards(self, records: Sequence[Record]) -> list[Card]:
        """A card for each solver."""

    def documented(self, records: Sequence[Record]) -> list[Figure]:
        """The figures that the documentation shows above the tables."""
        return []

    @abstractmethod
    def figures(self, records: Sequence[Record]) -> list[Figure]:
        """The figures of the page (matplotlib is installed when this is called)."""
