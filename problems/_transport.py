"""Problems of entropic optimal transport: generators of the benchmark, random assignment, images, point clouds."""

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from numopt._typing import Array
from numopt.problems import _transport_data

Metric = Literal["sqeuclidean", "cityblock"]

PIXEL_FLOOR = 1e-6
"""Weight added to every pixel of a normalised image: a zero weight has no finite potential."""


@dataclass(frozen=True, eq=False)
class TransportProblem:
    """Move the weights `a` to the weights `b` at the cost `C` with entropic weight `reg`.

    min <C, P> + reg * sum P (log P - 1)  subject to  P 1 = a, P' 1 = b, P >= 0. Constructors scale the costs so that
    the largest is 1 unless they say otherwise, hence `reg` is relative to it.

    Parameters
    ----------
    a, b : array of shape (n,) and (m,)
        Weights, both of sum 1.
    reg : float
        Entropic weight, in the unit of the cost.
    C : array of shape (n, m), optional
        The costs; None when they are to be worked out from the points `X` and `Y`.
    X, Y : array of shape (n, d) and (m, d), optional
        Points between which `metric` gives the cost.
    metric : {'sqeuclidean', 'cityblock'}, default 'sqeuclidean'
        Cost between two points.
    name, source : str
        What it is called and where the data come from.

    Examples
    --------
    >>> from numopt.problems import TransportProblem
    >>> problem = TransportProblem.points(50, reg=1e-2)
    >>> problem.n, problem.m, float(problem.C.max())
    (50, 50, 1.0)
    """

    a: Array
    b: Array
    reg: float
    C: Array = None
    X: Array = None
    Y: Array = None
    metric: Metric = "sqeuclidean"
    name: str = "transport"
    source: str = "generator"

    @property
    def n(self) -> int:
        """Number of sources."""
        return int(self.a.shape[0])

    @property
    def m(self) -> int:
        """Number of targets."""
        return int(self.b.shape[0])

    @classmethod
    def points(
        cls, n: int, *, reg: float, seed: int = 0, d: int = 2, dirichlet: bool = False, dense: bool = True
    ) -> Self:
        """Normal points against shifted normal points, squared distances.

        With ``X = normal((n, d))``, ``Y = normal((n, d)) + 1``; uniform weights, or with `dirichlet` both drawn from
        the flat Dirichlet distribution by a fresh generator of the same seed. ``dense=False`` leaves the cost matrix
        out and has the points alone, which are scaled so that the largest cost is 1.
        """
        rng = np.random.default_rng(seed)
        X, Y = rng.normal(size=(n, d)), rng.normal(size=(n, d)) + 1.0
        a = b = _uniform(n)
        if dirichlet:
            rng = np.random.default_rng(seed)
            a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n))
        C = _costs(X, Y, "sqeuclidean") if dense else None
        unit = 1.0 / np.sqrt(_largest_square(X, Y) if C is None else C.max())
        C = None if C is None else _scaled(C)
        name = f"{'dir' if dirichlet else 'pts' if dense else 'cloud'}-{n}"
        return cls(a, b, reg, C=C, X=X * unit, Y=Y * unit, name=name)

    @classmethod
    def uniform(cls, n: int, *, reg: float, seed: int = 0) -> Self:
        """Costs uniform on [0, 1], independent, not scaled further; uniform weights (the random assignment problem)."""
        C = np.random.default_rng(seed).random((n, n))
        return cls(_uniform(n), _uniform(n), reg, C=C, name=f"unif-{n}")

    @classmethod
    def grid(cls, k: int, *, reg: float, seed: int = 0) -> Self:
        """Random weights on k x k pixels, L1 distance: plans are not unique at reg = 0, and the graph falls apart."""
        rng = np.random.default_rng(seed)
        a, b = (_normalised(rng.random(k * k) + 1e-3) for _ in range(2))
        return cls(a, b, reg, C=_pixel_costs(k, "cityblock"), name=f"l1grid-{k}")

    @classmethod
    def clusters(cls, n: int, *, reg: float, seed: int = 0) -> Self:
        """Two distant clusters, with a mass of 1e-6 to be moved between them; squared distances.

        ``X, Y = normal((n, 2))`` with the second halves shifted by 10 in the first coordinate, ``a_i = (1 + 2e-6) / n``
        in the first half and ``(1 - 2e-6) / n`` in the second, `b` uniform.
        """
        if n % 2:
            raise ValueError(f"`n` must be even, got {n}.")
        rng = np.random.default_rng(seed)
        X, Y = rng.normal(size=(n, 2)), rng.normal(size=(n, 2))
        X[n // 2 :, 0] += 10.0
        Y[n // 2 :, 0] += 10.0
        a = np.repeat([(1 + 2e-6) / n, (1 - 2e-6) / n], n // 2)
        return cls(a, _uniform(n), reg, C=_scaled(_costs(X, Y, "sqeuclidean")), name=f"clus-{n}")

    @classmethod
    def mnist(cls, *, reg: float, pair: int = 0, metric: Metric = "sqeuclidean") -> Self:
        """Two test images of MNIST, 784 pixels each: squared L2 or L1 distance between pixels.

        The images are two different ones drawn by ``default_rng(pair)``; weights are normalised, raised by 1e-6 and
        normalised again.

        Raises
        ------
        FileNotFoundError
            If the images are neither there nor can be downloaded.
        """
        images = _transport_data.mnist_images()
        first, second = np.random.default_rng(pair).choice(len(images), 2, replace=False)
        a, b = (_image_weights(images[i]) for i in (first, second))
        name = "mnist-l1" if metric == "cityblock" else "mnist-l2"
        return cls(a, b, reg, C=_pixel_costs(images.shape[1], metric), name=name, source="MNIST test images")

    @classmethod
    def dotmark(cls, *, reg: float, metric: Metric = "sqeuclidean") -> Self:
        """The DOTmark histograms 1001 and 1002 of 32 x 32 pixels."""
        a, b = (_normalised(_transport_data.dotmark(number).ravel()) for number in (1001, 1002))
        return cls(a, b, reg, C=_pixel_costs(32, metric), name="dotmark-32", source="DOTmark")

    @classmethod
    def clouds(cls, first: str, second: str, *, reg: float) -> Self:
        """Two meshes' vertices ('bunny', 'teapot', 'suzanne'), each centred and of unit size; points, not costs."""
        X, Y = (_standardised(_transport_data.cloud(name)) for name in (first, second))
        unit = 1.0 / np.sqrt(_largest_square(X, Y))
        name, source = f"{first}-{second}", "meshes"
        return cls(_uniform(len(X)), _uniform(len(Y)), reg, X=X * unit, Y=Y * unit, name=name, source=source)

    @classmethod
    def colours(cls, n: int, *, reg: float, seed: int = 0) -> Self:
        """The colours of `n` pixels each of the two photographs that scikit-learn ships, squared RGB distances.

        Needs Pillow, as scikit-learn's `load_sample_image` does.
        """
        from sklearn.datasets import load_sample_image

        rng = np.random.default_rng(seed)
        pixels = (load_sample_image(name).reshape(-1, 3) / 255.0 for name in ("flower.jpg", "china.jpg"))
        X, Y = (values[rng.choice(len(values), n, replace=False)] for values in pixels)
        C = _scaled(_costs(X, Y, "sqeuclidean"))
        return cls(_uniform(n), _uniform(n), reg, C=C, name=f"colours-{n}", source="scikit-learn's sample images")

    def cost_rows(self, start: int, stop: int) -> Array:
        """Rows `start` to `stop` of the costs, on the host, whether or not the whole matrix is stored."""
        if self.C is not None:
            return self.C[start:stop]
        return _costs(self.X[start:stop], self.Y, self.metric)

    def to_gpu(self) -> Self:
        """Return the same problem with CuPy arrays on the current CUDA device.

        Raises
        ------
        ImportError
            If CuPy is not installed.
        """
        import cupy

        arrays = {name: getattr(self, name) for name in ("a", "b", "C", "X", "Y")}
        moved = {name: cupy.asarray(value) for name, value in arrays.items() if value is not None}
        return replace(self, **moved)


def _uniform(n: int) -> Array:
    return np.full(n, 1.0 / n)


def _normalised(weights: Array) -> Array:
    return weights / weights.sum()


def _image_weights(image: NDArray[np.uint8]) -> Array:
    return _normalised(_normalised(image.ravel().astype(np.float64)) + PIXEL_FLOOR)


def _standardised(points: Array) -> Array:
    centred = points - points.mean(axis=0)
    return centred / np.sqrt((centred**2).sum(axis=1).mean())


def _costs(X: Array, Y: Array, metric: Metric) -> Array:
    from scipy.spatial.distance import cdist

    return cdist(X, Y, metric)


def _scaled(C: Array) -> Array:
    C /= C.max()
    return C


def _pixel_costs(k: int, metric: Metric) -> Array:
    pixels = np.indices((k, k)).reshape(2, -1).T.astype(np.float64)
    return _scaled(_costs(pixels, pixels, metric))


def _largest_square(X: Array, Y: Array) -> float:
    """Largest squared distance: a convex function of either point takes its maximum at corners of the hulls."""
    from scipy.spatial import ConvexHull

    x, y = (points[ConvexHull(points).vertices] for points in (X, Y))
    return float(_costs(x, y, "sqeuclidean").max())
