"""The data sets of the experiments on greedy block coordinate descent.

Nutini, Laradji and Schmidt, "Let's Make Block Coordinate Descent Converge Faster" (JMLR 2022), name them A to E. The
authors draw B, C and D with NumPy's legacy generator, whose streams are frozen, so that these are their very numbers.
They do not publish A and E: here both are drawn anew from the same laws.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, csr_array, diags_array

from numopt._typing import Array

Floats = NDArray[np.float64]

SCALE = 10.0
"""Deviation of the columns' scales, and of the lattice's labels."""

SUPPORT = 0.1
"""Part of the coefficients that are not zero."""

FLIPPED = 0.1
"""Part of the two-class labels that are turned round."""


@dataclass(frozen=True, eq=False)
class LinearModelData:
    """Data of a linear model with more coefficients than samples need.

    Parameters
    ----------
    A : csc_array of shape (n, p)
        The samples, one in a row.
    y : array of shape (n,)
        Targets, labels -1 and 1, or classes 0 to k - 1.
    coefficients : array of shape (p,) or (p, k)
        What the targets were drawn from.
    f_opt : float
        Infimum of the loss (a sum over the samples) without a penalty.
    attained : bool
        Whether some coefficients have that loss; those of separable classes grow without bound.
    name, source : str
        What it is called and where it comes from.
    """

    A: csc_array
    y: Array
    coefficients: Floats
    f_opt: float
    attained: bool
    name: str
    source: str


@dataclass(frozen=True, eq=False)
class GraphLabels:
    """A weighted graph, some of whose nodes have labels: those of the others minimise ``1/4 sum W_ij (x_i - x_j)^2``.

    Parameters
    ----------
    W : csr_array of shape (N, N)
        Symmetric weights.
    labels : array of shape (N,)
        Labels of the nodes, NaN where there is none.
    Q, c : csr_array of shape (n, n), array of shape (n,)
        The same as a quadratic ``1/2 x'Q x - c'x`` in the nodes without a label, in their order.
    f_opt : float
        Least value of the quadratic.
    points : array of shape (N, 2)
        Where the nodes lie in the plane.
    grid_shape : tuple of int or None
        Rows and columns where the nodes are those of a lattice, numbered row by row.
    name, source : str
        What it is called and where it comes from.
    """

    W: csr_array
    labels: Floats
    Q: csr_array
    c: Floats
    f_opt: float
    points: Floats
    grid_shape: tuple[int, int] | None
    name: str
    source: str

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which nodes have a label."""
        return ~np.isnan(self.labels)


class _Random(Protocol):
    """What NumPy's two kinds of generator have in common, by the names that this module uses."""

    def normal(self, *shape: int) -> Floats: ...
    def uniform(self, *shape: int) -> Floats: ...


def sparse_least_squares_data(n_samples: int = 1000, n_features: int = 10000, *, seed: int = 0) -> LinearModelData:
    """Draw a sparse least-squares problem with columns of very different norms (data set A).

    Columns of ``N(1, 1)`` entries are multiplied by ``10 N(0, 1)``; an entry is kept with probability
    ``10 log(n) / n``. The targets are ``A w`` plus standard normal noise, where a tenth of the normal w is not zero.

    Parameters
    ----------
    n_samples, n_features : int, default 1000 and 10000
        Sizes; those of the paper by default.
    seed : int, default 0
        Seed of `numpy.random.default_rng`. The draw of the paper is not published.

    Returns
    -------
    LinearModelData
        With `f_opt` 0 where there are more features than samples, by least squares otherwise.

    Notes
    -----
    The entries are drawn densely: 8 ``n p`` bytes, twice over, for the moment.

    Examples
    --------
    >>> from numopt.problems import sparse_least_squares_data
    >>> data = sparse_least_squares_data(200, 300)
    >>> data.A.shape, data.y.shape, data.f_opt
    ((200, 300), (200,), 0.0)
    """
    rng = _Modern(seed)
    A = _design(rng, n_samples, n_features)
    w = rng.normal(n_features)
    w *= rng.uniform(n_features) < SUPPORT
    y: Floats = A @ w + rng.normal(n_samples)
    return LinearModelData(
        A=A,
        y=y,
        coefficients=w,
        f_opt=_least_squares_optimum(A, y),
        attained=True,
        name="sparse-least-squares",
        source=f"generator, seed {seed}",
    )


