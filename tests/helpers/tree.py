"""The source tree as the project file describes it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]


def mapped_folders() -> dict[str, Path]:
    """Map each importable root (`numopt`, `numopt.kernels`, ...) to the top-level folder that holds it."""
    return {name: ROOT / folder for name, folder in SETUPTOOLS["package-dir"].items()}


def packages() -> dict[str, Path]:
    """Every folder with an `__init__.py`, by the dotted name under which it is imported."""
    found = {}
    for name, folder in mapped_folders().items():
        for init in folder.rglob("__init__.py"):
            found[".".join((name, *init.parent.relative_to(folder).parts))] = init.parent
    return found


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the tree, by the dotted name under which it is imported."""
    for name, folder in sorted(packages().items()):
        for path in sorted(folder.glob("*.py")):
            yield (name if path.stem == "__init__" else f"{name}.{path.stem}"), path
