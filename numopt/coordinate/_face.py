"""Minimise a quadratic plus l1 norm over the free coordinates within the orthant and the bounds that they are in."""

from collections.abc import Iterator

from numpy.linalg import LinAlgError

from numopt._array import add_at, scalars
from numopt._linalg import CholeskyFactor, cho_solve
from numopt._typing import Array, Namespace
from numopt.coordinate._shifted_solve import add_to_diagonal, shifted_factor

__all__ = ["Face", "minimise_on_face"]

# Newton steps with one factor, and coordinates that may leave meanwhile: each costs a solve with the factor.
_STEPS = 64
_LEAVING = 64
# Up to this order a new factor costs less than what saves it.
_SMALL = 200
# Ridges that are tried on a singular matrix, each ten times the one before, from rounding on.
_RIDGES = 7
# The part of a Newton step's decrease that the clipped step must keep.
_CLIPPED = 0.3


class Face:
    """The free coordinates within the orthant and the bounds that they are in, where the objective is quadratic.

    Attributes
    ----------
    x, lower, upper : array
        The free coordinates, and where the face ends.
    l2, descent : array
        Weights of the squares, and minus the gradient of the objective.
    """

    def __init__(self, xp: Namespace, table: Array, x: Array, g: Array, free: Array) -> None:
        self._xp = xp
        l1, self.l2, lower, upper = (xp.take(table[row, :], free) for row in range(4))
        self.x = xp.take(x, free)
        signs = xp.sign(self.x)
        self.descent = -(xp.take(g, free) + self.l2 * self.x + l1 * signs)
        zero = xp.zeros_like(self.x)
        # Only an absolute value makes zero a corner.
        self.lower = xp.where((l1 > 0) & (signs > 0), xp.maximum(lower, zero), lower)
        self.upper = xp.where((l1 > 0) & (signs < 0), xp.minimum(upper, zero), upper)

    def project(self, direction: Array) -> Array:
        """Return the step to the point of the face that is nearest to the end of the direction."""
        xp = self._xp
        end = self.x + direction
        nearest = xp.minimum(xp.maximum(end, self.lower), self.upper)
        return xp.where(nearest == end, direction, nearest - self.x)

    def shorten(self, direction: Array) -> Array:
        """Return the longest multiple of the direction, at most itself, that stays on the face."""
        xp = self._xp
        one = xp.ones_like(direction)
        end = xp.where(direction > 0, self.upper, self.lower)
        ratios = xp.where(direction != 0, (end - self.x) / xp.where(direction != 0, direction, one), one)
        length = xp.minimum(xp.min(ratios), xp.ones_like(one[0]))
        # Those that block go to the end itself, not to a rounding of it.
        return xp.where((ratios <= length) & (length < 1), end - self.x, length * direction)


def minimise_on_face(xp: Namespace, H: Array, face: Face) -> tuple[Array, bool]:
    """Minimise over a face, H being the Hessian of its quadratic without l2; H is overwritten.

    A Newton step that leaves the face is clipped to it, where that keeps much of the decrease, or cut where it leaves.
    Coordinates that have reached an end of the face stay there. One factor serves for all steps: coordinates that stay
    are constraints, for which a solve each gives the Schur complement.

    Returns
    -------
    step : array
        The change of the coordinates.
    finished : bool
        Whether the minimum was reached; if not, the face has changed so much that a new factor is due.

    Raises
    ------
    numpy.linalg.LinAlgError
        If H is not positive semidefinite.
    """
    start = xp.asarray(face.x, copy=True)
    factor = _factor(xp, H, face.l2)
    leaving: Array | None = None
    columns: Array | None = None  # of the inverse, for those that have left
    for _ in range(_STEPS):
        direction = cho_solve(factor, face.descent)
        if leaving is not None and columns is not None:
            constraint = xp.take(columns, leaving, axis=0)
            forces = xp.linalg.solve(constraint, xp.take(direction, leaving)[:, None])
            direction = direction - (columns @ forces)[:, 0]
            direction = xp.where(_marks(xp, leaving, direction) > 0, xp.zeros_like(direction), direction)
        step = face.project(direction)
        change = H @ step
        model, best, inside = scalars(
            xp,
            xp.sum(step * (0.5 * change - face.descent)),
            -0.5 * xp.sum(direction * face.descent),
            xp.all(step == direction),
        )
        if not inside and not model < _CLIPPED * best:
            step = face.shorten(direction)
            change = H @ step
        face.x = face.x + step
        face.descent = face.descent - change
        if inside:
            return face.x - start, True
        ended = (face.x <= face.lower) | (face.x >= face.upper)
        if leaving is not None:
            ended = ended & (_marks(xp, leaving, direction) == 0)
        new = xp.nonzero(ended)[0]
        leaving = new if leaving is None else xp.concat([leaving, new])
        if start.shape[0] <= _SMALL or leaving.shape[0] > _LEAVING:
            break
        units = xp.astype(xp.arange(start.shape[0], device=start.device)[:, None] == new[None, :], start.dtype)
        solved = cho_solve(factor, units) if new.shape[0] else units
        columns = solved if columns is None else xp.concat([columns, solved], axis=1)
    return face.x - start, False


def _marks(xp: Namespace, index: Array, like: Array) -> Array:
    """Return ones at some places, zeros elsewhere."""
    marks = xp.zeros_like(like)
    add_at(marks, index, xp.ones(index.shape[0], dtype=like.dtype, device=like.device))
    return marks


def _factor(xp: Namespace, H: Array, l2: Array) -> CholeskyFactor:
    """Add l2 to the diagonal of H and factor it; a singular matrix gets the least ridge that a factorisation takes."""
    add_to_diagonal(H, l2, xp)

    def ridges() -> Iterator[float]:
        (trace,) = scalars(xp, xp.sum(xp.linalg.diagonal(H)))
        yield from (4 * float(xp.finfo(H.dtype).eps) * trace * 10.0**power for power in range(_RIDGES))

    found = shifted_factor(H, ridges(), xp)
    if found is None:
        raise LinAlgError("not positive semidefinite")
    return found[0]
