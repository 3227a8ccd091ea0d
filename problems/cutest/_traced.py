"""CUTEst problems evaluated by CasADi: the element values are rebuilt on its symbols, derivatives are its own."""

import importlib
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from numopt.problems._base import Matrix, Vector
from numopt.problems.cutest._blocks import Block, TracedBlock
from numopt.problems.cutest._s2mpj import S2MPJProblem, csr, refresh


class TracedProblem(S2MPJProblem):
    """Values from the shipped element and group functions, all derivatives by automatic differentiation."""

    def __init__(self, name: str, arguments: Sequence[Any] = (), *, dense: bool | None = None) -> None:
        try:
            ca = importlib.import_module("casadi")
        except ImportError as error:
            raise ImportError("mode 'traced' needs casadi: pip install 'numopt-solvers[casadi]'.") from error
        super().__init__(name, arguments, dense=dense)
        x, lam, weight = ca.SX.sym("x", self.n), ca.SX.sym("lam", self.m), ca.SX.sym("weight")
        objective, constraints = self._expressions(ca, x)
        gradient = ca.densify(ca.gradient(objective, x))
        hessian = ca.hessian(weight * objective + ca.dot(lam, constraints), x)[0]
        self._functions = {
            "f": ca.Function("f", [x], [objective]),
            "g": ca.Function("g", [x], [gradient]),
            "c": ca.Function("c", [x], [ca.densify(constraints)]),
        }
        self._matrices = {
            "J": _SparseFunction(ca, [x], ca.jacobian(constraints, x), self.dense),
            "H": _SparseFunction(ca, [x, lam, weight], hessian, self.dense),
        }

    @property
    def functions(self) -> dict[str, Any]:
        """CasADi functions of `x`: `f`, its gradient `g`, and `c` (for solvers that build on CasADi)."""
        return dict(self._functions)

    def _expressions(self, ca: Any, x: Any) -> tuple[Any, Any]:
        """Objective and constraints on symbols, from the traced blocks."""
        groups, m = self._separable.groups, self.m
        use_groups, use_elements, weights = groups.uses
        values = ca.SX.zeros(groups.n_elements)
        for block in self._separable.elements:
            values[block.members.tolist()] = self._block_values(ca, block, x)
        uses = sp.csc_matrix((weights, (use_groups, use_elements)), shape=(self._separable.n_groups, groups.n_elements))
        t = ca.mtimes(ca.DM(sp.csc_matrix(groups.linear)), x) + ca.mtimes(ca.DM(uses), values) - ca.DM(groups.constant)
        for block in self._separable.group_functions:
            t[block.members.tolist()] = self._block_values(ca, block, t)
        scaled = ca.DM(groups.scale) * t
        objective = ca.sum1(scaled[m:])
        if groups.quadratic is not None:
            objective += 0.5 * ca.dot(x, ca.mtimes(ca.DM(sp.csc_matrix(groups.quadratic)), x))
        return objective, scaled[:m]

    def _block_values(self, ca: Any, block: Block, x: Any) -> Any:
        if not isinstance(block, TracedBlock):
            raise ValueError(f"{self.name}: {block.name} branches on its arguments and cannot be traced.")
        operands = [x[row.tolist()] for row in block.index]
        return block.program.evaluate(operands, [ca.DM(p) for p in block.parameters], _operations(ca))

    def _structure(self, kind: str) -> Matrix:
        return self._matrices[kind].pattern

    def _fun(self, x: Vector) -> float:
        return float(self._functions["f"](x))

    def _grad(self, x: Vector) -> Vector:
        return np.array(self._functions["g"](x)).ravel()

    def _cons(self, x: Vector) -> Vector:
        return np.array(self._functions["c"](x)).ravel() if self.m else np.zeros(0)

    def _jac(self, x: Vector) -> Matrix:
        return self._matrices["J"](x)

    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        return self._matrices["H"](x, lam, obj_weight)


class _SparseFunction:
    """A matrix-valued CasADi function that returns dense arrays or CSR with a fixed pattern."""

    def __init__(self, ca: Any, arguments: list[Any], matrix: Any, dense: bool) -> None:
        cols, rows = (np.array(indices, dtype=np.intp) for indices in reversed(matrix.sparsity().get_triplet()))
        order = np.lexsort((cols, rows))
        self._order = order
        self._dense = dense
        self._function = ca.Function("values", arguments, [ca.densify(ca.vertcat(*matrix.nonzeros()))])
        self._empty = rows.size == 0
        indptr = np.searchsorted(rows[order], np.arange(matrix.shape[0] + 1))
        self.pattern = csr(np.zeros(rows.size), cols[order], indptr, matrix.shape)

    def __call__(self, *arguments: Any) -> Matrix:
        data = np.zeros(0) if self._empty else np.array(self._function(*arguments)).ravel()[self._order]
        matrix = refresh(self.pattern, data)
        return matrix.toarray() if self._dense else matrix


def _operations(ca: Any) -> dict[str, Callable[..., Any]]:
    names = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "absolute": "fabs"}
    same = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "sign")
    return {
        "add": operator.add,
        "sub": operator.sub,
        "mul": operator.mul,
        "div": operator.truediv,
        "pow": operator.pow,
        "neg": operator.neg,
        **{name: getattr(ca, names.get(name, name)) for name in (*names, *same)},
    }
