"""Each adapter on the tiny problem, through the form that the problem gives it."""

import warnings

import numpy as np
import pytest

from numopt.bench import peers
from numopt.bench.families.equality import Tiny
from numopt.bench.families.equality._judge import judge

EXACT = [name for name in peers.names() if name not in ("casadi-alpaqa",)]


def solve(name: str, settings: peers.Settings) -> tuple[peers.Point, Tiny]:
    solver, problem = peers.get(name), Tiny()
    lacking = solver.missing()
    if lacking is not None:
        pytest.skip(f"{lacking} is not installed")
    solver.set_problem(problem, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a peer's own, which the runner sends nowhere
        solver.run()
    return solver.get_result(), problem


@pytest.mark.parametrize("name", EXACT)
def test_solver_reaches_its_accuracy_on_the_tiny_problem(name: str):
    settings = peers.Settings(seed=0, options={"lam0": "ones"} if name in peers.NUMOPT[1:] else {})
    found, problem = solve(name, settings)
    verdict = judge(problem, found.x, found.lam)
    assert verdict.kkt <= (1e-4 if name in peers.NUMOPT[1:] else 1e-8)
    assert found.x.dtype == np.float64
    assert found.nit is None or found.nit >= 1
    assert found.outcome
    assert found.success


@pytest.mark.parametrize("name", ["slsqp", "trust-constr", "ipopt", "uno-filtersqp", "uno-ipopt"])
def test_peers_return_multipliers_that_fit(name: str):
    found, problem = solve(name, peers.Settings())
    assert found.lam is not None
    stationarity = [np.linalg.norm(problem.grad(found.x) + problem.vjp(found.x, s * found.lam)) for s in (1, -1)]
    assert min(stationarity) < 1e-6


def test_time_limit_stops_scipy_methods_by_themselves():
    found, _ = solve("trust-constr", peers.Settings(time_limit=1e-9))
    assert found.nit is not None
    assert found.nit <= 2


def test_groups_expand_without_doubles():
    assert peers.expand(["peers"]) == ["slsqp", "trust-constr", "ipopt", "uno-filtersqp", "uno-ipopt"]
    assert peers.expand(["slsqp", "all"])[:2] == ["slsqp", "numopt"]
    assert len(peers.expand(["all", "peers", "numopt"])) == 6


def test_casadi_peers_refuse_problems_that_are_not_traced():
    solver = peers.get("casadi-fatrop")
    if solver.missing():
        pytest.skip("casadi is not installed")
    problem = Tiny()
    problem.source = "elsewhere"
    with pytest.raises(peers.UnsuitableProblemError, match="needs a problem that casadi traces"):
        solver.set_problem(problem, peers.Settings())
