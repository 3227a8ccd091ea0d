"""`numopt.coordinate.bcd` with the rules of one curve of the paper's figures."""

from typing import Any

from numopt.bench.peers import _coordinate as coordinate


class BlockDescent(coordinate.CoordinateSolver):
    """A partition, a selection and an update by their names, iterated as long as the figure shows."""

    name = "numopt-bcd"
    models = ("least-squares", "logistic", "multinomial", "quadratic")

    def run(self) -> None:
        raise NotImplementedError

    def get_result(self) -> coordinate.Coefficients:
        raise NotImplementedError


SOLVERS: dict[str, Any] = {BlockDescent.name: BlockDescent}
