"""What an import costs, and who may import whom (DESIGN: imports run one way)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.tree import modules

HEAVY = ("numba", "cupy", "sklearn", "scipy.optimize", "scipy.sparse.linalg", "matplotlib")

# Lower layers first: a module may import its own layer and those before it.
LAYERS = (
    {"numopt._version", "numopt._typing", "numopt._array", "numopt._rng"},
    {"numopt.kernels"},
    {
        "numopt._linalg",
        "numopt._operator",
        "numopt._krylov",
        "numopt._serial_blas",
        "numopt._core",
        "numopt._config",
    },
    {"numopt.constrained", "numopt.coordinate", "numopt.linear", "numopt.ot", "numopt.sketching"},
    {"numopt.tuning"},
)
PROBLEMS_MAY_IMPORT = {
    "numopt.problems",
    "numopt.kernels",
    "numopt._typing",
    "numopt._array",
    "numopt._rng",
    "numopt._operator",
    "numopt._linalg",  # the Gram matrix of the logistic Hessian on dense data
    "numopt._core.warnings",
}
SOURCES = dict(modules())


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names of everything of numopt that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}"
            # `from numopt import _array` names a module, `from numopt._array import namespace` a member.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "numopt")


def within(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def layer_of(name: str) -> int | None:
    return next((i for i, members in enumerate(LAYERS) if within(name, members)), None)


def is_public(name: str) -> bool:
    return not any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def test_importing_numopt_loads_nothing_heavy() -> None:
    code = f"import sys, numopt; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_of_the_main_package_has_a_layer() -> None:
    # A new module or subpackage takes its place in LAYERS when it is written.
    others = {"numopt.problems", "numopt.bench", "numopt.cli"}
    unplaced = {name for name in SOURCES if layer_of(name) is None and not within(name, others)}
    assert unplaced <= {"numopt", "numopt.__main__"}


@pytest.mark.parametrize("name", [n for n in SOURCES if layer_of(n) is not None])
def test_solver_side_imports_only_downwards(name: str) -> None:
    for imported in imported_names(SOURCES[name]):
        target = layer_of(imported)
        assert target is not None, f"{name} imports {imported}"
        assert target <= layer_of(name), f"{name} imports {imported}, which lies above it"


@pytest.mark.parametrize("name", [n for n in SOURCES if within(n, {"numopt.problems"})])
def test_problems_import_no_solver(name: str) -> None:
    for imported in imported_names(SOURCES[name]):
        assert within(imported, PROBLEMS_MAY_IMPORT), f"{name} imports {imported}"


@pytest.mark.parametrize("name", [n for n in SOURCES if within(n, {"numopt.bench"})])
def test_bench_uses_public_names(name: str) -> None:
    for imported in imported_names(SOURCES[name]):
        assert within(imported, {"numopt.bench"}) or is_public(imported), f"{name} imports {imported}"


def test_only_the_command_line_imports_bench() -> None:
    users = {
        name
        for name, path in SOURCES.items()
        if not within(name, {"numopt.bench"})
        and any(within(imported, {"numopt.bench"}) for imported in imported_names(path))
    }
    # The facade `numopt` offers `numopt.bench` lazily; its import statement is for type checkers alone.
    assert users <= {"numopt", "numopt.cli"}


def test_command_line_imports_bench_inside_functions() -> None:
    tree = ast.parse(SOURCES["numopt.cli"].read_text(encoding="utf-8"))
    top_level = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any("bench" in ast.unparse(node) for node in top_level)
