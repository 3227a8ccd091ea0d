"""Worker processes find the fakes on the path that they inherit."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _fakes_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
