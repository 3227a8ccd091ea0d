"""Matrices of graphs."""

import numpy as np
import scipy.sparse as sp


def laplacian(edges, n, weights=None, ground=0.5):
    """Return the CSR matrix of a graph's Laplacian plus a multiple of the identity."""
    edges = np.asarray(edges, dtype=int).reshape(-1, 2)
    weights = np.ones(len(edges)) if weights is None else weights
    W = sp.coo_array((weights, (edges[:, 0], edges[:, 1])), shape=(n, n))
    W = sp.csr_array(W + W.T)
    H = sp.csr_array(sp.diags_array(W.sum(axis=1) + ground) - W)
    H.sort_indices()
    return H


def random_graph(n, degree, seed):
    """Return the Laplacian of a random graph with random weights, made positive definite."""
    rng = np.random.default_rng(seed)
    edges = np.argwhere(np.triu(rng.random((n, n)) < degree / n, 1))
    return laplacian(edges, n, rng.uniform(0.1, 2, len(edges)))


def lattice(nr, nc):
    """Return the Laplacian of an nr x nc lattice, numbered row by row, made positive definite."""
    edges = [(r * nc + c, r * nc + c + 1) for r in range(nr) for c in range(nc - 1)]
    edges += [(r * nc + c, (r + 1) * nc + c) for r in range(nr - 1) for c in range(nc)]
    return laplacian(edges, nr * nc)