def sparse_logistic_data(n_samples: int = 1000, n_features: int = 10000) -> LinearModelData:
    """Draw two classes with noisy labels on columns of very different norms (data set B).

    The data are drawn as those of `sparse_least_squares_data`, by NumPy's legacy generator with seed 1 as the authors
    do; the label is the sign of ``A w``, turned round with probability 0.1. With more features than samples the
    classes are separable all the same.

    Parameters
    ----------
    n_samples, n_features : int, default 1000 and 10000
        Sizes; those of the paper by default.

    Returns
    -------
    LinearModelData
        With labels -1 and 1 and the infimum 0, which is not attained.

    Notes
    -----
    `f_opt` is 0 whatever the sizes; with few features the classes may not be separable, and then it is a bound only.

    Examples
    --------
    >>> from numopt.problems import sparse_logistic_data
    >>> data = sparse_logistic_data(200, 300)
    >>> data.A.shape, sorted(set(data.y.tolist())), data.attained
    ((200, 300), [-1.0, 1.0], False)
    """
    rng = _Legacy(1)
    A = _design(rng, n_samples, n_features)
    w = rng.normal(n_features)
    w *= rng.uniform(n_features) < SUPPORT
    y: Floats = np.sign(A @ w) * np.sign(rng.uniform(n_samples) - FLIPPED)
    return LinearModelData(
        A=A, y=y, coefficients=w, f_opt=0.0, attained=False, name="sparse-logistic", source="generator"
    )


def sparse_multinomial_data(n_samples: int = 1000, n_features: int = 1000, n_classes: int = 50) -> LinearModelData:
    """Draw many classes on columns of very different norms (data set C).

    The data are drawn as those of `sparse_logistic_data`; the class is the largest entry of ``A w`` plus standard
    normal noise, w being a dense normal matrix.

    Parameters
    ----------
    n_samples, n_features, n_classes : int, default 1000, 1000 and 50
        Sizes; those of the paper by default.

    Returns
    -------
    LinearModelData
        With classes 0 to ``n_classes - 1`` and the infimum 0, which is not attained.

    Notes
    -----
    As for `sparse_logistic_data`, `f_opt` is a bound only where the classes are not separable.

    Examples
    --------
    >>> from numopt.problems import sparse_multinomial_data
    >>> data = sparse_multinomial_data(200, 100, 3)
    >>> data.A.shape, sorted(set(data.y.tolist())), data.coefficients.shape
    ((200, 100), [0, 1, 2], (100, 3))
    """
    rng = _Legacy(1)
    A = _design(rng, n_samples, n_features)
    w = rng.normal(n_features, n_classes)
    y = np.argmax(A @ w + rng.normal(n_samples, n_classes), axis=1)
    return LinearModelData(
        A=A, y=y, coefficients=w, f_opt=0.0, attained=False, name="sparse-multinomial", source="generator"
    )


def lattice_labels_data(size: int = 50, n_labels: int = 100, *, weight: float = 1e5) -> GraphLabels:
    """Labels of some nodes of a square lattice, which its other nodes are to continue (data set D).

    Parameters
    ----------
    size : int, default 50
        Nodes on a side.
    n_labels : int, default 100
        Nodes with a label, which is ``10 N(0, 1)``, drawn by NumPy's legacy generator with seed 1 as the authors do.
    weight : float, default 1e5
        Weight of every edge.

    Returns
    -------
    GraphLabels
        With the least value by a direct solve.

    Raises
    ------
    ValueError
        If there are not between 1 and ``size^2 - 1`` labels.

    Examples
    --------
    >>> from numopt.problems import lattice_labels_data
    >>> data = lattice_labels_data(10, 8)
    >>> data.Q.shape, data.grid_shape
    ((92, 92), (10, 10))
    """
    nodes = size * size
    if not 1 <= n_labels < nodes:
        raise ValueError(f"`n_labels` must be between 1 and {nodes - 1}, got {n_labels}.")
    rng = _Legacy(1)
    labels = np.full(nodes, np.nan)
    known = rng.choice(nodes, n_labels)
    labels[known] = SCALE * rng.normal(n_labels)
    number = np.arange(nodes).reshape(size, size)
    first = np.concatenate([number[:-1].ravel(), number[:, :-1].ravel()])
    second = np.concatenate([number[1:].ravel(), number[:, 1:].ravel()])
    points = np.stack(np.divmod(np.arange(nodes), size), axis=1).astype(np.float64)
    W = _symmetric(first, second, nodes, weight)
    return _graph(W, labels, points, (size, size), name="lattice-labels")


