"""Random problems of every kind, small ones, with the traps that data hold: duplicated and zero columns, no ridge."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt.coordinate import LeastSquares, Logistic, Multinomial, Quadratic, Smooth
from numopt.coordinate._problem import Problem
from tests.helpers.xp import load, make

KINDS = ("least squares", "logistic", "multinomial", "quadratic", "sparse quadratic", "smooth")
PENALTIES: dict[str, dict[str, Any]] = {
    "none": {},
    "l1": {"l1": 0.3},
    "nonneg": {"nonneg": True},
    "l1 nonneg": {"l1": 0.2, "nonneg": True},
    "box": {"bounds": (-0.4, 0.7)},
}


def draw(
    kind: str,
    seed: int = 0,
    *,
    n: int = 12,
    p: int = 8,
    l2: float = 0.0,
    duplicate: bool = False,
    zero: bool = False,
    xp: Any = None,
    **penalty: Any,
) -> Problem:
    """Return a problem; `duplicate` repeats a column, `zero` empties one."""
    xp = load("numpy") if xp is None else xp
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p)) * np.exp(rng.standard_normal(p))
    if duplicate and p > 1:
        A[:, -1] = A[:, 0]
    if zero and p > 2:
        A[:, 1] = 0
    y = A @ rng.standard_normal(p) * 0.3 + rng.standard_normal(n)
    if kind == "least squares":
        return LeastSquares(make(xp, A), make(xp, y), l2=l2, **penalty)
    if kind == "logistic":
        signs = np.where(y > np.median(y), 1.0, -1.0)
        signs[: n // 4] *= -1
        return Logistic(make(xp, A), make(xp, signs), l2=l2, **penalty)
    if kind == "multinomial":
        labels = rng.integers(0, 3, n)
        labels[:3] = [0, 1, 2]
        return Multinomial(make(xp, A), make(xp, labels), l2=l2, **penalty)
    Q = A.T @ A
    c = A.T @ y
    if kind == "quadratic":
        return Quadratic(make(xp, Q), make(xp, c), l2=l2, **penalty)
    if kind == "sparse quadratic":
        Q = Q * (rng.random((p, p)) < 0.5)
        Q = (Q + Q.T) / 2
        # Diagonally dominant, so positive semidefinite; an emptied column stays empty.
        np.fill_diagonal(Q, np.abs(Q).sum(axis=1) - np.abs(np.diag(Q)) + (c != 0))
        return Quadratic(sp.csr_array(Q), c, l2=l2, **penalty)
    assert kind == "smooth"
    t = rng.standard_normal(p)

    def hess_block(x: Any, block: Any) -> Any:
        tanh = np.tanh(x[block] - t[block])
        return np.diag(1 - tanh**2) + Q[np.ix_(block, block)]

    return Smooth(
        lambda x: float(np.sum(np.logaddexp(x - t, t - x)) + 0.5 * x @ Q @ x - c @ x),
        lambda x, block: np.tanh(x[block] - t[block]) + Q[block] @ x - c[block],
        hess_block,
        lipschitz=np.full(p, 1 + np.linalg.eigvalsh(Q)[-1]),
        n_variables=p,
        l2=l2,
        **penalty,
    )
