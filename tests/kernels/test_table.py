"""The table of kernels, and the homes that must agree with it."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from numopt.kernels import KERNELS, KernelSet, bind

HOMES = ["_reference", "_numba", "_cuda"]


def modules(home: str) -> list[ModuleType]:
    package = importlib.import_module(f"numopt.kernels.{home}")
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def public(module: ModuleType) -> dict[str, Any]:
    """Return the kernels a module defines: its public functions and what wraps one."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not inspect.isclass(value)
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    }


@pytest.mark.parametrize("home", HOMES)
def test_a_home_holds_the_kernels_of_the_table_and_nothing_else(home: str) -> None:
    found = {name: module.__name__.rpartition(".")[2] for module in modules(home) for name in public(module)}
    assert found == {name: kernel.module for name, kernel in KERNELS.items() if home != "_cuda" or not kernel.host}


@pytest.mark.parametrize(
    ("home", "name"),
    [(home, name) for home in HOMES for name, kernel in KERNELS.items() if home != "_cuda" or not kernel.host],
)
def test_a_kernel_takes_the_arguments_of_the_table(home: str, name: str) -> None:
    module = importlib.import_module(f"numopt.kernels.{home}.{KERNELS[name].module}")
    parameters = inspect.signature(getattr(module, name)).parameters.values()
    positional = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    assert positional == list(KERNELS[name].signature)


def test_the_protocol_lists_the_table() -> None:
    declared = {
        name: list(inspect.signature(function).parameters)[1:]
        for name, function in vars(KernelSet).items()
        if not name.startswith("_")
    }
    assert declared == {name: list(kernel.signature) for name, kernel in KERNELS.items()}


def test_bind_resolves_to_the_home_of_the_library(xp: Any) -> None:
    home = {"numpy": "_numba", "cupy": "_cuda", "array_api_strict": "_reference"}[xp.__name__.rpartition(".")[2]]
    assert bind(xp).row_kaczmarz.__module__ == f"numopt.kernels.{home}.kaczmarz"


def test_bind_takes_numpy_itself() -> None:
    assert bind(np).row_kaczmarz is bind(importlib.import_module("array_api_compat.numpy")).row_kaczmarz


@pytest.mark.parametrize("other", [importlib.import_module("math"), None, 3])
def test_bind_refuses_other_namespaces(other: Any) -> None:
    with pytest.raises(TypeError, match=r"`xp` must be the namespace of NumPy, CuPy or array-api-strict, got"):
        bind(other)


def test_a_missing_kernel_raises_and_is_named() -> None:
    with pytest.raises(AttributeError, match="no kernel 'row_kaczmars'"):
        bind(np).row_kaczmars  # type: ignore[attr-defined]  # noqa: B018


def test_a_kernel_missing_in_one_home_raises_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KERNELS, "absent", KERNELS["row_kaczmarz"])
    with pytest.raises(AttributeError, match=r"kernel 'absent' is missing in numopt\.kernels\._numba\.kaczmarz"):
        bind(np).absent  # type: ignore[attr-defined]  # noqa: B018


def test_kernel_modules_import_no_solver() -> None:
    homes = "".join(f"import numopt.kernels.{home}.gram;" for home in HOMES)
    code = f"import sys;{homes}print(*[m for m in sys.modules if m.startswith('numopt.') and 'kernels' not in m])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) <= {"numopt._version", "numopt._typing", "numopt._array"}
