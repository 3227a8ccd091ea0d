import math

import pytest

from numopt import Status
from numopt._core.messages import compare, outcome_message

DESIGN_TABLE = {
    "CONVERGED": 0,
    "MAXITER": 1,
    "TIME_LIMIT": 2,
    "CALLBACK": 3,
    "STALLED": 4,
    "MAXFEV": 5,
    "PRECISION": 6,
    "INNER_LIMIT": 7,
    "PENALTY_LIMIT": 8,
    "INFEASIBLE": -1,
    "SINGULAR": -2,
    "NONFINITE": -3,
    "LINESEARCH": -4,
    "UNBOUNDED": -5,
    "INDEFINITE": -6,
    "DIVERGED": -7,
    "NOT_ATTAINED": -8,
}


def test_status_numbers_are_the_designs():
    assert {status.name: int(status) for status in Status} == DESIGN_TABLE


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_message_with_number_and_threshold(status):
    text = outcome_message(status, measure_name="KKT residual", value=3.1e-5, tol=1e-8, nit=12)
    assert "after 12 iterations: KKT residual 3.1e-05 > tol 1.0e-08" in text
    assert text.endswith(".")
    assert not text.endswith("..")


def test_message_has_remedy_and_detail():
    text = outcome_message(
        Status.MAXITER, measure_name="KKT residual", value=3.1e-5, tol=1e-8, nit=1000, remedy="raise maxiter or eta1"
    )
    assert text == "Stopped after 1000 iterations: KKT residual 3.1e-05 > tol 1.0e-08; raise maxiter or eta1."
    text = outcome_message(
        Status.CONVERGED, measure_name="gap", value=0.0, tol=1e-8, nit=1, unit="sweep", detail="Used minres."
    )
    assert text == "Converged after 1 sweep: gap 0.0e+00 <= tol 1.0e-08. Used minres."
    text = outcome_message(Status.STALLED, measure_name="gap", value=1.0, tol=0.1, nit=2, remedy="")
    assert text == "No more progress after 2 iterations: gap 1.0e+00 > tol 1.0e-01."


def test_comparison_shows_digits_until_the_relation_is_visible():
    assert compare(1.04e-8, 1e-8) == "1.04e-08 > tol 1.00e-08"
    assert compare(1e-8, 1e-8) == "1.0e-08 <= tol 1.0e-08"
    assert compare(math.nextafter(1.0, 2.0), 1.0) == "1.0000000000000002e+00 > tol 1.0000000000000000e+00"
    assert compare(math.nan, 1e-8) == "nan (tol 1.0e-08)"
    assert compare(math.inf, 1e-8) == "inf > tol 1.0e-08"
