"""Sweeps over forests and colours as preconditioners: their definition, what they save, bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg, gmres

from numopt.coordinate import sweep_preconditioner
from numopt.coordinate._forest import colour_partition, lattice_comb, tree_partition, visiting_order
from tests.coordinate.graphs import lattice, random_graph


def definition(Q, blocks, omega, symmetric=True):
    """Return the matrix whose inverse a sweep applies, its rows and columns sorted by block, and that order."""
    order = np.concatenate(blocks)
    number = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    A = Q.toarray()[np.ix_(order, order)]
    D = np.where(number[:, None] == number, A, 0)
    forward = D / omega + np.where(number[:, None] > number, A, 0)
    return forward @ np.linalg.solve((2 / omega - 1) * D, forward.T) if symmetric else forward, order


def blocks_of(Q, partition):
    order = visiting_order(Q, "lipschitz", Q.diagonal())
    return (tree_partition if partition == "tree_partition" else colour_partition)(Q, order)


@pytest.mark.parametrize("omega", [1.0, 0.7, 1.5])
@pytest.mark.parametrize("partition", ["tree_partition", "redblack"])
@pytest.mark.parametrize("kind", [sp.csr_array, sp.csc_matrix, lambda Q: Q.toarray()])
def test_it_applies_the_inverse_of_its_definition(kind, partition, omega):
    Q = random_graph(60, 5, 0)
    M = sweep_preconditioner(kind(Q), partition, omega=omega)
    assert isinstance(M, LinearOperator)
    expected, order = definition(Q, blocks_of(Q, partition), omega)
    found = (M @ np.eye(60))[np.ix_(order, order)]
    np.testing.assert_allclose(found, np.linalg.inv(expected), atol=1e-13 * np.abs(found).max())
    np.testing.assert_allclose(found, found.T, atol=1e-14)
    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(M.rmatvec(np.ones(60)), M.matvec(np.ones(60)))


def test_a_forward_sweep_alone():
    Q = random_graph(60, 5, 0)
    M = sweep_preconditioner(Q, symmetric=False)
    expected, order = definition(Q, blocks_of(Q, "tree_partition"), 1.0, symmetric=False)
    np.testing.assert_allclose((M @ np.eye(60))[np.ix_(order, order)], np.linalg.inv(expected), atol=1e-13)
    b = np.arange(60.0)
    x, info = gmres(Q, b, M=M, rtol=1e-10)
    assert info == 0
    np.testing.assert_allclose(Q @ x, b, atol=1e-8 * np.linalg.norm(b))


def test_trees_save_iterations_over_colours_and_colours_over_the_diagonal():
    Q = lattice(40, 40)
    b = np.random.default_rng(0).standard_normal(1600)

    def iterations(M):
        count = []
        _, info = cg(Q, b, rtol=1e-8, M=M, callback=lambda x: count.append(1))
        assert info == 0
        return len(count)

    jacobi = iterations(LinearOperator(Q.shape, matvec=lambda r: r / Q.diagonal(), dtype=float))
    colours = iterations(sweep_preconditioner(Q, "redblack"))
    combs = iterations(sweep_preconditioner(Q, lattice_comb(40, 40)))
    assert colours <= 0.6 * jacobi
    assert combs <= 0.8 * colours


def test_one_forest_is_solved_exactly():
    Q = lattice(1, 500)
    b = np.random.default_rng(0).standard_normal(500)
    np.testing.assert_allclose(Q @ (sweep_preconditioner(Q) @ b), b, atol=1e-11)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_single_precision_and_wide_indices(index):
    Q = lattice(10, 10).astype(np.float32)
    Q.indices, Q.indptr = Q.indices.astype(index), Q.indptr.astype(index)
    M = sweep_preconditioner(Q)
    assert M.dtype == np.float32
    assert (M @ np.ones(100, dtype=np.float32)).dtype == np.float32
    exact = sweep_preconditioner(lattice(10, 10)) @ np.ones(100)
    np.testing.assert_allclose(M @ np.ones(100, dtype=np.float32), exact, rtol=1e-5)


def test_bad_input():
    Q = lattice(3, 3)
    with pytest.raises(TypeError, match="`Q` must be a sparse matrix or an array, got str"):
        sweep_preconditioner("Q")
    with pytest.raises(ValueError, match="`Q` must be square"):
        sweep_preconditioner(Q[:4])
    with pytest.raises(ValueError, match="omega"):
        sweep_preconditioner(Q, omega=2.0)
    with pytest.raises(ValueError, match="'tree_partition', 'redblack' or a sequence of index arrays, got 'trees'"):
        sweep_preconditioner(Q, "trees")
    with pytest.raises(ValueError, match="disjoint and cover the 9 unknowns"):
        sweep_preconditioner(Q, [np.arange(8)])
    with pytest.raises(TypeError, match="one-dimensional integer arrays"):
        sweep_preconditioner(Q, [np.arange(9.0)])
    with pytest.raises(ValueError, match="on a cycle of block 0"):
        sweep_preconditioner(Q, [np.arange(9)])
    with pytest.raises(np.linalg.LinAlgError, match="not positive at node"):
        sweep_preconditioner(sp.csr_array(-Q))
