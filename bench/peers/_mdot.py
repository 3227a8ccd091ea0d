"""MDOT-TNT: mirror descent with truncated Newton projections (torch)."""

import importlib.util
import math

from numopt.bench.peers._base import Coupling, Settings, TransportSolver
from numopt.problems import TransportProblem


class Mdot(TransportSolver):
    """Its stopping rule is ``min(H(a), H(b)) / gamma^p`` with gamma = 1 / reg: `p` is set to meet the tolerance."""

    name = "mdot-tnt"
    module = "mdot_tnt"
    distribution = "mdot-tnt"

    def missing(self) -> str | None:
        return super().missing() or (None if importlib.util.find_spec("torch") else "torch")

    def set_problem(self, problem: TransportProblem, settings: Settings) -> None:
        import torch
        from mdot_tnt.mdot import mdot

        torch.set_num_threads(settings.threads)
        self._mdot, self._gamma = mdot, 1.0 / problem.reg
        device = "cuda" if settings.device == "gpu" else "cpu"
        self._r, self._c, self._cost = (torch.as_tensor(x, device=device) for x in (problem.a, problem.b, problem.C))
        entropy = min(float(-(x * x.log()).sum()) for x in (self._r, self._c))
        self._power = math.log(entropy / (settings.tol or 1e-9)) / math.log(self._gamma)

    def run(self) -> None:
        u, v, gamma, self._steps, self._log = self._mdot(self._r, self._c, self._cost, self._gamma, p=self._power)
        self._plan = (u[:, None] + v[None, :] - gamma * self._cost).exp()
        self._f, self._g, self._reached = u / gamma, v / gamma, gamma

    def get_result(self) -> Coupling:
        success = bool(self._log["success"])
        return Coupling(
            plan=self._plan.cpu().numpy(),
            f=self._f.cpu().numpy(),
            g=self._g.cpu().numpy(),
            success=success,
            outcome="converged" if success else "projection failed",
            message=f"regularisation {1.0 / self._reached:.3g} reached with p = {self._power:.3g}",
            nit=int(self._steps),
        )


SOLVERS = {Mdot.name: Mdot}
