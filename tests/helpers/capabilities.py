"""What each solver takes: every capability is a small solve, run by the tests and shown in the documentation.

`python -m tests.helpers.capabilities FILE` writes the table; `tests/package/test_capabilities.py` compares it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import NonlinearConstraint
from scipy.sparse.linalg import aslinearoperator

from numopt import coordinate, linear, ot, sketched_newton
from numopt.sketching import kaczmarz, sketch_and_project
from numopt.tuning import BanditTuner, solve_sequence

COLUMNS = ("NumPy", "CuPy", "sparse", "operator", "float32", "complex", "batch")
Solve = Callable[[], Any]


def _circle(convert: Callable[[Any], Any], xp: Any = np, dtype: Any = np.float64) -> Any:
    """Maratos's problem with matrices passed through `convert`."""
    e1, eye = xp.asarray([1.0, 0.0], dtype=dtype), xp.eye(2, dtype=dtype)
    jac = {"type": "eq", "fun": lambda x: x @ x - 1.0, "jac": lambda x: convert(2.0 * x[None, :])}
    constraint = NonlinearConstraint(jac["fun"], 0, 0, jac=jac["jac"]) if xp is np else jac
    return sketched_newton(
        lambda x: 2.0 * (x @ x - 1.0) - x[0],
        xp.asarray([0.8, 0.6], dtype=dtype),
        jac=lambda x: 4.0 * x - e1,
        lag_hess=lambda x, lam: convert((4.0 + 2.0 * lam[0]) * eye),
        constraints=constraint,
    )


def _system(solver: Callable[..., Any], convert: Callable[[Any], Any], xp: Any = np, dtype: Any = np.float64) -> Any:
    """A well-conditioned square system."""
    rng = np.random.default_rng(0)
    A = xp.asarray(np.eye(6) + 0.1 * rng.standard_normal((6, 6)), dtype=dtype)
    return solver(convert(A), xp.asarray(rng.standard_normal(6), dtype=dtype), rng=0)


def _same(A: Any) -> Any:
    return A


def _cupy() -> Any:
    import cupy

    return cupy


def _transport(solver: str, xp: Any = np, dtype: Any = np.float64) -> Any:
    """Two small clouds, or two pairs of them."""
    rng = np.random.default_rng(0)
    X, Y = (xp.asarray(rng.standard_normal((2, 6, 2)), dtype=dtype) for _ in range(2))
    C = xp.sum((X[:, :, None, :] - Y[:, None, :, :]) ** 2, axis=-1)
    weights = xp.full((2, 6), 1 / 6, dtype=dtype)
    if solver == "solve_points":
        return ot.solve_points(X[0, ...], Y[0, ...], 0.5)
    if solver == "solve_batch":
        return ot.solve_batch(weights, weights, C, 0.5)
    return ot.solve(weights[0, ...], weights[0, ...], C[0, ...], 0.5)


def _definite(convert: Callable[[Any], Any], xp: Any = np, dtype: Any = np.float64, n_systems: int = 0) -> Any:
    """A Hermitian matrix with dominant diagonal, and one right-hand side or several."""
    rng = np.random.default_rng(0)
    A = np.tri(6, k=-1) * (0.3j if np.dtype(dtype).kind == "c" else 0.3)
    A, b = A + A.conj().T + 2.0 * np.eye(6), rng.standard_normal((n_systems, 6) if n_systems else 6)
    return convert(xp.asarray(A, dtype=dtype)), xp.asarray(b, dtype=dtype)


def _sequence(convert: Callable[[Any], Any], xp: Any = np, dtype: Any = np.float64) -> Any:
    """Four systems and two values."""
    systems = [_definite(convert, xp, dtype)] * 4
    rtol = 1e-4 if np.dtype(dtype).itemsize == 4 else 1e-8
    return solve_sequence(systems, BanditTuner([1.0, 1.2], rng=0), "sor", rtol=rtol)


def _relaxation(solver: Callable[..., Any]) -> dict[str, Solve]:
    """What the solvers of `numopt.linear` have in common."""
    return {
        "NumPy": lambda: solver(*_definite(_same)),
        "CuPy": lambda: solver(*_definite(_same, _cupy())),
        "sparse": lambda: solver(*_definite(sp.csr_array)),
        "float32": lambda: solver(*_definite(_same, dtype=np.float32)),
        "complex": lambda: solver(*_definite(_same, dtype=np.complex128)),
    }


