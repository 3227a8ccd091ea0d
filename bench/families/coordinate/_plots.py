"""Figures of runs of coordinate descent: profiles of the times, and the paper's figures beside the published values."""

from collections.abc import Sequence

from numopt.bench._plots import Figure, performance_figure
from numopt.bench._records import Record
from numopt.bench.families.coordinate import _curves, _paper
from numopt.bench.families.coordinate._tables import chosen

PROFILED = ("1e-6", "1e-10")


def figures(records: Sequence[Record]) -> list[Figure]:
    """All figures that these runs allow."""
    if _paper.is_paper(records[0]):
        return _curves.figures(records)
    drawn = (performance_figure(chosen(records, level), level, f"measure ≤ {level}") for level in PROFILED)
    return [figure for figure in drawn if figure is not None]


def documented(records: Sequence[Record]) -> list[Figure]:
    """The figures for the documentation too: the paper's."""
    return _curves.compared(records) if _paper.is_paper(records[0]) else []
