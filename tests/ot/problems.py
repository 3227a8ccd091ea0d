"""Transport problems and answers to them found another way, for the tests of `numopt.ot`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp


@dataclass(frozen=True)
class Transport:
    """Weights and costs; `args` is what the solvers take first."""

    a: np.ndarray
    b: np.ndarray
    C: np.ndarray

    @property
    def args(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.a, self.b, self.C


def square_costs(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances."""
    return ((X[:, None, :] - Y[None, :, :]) ** 2).sum(axis=2)


def random_weights(rng: np.random.Generator, n: int) -> np.ndarray:
    """Weights of sum 1, none of which is negligible."""
    w = rng.uniform(0.2, 1.0, n)
    return w / w.sum()


def uniform_weights(n: int) -> np.ndarray:
    return np.full(n, 1.0 / n)


def points_problem(n: int = 40, m: int | None = None, *, seed: int = 0) -> Transport:
    """Normal points in the plane against shifted ones, random weights; the largest cost is 1."""
    rng = np.random.default_rng(seed)
    m = n if m is None else m
    C = square_costs(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 1.0)
    return Transport(random_weights(rng, n), random_weights(rng, m), C / C.max())


def uniform_problem(n: int, *, seed: int = 0) -> Transport:
    """Random assignment: independent uniform costs, uniform weights."""
    return Transport(uniform_weights(n), uniform_weights(n), np.random.default_rng(seed).random((n, n)))


def plan_of(f: np.ndarray, g: np.ndarray, C: np.ndarray, reg: float) -> np.ndarray:
    return np.exp((f[:, None] + g[None, :] - C) / reg)


def dual_value(f: np.ndarray, g: np.ndarray, p: Transport, reg: float) -> float:
    """F(f, g) = <a, f> + <b, g> - reg * sum P."""
    return float(p.a @ f + p.b @ g - reg * plan_of(f, g, p.C, reg).sum())


def primal_value(P: np.ndarray, C: np.ndarray, reg: float) -> float:
    """<C, P> + reg * sum P (log P - 1), pairs without mass counting nothing."""
    positive = P > 0
    p, c = P[positive], C[positive]
    return float(c @ p + reg * (p @ (np.log(p) - 1.0)))


def l1_error(P: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum())


def reference_plan(p: Transport, reg: float) -> np.ndarray:
    """The plan to rounding: Sinkhorn sweeps by log-sum-exp, then Newton steps on the whole dense system."""
    a, b, C = p.args
    K, g = C / reg, np.zeros_like(b)  # potentials in units of reg
    for _ in range(2000):
        f = np.log(a) - logsumexp(g[None, :] - K, axis=1)
        g = np.log(b) - logsumexp(f[:, None] - K, axis=0)
        P = np.exp(f[:, None] + g[None, :] - K)
        if l1_error(P, a, b) < 1e-3:
            break
    best = P
    for _ in range(30):
        r, c = P.sum(axis=1), P.sum(axis=0)
        H = np.block([[np.diag(r), P], [P.T, np.diag(c)]])
        d = np.linalg.lstsq(H, np.concatenate([a - r, b - c]))[0]
        t = min(1.0, 2.0 / np.abs(d).max())
        f, g = f + t * d[: a.size], g + t * d[a.size :]
        P = np.exp(f[:, None] + g[None, :] - K)
        if l1_error(P, a, b) < l1_error(best, a, b):
            best = P
        elif l1_error(best, a, b) < 1e-13:
            break
    assert l1_error(best, a, b) < 1e-13, "the reference did not converge: take a larger reg"
    return best


@dataclass(frozen=True)
class Gaussians:
    """Two normal distributions on the line on a fine grid, and the entropic plan between them in closed form.

    The density of the plan is normal with the covariance c = sqrt(s1^2 s2^2 + (reg / 4)^2) - reg / 4 for squared
    distances: the one whose precision matrix has the off-diagonal -2 / reg that the kernel prescribes.
    """

    problem: Transport
    plan: np.ndarray
    f: np.ndarray
    value: float
    reg_value: float


