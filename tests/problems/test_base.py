"""The problem class: cache, counters, ownership, structure, views, converters."""

import threading

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from numopt.problems import Counters, Problem


class Toy(Problem):
    """min x0^4 + x0 x1 s.t. x0^2 + x1 == 1 and -1 <= x1^3 <= 2, x >= -3; matrices dense or CSR."""

    def __init__(self, *, sparse=False, cl=(1.0, -1.0), cu=(1.0, 2.0), lb=(-3.0, -3.0)):
        super().__init__(name="toy", x0=[0.5, 2.0], m=2, cl=cl, cu=cu, lb=lb, source="test")
        self.sparse = sparse
        self.calls = []

    def _fun(self, x):
        self.calls.append("f")
        return x[0] ** 4 + x[0] * x[1]

    def _grad(self, x):
        self.calls.append("g")
        return np.array([4 * x[0] ** 3 + x[1], x[0]])

    def _cons(self, x):
        self.calls.append("c")
        return np.array([x[0] ** 2 + x[1], x[1] ** 3])

    def _jac(self, x):
        self.calls.append("J")
        if self.sparse:
            return sp.csr_array(([2 * x[0], 1.0, 3 * x[1] ** 2], [0, 1, 1], [0, 2, 3]), shape=(2, 2))
        return np.array([[2 * x[0], 1.0], [0.0, 3 * x[1] ** 2]])

    def _lag_hess(self, x, lam, obj_weight):
        self.calls.append("H")
        corner, off, end = 12 * obj_weight * x[0] ** 2 + 2 * lam[0], obj_weight, 6 * lam[1] * x[1]
        if self.sparse:
            return sp.csr_array(([corner, off, off, end], [0, 1, 0, 1], [0, 2, 4]), shape=(2, 2))
        return np.array([[corner, off], [off, end]])


class EqualityToy(Toy):
    """The toy with both rows equalities, the second with right-hand side 2, and free variables."""

    def __init__(self, **options):
        super().__init__(cl=(1.0, 2.0), cu=(1.0, 2.0), lb=(-np.inf, -np.inf), **options)


X = np.array([0.3, -0.7])
LAM = np.array([2.0, -0.5])


def test_each_quantity_is_evaluated_once_at_a_point():
    problem = Toy()
    for _ in range(3):
        problem.fun_grad(X)
        problem.cons(X)
        problem.jac(X)
        problem.jvp(X, X)
        problem.vjp(X, LAM)
        problem.lag_hess(X, LAM)
    assert sorted(problem.calls) == ["H", "J", "c", "f", "g"]
    counters = problem.counters
    assert (counters.f, counters.g, counters.H, counters.c, counters.J, counters.Hv) == (1, 1, 1, 1, 1, 0)
    assert counters.seconds > 0


def test_a_point_that_differs_in_one_bit_is_new():
    problem = Toy()
    problem.fun(X)
    problem.fun(np.nextafter(X, 1.0))
    problem.fun(X)
    assert problem.counters.f == 3


def test_changing_the_argument_in_place_does_not_fool_the_cache():
    problem, x = Toy(), X.copy()
    before = problem.fun(x)
    x[0] = 9.0
    assert problem.fun(x) != before
    assert problem.fun(X) == before


def test_hessians_with_other_multipliers_or_weights_are_evaluated_anew():
    problem = Toy()
    first = problem.lag_hess(X, LAM)
    assert not np.array_equal(problem.lag_hess(X, 2 * LAM), first)
    assert not np.array_equal(problem.lag_hess(X, LAM, 0.0), first)
    np.testing.assert_array_equal(problem.hess(X), [[12 * 0.09, 1.0], [1.0, 0.0]])
    assert problem.counters.H == 4


@pytest.mark.parametrize("sparse", [False, True])
def test_results_belong_to_the_caller(sparse):
    problem = Toy(sparse=sparse)
    for method, arguments in [("grad", (X,)), ("cons", (X,)), ("jac", (X,)), ("lag_hess", (X, LAM))]:
        first = getattr(problem, method)(*arguments)
        kept = first.copy()
        data = first.data if sp.issparse(first) else first
        data[:] = np.nan
        again = getattr(problem, method)(*arguments)
        assert (abs(again - kept)).max() == 0.0


