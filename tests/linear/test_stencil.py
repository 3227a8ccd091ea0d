"""Stencils without a matrix."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.linear import Stencil
from tests.helpers.xp import make, to_numpy

FIVE = (4.0, -1.0, -2.0, -3.0, -5.0)
SEVEN = (9.0, -1.0, -2.0, -3.0, -5.0, -0.5, -0.25)


def test_matrix_of_two_dimensions():
    A = Stencil((2, 3), FIVE).tocsr()
    line = np.diag([4.0] * 3) + np.diag([-1.0] * 2, -1) + np.diag([-2.0] * 2, 1)
    expected = np.block([[line, -5.0 * np.eye(3)], [-3.0 * np.eye(3), line]])
    np.testing.assert_array_equal(A.toarray(), expected)
    assert isinstance(A, sp.csr_array)


@pytest.mark.parametrize(
    ("shape", "coefficients"), [((4, 3), FIVE), ((2, 4, 3), SEVEN), ((1, 1), FIVE), ((1, 3, 1), SEVEN)]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_products_are_those_of_the_matrix(xp, shape, coefficients, dtype):
    A = Stencil(shape, coefficients)
    x = np.random.default_rng(0).standard_normal(A.shape[1]).astype(dtype)
    y = A @ make(xp, x)
    assert y.dtype == getattr(xp, dtype)
    np.testing.assert_allclose(to_numpy(y), A.tocsr() @ x, rtol=1e-5 if dtype == "float32" else 1e-13, atol=1e-5)


def test_complex_coefficients():
    A = Stencil((3, 3), (4 + 1j, -1, -1, -1, -1))
    x = np.arange(9.0)
    np.testing.assert_allclose(A @ x, A.tocsr() @ x)
    assert A.dtype == complex


@pytest.mark.parametrize(
    ("shape", "coefficients", "name"),
    [
        (5, FIVE, "shape"),
        ((5,), FIVE, "shape"),
        ((0, 5), FIVE, "shape"),
        ((2, 2), SEVEN, "coefficients"),
        ((2, 2), (0.0, 1.0, 1.0, 1.0, 1.0), "coefficients"),
        ((2, 2), (np.nan, 1.0, 1.0, 1.0, 1.0), "coefficients"),
    ],
)
def test_bad_input(shape, coefficients, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        Stencil(shape, coefficients)


def test_bad_vector():
    with pytest.raises(ValueError, match="`x`"):
        Stencil((2, 2), FIVE) @ np.ones(5)
