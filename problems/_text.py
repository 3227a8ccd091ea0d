"""Synthetic text sets: bags of words of the shapes of rcv1 and news20.binary, whose files are too large to ship.

Words are drawn from a power law, counts are weighted by tf-idf, and the label is a noisy linear function of 100
frequent words, so that sparse models have something to find.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.sparse import csr_array

from numopt._typing import Array
from numopt.problems.libsvm import Dataset

EXPONENT = 0.9
"""The k-th most frequent word has probability proportional to k^-EXPONENT."""

SHORTEST, LONGEST = 5, 2000
LOG_MEAN, LOG_DEVIATION = -0.18, 0.6
"""Of the logarithm of a document's length relative to the mean length; the mean of the factor is 1."""

INFORMATIVE = 100
NOISE, FLIPPED = 0.2, 0.1

CHUNK = 1 << 20
"""Words whose probabilities are inverted at a time: bounds the memory beyond that of the words themselves."""


@dataclass(frozen=True)
class TextShape:
    """Sizes of a synthetic text set; the informative words are among the `frequent` most frequent ones."""

    n_samples: int
    n_features: int
    mean_length: float
    frequent: int


SHAPES = {
    "rcv1": TextShape(20242, 47236, 100.0, 1000),
    "news20.binary": TextShape(19996, 1355191, 455.0, 3000),
}


def synthetic_text(shape: str | TextShape, *, seed: int = 0) -> Dataset:
    """Draw a two-class text set of the shape of a known one.

    A document of `l` words, `l` lognormal, takes each word k with probability proportional to ``k^-0.9``. A word that
    occurs c > 0 times in a document, and in d of the n documents, has the weight ``(1 + log c) log(n / d)``; rows have
    unit norm. The label says whether ``A w``, after noise of a fifth of its deviation, is above its median, where w has
    100 normal entries among the frequent words; a tenth of the labels is flipped.

    Parameters
    ----------
    shape : {'rcv1', 'news20.binary'} or TextShape
        Which set to imitate: 20242 x 47236 with 1.8 million entries, or 19996 x 1355191.
    seed : int, default 0
        Seed of `numpy.random.default_rng`; the benchmarks use 0.

    Returns
    -------
    Dataset
        As `libsvm.load` returns it: `X` (csr_array, float64, int32 indices), `y` (-1 and +1), `source` 'generator'.

    Raises
    ------
    ValueError
        If there is no such shape.

    Notes
    -----
    Memory: about 30 bytes for each word drawn (2 million and 9 million), time a second and a few seconds.

    Examples
    --------
    >>> from numopt.problems import synthetic_text
    >>> data = synthetic_text("rcv1")
    >>> data.X.shape, data.X.nnz
    ((20242, 47236), 1768399)
    """
    name = shape if isinstance(shape, str) else "text"
    if isinstance(shape, str):
        if shape not in SHAPES:
            raise ValueError(f"`shape` must be one of {', '.join(map(repr, SHAPES))} or a TextShape, got {shape!r}.")
        shape = SHAPES[shape]
    rng = np.random.default_rng(seed)
    X = _weighted(_counts(shape, rng))
    y = _labels(X, shape, rng)
    label_map = MappingProxyType({-1.0: -1.0, 1.0: 1.0})
    return Dataset(
        X=X,
        y=y,
        name=f"{name}-shaped",
        task="binary",
        n_features=shape.n_features,
        labels="pm1",
        label_map=label_map,
        source="generator",
    )


def _counts(shape: TextShape, rng: np.random.Generator) -> Array:
    """How often each word occurs in each document."""
    factors = rng.lognormal(LOG_MEAN, LOG_DEVIATION, shape.n_samples)
    lengths = np.clip(np.round(shape.mean_length * factors), SHORTEST, LONGEST).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    law = np.cumsum(np.arange(1, shape.n_features + 1, dtype=np.float64) ** -EXPONENT)
    law /= law[-1]
    words = np.empty(starts[-1], dtype=np.int32)
    for start in range(0, words.size, CHUNK):
        part = words[start : start + CHUNK]
        part[:] = np.searchsorted(law, rng.random(part.size))
    counts = csr_array((np.ones(words.size), words, starts), shape=(shape.n_samples, shape.n_features))
    counts.sum_duplicates()
    return counts


def _weighted(counts: Array) -> Array:
    """Rows of unit norm with tf-idf weights; words of every document keep an explicit zero."""
    n, p = counts.shape
    idf = np.log(n / np.maximum(np.bincount(counts.indices, minlength=p), 1))
    counts.data = (1.0 + np.log(counts.data)) * idf[counts.indices]
    rows = np.repeat(np.arange(n), np.diff(counts.indptr))
    norms = np.sqrt(np.bincount(rows, weights=counts.data**2, minlength=n))
    counts.data /= np.where(norms > 0.0, norms, 1.0)[rows]
    return counts


def _labels(X: Array, shape: TextShape, rng: np.random.Generator) -> Array:
    words = rng.permutation(shape.frequent)[:INFORMATIVE]
    w = np.zeros(shape.n_features)
    w[words] = rng.standard_normal(words.size)
    margin = X @ w
    margin += NOISE * np.std(margin) * rng.standard_normal(shape.n_samples)
    y = np.where(margin > np.median(margin), 1.0, -1.0)
    flipped = rng.random(shape.n_samples) < FLIPPED
    y[flipped] *= -1.0
    return y
