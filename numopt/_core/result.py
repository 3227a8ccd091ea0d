"""Building of result objects: the one place that fills SciPy's dynamic `OptimizeResult`."""

from collections.abc import Mapping
from typing import Any, TypeVar

from scipy.optimize import OptimizeResult

from numopt._core.status import Status

ResultT = TypeVar("ResultT", bound=OptimizeResult)


def make_result(fields: Mapping[str, Any], cls: type[ResultT] = OptimizeResult) -> ResultT:  # type: ignore[assignment]
    """Return a `cls` holding `fields`; `success` follows from `status` where the fields have one."""
    result = cls()
    result.update(fields)
    if "status" in fields:
        status = Status(fields["status"])
        result.update(status=status, success=status is Status.CONVERGED)
    return result
