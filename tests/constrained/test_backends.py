"""The solver on every array library: small problems written in the array API alone."""

import numpy as np
import pytest

from numopt import sketched_newton
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




@pytest.mark.parametrize(
    "options",
    [
        {},
        {"linear_solver": "minres"},
        {"linear_solver": "gmres"},
        {"linear_solver": "rk", "rng": 0},
        {"linear_solver": "gaussian", "rng": 0},
        {"accuracy": "paper", "tol": 1e-4, "rng": 0},
        {"accuracy": "paper", "tol": 1e-4, "merit": "l1-adaptive"},
    ],
    ids=str,
)
def test_library_dtype_and_device_are_kept_and_values_agree_with_numpy(xp, options):
    import array_api_compat.numpy as numpy_xp

    results = []
    for library in (xp, numpy_xp):
        problem, (cons, jac) = sphere_problem(library)
        results.append(
            sketched_newton(**problem, constraints={"type": "eq", "fun": cons, "jac": jac}, **options)
        )
    ours, reference = results
    assert ours.success
    assert type(ours.x).__module__.split(".")[0] == type(make(xp, [1.0])).__module__.split(".")[0]
    tol = options.get("tol", 1e-8)
    np.testing.assert_allclose(to_numpy(ours.x), reference.x, atol=10 * tol)
    np.testing.assert_allclose(to_numpy(ours.lam), reference.lam, atol=10 * tol)
