"""The Newton system of the whole plan at an answer, solved to full accuracy for derivatives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from numopt._array import namespace, scalars
from numopt._core.warnings import NumericalWarning, warn
from numopt._krylov import pcg
from numopt._linalg import cho_factor, cho_solve
from numopt._typing import Array
from numopt.ot._bipartite import Bipartite
from numopt.ot._cost import METRICS, Cost, DenseCost, PointCost, Products
from numopt.ot._linear import DENSE_LIMIT, System, schur_factor
from numopt.ot._marginal import Marginal
from numopt.ot._problem import Problem
from numopt.ot._sparsify import LARGEST_DROP, by_error

# Up to this many unknowns the Schur complement of the whole plan is formed and factored (2 n^2 m flops).
EXACT_LIMIT = 2000
# Points with at most this many pairs are treated as stored costs: 256 MiB for costs and plan.
STORED_PAIRS = 1 << 24
RTOL = 1e-12
MAXITER = 2000
WORST = 1e-8  # relative residual above which the user hears of it


class Potentials(NamedTuple):
    """One number for each atom of both sides."""

    rows: Array
    cols: Array


@dataclass(frozen=True)
class Answer:
    """A converged plan in float64, on the atoms that have mass.

    Attributes
    ----------
    cost : Cost
        With `P` None, what applies the plan.
    rows, cols : Marginal
    f, g : array
    reg : float
    r, c : array
        Sums of the plan.
    P : array or None
        The plan, where it is stored.
    """

    cost: Cost
    rows: Marginal
    cols: Marginal
    f: Array
    g: Array
    reg: float
    r: Array
    c: Array
    P: Array | None

    @classmethod
    def of(cls, problem: Problem, f: Array, g: Array, reg: float) -> "Answer":
        """Evaluate the plan once."""
        xp = problem.xp
        f, g = _wide(f), _wide(g)
        rows, cols = (Marginal.of(_wide(side.weights), side.rho) for side in (problem.rows, problem.cols))
        cost = _wide_cost(problem.cost)
        if isinstance(cost, PointCost) and cost.shape[0] * cost.shape[1] <= STORED_PAIRS:
            cost = DenseCost(pairwise(cost.X, cost.Y, cost.metric), xp.float64, cost.largest)
        if isinstance(cost, DenseCost):
            P, r, c = cost.plan(f, g, reg)
            return cls(cost, rows, cols, f, g, reg, r, c, P)
        return cls(cost, rows, cols, f, g, reg, *cost.sums(f, g, reg), None)

    @property
    def balanced(self) -> bool:
        return self.rows.fixed and self.cols.fixed

    def inverse(self, row_part: Array, col_part: Array) -> Potentials:
        """H^+ of a pair of vectors, in the gauge sum(b z_2) = 0 where H is singular; their sums must agree then."""
        if self.r.shape[0] <= self.c.shape[0]:
            z = Potentials(*_Elimination.of(self).solve(row_part, col_part))
        else:
            z = Potentials(*reversed(_Elimination.of(self).flipped.solve(col_part, row_part)))
        if not self.balanced:
            return z
        xp, weights = namespace(row_part), self.cols.weights
        (shift,) = scalars(xp, xp.sum(weights * z.cols) / xp.sum(weights))
        return Potentials(z.rows + shift, z.cols - shift)


@dataclass(frozen=True)
class _Elimination:
    """The system H (x, y) = (u, v) with the columns eliminated.

    H = [[diag(r + s), P], [P', diag(c + t)]], with the sums r, c of P and the stiffnesses s, t of the penalties.
    `halved` multiplies with the plan at half the regularisation, whose entries are the squares of P's; `graph` holds
    the largest entries of P.
    """

    plan: Products
    halved: Products
    graph: Callable[[], Bipartite]
    P: Array | None
    r: Array
    c: Array
    s: Array
    t: Array
    balanced: bool

    @classmethod
    def of(cls, answer: Answer) -> "_Elimination":
        cost, point, reg, P = answer.cost, (answer.f, answer.g), answer.reg, answer.P
        matmul = cost.xp.matmul
        plan = cost.products(*point, reg) if P is None else Products(lambda y: matmul(P, y), lambda x: matmul(x, P))

        def halved() -> Products:
            return cost.products(*point, 0.5 * reg)

        return cls(
            plan,
            Products(lambda y: halved().forward(y), lambda x: halved().backward(x)),
            lambda: cost.compact(*point, reg, *by_error(answer.r, answer.c, LARGEST_DROP)),
            P,
            answer.r,
            answer.c,
            _stiffness(answer.rows, answer.f, reg),
            _stiffness(answer.cols, answer.g, reg),
            answer.balanced,
        )

    @property
    def flipped(self) -> "_Elimination":
        """The same with the sides exchanged."""
        return _Elimination(
            Products(*reversed(self.plan)),
            Products(*reversed(self.halved)),
            lambda: self.graph().transposed,
            None if self.P is None else self.P.T,
            self.c,
            self.r,
            self.t,
            self.s,
            self.balanced,
        )

    def solve(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Solve for x by the Schur complement, then for y."""
        xp, c = namespace(u), self.c + self.t
        rhs = u - self.plan.forward(v / c)
        if self.balanced:
            rhs = rhs - self.r * (xp.sum(rhs) / xp.sum(self.r))
        n = rhs.shape[0]
        x = self._factored(rhs) if self.P is not None and n <= EXACT_LIMIT else self._iterated(rhs)
        return x, (v - self.plan.backward(x)) / c

    def _factored(self, rhs: Array) -> Array:
        """Form and factor S = diag(r + s) - P diag(1 / (c + t)) P'.

        S is a Laplacian plus diag(s + P (t / (c + t))): its diagonal is summed up from the other entries, which loses
        no digits where the plan almost falls apart and the differences would.
        """
        xp, P, c = namespace(rhs), self.P, self.c + self.t
        identity = xp.eye(rhs.shape[0], dtype=xp.bool, device=rhs.device)
        S = xp.where(identity, xp.zeros_like(rhs), -xp.matmul(P / c[None, :], xp.matrix_transpose(P)))
        degrees = self.s + self.plan.forward(self.t / c) - xp.sum(S, axis=1)
        S = xp.where(identity, degrees, S)
        # Constants are the kernel of a balanced S, which a rank-one term fills without a change elsewhere.
        filled = S + self.r[:, None] * (self.r / xp.sum(self.r))[None, :] if self.balanced else S
        try:
            factor = cho_factor(filled)
        except np.linalg.LinAlgError:
            return _pseudo_solve(filled, degrees, rhs)
        x = cho_solve(factor, rhs)
        return x + cho_solve(factor, rhs - xp.matmul(S, x))

    def _iterated(self, rhs: Array) -> Array:
        """Conjugate gradients with products of the whole plan."""
        r, c = self.r + self.s, self.c + self.t
        if rhs.shape[0] <= DENSE_LIMIT:
            precondition = schur_factor(System(self.graph(), r, c, rhs, c))
        else:
            xp = namespace(rhs)
            diagonal = xp.maximum(r - self.halved.forward(1.0 / c), 1e-12 * r)

            def precondition(b: Array) -> Array:
                return b / diagonal

        found = pcg(
            lambda x: r * x - self.plan.forward(self.plan.backward(x) / c),
            rhs,
            precond=precondition,
            rtol=RTOL,
            maxiter=MAXITER,
        )
        if found.relative_residual > WORST:
            warn(
                f"The system behind the derivative was solved to a relative residual of {found.relative_residual:.1e} "
                "only: the plan almost falls apart.",
                NumericalWarning,
            )
        return found.x


def _pseudo_solve(S: Array, degrees: Array, rhs: Array) -> Array:
    """Solve in the directions that S can tell from zero: the plan has fallen into components."""
    xp = namespace(S)
    scale = 1.0 / xp.sqrt(xp.where(degrees > 0, degrees, xp.ones_like(degrees)))
    values, vectors = xp.linalg.eigh(S * scale[:, None] * scale[None, :])
    small = values <= float(xp.finfo(S.dtype).eps) * S.shape[0]
    inverse = xp.where(small, xp.zeros_like(values), 1.0 / xp.where(small, xp.ones_like(values), values))
    return scale * xp.matmul(vectors, inverse * xp.matmul(scale * rhs, vectors))


def _stiffness(side: Marginal, potential: Array, reg: float) -> Array:
    """What a penalty adds to the diagonal of H."""
    added = side.stiffness(side.target(potential), reg)
    return namespace(potential).zeros_like(potential) if added is None else added


def pairwise(X: Array, Y: Array, metric: str) -> Array:
    """Costs between all pairs of points, (n, m)."""
    xp = namespace(X)
    C = xp.zeros((X.shape[0], Y.shape[0]), dtype=X.dtype, device=X.device)
    for k in range(X.shape[1]):
        difference = X[:, k][:, None] - Y[:, k][None, :]
        C += xp.abs(difference) if METRICS[metric] == 2 else difference * difference
    return xp.sqrt(C) if METRICS[metric] == 1 else C


def _wide(x: Array) -> Array:
    xp = namespace(x)
    return xp.astype(x, xp.float64, copy=False)


def _wide_cost(cost: Cost) -> Cost:
    """The costs with float64 as the type of what is computed from them."""
    xp = cost.xp
    if isinstance(cost, DenseCost):
        return DenseCost(cost.C, xp.float64, cost.largest, has_inf=cost.has_inf)
    assert isinstance(cost, PointCost)
    return PointCost(_wide(cost.X), _wide(cost.Y), cost.metric, xp.float64, cost.largest)