def two_moons_data(
    n_samples: int = 2000, n_labels: int = 100, *, n_neighbors: int = 5, noise: float = 0.1, seed: int = 0
) -> GraphLabels:
    """Points of two interleaved half circles, of which some are labelled (data set E).

    Two nodes are joined, with weight 1, when one is among the nearest neighbours of the other.

    Parameters
    ----------
    n_samples : int, default 2000
        Points, half of them on each half circle.
    n_labels : int, default 100
        Points with a label: 1 on the first half circle, 2 on the second.
    n_neighbors : int, default 5
        Neighbours of a point.
    noise : float, default 0.1
        Deviation of the points from the half circles, which have radius 1.
    seed : int, default 0
        Seed of `numpy.random.default_rng`. The draw of the paper is not published.

    Returns
    -------
    GraphLabels
        With the least value by a direct solve.

    Raises
    ------
    ValueError
        If there are not between 1 and ``n_samples - 1`` labels, or if some part of the graph has none.

    Examples
    --------
    >>> from numopt.problems import two_moons_data
    >>> data = two_moons_data(200, 20)
    >>> data.Q.shape, sorted(set(data.labels[data.mask].tolist()))
    ((180, 180), [1.0, 2.0])
    """
    from scipy.spatial import KDTree

    if not 1 <= n_labels < n_samples:
        raise ValueError(f"`n_labels` must be between 1 and {n_samples - 1}, got {n_labels}.")
    rng = np.random.default_rng(seed)
    half = n_samples // 2
    angles = np.pi * rng.random(n_samples)
    upper = np.stack([np.cos(angles[:half]), np.sin(angles[:half])], axis=1)
    lower = np.stack([1.0 - np.cos(angles[half:]), 0.5 - np.sin(angles[half:])], axis=1)
    points = np.concatenate([upper, lower]) + noise * rng.standard_normal((n_samples, 2))
    labels = np.full(n_samples, np.nan)
    known = rng.choice(n_samples, n_labels, replace=False)
    labels[known] = np.where(known < half, 1.0, 2.0)
    # The nearest one is the point itself.
    neighbors = np.asarray(KDTree(points).query(points, k=n_neighbors + 1)[1])
    first = np.repeat(np.arange(n_samples), n_neighbors)
    W = _symmetric(first, neighbors[:, 1:].ravel(), n_samples, 1.0)
    return _graph(W, labels, points, None, name="two-moons", source=f"generator, seed {seed}")


def _design(rng: _Random, n: int, p: int) -> csc_array:
    """Entries of mean 1, columns of very different norms, few entries kept."""
    if n < 2 or p < 1:
        raise ValueError(f"`n_samples` must be at least 2 and `n_features` at least 1, got {n} and {p}.")
    X = rng.normal(n, p)
    X += 1.0
    X *= SCALE * rng.normal(p)
    X *= rng.uniform(n, p) < 10.0 * math.log(n) / n
    return csc_array(X)


def _least_squares_optimum(A: csc_array, y: Floats) -> float:
    if A.shape[1] > A.shape[0]:
        return 0.0
    dense = A.toarray()
    r = y - dense @ np.linalg.lstsq(dense, y, rcond=None)[0]
    return 0.5 * float(r @ r)


def _symmetric(first: NDArray[Any], second: NDArray[Any], nodes: int, weight: float) -> csr_array:
    """Weights of these edges in both directions; an edge that is named twice counts once."""
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    W = csr_array(coo_array((np.ones(rows.size), (rows, columns)), shape=(nodes, nodes)))
    W.data[:] = weight
    return W


def _graph(
    W: csr_array,
    labels: Floats,
    points: Floats,
    grid_shape: tuple[int, int] | None,
    *,
    name: str,
    source: str = "generator",
) -> GraphLabels:
    """Put the labels into the quadratic of the other nodes, and solve it."""
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import spsolve

    known = ~np.isnan(labels)
    count, part = connected_components(W, directed=False)
    without = np.setdiff1d(np.arange(count), part[known])
    if without.size:
        node = int(np.flatnonzero(part == without[0])[0])
        raise ValueError(f"no node of the part of the graph with node {node} has a label; raise `n_labels`.")
    laplacian = csr_array(diags_array(W.sum(axis=1)) - W)
    free = np.flatnonzero(~known)
    Q = csr_array(laplacian[free][:, free])
    c: Floats = -(laplacian[free] @ np.where(known, labels, 0.0))
    x = spsolve(Q.tocsc(), c)
    return GraphLabels(
        W=W,
        labels=labels,
        Q=Q,
        c=c,
        f_opt=-0.5 * float(c @ x),
        points=points,
        grid_shape=grid_shape,
        name=name,
        source=source,
    )


class _Modern:
    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> Floats:
        return self._rng.standard_normal(shape)

    def uniform(self, *shape: int) -> Floats:
        return self._rng.random(shape)


class _Legacy:
    def __init__(self, seed: int) -> None:
        self._rng = np.random.RandomState(seed)

    def normal(self, *shape: int) -> Floats:
        return self._rng.standard_normal(shape)

    def uniform(self, *shape: int) -> Floats:
        return self._rng.random_sample(shape)

    def choice(self, n: int, size: int) -> NDArray[np.int64]:
        return self._rng.choice(n, size, replace=False)