def gaussians(n: int, reg: float, *, means: tuple[float, float] = (0.0, 1.0), deviations=(1.0, 0.7)) -> Gaussians:
    """Give grids that reach 8.5 deviations: trapezoidal sums of Gaussians are then exact to rounding."""
    (m1, m2), (s1, s2) = means, deviations
    unit = np.linspace(-8.5, 8.5, n)
    x, y = m1 + s1 * unit, m2 + s2 * unit
    log_h = np.log(unit[1] - unit[0])
    log_a = log_h - 0.5 * unit**2 - 0.5 * np.log(2 * np.pi)
    c = np.sqrt((s1 * s2) ** 2 + (reg / 4) ** 2) - reg / 4
    det = (s1 * s2) ** 2 - c**2
    u, v = x - m1, y - m2
    log_plan = (
        2 * log_h
        + np.log(s1 * s2)
        - np.log(2 * np.pi * np.sqrt(det))
        - (s2**2 * u[:, None] ** 2 - 2 * c * u[:, None] * v[None, :] + s1**2 * v[None, :] ** 2) / (2 * det)
    )
    C = (x[:, None] - y[None, :]) ** 2
    a = np.exp(log_a)
    plan = np.exp(log_plan)
    value = (m1 - m2) ** 2 + s1**2 + s2**2 - 2 * c
    # log P is quadratic, so that its mean under P follows from the second moments.
    mean_log = 2 * log_h + np.log(s1 * s2) - np.log(2 * np.pi * np.sqrt(det)) - 1.0
    f = reg * (log_plan[:, n // 2] + C[:, n // 2] / reg)
    return Gaussians(Transport(a, a, C), plan, f, value, value + reg * (mean_log - 1.0))


def two_by_two(p: float, q: float, C: np.ndarray, reg: float) -> np.ndarray:
    """Closed form: the odds ratio of P is exp(-(C11 + C22 - C12 - C21) / reg), a quadratic for P11."""
    theta = np.exp(-(C[0, 0] + C[1, 1] - C[0, 1] - C[1, 0]) / reg)
    # (1 - theta) x^2 + (1 - p - q + theta (p + q)) x - theta p q = 0, by the form that does not cancel.
    A, B, D = 1.0 - theta, 1.0 - p - q + theta * (p + q), -theta * p * q
    x = -2.0 * D / (B + np.sqrt(B * B - 4.0 * A * D))
    return np.array([[x, p - x], [q - x, 1.0 - p - q + x]])


def cut_off(n: int, held: int, *, seed: int = 0) -> Transport:
    """The first 60% of the rows may only go to the first `held` columns: too few for their mass where held < 0.6 n."""
    p = uniform_problem(n, seed=seed)
    C = p.C.copy()
    C[: 6 * n // 10, held:] = np.inf
    return Transport(p.a, p.b, C)


def forbidden(n: int, *, seed: int = 0) -> Transport:
    """Half of the pairs are forbidden, never those of the diagonal, on which the weights could travel."""
    rng = np.random.default_rng(seed)
    p = uniform_problem(n, seed=seed)
    C = np.where(rng.random((n, n)) < 0.5, np.inf, p.C)
    np.fill_diagonal(C, 1.0)
    return Transport(p.a, p.b, C)


def assert_answer(res: Any, p: Transport, *, tol: float = 1e-9) -> None:
    """Check the certificate of a successful balanced solve against the plan itself."""
    assert res.success, res.message
    P = np.asarray(res.plan)
    assert np.all(np.isfinite(P))
    assert np.all(P >= 0)
    mass = p.a.sum()
    error = l1_error(P, p.a, p.b)
    assert error <= tol * mass * (1 + 1e-6) + 1e-14 * mass
    # The sums are accumulated in another order: n roundings apart.
    np.testing.assert_allclose(res.marginal_error, error, rtol=0, atol=1e-14 * mass)
