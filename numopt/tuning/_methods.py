"""The methods by name: which policy and which contexts each needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numopt.tuning._chebcb import ChebyshevPolicy
from numopt.tuning._contexts import Box, Cells, Features, NoContext
from numopt.tuning._exponential import ExponentialPolicy, HedgePolicy
from numopt.tuning._policy import CellPolicy, Costs
from numopt.tuning._simple import ConfidencePolicy, FixedPolicy, GreedyPolicy, ThompsonPolicy
from numopt.tuning._tsallis import TsallisPolicy

METHODS = (
    "tsallis-inf",
    "tsallis-inf-cb",
    "chebcb",
    "exp3",
    "ucb1",
    "thompson",
    "epsilon-greedy",
    "hedge",
    "fixed",
)
ESTIMATORS = ("iw", "rv")


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options of the methods."""

    bounds: Any
    n_features: int
    features: Callable[[Any], Any] | None
    bins: int
    estimator: str
    strict: bool
    epsilon: float | None


Space = NoContext | Cells | Features


def make_space(method: str, options: Options) -> Space:
    """Return where a method looks for a context."""
    box = None if options.bounds is None else Box(options.bounds, options.strict)
    if method == "chebcb":
        if box is None and options.features is None:
            raise ValueError("`context_bounds` must be given for method 'chebcb' (or `features`), got None.")
        return Features(box, options.n_features, options.features)
    if method == "tsallis-inf-cb":
        if box is None:
            raise ValueError("`context_bounds` must be given for method 'tsallis-inf-cb', got None.")
        return Cells(box, options.bins)
    return NoContext()


def make_policy(method: str, d: int, space: Space, options: Options, costs: Costs) -> CellPolicy:
    """Return a method's policy for d arms."""
    if isinstance(space, Features):
        return ChebyshevPolicy(d, space, costs)
    n_cells = space.count
    if method in ("tsallis-inf", "tsallis-inf-cb"):
        return TsallisPolicy(d, n_cells, costs, reduced=options.estimator == "rv")
    if method == "exp3":
        return ExponentialPolicy(d, n_cells, costs, full=False)
    if method == "hedge":
        return HedgePolicy(d, costs)
    if method == "epsilon-greedy":
        return GreedyPolicy(d, n_cells, costs, epsilon=options.epsilon)
    simple = {"ucb1": ConfidencePolicy, "thompson": ThompsonPolicy, "fixed": FixedPolicy}
    return simple[method](d, n_cells, costs)
