"""Derivatives of an answer: cotangents of its plan, potentials and values, pulled back to the data of the problem.

The conditions a - P 1 = 0, b - P' 1 = 0 with P = exp((f + g' - C) / reg) define f and g as functions of a, b and C
(a exp(-f / rho) in the place of a where the marginal is penalised). With H = [[diag(P 1), P], [P', diag(P' 1)]] plus
the penalties' curvature, and z = H^+ (f_bar, g_bar) for the cotangents of f and g, those of the data are

    a_bar = reg * z_1,    b_bar = reg * z_2,    C_bar = P * (z_1 + z_2').

A cotangent of P is one of f, g and C by P's formula; so is that of <C, P>. The regularised objective is stationary in f
and g: its gradients are f, g and P (envelope theorem). H is that of the whole plan, not of the entries that the Newton
steps of the solver keep.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from numopt._array import asarray_like, namespace, scalars
from numopt._core.validation import check_scalar
from numopt._typing import Array
from numopt.ot._adjoint import Answer, Potentials, pairwise
from numopt.ot._cost import BLOCK_BYTES, Cost, DenseCost, PointCost
from numopt.ot._marginal import Marginal
from numopt.ot._problem import Problem
from numopt.ot._spread import spread


@dataclass(frozen=True, slots=True)
class Pullback:
    """The derivative of one answer.

    Attributes
    ----------
    problem : Problem
    f, g : array
        Potentials of the atoms with mass, against the costs of the problem.
    whole : Potentials
        Of all atoms, as returned.
    reg : float
    """

    problem: Problem
    f: Array
    g: Array
    whole: Potentials
    reg: float

    def __call__(
        self, plan: Any = None, f: Any = None, g: Any = None, value: Any = None, reg_value: Any = None
    ) -> dict[str, Array]:
        """Pull the cotangents back; see `OTResult.vjp`."""
        problem, reg = self.problem, self.reg
        xp, (n, m) = problem.xp, problem.shape
        like = xp.astype(self.whole.rows[:1], xp.float64)
        plan = _cotangent(plan, "plan", (n, m), like)
        f_bar, g_bar = _cotangent(f, "f", (n,), like), _cotangent(g, "g", (m,), like)
        weights = _Weights(
            Answer.of(problem, self.f, self.g, reg),
            _number(value, "value"),
            _number(reg_value, "reg_value"),
            None if plan is None else _take(_take(plan, problem.kept_rows), problem.kept_cols, 1),
            problem.row_shift,
            problem.col_shift,
        )
        answer = weights.answer
        kept_f, kept_g = self._kept_potential(0), self._kept_potential(1)
        a_slope = b_slope = weights.reg_value
        a_bar: Any = 0.0
        b_bar: Any = 0.0
        implicit = f is not None or g is not None or weights.of_entries
        if implicit:
            row_bar, col_bar = weights.sums()
            if f_bar is not None:
                row_bar += _take(f_bar, problem.kept_rows)
            if g_bar is not None:
                col_bar += _take(g_bar, problem.kept_cols)
            if answer.balanced:
                # The gauge sum(b g) = 0 moves with b, and takes up what the cotangents say of a common shift.
                mass, excess = scalars(xp, xp.sum(answer.cols.weights), xp.sum(row_bar) - xp.sum(col_bar))
                col_bar = col_bar + (excess / mass) * answer.cols.weights
                b_slope += excess / mass
            z = answer.inverse(row_bar, col_bar)
            weights = replace(weights, z=z)
            a_bar = reg * z.rows * _by_target(answer.rows, answer.f)
            b_bar = reg * z.cols * _by_target(answer.cols, answer.g)
        a_bar = a_bar + a_slope * _by_weights(answer.rows, kept_f)
        b_bar = b_bar + b_slope * _by_weights(answer.cols, kept_g)
        gradients = {"a": spread(a_bar, problem.kept_rows, n), "b": spread(b_bar, problem.kept_cols, m)}
        limit = implicit and answer.balanced
        self._fill_massless(gradients["a"], 0, a_slope, weights, plan, limit=limit)
        self._fill_massless(gradients["b"], 1, b_slope, weights, None if plan is None else plan.T, limit=limit)
        if isinstance(problem.cost, PointCost):
            X_bar, Y_bar = weights.contract(problem.cost)
            gradients["X"] = spread(X_bar, problem.kept_rows, n)
            gradients["Y"] = spread(Y_bar, problem.kept_cols, m)
            dtype = problem.cost.X.dtype
        else:
            gradients["C"] = spread(spread(weights.matrix(), problem.kept_rows, n), problem.kept_cols, m, 1)
            dtype = problem.cost.C.dtype  # type: ignore[attr-defined]
        real = self.whole.rows.dtype
        return {k: xp.astype(v, real if k in "ab" else dtype, copy=False) for k, v in gradients.items()}

    def _kept_potential(self, axis: int) -> Array:
        """The returned potential of one side's atoms with mass, in float64."""
        xp = self.problem.xp
        kept = self.problem.kept_rows if axis == 0 else self.problem.kept_cols
        return xp.astype(_take(self.whole[axis], kept), xp.float64, copy=False)

    def _fill_massless(
        self, out: Array, axis: int, slope: float, weights: "_Weights", plan: Array | None, *, limit: bool
    ) -> None:
        """Write the derivatives by the weights that are zero.

        What goes with the potentials themselves, by `slope`, gets their c-transform. The rest is the limit of a small
        weight w: its atom sends w times the softmax of ((g - C) / reg) to the other side, where that much less is left
        to the others. `plan` has this side's atoms as its rows.
        """
        problem, xp, reg = self.problem, self.problem.xp, self.reg
        kept = (problem.kept_rows, problem.kept_cols)
        mine, others = kept[axis], kept[1 - axis]
        if mine is None:
            return
        empty = xp.ones(problem.shape[axis], dtype=xp.bool, device=out.device)
        empty[mine] = False
        where = xp.nonzero(empty)[0]
        side = problem.rows if axis == 0 else problem.cols
        potential = xp.astype(xp.take(self.whole[axis], where), xp.float64, copy=False)
        out[where] = slope * _by_weights(side, potential)
        if not limit:
            return
        assert weights.z is not None
        other, z = self._kept_potential(1 - axis), weights.z[1 - axis]
        for part in _blocks(int(where.shape[0]), int(other.shape[0])):
            atoms = where[part]
            assert problem.whole is not None
            C = xp.astype(_costs_of(problem.whole, axis, atoms, others), xp.float64, copy=False)
            gains = xp.zeros_like(C) - reg * z[None, :]
            if weights.value != 0.0:
                gains += weights.value * _finite(C)
            if plan is not None:
                gains += _take(xp.take(plan, atoms, axis=0), others, 1)
            out[atoms] += xp.sum(_softmax((other[None, :] - C) / reg) * gains, axis=1)


