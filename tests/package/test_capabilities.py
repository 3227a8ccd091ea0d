"""The capability table of the documentation says what the solvers really take."""

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from numopt import sketched_newton
from numopt.sketching import kaczmarz, sketch_and_project
from tests.helpers.capabilities import COLUMNS, capabilities, table

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "capabilities.txt"
CLAIMS = [
    pytest.param(solver, column, marks=[pytest.mark.gpu] if column == "CuPy" else [])
    for solver, columns in capabilities().items()
    for column in columns
]


@pytest.mark.parametrize(("solver", "column"), CLAIMS)
def test_what_the_table_promises_works(solver, column):
    result = capabilities()[solver][column]()
    assert result.success
    if column == "float32":
        assert result.x.dtype == np.float32


def test_the_page_shows_the_table():
    assert PAGE.read_text(encoding="utf-8") == table()


def test_every_claim_has_a_column():
    assert {column for columns in capabilities().values() for column in columns} <= set(COLUMNS)


@pytest.mark.parametrize("solver", [kaczmarz, sketch_and_project])
@pytest.mark.parametrize("form", ["operator", "complex", "batch"])
def test_what_a_linear_solver_does_not_take_is_refused(solver, form):
    A, b = np.eye(4), np.ones(4)
    if form == "operator":
        A = aslinearoperator(A)
    elif form == "complex":
        A = A + 1j
    else:
        b = np.ones((4, 2))
    with pytest.raises((TypeError, ValueError)):
        solver(A, b)


@pytest.mark.parametrize("x0", [np.ones(2) + 1j, np.ones((3, 2))])
def test_what_sketched_newton_does_not_take_is_refused(x0):
    with pytest.raises((TypeError, ValueError), match="`x0`"):
        sketched_newton(lambda x: 0.0, x0)
