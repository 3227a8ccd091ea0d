"""Records as the runner writes them, made by hand."""

from typing import Any

from numopt.bench._records import Record


def made(problem: str, solver: str, *, seconds: float = 0.01, kkt: float = 1e-10, **more: Any) -> Record:
    """A finished run whose path halves the residual step by step."""
    base: Record = {
        "case": "quick", "suite": None, "problem": problem, "solver": solver, "mode": "practical", "seed": None,
        "draw": None, "labels": None, "device": "cpu", "threads": 1, "time_limit": 10.0, "repeats": 1,
        "n": 3, "m": 1, "status": "ok", "success": True, "outcome": "0", "message": "done",
        "solved": {level: kkt <= float(level) for level in ("1e-4", "1e-6", "1e-8")},
        "kkt": kkt, "kkt_scaled": kkt, "constr_violation": kkt / 2, "fun": 1.0, "multipliers": "returned",
        "nit": 7, "inner_nit": None, "counts": {"f": 8, "g": 8, "H": 7, "c": 8, "J": 8, "Hv": 0},
        "seconds": seconds, "all_seconds": [seconds], "cpu_seconds": seconds, "first_seconds": 0.1,
        "peak_memory_mib": 150.0, "forced": {},
        "trace": [[k + 1, 1.0 + 4.0**-k, 4.0**-k, seconds * (k + 1) / 20, 4.0**-k] for k in range(16)],
        "versions": {"python": "3.11.7", "numopt": "0.1"}, "machine": "local",
        "hardware": {"cpu": "Test CPU", "cores": 2, "memory_gib": 8.0, "system": "Linux", "arch": "x86_64"},
        "commit": "0123456789ab", "date": "2025-01-02T03:04:05+00:00",
    }  # fmt: skip
    return {**base, **more}


def failed(problem: str, solver: str, status: str, message: str) -> Record:
    """A run that gave no answer."""
    record = made(problem, solver, status=status, message=message)
    for name in ("success", "outcome", "solved", "kkt", "kkt_scaled", "fun", "nit", "seconds", "all_seconds", "trace"):
        del record[name]
    return record


def table() -> list[Record]:
    """Two solvers on three problems: a race, a miss, and one that is killed."""
    return [
        made("p", "numopt", seconds=0.010),
        made("p", "slsqp", seconds=0.020),
        made("q", "numopt", seconds=0.5, fun=2.0),
        made("q", "slsqp", seconds=0.1, kkt=3e-6),
        made("r", "numopt", seconds=1.5, fun=9.0),
        failed("r", "slsqp", "time limit", "Killed after 10 s."),
    ]
