"""`sketched_newton` in the practical mode: solutions, forms of input, invariances."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, minimize
from scipy.sparse.linalg import aslinearoperator

import numopt
from numopt import Status, sketched_newton
from tests.helpers.equality_problems import bt11, hs7, maratos, random_qp

CASES = {"HS7": hs7, "BT11": bt11, "MARATOS": maratos}


def recomputed_kkt(case, res):
    g = case.grad(res.x) + case.jac(res.x).T @ res.lam
    return float(np.hypot(np.linalg.norm(g), np.linalg.norm(case.cons(res.x))))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("linear_solver", ["auto", "direct", "minres", "gmres"])
def test_known_optimum_is_reached_with_a_true_certificate(name, linear_solver):
    case = CASES[name]()
    res = sketched_newton(case.fun, case.x0, **case.keywords(), linear_solver=linear_solver)
    assert res.success
    assert res.status is Status.CONVERGED
    assert recomputed_kkt(case, res) <= 1e-8
    assert res.kkt == pytest.approx(recomputed_kkt(case, res), abs=1e-12)
    assert res.fun == pytest.approx(case.f_opt, abs=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_convergence_is_superlinear_with_full_steps(name):
    case = CASES[name]()
    res = sketched_newton(case.fun, case.x0, **case.keywords(), history=True, tol=1e-12)
    kkt, alpha = res.history["kkt"], res.history["alpha"]
    assert np.all(alpha[-3:] == 1.0)
    steps = [k for k in range(len(kkt) - 3, len(kkt)) if kkt[k] > 1e-13]
    assert steps
    assert all(kkt[k] <= 100.0 * kkt[k - 1] ** 1.5 for k in steps)


def test_full_steps_are_taken_near_the_maratos_point():
    case = maratos(angle=0.05)
    res = sketched_newton(case.fun, case.x0, **case.keywords(), history=True)
    assert np.all(res.history["alpha"][1:] == 1.0)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 12),
    share=st.floats(0.0, 1.0),
    indefinite=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_exact_newton_step_solves_an_equality_qp(n, share, indefinite, seed):
    case = random_qp(np.random.default_rng(seed), n, round(share * n), indefinite=indefinite)
    res = sketched_newton(case.fun, case.x0, **case.keywords(), tol=1e-6)
    assert res.success
    assert res.nit <= 1
    assert res.nit == 0 or res.alpha == 1.0


@pytest.mark.parametrize("m", [0, 1, 3])
def test_every_count_of_constraints_works(m):
    case = random_qp(np.random.default_rng(3), 3, m)
    keywords = case.keywords() if m else {"jac": case.grad, "hess": case.hess}
    res = sketched_newton(case.fun, case.x0, **keywords)
    assert res.success
    assert res.lam.shape == (m,)


def test_one_equation_in_one_unknown():
    res = sketched_newton(lambda x: 0.0, [3.0], constraints={"type": "eq", "fun": lambda x: x[0] ** 2 - 2.0})
    assert res.success
    assert res.x[0] == pytest.approx(np.sqrt(2.0), abs=1e-8)


def test_consistent_dependent_rows_are_no_obstacle():
    base = random_qp(np.random.default_rng(5), 6, 2)

    def double(x):
        return np.concatenate([base.cons(x), base.cons(x)])

    constraint = NonlinearConstraint(
        double, 0, 0, jac=lambda x: np.vstack([base.jac(x), base.jac(x)]), hess=lambda x, v: np.zeros((6, 6))
    )
    res = sketched_newton(base.fun, base.x0, jac=base.grad, hess=base.hess, constraints=constraint)
    assert res.success
    assert res.nit <= 3


def test_rotated_variables_give_rotated_iterates():
    case = bt11()
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))
    paths = []
    for R in (np.eye(5), Q):
        path = []
        sketched_newton(
            lambda x, R=R: case.fun(R @ x),
            R.T @ case.x0,
            jac=lambda x, R=R: R.T @ case.grad(R @ x),
            constraints={
                "type": "eq",
                "fun": lambda x, R=R: case.cons(R @ x),
                "jac": lambda x, R=R: case.jac(R @ x) @ R,
            },
            lag_hess=lambda x, lam, R=R: R.T @ case.lag_hess(R @ x, lam) @ R,
            callback=lambda x, R=R, path=path: path.append(R @ x),
        )
        paths.append(np.array(path))
    assert paths[0].shape == paths[1].shape
    np.testing.assert_allclose(paths[1], paths[0], atol=1e-9)


def test_permuted_constraints_give_the_same_iterates():
    case = bt11()
    order = np.array([2, 0, 1])
    paths = []
    for p in (np.arange(3), order):
        path = []
        res = sketched_newton(
            case.fun,
            case.x0,
            jac=case.grad,
            constraints=NonlinearConstraint(lambda x, p=p: case.cons(x)[p], 0, 0, jac=lambda x, p=p: case.jac(x)[p]),
            lag_hess=lambda x, lam, p=p: case.lag_hess(x, lam[np.argsort(p)]),
            callback=lambda x, path=path: path.append(x),
        )
        assert res.success
        paths.append(np.array(path))
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-10, atol=1e-12)


# -- SciPy's forms ----------------------------------------------------------------------------------------------


def test_minimize_accepts_it_as_a_method():
    case = hs7()
    res = minimize(case.fun, case.x0, method=numopt.sketched_newton, tol=1e-9, **case.keywords())
    assert res.success
    assert res.fun == pytest.approx(case.f_opt, abs=1e-8)


def test_minimize_with_jac_true_and_args():
    def pair(x, shift):
        return float((x - shift) @ (x - shift)), 2 * (x - shift)

    res = minimize(
        pair,
        np.zeros(2),
        args=(np.array([1.0, 2.0]),),
        jac=True,
        method=sketched_newton,
        constraints=LinearConstraint([[1.0, 1.0]], 1.0, 1.0),
        bounds=Bounds(),
    )
    assert res.success
    np.testing.assert_allclose(res.x, [0.0, 1.0], atol=1e-8)


@pytest.mark.parametrize("jac", [None, "2-point", "3-point"])
@pytest.mark.parametrize("hess", [None, "2-point"])
def test_missing_derivatives_are_replaced_by_differences(jac, hess):
    case = hs7()
    res = sketched_newton(
        case.fun,
        case.x0,
        jac=jac,
        hess=hess,
        constraints=NonlinearConstraint(case.cons, 0, 0),
        tol=1e-6,
    )
    assert res.success
    assert res.fun == pytest.approx(case.f_opt, abs=1e-6)


def test_missing_hessians_cost_no_accuracy_when_gradients_are_exact():
    case = bt11()
    res = sketched_newton(
        case.fun, case.x0, jac=case.grad, constraints={"type": "eq", "fun": case.cons, "jac": case.jac}
    )
    assert res.success
    assert recomputed_kkt(case, res) <= 1e-8


def test_list_of_mixed_constraints_equals_the_stacked_one():
    case = bt11()
    parts = [
        NonlinearConstraint(lambda x: case.cons(x)[:1], 0, 0, jac=lambda x: case.jac(x)[:1]),
        {"type": "eq", "fun": lambda x, k: case.cons(x)[k], "jac": lambda x, k: case.jac(x)[k], "args": (1,)},
        LinearConstraint([[1.0, 0, 0, 0, -1]], 2.0, 2.0),
    ]
    res = sketched_newton(case.fun, case.x0, jac=case.grad, lag_hess=case.lag_hess, constraints=parts)
    whole = sketched_newton(case.fun, case.x0, jac=case.grad, lag_hess=case.lag_hess, constraints=case.constraint)
    assert res.success
    assert res.nit == whole.nit
    np.testing.assert_allclose(res.x, whole.x, atol=1e-12)


@pytest.mark.parametrize("form", ["dense", "csr", "operator", "hessp", "lag_hessp"])
def test_every_form_of_matrices_gives_the_same_solution(form):
    case = bt11()
    if form == "dense":
        options = {"lag_hess": case.lag_hess, "constraints": case.constraint}
    elif form == "csr":
        jac = NonlinearConstraint(case.cons, 0, 0, jac=lambda x: sp.csr_array(case.jac(x)))
        options = {"lag_hess": lambda x, lam: sp.csr_array(case.lag_hess(x, lam)), "constraints": jac}
    elif form == "operator":
        jac = NonlinearConstraint(case.cons, 0, 0, jac=lambda x: aslinearoperator(case.jac(x)))
        options = {"lag_hess": lambda x, lam: aslinearoperator(case.lag_hess(x, lam)), "constraints": jac}
    elif form == "hessp":
        options = {"hessp": lambda x, p: case.hess(x) @ p, "constraints": case.constraint}
    else:
        options = {"lag_hessp": lambda x, lam, v: case.lag_hess(x, lam) @ v, "constraints": case.constraint}
    res = sketched_newton(case.fun, case.x0, jac=case.grad, **options)
    assert res.success
    assert res.fun == pytest.approx(case.f_opt, abs=1e-8)
    assert res.linear_solver == ("ldlt" if form in ("dense", "csr") else "minres")


def test_large_sparse_input_goes_through_superlu():
    n = 600
    D = sp.diags_array([np.full(n, 2.0), np.full(n - 1, -1.0)], offsets=[0, 1], shape=(n, n)).tocsr()
    A = D[: n // 3]
    res = sketched_newton(
        lambda x: 0.5 * float(x @ x) - float(np.sum(x)) + 0.25 * float(np.sum(x**4)),
        np.zeros(n),
        jac=lambda x: x - 1.0 + x**3,
        hess=lambda x: sp.diags_array(1.0 + 3.0 * x**2, format="csr"),
        constraints=LinearConstraint(A, 1.0, 1.0),
    )
    assert res.success
    assert res.linear_solver == "superlu"
    assert np.linalg.norm(A @ res.x - 1.0) <= 1e-8


def test_sparse_direct_finds_negative_curvature():
    n = 500
    # A concave quadratic on a sphere: without a shift the Newton step would climb.
    d = np.linspace(-1.0, 1.0, n)
    sphere = NonlinearConstraint(
        lambda x: np.array([x @ x - 1.0]),
        0,
        0,
        jac=lambda x: sp.csr_array(2.0 * x[None, :]),
        hess=lambda x, v: 2.0 * v[0] * sp.eye_array(n, format="csr"),
    )
    x0 = np.ones(n) / np.sqrt(n)
    res = sketched_newton(
        lambda x: 0.5 * float(d @ x**2),
        x0,
        jac=lambda x: d * x,
        hess=lambda x: sp.diags_array(d, format="csr"),
        constraints=sphere,
        maxiter=3000,
    )
    assert res.linear_solver == "superlu"
    assert res.n_hess_mod > 0
    assert res.success
    assert res.fun < 0.5 * float(d @ x0**2)


def test_custom_linear_solver_is_called():
    calls = []

    def solve(K, b, rtol):
        calls.append(rtol)
        return np.linalg.solve(K, b)

    case = hs7()
    res = sketched_newton(case.fun, case.x0, **case.keywords(), linear_solver=solve)
    assert res.success
    assert res.linear_solver == "custom"
    assert calls


@pytest.mark.parametrize("linear_solver", ["rk", "gaussian"])
def test_randomised_solvers_reach_the_practical_tolerance(linear_solver):
    case = maratos()
    res = sketched_newton(case.fun, case.x0, **case.keywords(), linear_solver=linear_solver, rng=0)
    assert res.success
    assert res.inner_nit > 0
    again = sketched_newton(case.fun, case.x0, **case.keywords(), linear_solver=linear_solver, rng=0)
    np.testing.assert_array_equal(res.x, again.x)


def test_float32_in_gives_float32_out():
    case = maratos()
    res = sketched_newton(case.fun, case.x0.astype(np.float32), **case.keywords())
    assert res.success
    assert res.x.dtype == res.lam.dtype == np.float32


def test_integers_become_floats():
    case = maratos()
    res = sketched_newton(case.fun, [1, 1], **case.keywords())
    assert res.success
    assert res.x.dtype == np.float64


def test_start_at_the_solution_needs_no_step():
    case = maratos()
    res = sketched_newton(case.fun, [1.0, 0.0], **case.keywords())
    assert res.success
    assert res.nit == 0


def test_user_arrays_are_left_alone():
    case = bt11()
    x0, lam0 = case.x0.copy(), np.ones(3)
    sketched_newton(case.fun, x0, lam0=lam0, **case.keywords())
    np.testing.assert_array_equal(x0, case.x0)
    np.testing.assert_array_equal(lam0, np.ones(3))


def test_history_has_one_row_per_iterate():
    case = hs7()
    res = sketched_newton(case.fun, case.x0, **case.keywords(), history=True)
    names = {"kkt", "fun", "constr_violation", "merit", "eta1", "eta2", "delta", "alpha", "inner_nit", "inner_residual"}
    assert names | {"nit", "seconds"} == set(res.history)
    assert all(len(column) == res.nit + 1 for column in res.history.values())
    assert res.history["kkt"][-1] == pytest.approx(res.kkt, rel=1e-6, abs=1e-14)


def test_gtol_and_ctol_are_met_as_well():
    case = hs7()
    loose = sketched_newton(case.fun, case.x0, **case.keywords(), tol=1e-1)
    tight = sketched_newton(case.fun, case.x0, **case.keywords(), tol=1e-1, gtol=1e-9, ctol=1e-9)
    assert loose.nit < tight.nit
    assert tight.optimality <= 1e-9
    assert tight.constr_violation <= 1e-9
