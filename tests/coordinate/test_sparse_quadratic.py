"""Quadratics without penalty: the method for each matrix, statuses, limits, warm starts."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator, spsolve

from numopt import Status
from numopt.coordinate import LabelPropagation, Quadratic, bcd, label_propagation
from numopt.coordinate import _sparse_quadratic as module
from numopt.problems import lattice_labels_data
from tests.coordinate.graphs import laplacian, lattice, random_graph
from tests.helpers.xp import make, to_numpy

EPS = np.finfo(float).eps


def normal(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n)


def tree(n, extra=0, seed=0):
    """Return the matrix of a random tree with some more edges."""
    rng = np.random.default_rng(seed)
    edges = [(k, int(rng.integers(max(0, k - 9), k))) for k in range(1, n)]
    known = {frozenset(edge) for edge in edges}
    while extra > 0:
        i, j = (int(v) for v in rng.integers(0, n, 2))
        if i != j and frozenset((i, j)) not in known:
            known.add(frozenset((i, j)))
            edges.append((i, j))
            extra -= 1
    return laplacian(edges, n, rng.uniform(0.5, 2, len(edges)), ground=0.05)


def check(res, Q, c, tol):
    """Compare with a direct solve."""
    Q = sp.csc_array(Q) if sp.issparse(Q) else Q
    assert res.success, res.message
    assert res.kkt == np.abs(Q @ res.x - c).max()
    assert res.kkt <= tol * np.abs(c).max()
    exact = spsolve(Q, c) if sp.issparse(Q) else np.linalg.solve(Q, c)
    # |x - x*| <= ||Q^-1||_inf |r|_inf
    dense = Q.toarray() if sp.issparse(Q) else Q
    bound = np.abs(np.linalg.inv(dense)).sum(axis=1).max()
    assert np.abs(res.x - exact).max() <= 1.01 * bound * res.kkt + 100 * EPS * bound * np.abs(c).max()


MATRICES = {
    "lattice": lambda: lattice(20, 25),
    "odd cycles": lambda: random_graph(400, 8, 1),
    "tree": lambda: tree(400),
    "nearly a tree": lambda: tree(400, 40),
    "one node": lambda: sp.csr_array([[2.0]]),
    "diagonal": lambda: sp.csr_array(sp.diags_array(np.arange(1.0, 30))),
}


@pytest.mark.parametrize("tol", [1e-3, 1e-8, 1e-12])
@pytest.mark.parametrize("name", MATRICES)
def test_sparse_matrices_are_solved(name, tol):
    Q = MATRICES[name]()
    c = normal(Q.shape[0])
    check(bcd(Quadratic(Q, c), tol=tol), Q, c, tol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_dense_matrices_are_solved_in_every_library(xp, dtype):
    A = normal(40 * 30).reshape(40, 30)
    Q, c = A.T @ A, normal(30, 1)
    tol = 1e-8 if dtype == "float64" else 1e-3
    res = bcd(Quadratic(make(xp, Q, dtype), make(xp, c, dtype)), tol=tol)
    assert res.success
    assert res.nit == 1
    assert res.x.dtype == getattr(xp, dtype)
    assert np.abs(Q @ to_numpy(res.x) - c).max() <= 2 * tol * np.abs(c).max()


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_array, sp.coo_array])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_any_storage_gives_the_same(kind, index):
    Q, c = lattice(12, 12), normal(144)
    reference = bcd(Quadratic(Q, c), tol=1e-10)
    wide = Q.copy()
    wide.indices, wide.indptr = wide.indices.astype(index), wide.indptr.astype(index)
    res = bcd(Quadratic(kind(wide), c), tol=1e-10)
    np.testing.assert_allclose(res.x, reference.x, rtol=1e-12)


def test_l2_is_added_to_the_matrix():
    Q, c = lattice(12, 12), normal(144)
    weights = np.random.default_rng(3).random(144)
    for l2 in (0.5, weights):
        res = bcd(Quadratic(Q, c, l2=l2), tol=1e-10)
        np.testing.assert_allclose(res.x, spsolve(sp.csc_array(Q + sp.diags_array(weights * 0 + l2)), c), rtol=1e-8)


def test_operators_and_large_dense_matrices_use_conjugate_gradients(monkeypatch):
    A = normal(60 * 40).reshape(60, 40)
    Q, c = A.T @ A + np.eye(40), normal(40, 1)
    res = bcd(Quadratic(aslinearoperator(Q), c), tol=1e-9)
    assert res.success
    np.testing.assert_allclose(res.x, np.linalg.solve(Q, c), rtol=1e-6)
    monkeypatch.setattr(module, "_MOST_FACTORED", 10)
    check(bcd(Quadratic(Q, c), tol=1e-9), Q, c, 1e-9)


def test_a_forest_takes_one_elimination():
    Q = tree(3000)
    c = normal(3000)
    res = bcd(Quadratic(Q, c), tol=1e-12)
    assert res.success
    assert res.nit == 1


def test_what_a_forest_leaves_over_takes_few_iterations():
    Q, c = tree(3000, 60), normal(3000)
    res = bcd(Quadratic(Q, c), tol=1e-8)
    assert res.success
    jacobi = bcd(Quadratic(aslinearoperator(Q), c), tol=1e-8)
    assert res.nit <= 0.3 * jacobi.nit


def test_sweeps_take_fewer_iterations_than_the_diagonal():
    Q, c = lattice(60, 60), normal(3600)
    assert bcd(Quadratic(Q, c), tol=1e-8).nit <= 0.5 * bcd(Quadratic(aslinearoperator(Q), c), tol=1e-8).nit


def test_label_propagation_on_the_papers_lattice():
    data = lattice_labels_data()
    problem = LabelPropagation(data.W, data.labels)
    res = bcd(problem, tol=1e-10)
    assert res.success
    assert res.fun == pytest.approx(data.f_opt, rel=1e-13)
    labels = label_propagation(data.W, data.labels, tol=1e-10).x
    np.testing.assert_array_equal(labels[~np.isnan(data.labels)], data.labels[~np.isnan(data.labels)])
    np.testing.assert_allclose(labels[np.isnan(data.labels)], res.x)
    # Labels are means of others: the maximum principle.
    assert np.nanmin(data.labels) <= labels.min()
    assert labels.max() <= np.nanmax(data.labels)


def test_scaling_the_weights_changes_nothing():
    data = lattice_labels_data()
    first, second = (bcd(LabelPropagation(w * data.W, data.labels), tol=1e-9) for w in (1.0, 1e-9))
    assert first.nit == second.nit
    np.testing.assert_allclose(first.x, second.x, rtol=1e-9)


@pytest.mark.parametrize("name", ["lattice", "nearly a tree"])
def test_a_warm_start_at_the_solution_returns_at_once(name):
    Q = MATRICES[name]()
    c = normal(Q.shape[0])
    first = bcd(Quadratic(Q, c), tol=1e-9)
    again = bcd(Quadratic(Q, c), first, tol=1e-8)
    assert again.success
    assert again.nit == 0
    closer = bcd(Quadratic(Q, c), first.x, tol=1e-12)
    assert closer.success
    assert closer.nit < bcd(Quadratic(Q, c), tol=1e-12).nit


def test_zero_is_optimal_for_a_linear_term_of_zero():
    Q = lattice(5, 5)
    res = bcd(Quadratic(Q, np.zeros(25)))
    assert res.success
    assert res.nit == 0
    assert not res.x.any()


@pytest.mark.parametrize("name", ["lattice", "nearly a tree", "tree"])
@pytest.mark.parametrize("tol", [0.0, 1e-17])
def test_a_tolerance_below_rounding_ends_with_precision(name, tol):
    Q = MATRICES[name]()
    c = normal(Q.shape[0])
    res = bcd(Quadratic(Q, c), tol=tol)
    assert res.status is Status.PRECISION
    assert res.kkt <= 100 * EPS * (np.abs(Q) @ np.abs(res.x) + np.abs(c)).max()
    assert res.nit < 300


def test_single_precision_ends_with_precision():
    Q, c = lattice(20, 20).astype(np.float32), normal(400).astype(np.float32)
    res = bcd(Quadratic(Q, c), tol=1e-9)
    assert res.status is Status.PRECISION
    assert res.x.dtype == np.float32


@pytest.mark.parametrize("name", ["lattice", "nearly a tree"])
def test_limits(name):
    Q = MATRICES[name]()
    problem = Quadratic(Q, normal(Q.shape[0]))
    res = bcd(problem, tol=1e-10, maxiter=3)
    assert res.status is Status.MAXITER
    assert res.nit == 3
    assert res.kkt < np.abs(problem.c).max()
    assert bcd(problem, tol=1e-10, max_passes=4).status is Status.MAXITER
    assert bcd(problem, tol=1e-10, time_limit=0.0).status is Status.TIME_LIMIT


@pytest.mark.parametrize("name", ["lattice", "nearly a tree"])
def test_callback_and_history_see_every_iteration(name):
    Q = MATRICES[name]()
    problem = Quadratic(Q, normal(Q.shape[0]))
    seen = []

    def stop_after_four(intermediate_result):
        seen.append(intermediate_result.x)
        if len(seen) == 5:
            raise StopIteration

    res = bcd(problem, tol=1e-10, callback=stop_after_four)
    assert res.status is Status.CALLBACK
    assert len(seen) == 5
    assert res.nit <= 5
    np.testing.assert_array_equal(seen[-1], res.x)
    assert not np.array_equal(seen[-1], seen[-2])
    full = bcd(problem, tol=1e-10, history=True)
    assert full.success
    assert full.history["kkt"][-1] == full.kkt
    # The energy falls in every step of conjugate gradients.
    assert (np.diff(full.history["fun"]) <= 1e-12 * abs(full.fun)).all()


def test_an_indefinite_matrix_is_reported_and_the_node_named():
    c = normal(400)
    diagonal = lattice(20, 20)
    diagonal.setdiag(np.where(np.arange(400) == 17, -1.0, diagonal.diagonal()))
    res = bcd(Quadratic(sp.csr_array(diagonal), c))
    assert res.status is Status.INDEFINITE
    assert "node 17" in res.message
    shifted = sp.csr_array(lattice(20, 20) - 1.5 * sp.eye_array(400))
    assert bcd(Quadratic(shifted, c)).status is Status.INDEFINITE
    path = sp.csr_array(lattice(1, 400) - 0.7 * sp.eye_array(400))
    res = bcd(Quadratic(path, c))
    assert res.status is Status.INDEFINITE
    assert "at node" in res.message
    dense = np.diag(np.where(np.arange(400) == 0, -8e-3, 1.0)) + 1e-2
    assert bcd(Quadratic(dense, c)).status is Status.INDEFINITE


@pytest.mark.parametrize("shape", [(1, 300), (15, 20)])
def test_singular_matrices_are_solved_where_they_can_be(shape):
    n = shape[0] * shape[1]
    Q = sp.csr_array(lattice(*shape) - 0.5 * sp.eye_array(n))
    c = normal(n)
    res = bcd(Quadratic(Q, c - c.mean()), tol=1e-8, max_passes=5000)
    assert res.success, res.message
    res = bcd(Quadratic(Q, c), tol=1e-8, max_passes=5000)
    assert res.status is Status.UNBOUNDED
    assert not res.success


def test_singular_dense_matrices():
    A = normal(30 * 10).reshape(30, 10)
    Q = A @ A.T
    assert bcd(Quadratic(Q, Q @ np.ones(30)), tol=1e-8).success
    assert bcd(Quadratic(Q, normal(30, 5)), tol=1e-8).status is Status.UNBOUNDED


def test_unknowns_that_do_not_matter_stay():
    Q = sp.csr_array(sp.block_diag([lattice(4, 4), sp.csr_array((2, 2))]))
    c = np.append(normal(16), [0.0, 0.0])
    res = bcd(Quadratic(Q, c), np.append(np.zeros(16), [3.0, 4.0]), tol=1e-10)
    assert res.success
    np.testing.assert_array_equal(res.x[16:], [3.0, 4.0])
    dense = bcd(Quadratic(Q.toarray(), c), tol=1e-10)
    assert dense.success
    np.testing.assert_allclose(dense.x[:16], res.x[:16], rtol=1e-8)
    c[17] = 1.0
    res = bcd(Quadratic(Q, c))
    assert res.status is Status.UNBOUNDED
    assert "node 17" in res.message


def test_the_order_of_the_unknowns_does_not_matter():
    Q, c = tree(200, 20), normal(200)
    order = np.random.default_rng(4).permutation(200)
    first = bcd(Quadratic(Q, c), tol=1e-12)
    second = bcd(Quadratic(sp.csr_array(Q[order][:, order]), c[order]), tol=1e-12)
    np.testing.assert_allclose(second.x, first.x[order], rtol=1e-9)


def test_the_same_call_gives_the_same_bits():
    Q, c = lattice(30, 30), normal(900)
    np.testing.assert_array_equal(bcd(Quadratic(Q, c)).x, bcd(Quadratic(Q, c)).x)


@pytest.mark.parametrize("kind", ["dense", "lattice", "tree"])
def test_a_checkpoint_goes_on_where_it_stopped(kind, tmp_path):
    Q = {"dense": lambda: lattice(6, 6).toarray(), "lattice": lambda: lattice(30, 30), "tree": lambda: tree(300, 30)}[
        kind
    ]()
    Q = Q + 0.01 * (np.eye(Q.shape[0]) if kind == "dense" else sp.eye_array(Q.shape[0]))
    problem, path = Quadratic(Q, normal(Q.shape[0])), tmp_path / "solve.zip"
    first = bcd(problem, tol=1e-10, maxiter=1 if kind == "dense" else 5, checkpoint=path)
    assert path.exists()
    second = bcd(problem, tol=1e-10, checkpoint=path)
    assert second.success
    assert second.nit >= first.nit
    np.testing.assert_allclose(second.x, bcd(problem, tol=1e-12).x, atol=1e-7)
