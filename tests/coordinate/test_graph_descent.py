"""Greedy coordinate descent with a heap: the steps of the general loop, its limits, its optimum."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt import Status
from numopt.coordinate import Quadratic, bcd
from numopt.coordinate._graph_descent import descent_rule, solve_graph_descent
from numopt.coordinate._loop import solve_blocks
from numopt.coordinate._report import Report
from tests.coordinate.graphs import lattice, random_graph

PENALTIES = {"none": {}, "l1": {"l1": 0.2}, "nonneg": {"nonneg": True}, "box": {"bounds": (-0.2, 0.3), "l1": 0.1}}


def problem_of(kind, n=60, seed=0):
    Q = random_graph(n, 4, seed)
    return Quadratic(Q, np.random.default_rng(seed + 1).standard_normal(n), **PENALTIES[kind])


def rule_of(problem, selection):
    return descent_rule(problem, "variable", 1, selection, "exact", "exact", {})


def solve(problem, selection, x0=None, **options):
    report = Report(problem, "bcd", **{"tol": 1e-10, **options})
    return solve_graph_descent(problem, problem.start(x0), report, rule_of(problem, selection))


CASES = [("none", "gs"), ("none", "gsd"), ("l1", "gs-s"), ("l1", "gs-q"), ("nonneg", "gs-q"), ("box", "gs-q")]


@pytest.mark.parametrize(("kind", "selection"), CASES)
def test_the_steps_are_those_of_the_general_loop(kind, selection):
    problem = problem_of(kind)
    found = solve(problem, selection, maxiter=25, history=True)
    report = Report(problem, "bcd", tol=1e-10, maxiter=25, history=True)
    expected = solve_blocks(
        problem, problem.start(None), report, partition="variable", block_size=1, selection=selection, update="exact"
    )
    assert found.nit == expected.nit == 25
    np.testing.assert_allclose(found.x, expected.x, atol=1e-12)
    np.testing.assert_allclose(found.history["fun"], expected.history["fun"], atol=1e-12)


@pytest.mark.parametrize(("kind", "selection"), [*CASES, ("none", "gs-q"), ("nonneg", "gs-s")])
def test_the_optimum_is_found(kind, selection):
    problem = problem_of(kind)
    res = solve(problem, selection)
    assert res.success
    assert res.kkt <= 1e-10 * np.abs(problem.c).max()
    again = solve(problem, selection, x0=res.x)
    assert again.success
    assert again.nit == 0


def test_limits_and_precision():
    problem = problem_of("l1")
    res = solve(problem, "gs-q", maxiter=7)
    assert res.status is Status.MAXITER
    assert res.nit == 7
    assert solve(problem, "gs-q", max_passes=1).status is Status.MAXITER
    assert solve(problem, "gs-q", time_limit=0.0).status is Status.TIME_LIMIT
    assert solve(problem, "gs-q", tol=0.0, max_passes=1e4).status in (Status.PRECISION, Status.MAXITER)


def test_which_choices_amount_to_it():
    problem = problem_of("none")
    assert rule_of(problem, "gs") == 0
    assert rule_of(problem, "cyclic") is None
    assert rule_of(problem_of("l1"), "gs") is None
    assert descent_rule(problem, "variable", 2, "gs", "exact", "exact", {}) is None
    assert descent_rule(problem, "variable", 1, "gs", "exact", "exact", {"batch": 3}) is None
    assert descent_rule(problem, "sort", 1, "gs", "exact", "exact", {}) is None
    assert descent_rule(Quadratic(np.eye(3), np.ones(3)), "variable", 1, "gs", "exact", "exact", {}) is None
    empty = Quadratic(sp.csr_array(sp.block_diag([lattice(2, 2), sp.csr_array((1, 1))])), np.ones(5))
    assert rule_of(empty, "gs") is None


def test_bcd_takes_it():
    problem = problem_of("l1")
    res = bcd(problem, partition="variable", block_size=1, selection="gs-q", update="exact", maxiter=25)
    np.testing.assert_array_equal(res.x, solve(problem, "gs-q", maxiter=25).x)