def test_products_agree_with_matrices_and_hessian_products_are_counted():
    problem = Toy(sparse=True)
    v = np.array([1.0, -2.0])
    np.testing.assert_allclose(problem.jvp(X, v), problem.jac(X) @ v)
    np.testing.assert_allclose(problem.vjp(X, LAM), problem.jac(X).T @ LAM)
    np.testing.assert_allclose(problem.lag_hessp(X, LAM, v, 0.5), problem.lag_hess(X, LAM, 0.5) @ v)
    np.testing.assert_allclose(problem.hessp(X, v), problem.hess(X) @ v)
    assert problem.counters.Hv == 2


def test_reset_forgets_counters_and_point():
    problem = Toy()
    problem.fun(X)
    problem.reset_counters()
    assert problem.counters == Counters()
    problem.fun(X)
    assert problem.counters.f == 1


@pytest.mark.parametrize("sparse", [False, True])
def test_structure_and_values_rebuild_the_matrices(sparse):
    problem = Toy(sparse=sparse)
    rows, cols = problem.jac_structure()
    jac = np.zeros((2, 2))
    jac[rows, cols] = problem.jac_values(X)
    np.testing.assert_allclose(jac, Toy().jac(X))
    assert rows.size == (3 if sparse else 4)
    rows, cols = problem.hess_structure()
    assert (rows >= cols).all()
    lower = np.zeros((2, 2))
    lower[rows, cols] = problem.lag_hess_values(X, LAM, 0.5)
    np.testing.assert_allclose(lower, np.tril(Toy().lag_hess(X, LAM, 0.5)))


def test_structure_evaluations_are_not_counted():
    problem = Toy()
    problem.jac_structure()
    problem.hess_structure()
    assert problem.counters == Counters()


def test_floating_point_warnings_are_silenced_and_values_come_through():
    class Pole(Toy):
        def _fun(self, x):
            return np.float64(1.0) / np.float64(0.0)

        def _cons(self, x):
            return np.log(x)

    problem = Pole()
    assert problem.fun(X) == np.inf
    assert np.isnan(problem.cons(X)[1])


def test_wrong_shapes_are_refused():
    problem = Toy()
    with pytest.raises(ValueError, match=r"`x` has shape \(3,\), expected \(2,\)"):
        problem.fun(np.zeros(3))
    with pytest.raises(ValueError, match=r"shape \(2,\), got shape \(1,\)"):
        problem.lag_hess(X, [1.0])
    with pytest.raises(ValueError, match=r"shape \(2,\), got shape \(1,\)"):
        Toy(lb=(0.0,))


def test_defaults_are_no_bounds_and_zero_multipliers():
    problem = EqualityToy()
    assert np.isneginf(problem.lb).all()
    assert np.isposinf(problem.ub).all()
    np.testing.assert_array_equal(problem.y0, [0.0, 0.0])
    assert problem.m_eq == 2
    assert Toy().m_eq == 1
    assert repr(problem) == "<EqualityToy toy: n=2, m=2, test>"


@pytest.mark.parametrize("sparse", [False, True])
def test_equality_view_shifts_constraints_and_shares_counters(sparse):
    problem = EqualityToy(sparse=sparse)
    view = problem.equality_view()
    np.testing.assert_allclose(view.cons(X), problem.cons(X) - [1.0, 2.0])
    np.testing.assert_array_equal(view.cu, [0.0, 0.0])
    assert view.fun_grad(X)[0] == problem.fun(X)
    assert abs(view.jac(X) - problem.jac(X)).max() == 0.0
    assert abs(view.lag_hess(X, LAM) - problem.lag_hess(X, LAM)).max() == 0.0
    np.testing.assert_allclose(view.lag_hessp(X, LAM, X), problem.lag_hessp(X, LAM, X))
    assert view.counters is problem.counters
    assert view.equality_view() is view
    np.testing.assert_array_equal(view.jac_structure(), problem.jac_structure())


def test_equality_view_uses_the_parents_own_products():
    class Products(EqualityToy):
        def _lag_hessp(self, x, lam, v, obj_weight):
            self.calls.append("Hv")
            return super()._lag_hessp(x, lam, v, obj_weight)

    problem = Products()
    problem.equality_view().lag_hessp(X, LAM, X)
    assert "Hv" in problem.calls


def test_equality_view_names_what_is_not_an_equality():
    with pytest.raises(ValueError, match=r"toy: constraint 1 is not an equality \(-1 <= c\[1\] <= 2\)"):
        Toy().equality_view()
    with pytest.raises(ValueError, match=r"toy: variable 0 is bounded \(-3 <= x\[0\] <= inf\)"):
        Toy(cl=(1.0, 2.0), cu=(1.0, 2.0)).equality_view()


