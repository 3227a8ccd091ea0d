"""Terms of the logistic loss in every home against SciPy."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from tests.kernels.cases import SIZES, run, tolerance


def terms(xp: Any, margins: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    return run(xp, "logistic_terms", [margins, labels], [np.full_like(margins, np.nan) for _ in range(3)])


def oracle(margins: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    labels, t = labels.astype(np.longdouble), labels.astype(np.longdouble) * margins
    return [np.logaddexp(0, -t), -labels * expit(-t), labels**2 * expit(t) * expit(-t)]


@pytest.mark.parametrize("n", SIZES)
def test_terms_match_scipy(xp: Any, n: int) -> None:
    rng = np.random.default_rng(0)
    margins, labels = 10 * rng.standard_normal(n), rng.choice([-1.0, 1.0, 2.0], n)
    for result, expected in zip(terms(xp, margins, labels), oracle(margins, labels), strict=True):
        np.testing.assert_allclose(result, expected.astype("f8"), rtol=tolerance("f8", 8 + 4 * 40))


def test_terms_in_float32(xp: Any) -> None:
    rng = np.random.default_rng(0)
    margins, labels = rng.standard_normal(33).astype("f4"), rng.choice([-1, 1], 33).astype("f4")
    for result, expected in zip(terms(xp, margins, labels), oracle(margins, labels), strict=True):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected.astype("f4"), rtol=tolerance("f4", 16))


def test_extreme_margins_neither_overflow_nor_lose_the_limit(xp: Any) -> None:
    margins = np.array([0.0, 745.0, -745.0, 1e300, -1e300, np.inf, -np.inf])
    loss, residual, weight = terms(xp, margins, np.ones(7))
    np.testing.assert_allclose(loss, [np.log(2), 0, 745, 0, 1e300, 0, np.inf], atol=1e-300)
    np.testing.assert_allclose(residual, [-0.5, 0, -1, 0, -1, 0, -1], atol=1e-300)
    np.testing.assert_allclose(weight, [0.25, 0, 0, 0, 0, 0, 0], atol=1e-300)


def test_nan_comes_back(xp: Any) -> None:
    for result in terms(xp, np.array([np.nan, 1.0]), np.array([1.0, 1.0])):
        np.testing.assert_array_equal(np.isnan(result), [True, False])
