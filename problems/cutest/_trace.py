"""Symbols that record what the shipped element and group functions compute, and programs that replay it on arrays.

An element function is called once with symbols. What it returns (value, gradient, Hessian) is a graph over the element
variables and parameters; equal subexpressions are one node. `Program` turns the graph into straight-line Python that
runs on NumPy arrays over all elements of the type, one level of derivatives at a time. The graph can also be
differentiated: that gives second derivatives where the shipped ones are wrong, and an independent check of all others.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

MAX_NODES = 20_000
"""Larger graphs are not worth unrolling: compiling them takes longer than evaluating them (HS88 and its like)."""


class UntraceableError(Exception):
    """The function branches on its arguments, or calls what has no symbolic counterpart."""


class Graph:
    """A list of operations, each on earlier ones; equal operations are recorded once."""

    def __init__(self) -> None:
        self.ops: list[tuple[str, tuple[Any, ...]]] = []
        self._index: dict[tuple[str, tuple[Any, ...]], Node] = {}
        self._derivatives: dict[tuple[int, int], Expression] = {}

    def symbol(self, kind: str, i: int) -> "Node":
        """Return the variable ('v') or parameter ('p') number `i`."""
        return self._record(kind, i)

    def apply(self, op: str, *args: Any) -> "Expression":
        """Record an operation, simplified where that is exact."""
        operands = tuple(a if isinstance(a, Node) else float(a) for a in args)
        if not any(isinstance(a, Node) for a in operands):
            return float(_EVALUATE[op](*operands))
        simple = _simplify(op, operands)
        return self._record(op, *operands) if simple is None else simple

    def _record(self, op: str, *args: Any) -> "Node":
        key = (op, tuple(a.index if isinstance(a, Node) else (a, math.copysign(1.0, a)) for a in args))
        node = self._index.get(key)
        if node is None:
            if len(self.ops) >= MAX_NODES:
                raise UntraceableError("graph too large")
            node = self._index[key] = Node(self, len(self.ops))
            self.ops.append((op, args))
        return node

    def derivative(self, expression: "Expression", wrt: int) -> "Expression":
        """Return the derivative of an expression with respect to variable number `wrt`."""
        if not isinstance(expression, Node):
            return 0.0
        # Operations refer to earlier ones only: one sweep in order needs no recursion.
        for index in range(expression.index + 1):
            if (index, wrt) not in self._derivatives:
                op, args = self.ops[index]
                if op in ("v", "p"):
                    result: Expression = 1.0 if op == "v" and args[0] == wrt else 0.0
                else:
                    inner = [self._derivatives[a.index, wrt] if isinstance(a, Node) else 0.0 for a in args]
                    result = _differentiate(Node(self, index), op, args, inner)
                self._derivatives[index, wrt] = result
        return self._derivatives[expression.index, wrt]


class Node:
    """One operation of a graph; supports the operators and NumPy functions that element functions use."""

    __slots__ = ("graph", "index")

    def __init__(self, graph: Graph, index: int) -> None:
        self.graph = graph
        self.index = index

    def __bool__(self) -> bool:
        raise UntraceableError("branch on a variable")

    def _compare(self, other: Any) -> Any:
        raise UntraceableError("comparison of a variable")

    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _compare
    __hash__ = object.__hash__

    def item(self) -> "Node":
        """Stand in for the one-element arrays that the shipped code unpacks."""
        return self

    def __add__(self, other: Any) -> "Expression":
        return self.graph.apply("add", self, other) if _is_scalar(other) else NotImplemented

    def __radd__(self, other: Any) -> "Expression":
        return self.graph.apply("add", other, self)

    def __sub__(self, other: Any) -> "Expression":
        return self.graph.apply("sub", self, other) if _is_scalar(other) else NotImplemented

    def __rsub__(self, other: Any) -> "Expression":
        return self.graph.apply("sub", other, self)

    def __mul__(self, other: Any) -> "Expression":
        return self.graph.apply("mul", self, other) if _is_scalar(other) else NotImplemented

    def __rmul__(self, other: Any) -> "Expression":
        return self.graph.apply("mul", other, self)

    def __truediv__(self, other: Any) -> "Expression":
        return self.graph.apply("div", self, other) if _is_scalar(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> "Expression":
        return self.graph.apply("div", other, self)

    def __pow__(self, other: Any) -> "Expression":
        return self.graph.apply("pow", self, other) if _is_scalar(other) else NotImplemented

    def __rpow__(self, other: Any) -> "Expression":
        return self.graph.apply("pow", other, self)

    def __neg__(self) -> "Expression":
        return self.graph.apply("neg", self)

    def __pos__(self) -> "Node":
        return self

    def __abs__(self) -> "Expression":
        return self.graph.apply("absolute", self)

    def arctan2(self, other: Any) -> "Expression":
        """Recorded `numpy.arctan2`."""
        return self.graph.apply("arctan2", self, other)


Expression: TypeAlias = Node | float


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Node | float | int | np.floating | np.integer)


_UNARY = (
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "exp", "log", "sqrt", "sign",
)  # fmt: skip
_BINARY = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "pow": "{} ** {}"}
_EVALUATE: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "neg": np.negative,
    "absolute": np.absolute, "arctan2": np.arctan2, **{name: getattr(np, name) for name in _UNARY},
}  # fmt: skip


def _method(name: str) -> Callable[[Node], Expression]:
    def recorded(self: Node) -> Expression:
        return self.graph.apply(name, self)

    return recorded


for _name in _UNARY:  # NumPy's functions call the method of the same name on objects
    setattr(Node, _name, _method(_name))


def _simplify(op: str, args: tuple[Any, ...]) -> Expression | None:
    """Drop neutral elements and known zeros (0 * y counts as zero, also where y may overflow)."""
    if op == "neg":
        inner_op, inner = args[0].graph.ops[args[0].index]
        return inner[0] if inner_op == "neg" and isinstance(inner[0], Node) else None
    if len(args) == 1:
        return None
    a, b = args
    zero_a, zero_b = (not isinstance(a, Node) and a == 0.0), (not isinstance(b, Node) and b == 0.0)
    one_a, one_b = (not isinstance(a, Node) and a == 1.0), (not isinstance(b, Node) and b == 1.0)
    if op == "add" and (zero_a or zero_b):
        return b if zero_a else a  # type: ignore[no-any-return]
    if op == "sub" and (zero_a or zero_b):
        return a if zero_b else -b  # type: ignore[no-any-return]
    if op == "mul" and (zero_a or zero_b):
        return 0.0
    if op == "div" and zero_a:
        return 0.0
    if op == "mul" and (one_a or one_b):
        return b if one_a else a  # type: ignore[no-any-return]
    if op in ("div", "pow") and one_b:
        return a  # type: ignore[no-any-return]
    return 1.0 if op == "pow" and zero_b else None


def _differentiate(y: Node, op: str, args: tuple[Any, ...], d: list[Expression]) -> Expression:
    """Chain rule: `y = op(*args)`, `d` the derivatives of the arguments."""
    if all(not isinstance(term, Node) and term == 0.0 for term in d):
        return 0.0
    apply, a, b = y.graph.apply, args[0], args[-1]
    if op == "pow":
        if not isinstance(b, Node):
            return float(b) * apply("pow", a, b - 1.0) * d[0]
        through_base = b * apply("pow", a, b - 1.0) * d[0] if isinstance(a, Node) else 0.0
        return through_base + y * apply("log", a) * d[1]
    if op in _BINARY:
        rules: dict[str, Callable[[], Expression]] = {
            "add": lambda: d[0] + d[1],
            "sub": lambda: d[0] - d[1],
            "mul": lambda: d[0] * b + a * d[1],
            "div": lambda: (d[0] - y * d[1]) / b,
        }
        return rules[op]()
    if op == "arctan2":
        return apply("div", b * d[0] - a * d[1], a * a + b * b)
    if op == "sign":
        return 0.0
    slopes: dict[str, Callable[[], Expression]] = {
        "neg": lambda: -1.0,
        "absolute": lambda: apply("sign", a),
        "sin": lambda: apply("cos", a),
        "cos": lambda: -apply("sin", a),
        "tan": lambda: 1.0 + y * y,
        "arcsin": lambda: 1.0 / apply("sqrt", 1.0 - a * a),
        "arccos": lambda: -1.0 / apply("sqrt", 1.0 - a * a),
        "arctan": lambda: 1.0 / (1.0 + a * a),
        "sinh": lambda: apply("cosh", a),
        "cosh": lambda: apply("sinh", a),
        "tanh": lambda: 1.0 - y * y,
        "exp": lambda: y,
        "log": lambda: 1.0 / a,
        "sqrt": lambda: 0.5 / y,
    }
    return slopes[op]() * d[0]


class Program:
    """The three levels of one element or group function: value, gradient, Hessian.

    Parameters
    ----------
    graph : Graph
        Holds the expressions.
    value : Expression
        The value.
    gradient : dict of int to Expression
        Gradient entries that are not identically zero.
    hessian : dict of (int, int) to Expression
        Entries of the Hessian's lower triangle that are not identically zero.
    """

    def __init__(
        self,
        graph: Graph,
        n_variables: int,
        n_parameters: int,
        value: Expression,
        gradient: dict[int, Expression],
        hessian: dict[tuple[int, int], Expression],
    ) -> None:
        self.graph = graph
        self.value = value
        self.gradient_slots = list(gradient)
        self.hessian_slots = list(hessian)
        self.levels = ([value], list(gradient.values()), list(hessian.values()))
        self._shape = (n_variables, n_parameters)
        self.run = self._compile()

    def _compile(self) -> Callable[..., Iterator[None]]:
        """Emit a generator that fills the outputs of one level per step: its locals are the shared subexpressions."""
        n_variables, n_parameters = self._shape
        lines = ["def run(V, P, OUT):"]
        for letter, number in (("v", n_variables), ("p", n_parameters)):
            if number:
                lines.append("".join(f"{letter}{i}, " for i in range(number)) + f"= {letter.upper()}")
        names: dict[int, str] = {}
        for level, expressions in enumerate(self.levels):
            for index in self._needed(expressions):
                if index not in names:
                    op, args = self.graph.ops[index]
                    names[index] = f"{op}{args[0]}" if op in ("v", "p") else f"t{index}"
                    if op not in ("v", "p"):
                        lines.append(f"t{index} = {_render(op, [_operand(a, names) for a in args])}")
            for slot, expression in enumerate(expressions):
                if isinstance(expression, Node):  # constants are written once, by the owner of the outputs
                    lines.append(f"OUT[{level}][{slot}] = {names[expression.index]}")
            lines.append("yield")
        scope: dict[str, Any] = {"np": np, "nan": math.nan, "inf": math.inf}
        exec(compile("\n    ".join(lines), "<element program>", "exec"), scope)
        run: Callable[..., Iterator[None]] = scope["run"]
        return run

    def _needed(self, expressions: Sequence[Expression]) -> list[int]:
        pending = [e.index for e in expressions if isinstance(e, Node)]
        needed: set[int] = set()
        while pending:
            index = pending.pop()
            if index not in needed:
                needed.add(index)
                pending += [a.index for a in self.graph.ops[index][1] if isinstance(a, Node)]
        return sorted(needed)

    def evaluate(
        self, variables: Sequence[Any], parameters: Sequence[Any], operations: Mapping[str, Callable[..., Any]]
    ) -> Any:
        """Value on any operands; `operations` has an entry for every operation name of the graph."""
        if not isinstance(self.value, Node):
            return self.value
        results: dict[int, Any] = {}
        for index in self._needed([self.value]):
            op, args = self.graph.ops[index]
            if op in ("v", "p"):
                results[index] = (variables if op == "v" else parameters)[args[0]]
            else:
                results[index] = operations[op](*(results[a.index] if isinstance(a, Node) else a for a in args))
        return results[self.value.index]


def _operand(value: Any, names: dict[int, str]) -> str:
    if isinstance(value, Node):
        return names[value.index]
    return f"({value!r})" if value < 0 or math.copysign(1.0, value) < 0 else repr(value)


def _render(op: str, args: list[str]) -> str:
    if op in _BINARY:
        return _BINARY[op].format(*args)
    return f"-{args[0]}" if op == "neg" else f"np.{op}({', '.join(args)})"


def trace(
    function: Callable[[Any, Any], tuple[Any, Any, Any]],
    n_variables: int,
    parameters: Sequence[float | None],
    *,
    shipped_hessian: bool = True,
) -> Program:
    """Record an element or group function.

    Parameters
    ----------
    function : callable
        Called with the list of variable symbols and the list of parameters, returns value, gradient, Hessian.
    n_variables : int
        Number of element variables.
    parameters : sequence of float or None
        The values of parameters that all elements share, None where they differ (these become symbols).
    shipped_hessian : bool, default True
        False takes the Hessian by differentiating the recorded gradient instead.

    Raises
    ------
    UntraceableError
        If the function cannot be recorded.
    """
    graph = Graph()
    variables = [graph.symbol("v", i) for i in range(n_variables)]
    varying = [i for i, value in enumerate(parameters) if value is None]
    symbols = [graph.symbol("p", varying.index(i)) if v is None else v for i, v in enumerate(parameters)]
    try:
        value, gradient, hessian = function(variables, symbols)
        value = _expression(value)
        flat = [_expression(entry) for entry in np.atleast_1d(np.asarray(gradient, dtype=object)).ravel()]
        if shipped_hessian:
            square = np.asarray(hessian, dtype=object).reshape(n_variables, n_variables)
            second = {(i, j): _expression(square[i, j]) for i in range(n_variables) for j in range(i + 1)}
        else:
            second = {(i, j): graph.derivative(flat[i], j) for i in range(n_variables) for j in range(i + 1)}
    except Exception as error:  # the shipped code may do anything with a symbol
        raise UntraceableError(str(error)) from error
    return Program(
        graph, n_variables, len(varying), value,
        {i: g for i, g in enumerate(flat) if not _is_zero(g)},
        {slot: h for slot, h in second.items() if not _is_zero(h)},
    )  # fmt: skip


def _expression(value: Any) -> Expression:
    value = np.asarray(value, dtype=object).reshape(-1)
    if value.size != 1:
        raise UntraceableError("not a scalar")
    entry = value[0]
    return entry if isinstance(entry, Node) else float(entry)


def _is_zero(value: Expression) -> bool:
    return not isinstance(value, Node) and value == 0.0
