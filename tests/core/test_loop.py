import functools
import math

import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from numopt import Status
from numopt._core.callback import wrap_callback
from numopt._core.history import History
from numopt._core.loop import Measure, run
from numopt._core.progress import Progress
from numopt._core.timer import Deadline
from tests.helpers.xp import make, to_numpy


class Halving:
    """Halves x each step; the measure is the largest entry, so that it reaches 2^-k after k steps from ones."""

    def __init__(self, x=None, fail_at=None, status=None):
        self.x = np.ones(3) if x is None else x
        self.steps = 0
        self.measured = 0
        self.fail_at = fail_at
        self.status = status

    def step(self):
        if self.steps == self.fail_at:
            return self.status
        self.x *= 0.5
        self.steps += 1
        return None

    def measure(self):
        self.measured += 1
        return Measure(
            float(self.x.max()),
            float(self.x.sum()),
            {"steps": self.steps},
            name="size",
            arrays=lambda: {"x": self.x.copy()},
        )

    def run(self, **options):
        return run(self.step, self.measure, **{"tol": 2.0**-10, "maxiter": 100, **options})


def test_stops_at_the_first_measure_within_tol():
    solver = Halving()
    outcome = solver.run()
    assert (outcome.status, outcome.nit) == (Status.CONVERGED, 10)
    assert outcome.seconds >= 0


def test_converged_start_takes_no_step():
    outcome = Halving().run(tol=1.0, maxiter=0)
    assert (outcome.status, outcome.nit) == (Status.CONVERGED, 0)


def test_maxiter():
    outcome = Halving().run(maxiter=4)
    assert (outcome.status, outcome.nit) == (Status.MAXITER, 4)


def test_convergence_at_the_limit_counts_as_convergence():
    assert Halving().run(maxiter=10, time_limit=0.0, tol=2.0).status is Status.CONVERGED


def test_time_limit_ends_after_the_running_step():
    solver = Halving()
    outcome = solver.run(time_limit=0.0)
    assert (outcome.status, outcome.nit) == (Status.TIME_LIMIT, 0)
    expired = Deadline(0.0)
    assert Halving().run(time_limit=expired).status is Status.TIME_LIMIT


def test_time_limit_is_looked_at_between_measures_too():
    deadline = Deadline(1e9)
    solver = Halving()

    def step():
        if solver.steps == 2:
            deadline.time_limit = 0.0
        return solver.step()

    outcome = run(step, solver.measure, tol=0.0, maxiter=100, time_limit=deadline, check_every=50)
    assert (outcome.status, outcome.nit) == (Status.TIME_LIMIT, 3)


def test_a_step_can_end_the_loop_and_is_not_counted():
    outcome = Halving(fail_at=3, status=Status.LINESEARCH).run()
    assert (outcome.status, outcome.nit) == (Status.LINESEARCH, 3)
    outcome = Halving(fail_at=0, status=Status.CONVERGED).run()
    assert (outcome.status, outcome.nit) == (Status.CONVERGED, 0)


def test_nan_measure_ends_with_nonfinite_and_infinite_goes_on():
    values = iter([math.inf, 1.0, math.nan])
    outcome = run(lambda: None, lambda: Measure(next(values)), tol=1e-3, maxiter=10)
    assert (outcome.status, outcome.nit) == (Status.NONFINITE, 2)


