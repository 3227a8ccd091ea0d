import math

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from numopt.problems import PoissonControl


def kkt_residual(problem, x, lam):
    return np.concatenate([problem.grad(x) + problem.vjp(x, lam), problem.cons(x)])


def newton_step(problem):
    """Solve the problem by one step with a direct factorisation."""
    x, lam = problem.x0, problem.y0
    J = problem.jac(x)
    K = sp.block_array([[problem.lag_hess(x, lam), J.T], [J, None]]).tocsc()
    d = splu(K).solve(-kkt_residual(problem, x, lam))
    return x + d[: problem.n], lam + d[problem.n :]


def test_start_and_solution_of_the_published_size():
    problem = PoissonControl(3)
    assert (problem.n, problem.m, problem.m_eq) == (18, 9, 9)
    assert problem.is_linear.all()
    assert np.linalg.norm(kkt_residual(problem, problem.x0, problem.y0)) == pytest.approx(19.18673507, abs=5e-9)
    x, lam = newton_step(problem)
    assert np.linalg.norm(kkt_residual(problem, x, lam)) < 1e-12
    assert problem.fun(x) == pytest.approx(9.6444420518, abs=5e-11)
    assert problem.f_opt == pytest.approx(problem.fun(x), abs=5e-11)


@pytest.mark.parametrize("N", [1, 2, 5])
def test_derivatives_agree_with_differences(N):
    problem = PoissonControl(N, alpha=0.3)
    x = np.random.default_rng(N).standard_normal(problem.n)
    assert problem.check_derivatives(x).max() < 1e-11
    assert problem.f_opt is None


def test_constraint_is_the_laplacian_plus_the_source():
    N, h = 4, 2.0 / 5.0
    problem = PoissonControl(N)
    rng = np.random.default_rng(0)
    w, z = rng.standard_normal((2, N, N))
    padded = np.pad(w, 1)
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4.0 * w
    expected = (laplacian / h**2 + z).ravel(order="F")
    np.testing.assert_allclose(problem.cons(np.concatenate([w.ravel("F"), z.ravel("F")])), expected, rtol=1e-13)


def test_objective_measures_the_distance_to_the_target():
    N, alpha = 4, 0.7
    e = 0.1 / math.sqrt(15.0)
    target = np.array(
        [
            [math.sin(4 + e * (i - (N + 1) / 2)) + math.cos(3 + e * (j - (N + 1) / 2)) for j in range(1, N + 1)]
            for i in range(1, N + 1)
        ]
    )
    w, z = np.random.default_rng(1).standard_normal((2, N, N))
    expected = 0.5 * np.sum((w - target) ** 2) + 0.5 * alpha * np.sum(z**2)
    problem = PoissonControl(N, alpha=alpha)
    assert problem.fun(np.concatenate([w.ravel("F"), z.ravel("F")])) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("N", [1, 2, 3, 6])
def test_patterns_are_fixed_and_sparse(N):
    problem = PoissonControl(N)
    x = np.random.default_rng(2).standard_normal(problem.n)
    J, H = problem.jac(x), problem.lag_hess(x, x[: problem.m], 2.0)
    assert J.nnz == 5 * N * N - 4 * N + N * N
    assert J.has_sorted_indices
    np.testing.assert_array_equal(J.indices, problem.jac(problem.x0).indices)
    np.testing.assert_array_equal(H.toarray(), 2.0 * np.diag(np.repeat([1.0, 0.1], N * N)))
    np.testing.assert_allclose(problem.lag_hessp(x, x[: problem.m], x, 2.0), H @ x, rtol=1e-15)
    rows, cols = problem.hess_structure()
    np.testing.assert_array_equal(rows, cols)


def test_large_grid_is_built_without_dense_matrices():
    problem = PoissonControl(300)
    assert (problem.n, problem.m) == (180_000, 90_000)
    J = problem.jac(problem.x0)
    assert J.data.nbytes + J.indices.nbytes + J.indptr.nbytes < 8 * 2**20
    assert J.indices.dtype == np.int32


@pytest.mark.parametrize("N", [2.0, "3", True])
def test_size_must_be_an_integer(N):
    with pytest.raises(TypeError, match="`N` must be an integer"):
        PoissonControl(N)


def test_size_and_weight_must_be_positive():
    with pytest.raises(ValueError, match="`N` must be at least 1, got 0"):
        PoissonControl(0)
    for alpha in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="`alpha` must be a positive finite float"):
            PoissonControl(3, alpha=alpha)
