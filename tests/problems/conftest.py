"""Fixtures of the loaders: folders of their own, and files in them."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Keep a test away from the user's data and cache folders; return its own."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    monkeypatch.setenv("NUMOPT_DATA", str(data))
    monkeypatch.setenv("NUMOPT_CACHE", str(cache))
    return data, cache


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes bytes to a file and returns its path."""

    def write_bytes(content: bytes, name: str = "some.mtx") -> Path:
        file = tmp_path / name
        file.write_bytes(content)
        return file

    return write_bytes
