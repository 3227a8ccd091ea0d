"""Fixtures and rules shared by all tests."""

from typing import Any

import pytest

from tests.helpers.xp import has_gpu, load


@pytest.fixture(params=["numpy", "array_api_strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> Any:
    """Give the array namespace under test; make its arrays with `tests.helpers.xp.make`."""
    return load(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where none is present; CuPy is imported only when such a test was collected."""
    marked = [item for item in items if item.get_closest_marker("gpu") is not None]
    if marked and not has_gpu():
        skip = pytest.mark.skip(reason="no CUDA device")
        for item in marked:
            item.add_marker(skip)
