"""numopt's own calls for sparse models, non-negative least squares and label propagation."""

from typing import Any

from numopt.bench.peers import _coordinate as coordinate
from numopt.bench.peers import _estimators as estimators
from numopt.bench.peers._base import own_limit


class Coordinate(coordinate.CoordinateSolver):
    """`numopt.coordinate.bcd` with the method that it chooses by itself; `lasso_path` and `label_propagation`."""

    name = "numopt"
    models = ("least-squares", "logistic", "multinomial", "quadratic", "label-propagation")

    def prepare(self) -> None:
        import numopt.coordinate

        self._calls = numopt.coordinate
        self._options: dict[str, Any] = {"tol": self.settings.tol, "time_limit": own_limit(self.settings.time_limit)}

    def run(self) -> None:
        task, calls, options = self.task, self._calls, self._options
        if task.path:
            self._found = calls.lasso_path(task.A, task.b, task.path, l2=task.l2, nonneg=task.nonneg, **options)
            return
        if task.model == "label-propagation":
            self._found = calls.label_propagation(task.A, task.b, task.mask, l2=task.l2, **options)
            return
        # The problem's constructor checks and converts the data: it belongs to the call.
        self._found = calls.bcd(self._problem(), **options)

    def _problem(self) -> Any:
        task, calls = self.task, self._calls
        penalties = {"l1": task.l1, "l2": task.l2}
        if task.model == "multinomial":
            return calls.Multinomial(task.A, task.b, **penalties)
        makes = {"least-squares": calls.LeastSquares, "logistic": calls.Logistic, "quadratic": calls.Quadratic}
        return makes[task.model](task.A, task.b, nonneg=task.nonneg, **penalties)

    def get_result(self) -> coordinate.Coefficients:
        found = self._found
        nits = found.nit if self.task.path else [found.nit]
        return coordinate.Coefficients(
            x=found.coefs if self.task.path else found.x,
            success=bool(found.success),
            outcome=found.status.name,
            message=str(found.message),
            nit=int(sum(nits)),
        )


class System(estimators.GraphSystem):
    """`bcd` on the system of the unlabelled nodes, given ready made as to the linear solvers."""

    name = "numopt-system"

    def solve(self, Q: Any, c: Any) -> Any:
        from numopt.coordinate import Quadratic, bcd

        options: dict[str, Any] = {"tol": self.tol, "time_limit": own_limit(self.settings.time_limit)}
        return bcd(Quadratic(Q, c), **options).x


SOLVERS: dict[str, Any] = {Coordinate.name: Coordinate, System.name: System}
