"""Small equality-constrained problems with exact derivatives, for the solver's tests."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import NonlinearConstraint


@dataclass
class Case:
    """f, c and their derivatives; `lag_hess(x, lam)` is the Hessian of f + lam'c."""

    name: str
    fun: Any
    grad: Any
    hess: Any
    cons: Any
    jac: Any
    cons_hess: Any
    x0: np.ndarray
    f_opt: float | None = None

    def lag_hess(self, x, lam):
        return self.hess(x) + self.cons_hess(x, lam)

    @property
    def constraint(self) -> NonlinearConstraint:
        return NonlinearConstraint(self.cons, 0, 0, jac=self.jac, hess=self.cons_hess)

    def keywords(self) -> dict:
        return {"jac": self.grad, "hess": self.hess, "constraints": self.constraint}


def hs7() -> Case:
    """Hock and Schittkowski 7: f* = -sqrt(3)."""
    return Case(
        "HS7",
        fun=lambda x: np.log(1 + x[0] ** 2) - x[1],
        grad=lambda x: np.array([2 * x[0] / (1 + x[0] ** 2), -1.0]),
        hess=lambda x: np.array([[2 * (1 - x[0] ** 2) / (1 + x[0] ** 2) ** 2, 0.0], [0.0, 0.0]]),
        cons=lambda x: np.array([(1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4]),
        jac=lambda x: np.array([[4 * x[0] * (1 + x[0] ** 2), 2 * x[1]]]),
        cons_hess=lambda x, v: v[0] * np.array([[4 + 12 * x[0] ** 2, 0.0], [0.0, 2.0]]),
        x0=np.array([2.0, 2.0]),
        f_opt=-np.sqrt(3.0),
    )


def maratos(angle: float = 0.8) -> Case:
    """2 (|x|^2 - 1) - x_1 on the unit circle: the full step spoils l1 merits near (1, 0)."""
    return Case(
        "MARATOS",
        fun=lambda x: 2 * (x @ x - 1) - x[0],
        grad=lambda x: 4 * x - np.array([1.0, 0.0]),
        hess=lambda x: 4 * np.eye(2),
        cons=lambda x: np.array([x @ x - 1]),
        jac=lambda x: 2 * x[None, :],
        cons_hess=lambda x, v: 2 * v[0] * np.eye(2),
        x0=np.array([np.cos(angle), np.sin(angle)]),
        f_opt=-1.0,
    )


def bt11() -> Case:
    """Boggs and Tolle 11: f* = 0.8248917783."""

    def fun(x):
        return (x[0] - 1) ** 2 + (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 2 + (x[2] - x[3]) ** 4 + (x[3] - x[4]) ** 4

    def grad(x):
        a, b = 4 * (x[2] - x[3]) ** 3, 4 * (x[3] - x[4]) ** 3
        return np.array(
            [
                2 * (x[0] - 1) + 2 * (x[0] - x[1]),
                -2 * (x[0] - x[1]) + 2 * (x[1] - x[2]),
                -2 * (x[1] - x[2]) + a,
                -a + b,
                -b,
            ]
        )

    def hess(x):
        a, b = 12 * (x[2] - x[3]) ** 2, 12 * (x[3] - x[4]) ** 2
        return np.array(
            [
                [4.0, -2.0, 0, 0, 0],
                [-2.0, 4.0, -2.0, 0, 0],
                [0, -2.0, 2.0 + a, -a, 0],
                [0, 0, -a, a + b, -b],
                [0, 0, 0, -b, b],
            ]
        )

    r8 = np.sqrt(8.0)

    def cons_hess(x, v):
        H = np.zeros((5, 5))
        H[1, 1] = 2 * v[0]
        H[2, 2] = 6 * v[0] * x[2] - 2 * v[1]
        return H

    return Case(
        "BT11",
        fun=fun,
        grad=grad,
        hess=hess,
        cons=lambda x: np.array(
            [x[0] + x[1] ** 2 + x[2] ** 3 - (-2 + np.sqrt(18.0)), x[1] + x[3] - x[2] ** 2 - (-2 + r8), x[0] - x[4] - 2]
        ),
        jac=lambda x: np.array(
            [[1, 2 * x[1], 3 * x[2] ** 2, 0, 0], [0, 1, -2 * x[2], 1, 0], [1.0, 0, 0, 0, -1]], dtype=float
        ),
        cons_hess=cons_hess,
        x0=2.0 * np.ones(5),
        f_opt=0.8248917783,
    )


def random_qp(rng: np.random.Generator, n: int, m: int, *, indefinite: bool = False) -> Case:
    """Equality QP whose Hessian is positive definite on ker J, and indefinite on R^n where asked."""
    J = rng.standard_normal((m, n))
    Q, _ = np.linalg.qr(J.T, mode="complete")
    eigenvalues = rng.uniform(0.5, 2.0, n)
    if indefinite and m:
        eigenvalues[:m] = -rng.uniform(0.5, 2.0, m)
    H = (Q * eigenvalues) @ Q.T
    H = 0.5 * (H + H.T)
    p, b = rng.standard_normal(n), rng.standard_normal(m)
    return Case(
        f"QP({n},{m})",
        fun=lambda x: 0.5 * x @ H @ x + p @ x,
        grad=lambda x: H @ x + p,
        hess=lambda x: H,
        cons=lambda x: J @ x - b,
        jac=lambda x: J,
        cons_hess=lambda x, v: np.zeros((n, n)),
        x0=rng.standard_normal(n),
    )