def _model(solver: str, convert: Callable[[Any], Any], xp: Any = np, dtype: Any = np.float64) -> Any:
    """A linear model with ten samples and four features."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((10, 4))
    b = A @ np.asarray([2.0, 0.0, -1.0, 0.0]) + 0.1 * rng.standard_normal(10)
    A, b = xp.asarray(A, dtype=dtype), xp.asarray(b, dtype=dtype)
    tol = 1e-3 if np.dtype(dtype).itemsize == 4 else 1e-8
    if solver == "nnls":
        return coordinate.nnls(convert(A), b, tol=tol, return_result=True)
    if solver == "logistic":
        return coordinate.logistic(convert(A), xp.sign(b), l1=0.1, tol=tol)
    if solver == "multinomial":
        return coordinate.multinomial(convert(A), (b > -1).astype(xp.int64) + (b > 1), l1=0.1, tol=tol)
    if solver == "bvls":
        return coordinate.bvls(convert(A), b, (-1.0, 1.0), tol=tol)
    if solver == "bcd":
        # Any named choice takes the general loop, which the others do not.
        return coordinate.bcd(coordinate.LeastSquares(convert(A), b, l1=0.5), block_size=2, tol=tol)
    return coordinate.lasso(convert(A), b, 0.5, tol=tol)


def _labels(convert: Callable[[Any], Any], xp: Any = np, dtype: Any = np.float64) -> Any:
    """A path of five nodes with labels at its ends."""
    W = xp.eye(5, k=1, dtype=dtype) + xp.eye(5, k=-1, dtype=dtype)
    labels = xp.asarray([0.0, np.nan, np.nan, np.nan, 4.0], dtype=dtype)
    return coordinate.label_propagation(convert(W), labels, tol=1e-4)


def capabilities() -> dict[str, dict[str, Solve]]:
    """Solver -> column -> a solve that must succeed; a column left out is not supported."""
    projections = {
        solver.__name__: {
            "NumPy": lambda solver=solver: _system(solver, _same),
            "CuPy": lambda solver=solver: _system(solver, _same, _cupy()),
            "sparse": lambda solver=solver: _system(solver, sp.csr_array),
            "float32": lambda solver=solver: _system(solver, _same, dtype=np.float32),
        }
        for solver in (kaczmarz, sketch_and_project)
    }
    transport = {
        f"ot.{solver}": {
            "NumPy": lambda solver=solver: _transport(solver),
            "CuPy": lambda solver=solver: _transport(solver, _cupy()),
            "float32": lambda solver=solver: _transport(solver, dtype=np.float32),
            **({"batch": lambda solver=solver: _transport(solver)} if solver == "solve_batch" else {}),
        }
        for solver in ("solve", "solve_points", "solve_batch")
    }
    models = {
        f"coordinate.{solver}": {
            "NumPy": lambda solver=solver: _model(solver, _same),
            "CuPy": lambda solver=solver: _model(solver, _same, _cupy()),
            "sparse": lambda solver=solver: _model(solver, sp.csc_array),
            "operator": lambda solver=solver: _model(solver, aslinearoperator),
            "float32": lambda solver=solver: _model(solver, _same, dtype=np.float32),
        }
        for solver in ("bcd", "lasso", "logistic", "multinomial", "nnls", "bvls")
    }
    return {
        "sketched_newton": {
            "NumPy": lambda: _circle(_same),
            "CuPy": lambda: _circle(_same, _cupy()),
            "sparse": lambda: _circle(sp.csr_array),
            "operator": lambda: _circle(aslinearoperator),
            "float32": lambda: _circle(_same, dtype=np.float32),
        },
        **projections,
        **models,
        "coordinate.label_propagation": {
            "NumPy": lambda: _labels(_same),
            "CuPy": lambda: _labels(_same, _cupy()),
            "sparse": lambda: _labels(sp.csr_array),
            "float32": lambda: _labels(_same, dtype=np.float32),
        },
        **transport,
        "linear.sor": _relaxation(linear.sor) | {"batch": lambda: linear.sor(*_definite(_same, n_systems=3))},
        "linear.ssor": _relaxation(linear.ssor),
        "linear.cg": _relaxation(linear.cg) | {"operator": lambda: linear.cg(*_definite(aslinearoperator))},
        "tuning.solve_sequence": {
            "NumPy": lambda: _sequence(_same),
            "CuPy": lambda: _sequence(_same, _cupy()),
            "sparse": lambda: _sequence(sp.csr_array),
            "float32": lambda: _sequence(_same, dtype=np.float32),
            "complex": lambda: _sequence(_same, dtype=np.complex128),
        },
    }


def table() -> str:
    """The capability table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - solver"]
    lines += [f"     - {column}" for column in COLUMNS]
    for solver, columns in capabilities().items():
        lines.append(f"   * - ``{solver}``")
        lines += [f"     - {'yes' if column in columns else 'no'}" for column in COLUMNS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(), encoding="utf-8")
