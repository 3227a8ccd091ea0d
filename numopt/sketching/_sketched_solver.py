"""The engine of the randomised solvers: sketch-and-project steps on one system, a slice at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from numopt._array import asarray_like, device_of, namespace, scalars, to_host
from numopt._core.timer import Deadline
from numopt._linalg import norm
from numopt._rng import default_rng
from numopt._typing import Array, RNGLike
from numopt.kernels import bind
from numopt.sketching._rows import rows_of

INDEX_CHUNK = 65536  # row numbers drawn at once, at most: bounds the memory of a long advance
SLICE_WORK = 2**25  # multiply-adds between two looks at the clock: about 50 ms of row steps, a tenth for products
GAUSSIAN_BATCH = 128  # sketches of one matrix product; 128 and 256 measure the same, 32 takes up to three times as long

Sampler = Callable[[int], npt.NDArray[np.int64]]


class SketchedSolver:
    """Sketch-and-project steps z <- z + relax * K's (s'(b - K z)) / ||K's||^2 for K z = b, K dense or CSR.

    Parameters
    ----------
    K : array of shape (M, N) or sparse matrix
        Of any supported library; real floating.
    b : array of shape (M,)
        Of the same library and dtype.
    sketch : {'row', 'gaussian'}
        s is a unit vector (randomised Kaczmarz), or standard normal. Gaussian sketches are drawn in batches: S K for a
        whole batch is one matrix product, and the rows of (S K, S b) are then projected on in order, which gives the
        iterates of one sketch at a time up to rounding.
    rng : SPEC 7 random source
        Draws happen on the host, so every library takes the same path.
    rule : {'uniform', 'norm', 'cyclic', 'max_distance'}
        How sketch='row' picks its rows.
    relax : float in (0, 2)
        Relaxation; 1 is the projection.
    z0 : array of shape (N,), optional
        Starting point, copied; None means 0.

    Attributes
    ----------
    z : array
        Current iterate, updated in place.
    steps : int
        Steps so far.
    inconsistent_row : int or None
        A zero row of K with a nonzero right side: no solution exists. Zero rows are never drawn.
    """

    def __init__(
        self,
        K: Any,
        b: Array,
        *,
        sketch: str = "row",
        rng: RNGLike = None,
        rule: str = "uniform",
        relax: float = 1.0,
        z0: Array | None = None,
    ) -> None:
        xp = namespace(K, b)
        self._xp = xp
        self._rows = rows_of(K, xp)
        self._b = b
        self._rng = default_rng(rng)
        self._relax = relax
        self._norms2 = self._rows.norms2 if relax == 1.0 else self._rows.norms2 / relax
        if z0 is None:
            self.z = xp.zeros(self._rows.shape[1], dtype=b.dtype, device=device_of(b))
        else:
            self.z = xp.asarray(z0, copy=True)
        self.steps = 0
        self._kernel = bind(xp).row_kaczmarz
        nonzero, self.inconsistent_row = self._inspect_zero_rows()
        self._take: Callable[[int], None]
        if sketch == "gaussian":
            self._chunk = max(16, min(GAUSSIAN_BATCH, 10 * SLICE_WORK // self._rows.work))
            self._take = self._take_gaussian
        elif rule == "max_distance":
            self._chunk = max(1, SLICE_WORK // self._rows.work)
            self._take = self._take_farthest
        else:
            self._chunk = max(1, min(INDEX_CHUNK, SLICE_WORK * self._rows.shape[0] // self._rows.work))
            self._draw = _sampler(rule, nonzero, self._rows.norms2, self._rng)
            self._take = self._take_rows

    def advance(self, n_steps: int, deadline: Deadline | None = None) -> None:
        """Take `n_steps` steps, or fewer if `deadline` expires between two slices."""
        done = 0
        while done < n_steps and not (done and deadline is not None and deadline.expired()):
            chunk = min(self._chunk, n_steps - done)
            self._take(chunk)
            done += chunk
            self.steps += chunk

    def residual_norm(self) -> float:
        """Return ||K z - b||_2, computed from K and z."""
        return norm(self._rows.matvec(self.z) - self._b)

    def rounding_floor(self) -> float:
        """Return the size of residual below which rounding hides K z - b: 10 eps (||K||_F ||z|| + ||b||)."""
        xp = self._xp
        K2, z2, b2 = scalars(xp, xp.sum(self._rows.norms2), xp.vecdot(self.z, self.z), xp.vecdot(self._b, self._b))
        return float(10 * float(xp.finfo(self._b.dtype).eps) * (np.sqrt(K2 * z2) + np.sqrt(b2)))

    def has_vanishing_rows(self) -> bool:
        """Tell whether the squares of a row that is not zero underflow to zero."""
        xp = self._xp
        return bool(xp.any((self._rows.norms2 == 0) & (self._rows.sizes() > 0)))

    def _inspect_zero_rows(self) -> tuple[npt.NDArray[np.int64], int | None]:
        """Return the numbers of the nonzero rows, and that of a zero row whose right side is not zero."""
        xp = self._xp
        zero = self._rows.norms2 == 0
        bad = zero & (self._b != 0)
        n_zero, n_bad = scalars(xp, xp.sum(xp.astype(zero, xp.int64)), xp.sum(xp.astype(bad, xp.int64)))
        # The masks leave the device only where there are zero rows.
        nonzero = np.flatnonzero(~to_host(zero)) if n_zero else np.arange(self._rows.shape[0])
        return nonzero.astype(np.int64), int(np.argmax(to_host(bad))) if n_bad else None

    def _take_rows(self, n_steps: int) -> None:
        rows = asarray_like(self._draw(n_steps), self.z)
        self._rows.project(self._b, self._norms2, rows, self.z)

    def _take_farthest(self, n_steps: int) -> None:
        """Project on the row whose hyperplane is farthest, found from the whole residual; the index stays on device."""
        xp = self._xp
        norms2 = self._rows.norms2
        # A zero row has no hyperplane: dividing by infinity puts it last.
        divisors = xp.where(norms2 > 0, norms2, xp.full_like(norms2, xp.inf))
        for _ in range(n_steps):
            residual = self._b - self._rows.matvec(self.z)
            distance2 = residual * residual / divisors
            rows = xp.astype(xp.reshape(xp.argmax(distance2), (1,)), xp.int64)
            self._rows.project(self._b, self._norms2, rows, self.z)

    def _take_gaussian(self, n_steps: int) -> None:
        xp = self._xp
        S = asarray_like(self._rng.standard_normal((n_steps, self._rows.shape[0])), self.z, dtype=self._b.dtype)
        W = self._rows.combine(S)
        order = xp.arange(n_steps, dtype=xp.int64, device=device_of(self._b))
        self._kernel(W, S @ self._b, xp.vecdot(W, W) / self._relax, order, self.z)


def _sampler(rule: str, rows: npt.NDArray[np.int64], norms2: Array, rng: np.random.Generator) -> Sampler:
    """Return the function that gives the next k of `rows` (all nonzero) by `rule`."""
    if not rows.size:
        return lambda k: rows
    if rule == "uniform":
        return lambda k: rows[rng.integers(rows.size, size=k)]
    if rule == "norm":
        cdf = np.cumsum(to_host(norms2)[rows], dtype=np.float64)
        cdf /= cdf[-1]
        return lambda k: rows[np.searchsorted(cdf, rng.random(k), side="right")]
    position = 0

    def cyclic(k: int) -> npt.NDArray[np.int64]:
        nonlocal position
        taken = rows[(position + np.arange(k)) % rows.size]
        position = (position + k) % rows.size
        return taken

    return cyclic
