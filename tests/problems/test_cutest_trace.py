"""The recorder of element functions: replay, simplification, differentiation, refusal."""

import math

import numpy as np
import pytest

from numopt.problems.cutest._blocks import ShippedBlock, TracedBlock, make_blocks
from numopt.problems.cutest._trace import Graph, Node, UntraceableError, trace

FUNCTIONS = {
    "sin": (np.sin, -0.7),
    "cos": (np.cos, 0.4),
    "tan": (np.tan, 0.4),
    "arcsin": (np.arcsin, 0.3),
    "arccos": (np.arccos, 0.3),
    "arctan": (np.arctan, -1.3),
    "sinh": (np.sinh, 0.3),
    "cosh": (np.cosh, 0.3),
    "tanh": (np.tanh, 0.3),
    "exp": (np.exp, 0.9),
    "log": (np.log, 1.7),
    "sqrt": (np.sqrt, 1.7),
    "absolute": (np.absolute, -1.7),
    "square": (lambda x: x**2, -1.2),
    "power": (lambda x: x**2.5, 1.2),
    "exponential": (lambda x: 3.0**x, 1.2),
    "reciprocal": (lambda x: 1.0 / x, -0.8),
    "self power": (lambda x: x**x, 1.4),
    "angle": (lambda x: np.arctan2(x, 2.0 - x), 0.6),
    "quotient": (lambda x: (1.0 - x) / (2.0 + x * x), 0.6),
    "negation": (lambda x: np.negative(np.negative(-x)), 0.6),
    "signed": (lambda x: abs(x) * (x - 3) * 2, -0.4),
}


def evaluate(program, variables, parameters=()):
    outputs = [np.zeros((len(level), 1)) for level in program.levels]
    block = TracedBlock(
        "test", program, np.arange(len(variables))[:, None], np.array([0]), [np.array([p]) for p in parameters]
    )
    block.attach(outputs)
    for _ in block.start(np.array(variables, dtype=float)):
        pass
    return [output[:, 0] for output in outputs]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives_of_each_operation(name):
    function, x = FUNCTIONS[name]

    def element(variables, _):
        value = function(variables[0])
        return value, [graph_derivative(value, 0)], [[0.0]]

    def graph_derivative(value, wrt):
        return value.graph.derivative(value, wrt)

    program = trace(element, 1, [], shipped_hessian=False)
    value, gradient, hessian = (np.sum(output) for output in evaluate(program, [x]))
    h = 1e-4
    assert value == pytest.approx(function(x), rel=1e-15)
    assert gradient == pytest.approx((function(x + h) - function(x - h)) / (2 * h), rel=1e-6, abs=1e-7)
    assert hessian == pytest.approx((function(x + h) - 2 * function(x) + function(x - h)) / h**2, rel=1e-5, abs=1e-5)


def test_equal_subexpressions_are_recorded_once():
    graph = Graph()
    x, y = graph.symbol("v", 0), graph.symbol("v", 1)
    assert (x * y + 1.0).index == (x * y + 1.0).index
    assert len(graph.ops) == 4


def test_neutral_elements_and_zeros_vanish():
    graph = Graph()
    x = graph.symbol("v", 0)
    for expression in (x + 0.0, 0 + x, x - 0.0, 1.0 * x, x / 1.0, x**1, np.negative(-x), +x):
        assert isinstance(expression, Node)
        assert expression.index == x.index
    assert (x * 0.0, 0.0 / x, x**0) == (0.0, 0.0, 1.0)
    assert len(graph.ops) == 2  # x and -x


def test_zero_gradient_and_hessian_entries_leave_the_pattern():
    def element(v, _):
        hessian = np.zeros((3, 3), dtype=object)
        hessian[0, 0] = 2.0
        return v[0] * v[0] + v[2], [2.0 * v[0], 0.0, 1.0], hessian

    program = trace(element, 3, [])
    assert program.gradient_slots == [0, 2]
    assert program.hessian_slots == [(0, 0)]
    np.testing.assert_array_equal(evaluate(program, [3.0, 0.0, 1.0])[1], [6.0, 1.0])


