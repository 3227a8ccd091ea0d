"""GeomLoss: Sinkhorn with epsilon scaling between points (torch); it stops by schedule, not by an error."""

import importlib.util
import math

from numopt.bench.peers._base import Coupling, Settings, TransportSolver, UnsuitableProblemError
from numopt.problems import TransportProblem

SCALING = 0.95
"""Factor of the regularisation's square root from step to step; its documentation calls 0.9 slow and accurate."""


class GeomLoss(TransportSolver):
    """Costs |x - y|^2 / 2 and blur^2: both sides are halved to be the problem's."""

    name = "geomloss"
    module = "geomloss"
    distribution = "geomloss"

    def missing(self) -> str | None:
        return super().missing() or (None if importlib.util.find_spec("torch") else "torch")

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        import torch
        from geomloss import SamplesLoss

        if problem.X is None or problem.metric != "sqeuclidean":
            raise UnsuitableProblemError(f"{self.name} needs points and squared distances; {problem.name} has others.")
        online = problem.C is None
        if online and importlib.util.find_spec("pykeops") is None:
            raise UnsuitableProblemError(f"{self.name} needs pykeops for points without a cost matrix.")
        torch.set_num_threads(settings.threads)
        device = "cuda" if settings.device == "gpu" else "cpu"
        self._problem = problem
        self._arrays = [torch.as_tensor(x, device=device) for x in (problem.a, problem.X, problem.b, problem.Y)]
        self._loss = SamplesLoss(
            "sinkhorn",
            p=2,
            blur=math.sqrt(0.5 * problem.reg),
            scaling=SCALING,
            debias=False,
            potentials=True,
            backend="online" if online else "tensorized",
        )

    def run(self) -> None:
        self._f, self._g = self._loss(*self._arrays)

    def get_result(self) -> Coupling:
        a, _, b, _ = self._arrays
        reg = self._problem.reg
        # Its potentials are relative to the product of the weights.
        f, g = 2.0 * self._f.reshape(-1) + reg * a.log(), 2.0 * self._g.reshape(-1) + reg * b.log()
        return Coupling(
            f=f.cpu().numpy(), g=g.cpu().numpy(), success=True, outcome="end of schedule", message="end of schedule"
        )


SOLVERS = {GeomLoss.name: GeomLoss}