@dataclass(frozen=True, slots=True)
class _Weights:
    """Cotangents of the entries of the plan and of the costs, made block by block of rows.

    `plan` is the cotangent of the plan, `value` that of <C, P>, `reg_value` that of the objective; `z` solves the
    adjoint system, zero before it is known.
    """

    answer: Answer
    value: float
    reg_value: float
    plan: Array | None
    row_shift: Array | None
    col_shift: Array | None
    z: Potentials | None = None

    @property
    def of_entries(self) -> bool:
        """Whether the potentials answer to cotangents of single entries."""
        return self.plan is not None or self.value != 0.0

    def sums(self) -> tuple[Array, Array]:
        """What the cotangents of the entries mean for f and g."""
        answer = self.answer
        xp = namespace(answer.f)
        rows, cols = xp.zeros_like(answer.f), xp.zeros_like(answer.g)
        if self.of_entries:
            for part, C, P in self._parts():
                Q = P * self._of_plan(part, C) / answer.reg
                rows[part] = xp.sum(Q, axis=1)
                cols += xp.sum(Q, axis=0)
        return rows, cols

    def matrix(self) -> Array:
        """The cotangent of the costs."""
        xp = namespace(self.answer.f)
        out = xp.empty(self.answer.cost.shape, dtype=xp.float64, device=self.answer.f.device)
        for part, C, P in self._parts():
            out[part, :] = self._of_costs(part, C, P)
        return out

    def contract(self, points: PointCost) -> tuple[Array, Array]:
        """The cotangents of the points."""
        xp = namespace(points.X)
        X, Y = (xp.astype(v, xp.float64, copy=False) for v in (points.X, points.Y))
        if self.answer.P is None and points.metric == "sqeuclidean" and not self.of_entries:
            return self._contract_lazily(X, Y)
        X_bar, Y_bar = xp.empty_like(X), xp.zeros_like(Y)
        for part, C, P in self._parts():
            W = self._of_costs(part, C, P)
            if points.metric == "cityblock":
                for k in range(X.shape[1]):
                    signed = W * xp.sign(X[part, k][:, None] - Y[:, k][None, :])
                    X_bar[part, k] = xp.sum(signed, axis=1)
                    Y_bar[:, k] -= xp.sum(signed, axis=0)
                continue
            # The derivative of a distance is the difference over it; where it is zero, zero is a subgradient.
            W = 2.0 * W if points.metric == "sqeuclidean" else W / xp.where(C > 0, C, xp.full_like(C, xp.inf))
            X_bar[part, :] = X[part, :] * xp.sum(W, axis=1)[:, None] - xp.matmul(W, Y)
            Y_bar += Y * xp.sum(W, axis=0)[:, None] - xp.matmul(W.T, X[part, :])
        return X_bar, Y_bar

    def _contract_lazily(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Squared distances and weights P * (s_i + t_j): all sums are products with the plan."""
        answer, xp = self.answer, namespace(X)
        s, t = xp.full_like(answer.f, self.reg_value), xp.zeros_like(answer.g)
        if self.z is not None:
            s, t = s + self.z.rows, self.z.cols

        def one_side(cost: Cost, f: Array, g: Array, X: Array, Y: Array, s: Array, t: Array) -> Array:
            moments = xp.concat([xp.ones_like(t)[:, None], Y], axis=1)
            out = cost.apply(f, g, answer.reg, xp.concat([moments, t[:, None] * moments], axis=1))
            k = moments.shape[1]
            sums = s[:, None] * out[:, :k] + out[:, k:]
            return 2.0 * (X * sums[:, :1] - sums[:, 1:])

        return (
            one_side(answer.cost, answer.f, answer.g, X, Y, s, t),
            one_side(answer.cost.transposed(), answer.g, answer.f, Y, X, t, s),
        )

    def _of_plan(self, part: slice, C: Array) -> Any:
        """The cotangent of the plan's entries."""
        plan = 0.0 if self.plan is None else self.plan[part, :]
        return plan if self.value == 0.0 else plan + self.value * C

    def _of_costs(self, part: slice, C: Array, P: Array) -> Array:
        factor = self.value + self.reg_value
        if self.of_entries:
            factor = factor - self._of_plan(part, C) / self.answer.reg
        if self.z is not None:
            factor = factor + self.z.rows[part][:, None] + self.z.cols[None, :]
        return P * factor

    def _parts(self) -> Iterator[tuple[slice, Array, Array]]:
        """Blocks of rows: where, the user's costs (zero for forbidden pairs) and the plan."""
        answer = self.answer
        cost, xp = answer.cost, namespace(answer.f)
        for part in _blocks(*cost.shape):
            if isinstance(cost, DenseCost):
                C = xp.astype(cost.C[part, :], xp.float64, copy=False)
            else:
                assert isinstance(cost, PointCost)
                C = pairwise(cost.X[part, :], cost.Y, cost.metric)
            if answer.P is not None:
                P = answer.P[part, :]
            else:
                P = DenseCost(C, xp.float64, cost.largest).plan(answer.f[part], answer.g, answer.reg)[0]
            if self.row_shift is not None and self.col_shift is not None:
                C = C + self.row_shift[part][:, None] + self.col_shift[None, :]
            yield part, _finite(C), P


def _by_weights(side: Marginal, potential: Array) -> Array:
    """Derivative of the objective by the weights of a side."""
    xp = namespace(potential)
    return potential if side.fixed else -side.rho * xp.expm1(-potential / side.rho)


def _by_target(side: Marginal, potential: Array) -> Any:
    """Derivative of the sums that the plan must have by the weights."""
    return 1.0 if side.fixed else namespace(potential).exp(-potential / side.rho)


def _costs_of(cost: Cost, axis: int, atoms: Array, others: Array | None) -> Array:
    """Costs between some atoms of one side and the others' with mass, (atoms, others)."""
    xp = cost.xp
    if isinstance(cost, DenseCost):
        C = xp.take(cost.C, atoms, axis=axis)
        return _take(C if axis == 0 else C.T, others, 1)
    assert isinstance(cost, PointCost)
    mine, theirs = (cost.X, cost.Y) if axis == 0 else (cost.Y, cost.X)
    return pairwise(xp.take(mine, atoms, axis=0), _take(theirs, others), cost.metric)


def _softmax(exponents: Array) -> Array:
    """Rows divided by their sums after exponentials; a row of -inf becomes zeros."""
    xp = namespace(exponents)
    top = xp.max(exponents, axis=1, keepdims=True)
    shares = xp.exp(exponents - xp.where(xp.isfinite(top), top, xp.zeros_like(top)))
    total = xp.sum(shares, axis=1, keepdims=True)
    return shares / xp.where(total > 0, total, xp.ones_like(total))


def _blocks(n: int, m: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (8 * m))
    return (slice(i, min(i + step, n)) for i in range(0, n, step))


def _finite(C: Array) -> Array:
    xp = namespace(C)
    return xp.where(xp.isinf(C), xp.zeros_like(C), C)


def _take(values: Array, where: Array | None, axis: int = 0) -> Array:
    return values if where is None else namespace(values).take(values, where, axis=axis)


def _number(value: Any, name: str) -> float:
    """A scalar cotangent; None is zero."""
    if value is None:
        return 0.0
    return check_scalar(float(value) if getattr(value, "ndim", None) == 0 else value, name)


def _cotangent(value: Any, name: str, shape: tuple[int, ...], like: Array) -> Array | None:
    """A cotangent in float64 on the device of the answer."""
    if value is None:
        return None
    xp = namespace(like)
    array = asarray_like(value, like)
    array = xp.astype(array, xp.float64, copy=False)
    if tuple(array.shape) != shape:
        raise ValueError(f"`{name}` must have shape {shape} as what it belongs to, got {tuple(array.shape)}.")
    if not bool(xp.all(xp.isfinite(array))):
        raise ValueError(f"`{name}` must be finite, got NaN or infinite values.")
    return array