def test_parameters_that_differ_become_arrays_and_shared_ones_constants():
    def element(v, p):
        return p[0] * v[0] + p[1], [p[0]], [[0.0]]

    (block,) = make_blocks(
        "test",
        element,
        lambda *_: None,
        np.array([[0, 1]]),
        np.array([0, 1]),
        np.array([8, 9]),
        np.array([[2.0, 3.0], [5.0, 5.0]]),
    )
    outputs = [np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((0, 2))]
    block.attach(outputs)
    for _ in block.start(np.array([10.0, 20.0])):
        pass
    np.testing.assert_array_equal(outputs[0], [[25.0, 65.0]])
    np.testing.assert_array_equal(outputs[1], [[2.0, 3.0]])
    assert block.traced


@pytest.mark.parametrize(
    "branch",
    [lambda x: x < 0.0, lambda x: x == 0.0, lambda x: x != 1.0, bool, lambda x: max(x, 1.0), int],
    ids=["less", "equal", "unequal", "bool", "max", "int"],
)
def test_branches_on_variables_are_refused_and_evaluated_one_by_one(branch):
    def element(v, _):
        branch(v[0])
        return v[0], [1.0], [[0.0]]

    with pytest.raises(UntraceableError):
        trace(element, 1, [])

    def shipped(nargout, x, i):
        f, g, h = abs(x[0, 0]), np.array([math.copysign(1.0, x[0, 0])]), np.array([[float(i)]])
        return f if nargout == 1 else (f, g) if nargout == 2 else (f, g, h)

    members = np.array([0, 1])
    (block,) = make_blocks("test", element, shipped, np.array([[0, 1]]), members, np.array([8, 9]), np.zeros((0, 2)))
    assert isinstance(block, ShippedBlock)
    outputs = [np.zeros((1, 2)) for _ in range(3)]
    block.attach(outputs)
    for _ in block.start(np.array([-3.0, 4.0])):
        pass
    np.testing.assert_array_equal(outputs, [[[3.0, 4.0]], [[-1.0, 1.0]], [[8.0, 9.0]]])


def test_a_branch_on_a_parameter_gives_one_program_for_each_value():
    def element(v, p):
        return (v[0] if p[0] > 0 else -2.0 * v[0]), [1.0 if p[0] > 0 else -2.0], [[0.0]]

    numbers = np.arange(3)
    parameters = np.array([[1.0, -1.0, 1.0]])
    blocks = make_blocks("test", element, lambda *_: None, numbers[None, :], numbers, numbers, parameters)
    assert [block.members.tolist() for block in blocks] == [[1], [0, 2]]
    assert all(block.traced for block in blocks)
    many = np.arange(100)
    parameters = np.arange(100.0)[None, :]
    (block,) = make_blocks("test", element, lambda *_: None, many[None, :], many, many, parameters)
    assert not block.traced


def test_python_arithmetic_errors_become_nan():
    def shipped(nargout, x, i):
        return 1.0 / 0.0

    block = ShippedBlock("test", shipped, np.array([[0]]), np.array([0]), np.array([0]))
    outputs = [np.zeros((1, 1)) for _ in range(3)]
    block.attach(outputs)
    for _ in block.start(np.array([1.0])):
        pass
    assert np.isnan(outputs).all()


def test_endless_graphs_are_refused():
    def element(v, _):
        total = v[0]
        for i in range(30_000):
            total = total + float(i + 1)
        return total, [1.0], [[0.0]]

    with pytest.raises(UntraceableError, match="graph too large"):
        trace(element, 1, [])


def test_numpy_object_arrays_pass_through():
    def element(v, _):
        transform = np.zeros((1, 2), dtype=object)
        transform[0, 0], transform[0, 1] = 1.0, np.float64(-1.0)
        column = np.empty((2, 1), dtype=object)
        column[:, 0] = v
        inner = transform.dot(column)[0, 0]
        slope = np.zeros(1, dtype=object)
        slope[0] = 2.0 * inner
        curvature = np.zeros((1, 1), dtype=object)
        curvature[0, 0] = 2.0
        return inner * inner, transform.T.dot(slope), transform.T.dot(curvature).dot(transform)

    program = trace(element, 2, [])
    value, gradient, hessian = evaluate(program, [3.0, 1.0])
    np.testing.assert_array_equal(value, [4.0])
    np.testing.assert_array_equal(gradient, [4.0, -4.0])
    assert dict(zip(program.hessian_slots, hessian, strict=True)) == {(0, 0): 2.0, (1, 0): -2.0, (1, 1): 2.0}
