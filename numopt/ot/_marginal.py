"""One side of the transport problem: its weights, and how strictly the plan has to meet them."""

import math
from dataclasses import dataclass

from numopt._array import namespace
from numopt._typing import Array


@dataclass(frozen=True, slots=True)
class Marginal:
    """Positive weights w with the penalty rho * KL(marginal of the plan | w); rho = inf is the constraint itself.

    For a potential p of this side, all in the terms of the dual F(f, g) (spec section 2.10):
    the dual holds  -rho sum w (exp(-p / rho) - 1), or  sum w p  for rho = inf, whose gradient is `target`.
    """

    weights: Array
    log_weights: Array
    rho: float = math.inf

    @classmethod
    def of(cls, weights: Array, rho: float = math.inf) -> "Marginal":
        """Take the logarithm once."""
        return cls(weights, namespace(weights).log(weights), rho)

    @property
    def fixed(self) -> bool:
        """Whether the marginal of the plan must equal the weights."""
        return self.rho == math.inf

    def target(self, potential: Array) -> Array:
        """What the marginal of the plan has to be at this potential."""
        if self.fixed:
            return self.weights
        return self.weights * namespace(potential).exp(-potential / self.rho)

    def dual(self, potential: Array) -> Array:
        """Part of the dual objective that this side adds, 0-d."""
        xp = namespace(potential)
        if self.fixed:
            return xp.sum(self.weights * potential)
        return -self.rho * xp.sum(self.weights * xp.expm1(-potential / self.rho))

    def stiffness(self, target: Array, reg: float) -> Array | None:
        """What the penalty adds to the marginal on the diagonal of -reg * Hessian of F; None where nothing."""
        return None if self.fixed else target * (reg / self.rho)

    def update(self, log_sums: Array, reg: float) -> Array:
        """The potential that maximises F for fixed other potential, whose log-sum-exp is `log_sums`."""
        exact = reg * (self.log_weights - log_sums)
        return exact if self.fixed else exact * (self.rho / (self.rho + reg))

    def divergence(self, sums: Array) -> Array:
        """The penalty rho * KL(sums | weights) in the primal objective, 0-d; zero where the marginal is fixed."""
        xp = namespace(sums)
        if self.fixed:
            return xp.zeros((), dtype=sums.dtype, device=sums.device)
        positive = sums > 0
        safe = xp.where(positive, sums, xp.ones_like(sums))
        entropy = xp.where(positive, sums * (xp.log(safe) - self.log_weights), xp.zeros_like(sums))
        return self.rho * xp.sum(entropy - sums + self.weights)
