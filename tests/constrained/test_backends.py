"""The solver on every array library: small problems written in the array API alone."""

import array_api_compat.numpy as numpy_xp
import numpy as np
import pytest
import scipy.sparse as sp

from numopt import sketched_newton
from numopt.problems import ConstrainedLogisticRegression
from tests.helpers.xp import make, to_numpy


def sphere_problem(xp):
    """Quadratic on a sphere and a plane, n = 6, m = 2, all in `xp`."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 6))
    Q, p = make(xp, A @ A.T / 6 + np.eye(6)), make(xp, rng.standard_normal(6))
    plane, eye = make(xp, np.ones((1, 6))), make(xp, np.eye(6))
    half = make(xp, [0.5])

    def cons(x):
        return xp.concat([xp.reshape(x @ x, (1,)) - 1.0, plane @ x - half])

    return {
        "fun": lambda x: 0.5 * (x @ (Q @ x)) + p @ x,
        "x0": make(xp, np.linspace(0.1, 0.6, 6)),
        "jac": lambda x: Q @ x + p,
        "lag_hess": lambda x, lam: Q + 2.0 * lam[0] * eye,
    }, (cons, lambda x: xp.concat([2.0 * x[None, :], plane], axis=0))


def solve(library, **options):
    problem, (cons, jac) = sphere_problem(library)
    return sketched_newton(**problem, constraints={"type": "eq", "fun": cons, "jac": jac}, **options)


def assert_same_answer(xp, options, tol):
    ours, reference = solve(xp, **options), solve(numpy_xp, **options)
    assert type(ours.x) is type(make(xp, [1.0]))
    assert ours.status == reference.status
    assert ours.nit == reference.nit
    np.testing.assert_allclose(to_numpy(ours.x), reference.x, atol=tol)
    np.testing.assert_allclose(to_numpy(ours.lam), reference.lam, atol=tol)
    return ours


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"linear_solver": "minres"},
        {"linear_solver": "gmres"},
        {"accuracy": "paper", "tol": 1e-4, "linear_solver": "direct"},
        {"accuracy": "paper", "tol": 1e-4, "merit": "l1-adaptive"},
    ],
    ids=str,
)
def test_deterministic_solvers_agree_with_numpy_and_keep_the_library(xp, options):
    # Solves to tol: the answers differ by tol times the condition of the KKT matrix, here below 20.
    res = assert_same_answer(xp, options, 20 * options.get("tol", 1e-8))
    assert res.success


@pytest.mark.parametrize(
    "options",
    [{"linear_solver": "rk"}, {"linear_solver": "gaussian"}, {"accuracy": "paper"}],
    ids=str,
)
def test_randomised_solvers_walk_the_same_path_as_numpy(xp, options):
    # Few steps: the reference kernel of array-api-strict is a Python loop.
    assert_same_answer(xp, {**options, "rng": 0, "maxiter": 2, "max_inner": 200, "tol": 1e-4}, 1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("linear_solver", ["auto", "minres"])
def test_logistic_regression_on_the_device_matches_the_host(linear_solver):
    rng = np.random.default_rng(2)
    X = sp.random_array((3000, 40), density=0.2, format="csr", rng=rng)
    y = np.where(rng.random(3000) < 0.5, -1.0, 1.0)
    A, b = rng.standard_normal((10, 40)), 0.1 * rng.standard_normal(10)
    host = ConstrainedLogisticRegression(X, y, A, b)
    device = host.to_gpu()
    expected = sketched_newton(**host.to_numopt(), lam0=host.y0)
    found = sketched_newton(**device.to_numopt(), lam0=device.y0, linear_solver=linear_solver)
    assert expected.success
    assert found.success
    np.testing.assert_allclose(to_numpy(found.x), expected.x, atol=1e-6)
    assert type(found.x).__module__.startswith("cupy")