@pytest.mark.parametrize("check_every", [1, 3, 7, 1000])
def test_check_every_measures_less_and_never_passes_maxiter(check_every):
    solver = Halving()
    outcome = solver.run(tol=0.0, maxiter=20, check_every=check_every)
    assert (outcome.status, outcome.nit, solver.steps) == (Status.MAXITER, 20, 20)
    assert solver.measured == 1 + -(-20 // check_every)


def test_history_has_one_row_a_measure():
    history = History()
    Halving().run(history=history)
    table = history.asdict()
    assert list(table) == ["nit", "size", "fun", "steps", "seconds"]
    np.testing.assert_array_equal(table["nit"], np.arange(11))
    np.testing.assert_array_equal(table["size"], 0.5 ** np.arange(11))
    np.testing.assert_array_equal(table["fun"], 3 * 0.5 ** np.arange(11))
    assert (np.diff(table["seconds"]) >= 0).all()


def test_history_fills_missing_entries_and_continues():
    history = History()
    history.append(a=1)
    history.append(b=2.0)
    assert len(history) == 2
    np.testing.assert_array_equal(history.asdict()["a"], [1, np.nan])
    np.testing.assert_array_equal(history.asdict()["b"], [np.nan, 2.0])
    resumed = History(history.asdict())
    resumed.append(a=3, b=4.0)
    np.testing.assert_array_equal(resumed.asdict()["a"], [1, np.nan, 3])
    assert History().asdict() == {}


def test_callback_by_keyword_gets_the_intermediate_result():
    seen = []
    Halving().run(callback=lambda intermediate_result: seen.append(intermediate_result))
    assert [r.nit for r in seen] == list(range(10))
    assert isinstance(seen[3], OptimizeResult)
    assert seen[3].fun == 3 * 0.5**3
    assert seen[3].size == 0.5**3
    assert seen[3].time >= 0
    np.testing.assert_array_equal(seen[3].x, np.full(3, 0.5**3))


def test_positional_callback_gets_a_copy_of_x():
    seen = []
    Halving().run(callback=seen.append)
    np.testing.assert_array_equal(seen, [np.full(3, 0.5**k) for k in range(10)])


def test_stop_iteration_stops():
    def stop(x):
        if x[0] < 0.1:
            raise StopIteration

    outcome = Halving().run(callback=stop)
    assert (outcome.status, outcome.nit) == (Status.CALLBACK, 4)


class _Method:
    def __init__(self):
        self.calls = 0

    def keyword(self, intermediate_result):
        self.calls += len(intermediate_result.x)

    def positional(self, xk, state=None):
        self.calls += len(xk)

    def both(self, xk, intermediate_result=None):
        assert intermediate_result is None
        self.calls += len(xk)


@pytest.mark.parametrize("name", ["keyword", "positional", "both"])
def test_callback_rule_is_scipys(name):
    watcher = _Method()
    assert wrap_callback(getattr(watcher, name))(OptimizeResult(x=np.ones(4))) is False
    assert wrap_callback(functools.partial(getattr(watcher, name)))(OptimizeResult(x=np.ones(4))) is False
    assert watcher.calls == 8


def test_wrapping():
    assert wrap_callback(None) is None
    wrapped = wrap_callback(print)
    assert wrap_callback(wrapped) is wrapped
    with pytest.raises(TypeError, match="`callback` must be callable or None, got 3 of type int"):
        wrap_callback(3)


def test_builtin_without_a_signature_is_called_with_x():
    assert wrap_callback(min)(OptimizeResult(x=np.ones(4))) is False


def test_return_value_of_a_callback_is_ignored():
    assert Halving().run(callback=lambda x: True).status is Status.CONVERGED


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("where", ["step", "callback"])
def test_exceptions_propagate(error, where, capsys):
    def fail(*args):
        raise error

    solver = Halving()
    with pytest.raises(error), Progress(1, "halving", 100) as progress:
        run(
            fail if where == "step" else solver.step,
            solver.measure,
            tol=0.0,
            maxiter=100,
            callback=fail if where == "callback" else None,
            progress=progress,
        )


def test_measures_on_every_backend(xp):
    x = make(xp, np.ones(3))
    seen = []

    def step():
        nonlocal x
        x = x / 2

    def measure():
        return Measure(float(xp.max(x)), arrays=lambda: {"x": x})

    assert run(step, measure, tol=0.1, maxiter=10, callback=seen.append).nit == 4
    assert type(seen[0]) is type(x)
    np.testing.assert_array_equal(to_numpy(seen[2]), np.full(3, 0.25))


def test_deadline():
    forever = Deadline()
    assert not forever.expired()
    assert forever.remaining() == math.inf
    assert forever.elapsed() >= 0
    assert Deadline(0.0).expired()
    assert Deadline(0.0).remaining() == 0.0
    assert 0 < Deadline(1e6).remaining() <= 1e6
    assert Deadline.of(forever) is forever
