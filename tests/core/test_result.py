import pickle

from scipy.optimize import OptimizeResult

from numopt import Status
from numopt._core.result import make_result


class _DomainResult(OptimizeResult):
    @property
    def double(self):
        return 2 * self.fun


def test_success_follows_from_status():
    result = make_result({"x": 1.0, "status": 0})
    assert type(result) is OptimizeResult
    assert result.success is True
    assert result.status is Status.CONVERGED
    assert make_result({"status": Status.STALLED}).success is False
    assert "success" not in make_result({"x": 1.0})


def test_subclass():
    result = make_result({"fun": 3.0}, _DomainResult)
    assert result.double == 6.0


def test_results_pickle():
    result = pickle.loads(pickle.dumps(make_result({"x": 1.0, "status": Status.MAXITER})))
    assert result.status is Status.MAXITER
