"""Random source by SPEC 7 (`rng=None | int | SeedSequence | BitGenerator | Generator`).

Generators live on the host: solvers draw index sets and small vectors here and move them, so that every array library
walks the same path for the same seed.
"""

import numpy as np

from numopt._typing import RNGLike

__all__ = ["default_rng", "spawn"]


def default_rng(rng: RNGLike = None) -> np.random.Generator:
    """Return the NumPy generator that `rng` stands for.

    Parameters
    ----------
    rng : None, int, SeedSequence, BitGenerator or Generator, optional
        None draws fresh entropy; a non-negative integer or a SeedSequence seeds a new generator; a BitGenerator is
        wrapped; a Generator is returned as it is, so that its state advances with use.

    Returns
    -------
    numpy.random.Generator
        The generator.

    Raises
    ------
    TypeError
        If `rng` is anything else. NumPy's legacy RandomState is not accepted.
    ValueError
        If `rng` is a negative integer.

    Examples
    --------
    >>> from numopt._rng import default_rng
    >>> int(default_rng(0).integers(100)) == int(default_rng(0).integers(100))
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None or isinstance(rng, np.random.SeedSequence | np.random.BitGenerator):
        return np.random.default_rng(rng)
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"`rng` must be a non-negative integer seed, got {rng}.")
        return np.random.default_rng(int(rng))
    legacy = isinstance(rng, np.random.RandomState)
    hint = " NumPy's legacy random state is not supported; pass numpy.random.default_rng(seed)." if legacy else ""
    raise TypeError(
        "`rng` must be None, a non-negative integer, or a numpy.random SeedSequence, BitGenerator or Generator, "
        f"got {type(rng).__name__}.{hint}"
    )


def spawn(rng: RNGLike, n: int) -> list[np.random.Generator]:
    """Return `n` statistically independent generators derived from `rng`.

    Parameters
    ----------
    rng : None, int, SeedSequence, BitGenerator or Generator
        As for `default_rng`. Spawning from a Generator advances its spawn counter (not its stream), so a second call
        gives other children.
    n : int
        Number of children, at least 0.

    Returns
    -------
    list of numpy.random.Generator
        The children; the same seed gives the same list.

    Raises
    ------
    TypeError
        As `default_rng`.
    ValueError
        If `n` is negative.

    Examples
    --------
    >>> from numopt._rng import spawn
    >>> [int(g.integers(10**6)) for g in spawn(7, 2)] == [int(g.integers(10**6)) for g in spawn(7, 2)]
    True
    """
    if n < 0:
        raise ValueError(f"`n` must be a non-negative integer, got {n}.")
    return default_rng(rng).spawn(n)
