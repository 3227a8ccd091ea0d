"""`tuned`: a function that chooses one of its keywords by itself."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from numopt import Status
from numopt.tuning import BanditTuner, tuned


def relax(b, omega=1.0):
    """Return a result."""
    return SimpleNamespace(x=b, nit=20 + 100 * abs(omega - 1.5))


def test_the_function_keeps_its_name_and_learns():
    solve = tuned(relax, grid=[1.0, 1.5, 1.9], rng=0)
    assert solve.__name__ == "relax"
    assert solve.__doc__ == "Return a result."
    for b in range(300):
        assert solve(b).x == b
    assert solve.tuner.best() == 1.5
    assert solve.tuner.n_tells == 300


def test_a_value_that_is_given_is_passed_on():
    solve = tuned(relax, rng=0)
    assert solve(1, omega=1.9).nit == pytest.approx(60)
    assert solve.tuner.n_tells == 0
    assert len(solve.tuner.grid) == 20


def test_costs_are_measured_as_asked():
    for cost in ("time", lambda result: 3 * result.nit):
        solve = tuned(relax, grid=[1.0, 1.5], cost=cost, rng=0)
        for b in range(20):
            solve(b)
        spent = solve.tuner.history["cost"]
        assert len(spent) == 20
        assert all(0 < value < 1 for value in spent) if cost == "time" else spent[-1] in (60, 210)
    with pytest.raises(TypeError, match="`cost` is 'nit', but the solver's result, of type int, has no `nit`"):
        tuned(lambda b, omega: b, rng=0)(3)


def test_time_finds_the_fast_value():
    def work(*, parts):
        time.sleep(0.001 * parts)

    solve = tuned(work, "parts", [1, 8, 16], "time", rng=0)
    for _ in range(150):
        solve()
    assert solve.tuner.best() == 1


def test_contexts_come_from_the_arguments():
    def solver(size, *, omega):
        return SimpleNamespace(nit=10 + 100 * abs(omega - (1.2 if size < 5 else 1.8)))

    solve = tuned(
        solver, grid=[1.2, 1.5, 1.8], context=lambda size: size, method="chebcb", context_bounds=(0, 10), rng=0
    )
    for size in np.random.default_rng(0).uniform(0, 10, 1500):
        solve(size)
    assert solve.tuner.best(1.0) == 1.2
    assert solve.tuner.best(9.0) == 1.8


def test_an_exception_is_replaced_by_another_value():
    def fragile(b, *, omega):
        if omega == 1.5:
            raise ZeroDivisionError("pivot")
        return relax(b, omega)

    solve = tuned(fragile, grid=[1.0, 1.5, 1.9], rng=0)
    for b in range(200):
        assert solve(b).x == b
    assert sum(solve.tuner.history["failed"]) <= 4
    with pytest.raises(ZeroDivisionError, match="pivot"):
        tuned(fragile, grid=[1.5])(0)


def test_failed_and_censored_results_are_told_apart():
    def solver(*, omega):
        if omega == 1.0:
            return SimpleNamespace(nit=3, success=False, status=Status.DIVERGED)
        return SimpleNamespace(nit=100, success=False, status=Status.MAXITER)

    solve = tuned(solver, grid=[1.0, 1.5], rng=0)
    for _ in range(50):
        solve()
    history = solve.tuner.history
    assert [value == 1.0 for value in history["value"]] == history["failed"]
    assert [value == 1.5 for value in history["value"]] == history["censored"]
    assert solve.tuner.best() == 1.5


def test_a_solver_of_scipy():
    A = sp.diags_array([-1.0, 4.0, -1.0], offsets=[-1, 0, 1], shape=(50, 50), format="csr")
    solve = tuned(spla.gmres, "restart", [2, 5, 20], "time", rng=0)
    for _ in range(10):
        x, info = solve(A, np.ones(50), rtol=1e-10)
        assert info == 0
        np.testing.assert_allclose(A @ x, 1, rtol=1e-8)


def test_threads_may_share_a_tuned_function():
    solve = tuned(relax, grid=[1.0, 1.5, 1.9], rng=0)
    threads = [threading.Thread(target=lambda: [solve(b) for b in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert solve.tuner.n_tells == 400


def test_a_tuner_may_be_shared():
    tuner = BanditTuner([1.0, 1.5], rng=0)
    solve = tuned(relax, tuner=tuner)
    solve(3)
    assert tuner.n_tells == 1
    assert solve.tuner is tuner


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((3,), {}, TypeError, "`solver` must be callable"),
        ((relax, 3), {}, TypeError, "`param` must be a str"),
        ((relax,), {"context": 3}, TypeError, "`context` must be callable"),
        ((relax,), {"tuner": 3}, TypeError, "`tuner` must be a BanditTuner"),
        ((relax,), {"method": "hedge"}, ValueError, "`method` must be one that learns from the cost of one value"),
        ((relax,), {"grid": []}, ValueError, "`grid`"),
        ((relax,), {"cost": "joule"}, ValueError, "`cost`"),
        ((relax,), {"bins": 0}, ValueError, "`bins`"),
    ],
)
def test_bad_arguments(arguments, options, error, match):
    with pytest.raises(error, match=match):
        tuned(*arguments, **options)