def test_check_derivatives_accepts_right_ones():
    assert Toy().check_derivatives().max() < 1e-10
    assert Toy(sparse=True).check_derivatives(X, n_dirs=2, rng=3).max() < 1e-10


@pytest.mark.parametrize(("method", "field"), [("_grad", "grad"), ("_jac", "jac"), ("_lag_hess", "hess")])
def test_check_derivatives_finds_a_planted_error(method, field):
    problem = Toy()
    right = getattr(problem, method)
    setattr(problem, method, lambda *arguments: right(*arguments) * 1.001)
    assert getattr(problem.check_derivatives(), field) > 1e-4


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_scipy_gets_bounds_equalities_and_inequalities(method, sparse):
    problem = Toy(sparse=sparse)
    result = scipy.optimize.minimize(**problem.to_scipy(method))
    assert result.success
    assert abs(problem.cons(result.x)[0] - 1.0) < 1e-6
    reference = scipy.optimize.minimize(
        lambda x: x[0] ** 4 + x[0] * x[1],
        problem.x0,
        bounds=[(-3, None)] * 2,
        constraints=[
            {"type": "eq", "fun": lambda x: x[0] ** 2 + x[1] - 1},
            {"type": "ineq", "fun": lambda x: x[1] ** 3 + 1},
            {"type": "ineq", "fun": lambda x: 2 - x[1] ** 3},
        ],
        method="SLSQP",
    )
    assert result.fun == pytest.approx(reference.fun, abs=1e-6)


def test_scipy_gets_no_constraints_where_there_are_none():
    class Free(Problem):
        def __init__(self):
            super().__init__(name="free", x0=[3.0, 4.0])

        def _fun(self, x):
            return float(x @ x)

        def _grad(self, x):
            return 2.0 * x

        def _cons(self, x):
            return np.zeros(0)

        def _jac(self, x):
            return np.zeros((0, 2))

        def _lag_hess(self, x, lam, obj_weight):
            return 2.0 * obj_weight * np.eye(2)

    for method in ("SLSQP", "trust-constr"):
        assert scipy.optimize.minimize(**Free().to_scipy(method)).fun < 1e-10
    assert Free().check_derivatives().max() < 1e-10


def test_scipy_method_is_checked():
    with pytest.raises(ValueError, match="`method` must be 'trust-constr' or 'SLSQP', got 'COBYLA'"):
        Toy().to_scipy("COBYLA")


@pytest.mark.parametrize("sparse", [False, True])
def test_cyipopt_solves_the_converted_problem(sparse):
    cyipopt = pytest.importorskip("cyipopt")
    problem = Toy(sparse=sparse)
    solver = cyipopt.Problem(**problem.to_cyipopt())
    solver.add_option("print_level", 0)
    solver.add_option("sb", "yes")
    _, info = solver.solve(problem.x0)
    expected = scipy.optimize.minimize(**problem.to_scipy("SLSQP")).fun
    assert info["status"] == 0
    assert info["obj_val"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sparse", [False, True])
def test_uno_solves_the_converted_problem(sparse):
    unopy = pytest.importorskip("unopy")
    problem = Toy(sparse=sparse)
    solver = unopy.UnoSolver()
    solver.set_preset("ipopt")
    solver.set_option("logger", "SILENT")
    result = solver.optimize(problem.to_uno())
    expected = scipy.optimize.minimize(**problem.to_scipy("SLSQP")).fun
    assert result.solution_objective == pytest.approx(expected, abs=1e-6)


def test_uno_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "unopy", None)
    with pytest.raises(ImportError, match="unopy"):
        Toy().to_uno()


def test_numopt_gets_the_equality_view():
    arguments = EqualityToy().to_numopt()
    assert set(arguments) == {"fun", "x0", "jac", "constraints", "lag_hess"}
    constraint = arguments["constraints"]
    np.testing.assert_allclose(constraint.fun(X), Toy().cons(X) - [1.0, 2.0])
    assert (constraint.lb, constraint.ub) == (0.0, 0.0)
    np.testing.assert_allclose(arguments["lag_hess"](X, LAM), Toy().lag_hess(X, LAM))


def test_one_instance_serves_several_threads():
    problem, wrong = Toy(), []

    def work(seed):
        points = np.random.default_rng(seed).standard_normal((200, 2))
        for x in points:
            if problem.fun(x) != x[0] ** 4 + x[0] * x[1] or problem.jac(x)[0, 0] != 2 * x[0]:
                wrong.append(x)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
