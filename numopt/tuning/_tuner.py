"""The tuner: asks and tells around a policy, with tickets, failures, censored costs and changing costs.

Khodak, Chow, Balcan and Talwalkar, "Learning to Relax" (ICLR 2024), for Tsallis-INF and ChebCB on solver parameters.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numopt._core.validation import check_choice, check_scalar
from numopt._rng import default_rng
from numopt._typing import RNGLike
from numopt.tuning._changes import ChangeDetector
from numopt.tuning._costs import OutlierFilter, check_cost, check_cost_kind
from numopt.tuning._grid import Grid
from numopt.tuning._history import CostHistory
from numopt.tuning._methods import ESTIMATORS, METHODS, Options, make_policy, make_space
from numopt.tuning._policy import Costs, Draw, Floats
from numopt.tuning._state import VERSION, load_arrays, load_rng, plain_arrays, plain_rng
from numopt.tuning._ticket import Ticket

MAX_OPEN = 1024  # asks without a ticket that are remembered
REFINE_EVERY, MAX_ZOOMS = 64, 8


class BanditTuner:
    """Choose a parameter for each of a sequence of solves from the costs of the solves before.

    `ask` gives the value for the next solve, `tell` takes what the solve cost. The total cost approaches that of the
    best fixed value of the grid (a bandit), or with contexts that of the best value as a function of the context.

    Parameters
    ----------
    grid : sequence
        The values to choose from, the arms: finite numbers, or anything hashable (names, functions).
    method : str, default 'tsallis-inf'
        'tsallis-inf': draws with probabilities ``4 / (eta (k_i / sigma - x))^2``, k the importance-weighted sums of
        costs, ``eta = 2 / sqrt(t)``; right for costs of any kind. 'tsallis-inf-cb': one of these in each cell of the
        contexts. 'chebcb': predicts each arm's cost by a Chebyshev series in the context and draws by inverse gaps; the
        best where a context is known. 'exp3', 'ucb1', 'thompson', 'epsilon-greedy': for comparison. 'hedge':
        exponential weights on the costs of all arms. 'fixed': the first value.
    context_bounds : (float, float) or up to 3 such pairs, optional
        Interval or box that holds the contexts; needed by 'chebcb' and 'tsallis-inf-cb', unused by the others.
    n_features : int, default 6
        Chebyshev polynomials T_0, ..., T_{n-1} in each direction; in two and three dimensions products of total degree
        at most ``min(n - 1, 4)``. With `features`, the number of these.
    features : callable, optional
        ``features(context)`` returns the `n_features` features for 'chebcb' itself, the first of which should be 1 and
        the others within [-1, 1]; `context` may then be anything.
    bins : int, default 5
        Cells of 'tsallis-inf-cb' in each direction.
    estimator : {'iw', 'rv'}, default 'iw'
        Importance weights as in the paper, or with a baseline that reduces their variance, for Tsallis-INF.
    strict : bool, default False
        Raise for contexts outside the bounds instead of clipping them with one warning.
    cost : {'nit', 'time', 'flops'} or callable, default 'nit'
        What `solve_sequence` and `tuned` measure: a field of the result, seconds, or a function of the result. With
        'time' outliers are cut to 10 times the median of the arm's last 15 costs; the first three costs wait for one
        another.
    max_cost : float, optional
        The most a solve may cost: larger costs count as that, and so do failed solves (by default, as the largest cost
        so far).
    horizon : int, optional
        Number of rounds T if it is known: Tsallis-INF, Exp3 and Hedge then use the rate of round T from the start.
    scale : 'running' or float, default 'running'
        Unit of the costs above the floor: their mean so far, or a given number.
    cost_floor : float, optional
        The least possible cost; default 1 for cost='nit', else 0.
    refine : bool, default False
        Zoom in: when the arms outside half the range are worse beyond doubt, the grid is spaced twice as densely
        around the best arm, with as many values (logarithmically if the grid is). Needs an even grid of numbers.
    discount : float, default 1
        Factor in (0, 1] by which earlier costs count less with each new one, for costs that drift.
    window : int, optional
        Only the last `window` costs count.
    detect_changes : bool, default False
        Forget all costs when the errors of the predicted costs show a change (a CUSUM test).
    epsilon : float, optional
        Share of uniform draws of 'epsilon-greedy'; default ``min(1, 5 d / t)``.
    rng : None, int, SeedSequence or Generator
        Random source (SPEC 7).

    Attributes
    ----------
    grid : list
        The values, as they are now.
    method, cost : str or callable
        As given.
    n_tells : int
        Costs taken in.
    n_changes : int
        Alarms of `detect_changes`.
    history : dict
        Lists ``value``, ``context``, ``probability``, ``cost``, ``censored`` and ``failed``, one entry a tell, in the
        order of the tells. It grows with their number; everything else keeps its size.

    Raises
    ------
    TypeError, ValueError
        For an empty grid, values that are infinite, NaN or equal, and options of a wrong kind or out of range.

    Notes
    -----
    The regret of Tsallis-INF is O(sqrt(d T)), plus the loss T / d of a grid of d values for a smooth cost. An update
    takes O(d) for Tsallis-INF and O(m^3) for ChebCB with m features, independent of T. Asks and tells may come from
    several threads and in any order: take tickets (``ask(..., ticket=True)``), whose costs are weighted with the
    probability of their own draw. ChebCB is that of [1]_, the reduced-variance estimator that of [2]_.

    References
    ----------
    .. [1] M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, "Learning to Relax: Setting Solver Parameters Across a
       Sequence of Linear System Instances", ICLR 2024.
    .. [2] J. Zimmert, Y. Seldin, "Tsallis-INF: An Optimal Algorithm for Stochastic and Adversarial Bandits", Journal of
       Machine Learning Research 22 (2021), 1-49.

    Examples
    --------
    >>> from numopt.tuning import BanditTuner
    >>> tuner = BanditTuner([1.0, 1.5, 1.9], rng=0)
    >>> for _ in range(500):
    ...     omega = tuner.ask()
    ...     tuner.tell(20 + 100 * abs(omega - 1.5))  # the iterations of a solve
    >>> tuner.best()
    1.5
    """

    def __init__(
        self,
        grid: Sequence[Any],
        *,
        method: str = "tsallis-inf",
        context_bounds: Any = None,
        n_features: int = 6,
        features: Callable[[Any], Any] | None = None,
        bins: int = 5,
        estimator: str = "iw",
        strict: bool = False,
        cost: str | Callable[[Any], Any] = "nit",
        max_cost: float | None = None,
        horizon: int | None = None,
        scale: str | float = "running",
        cost_floor: float | None = None,
        refine: bool = False,
        discount: float = 1.0,
        window: int | None = None,
        detect_changes: bool = False,
        epsilon: float | None = None,
        rng: RNGLike = None,
    ) -> None:
        self._grid = Grid(grid)
        self.method = check_choice(method, "method", METHODS)
        self.cost = check_cost_kind(cost)
        self.max_cost = None if max_cost is None else check_scalar(max_cost, "max_cost", low=0, include_low=False)
        check_choice(estimator, "estimator", ESTIMATORS)
        if features is not None and not callable(features):
            raise TypeError(f"`features` must be callable or None, got {features!r} of type {type(features).__name__}.")
        if isinstance(scale, str):
            check_choice(scale, "scale", ("running",))
            unit = 0.0
        else:
            unit = check_scalar(scale, "scale", low=0, include_low=False)
        if cost_floor is None:
            cost_floor = 1.0 if self.cost == "nit" else 0.0
        if window is not None:
            window = check_scalar(window, "window", kind=int, low=1)
            if estimator == "rv":
                raise ValueError("`window` needs estimator='iw', got 'rv', whose baselines cannot be taken back.")
        if refine:
            self._grid.check_refinable()
        options = Options(
            bounds=context_bounds,
            n_features=check_scalar(n_features, "n_features", kind=int, low=1),
            features=features,
            bins=check_scalar(bins, "bins", kind=int, low=1),
            estimator=estimator,
            strict=bool(strict),
            epsilon=None if epsilon is None else check_scalar(epsilon, "epsilon", low=0, high=1),
        )
        costs = Costs(
            floor=check_scalar(cost_floor, "cost_floor", low=0),
            scale=unit,
            horizon=0.0 if horizon is None else float(check_scalar(horizon, "horizon", kind=int, low=1)),
            discount=check_scalar(discount, "discount", low=0, high=1, include_low=False),
        )
        d = len(self._grid)
        self._space = make_space(self.method, options)
        self._policy = make_policy(self.method, d, self._space, options, costs)
        self._rng = default_rng(rng)
        self._lock = threading.RLock()
        self._serial = 0
        self._open: set[int] = set()
        self._asked: deque[Ticket] = deque(maxlen=MAX_OPEN)
        self._history = CostHistory()
        self._seen = 0
        self._largest = 0.0
        self._failed = np.zeros(d, dtype=bool)
        self._any_failed = False
        self._no_limits = np.ones(d)
        self._epoch = 0
        self._refine = bool(refine)
        self._window = window
        self._recent: deque[tuple[Any, Draw, int, Any]] = deque()
        self._filter = OutlierFilter(d) if self.cost == "time" and self.method != "hedge" else None
        self._held: list[tuple[Ticket, float, bool]] = []
        self._detector = ChangeDetector() if detect_changes else None
        self._plain = not (refine or window or detect_changes or self._filter) and self.max_cost is None

    @property
    def grid(self) -> list[Any]:
        """The values to choose from, as they are now."""
        return list(self._grid.values)

    @property
    def n_tells(self) -> int:
        """Number of costs taken in."""
        return self._seen

    @property
    def n_changes(self) -> int:
        """Number of times that the costs were found to have changed."""
        return 0 if self._detector is None else self._detector.alarms

    @property
    def history(self) -> dict[str, list[Any]]:
        """What was told, one list a column."""
        with self._lock:
            return self._history.asdict()

    def ask(self, context: Any = None, ticket: bool = False) -> Any:
        """Return the value for the next solve.

        Parameters
        ----------
        context : float or vector, optional
            What is known of the system, for the methods with contexts; the others only record it.
        ticket : bool, default False
            Return also a ticket that ties the cost to this ask, as several open asks need.

        Returns
        -------
        value : object
            One of the grid, or with ``ticket=True`` the pair ``(value, ticket)``.

        Raises
        ------
        ValueError, TypeError
            For a context that is missing, not finite, of a wrong size or, with `strict`, outside the bounds.
        """
        with self._lock:
            where = self._space.locate(context)
            drawn = self._policy.draw(where, self._limits() if self._any_failed else self._no_limits, self._rng)
            self._serial += 1
            value = self._grid.values[drawn.arm]
            issued = Ticket(self._serial, self._epoch, value, drawn.arm, where, context, *drawn[1:])
            if ticket:
                self._open.add(self._serial)
                return value, issued
            self._asked.append(issued)
            return value

    def tell(
        self,
        cost: Any,
        *,
        ticket: Ticket | None = None,
        context: Any = None,
        value: Any = None,
        censored: bool = False,
    ) -> None:
        """Take in what a solve cost.

        Parameters
        ----------
        cost : float
            At least 0; for method 'hedge' the costs of all values, in the order of the grid.
        ticket : Ticket, optional
            Which ask the cost belongs to; by default the latest one without a ticket that is still open.
        context, value : object, optional
            Choose the latest open ask with that context, that value.
        censored : bool, default False
            The solve was stopped early: it would have cost at least this much. Counts as the arm's mean (ChebCB: its
            prediction) if that is larger.

        Raises
        ------
        RuntimeError
            Without an open ask: a tell before the ask, or a second one.
        ValueError, TypeError
            For a cost that is NaN, infinite, negative or no number.
        """
        full = self.method == "hedge"
        checked = self._check_costs(cost) if full else check_cost(cost)
        with self._lock:
            issued = self._close(ticket, context, value)
            self._take(issued, checked, bool(censored))

    def fail(self, *, ticket: Ticket | None = None, context: Any = None, value: Any = None) -> None:
        """Say that a solve failed: it raised, diverged or broke down.

        The cost counts as `max_cost`, or as the largest one so far; from now on the arm's probability is at most
        ``1 / (d t)`` (zero until some solve has succeeded), as long as another arm has not failed.

        Raises
        ------
        RuntimeError
            Without an open ask.
        """
        with self._lock:
            issued = self._close(ticket, context, value)
            arm = self._arm(issued)
            if arm is not None:
                self._failed[arm] = self._any_failed = True
            cost: Any = self.max_cost if self.max_cost is not None else self._largest
            self._history.append(issued, math.nan, False, True)
            if arm is not None and (self.max_cost is not None or self._seen) and self.method != "hedge":
                self._record(issued, arm, cost)

    def best(self, context: Any = None) -> Any:
        """Return the value that looks best so far, for a context where the method has them.

        Before any cost the middle of the grid; arms that failed come last.
        """
        with self._lock:
            return self._grid.values[self._order(self._space.locate(context))[0]]

    def alternatives(self, ticket: Ticket) -> list[Any]:
        """Return the other values, best first, as seen from where the ticket was drawn: what to fall back on."""
        with self._lock:
            return [self._grid.values[i] for i in self._order(ticket.where) if self._grid.values[i] != ticket.value]

    def limit(self, ticket: Ticket, factor: float | None = 4.0) -> float:
        """Return the cost at which a solve should be given up: `factor` times the best mean for its context.

        Never above `max_cost`; infinite for the best arm itself, as long as nothing is known, and for factor None.
        """
        most = math.inf if self.max_cost is None else self.max_cost
        if factor is None:
            return most
        with self._lock:
            best = self._order(ticket.where)[0]
            mean = self._policy.means(ticket.where)[best]
            if best == self._arm(ticket) or not mean > 0:
                return most
            return min(most, factor * float(mean))

    def regret_estimate(self) -> float:
        """Return an estimate of the total cost less that of the best fixed value.

        For 'chebcb': less that of the value predicted to be best for each context, counted from when all values have
        been tried. Estimates from few costs are noisy and may be negative.
        """
        with self._lock:
            return self._policy.regret()

    def get_state(self) -> dict[str, Any]:
        """Return what the tuner has learned as a dictionary of plain values and lists, fit for JSON.

        The history is not part of it. A tuner made with the same arguments goes on from `set_state` as this one would,
        open asks included.
        """
        with self._lock:
            state: dict[str, Any] = {
                "version": VERSION,
                "method": self.method,
                "grid": _shown(self._grid.values),
                "epoch": self._epoch,
                "serial": self._serial,
                "seen": self._seen,
                "largest": self._largest,
                "failed": self._failed.tolist(),
                "arrays": plain_arrays(self._policy.arrays()),
                "rng": plain_rng(self._rng),
                "open": sorted(self._open),
                "asked": [issued.asdict() for issued in self._asked],
                "held": [[issued.asdict(), cost, censored] for issued, cost, censored in self._held],
                "recent": [_plain_record(*entry) for entry in self._recent],
            }
            if self._filter is not None:
                state["filter"] = self._filter.asdict()
            if self._detector is not None:
                state["detector"] = self._detector.asdict()
            return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what another tuner, made with the same arguments, returned from `get_state`.

        Raises
        ------
        ValueError
            If the state is that of another method, grid or set of options; the tuner is then as before.
        """
        with self._lock:
            self._check_state(state)
            arrays = self._policy.arrays()
            load_arrays(arrays, state["arrays"])
            if state["epoch"]:
                self._grid = Grid(state["grid"])
            values = self._grid.values
            self._epoch, self._serial = state["epoch"], state["serial"]
            self._seen, self._largest = state["seen"], state["largest"]
            self._failed = np.array(state["failed"], dtype=bool)
            self._any_failed = bool(self._failed.any())
            self._rng = load_rng(self._rng, state["rng"])
            self._open = set(state["open"])
            self._asked = deque(
                (Ticket.fromdict(fields, values[fields["arm"]]) for fields in state["asked"]), maxlen=MAX_OPEN
            )
            self._held = [
                (Ticket.fromdict(fields, values[fields["arm"]]), cost, censored)
                for fields, cost, censored in state["held"]
            ]
            self._recent = deque(_load_record(*entry) for entry in state["recent"])
            if self._filter is not None:
                self._filter.load(state["filter"])
            if self._detector is not None:
                self._detector.load(state["detector"])

    def _check_state(self, state: Any) -> None:
        if not isinstance(state, dict) or state.get("version") != VERSION:
            raise ValueError("`state` must be what get_state() of this version of numopt returned.")
        if state["method"] != self.method:
            raise ValueError(f"`state` must be that of method {self.method!r}, got {state['method']!r}.")
        refined = state["epoch"] > 0 and self._refine and len(state["grid"]) == len(self._grid)
        if not refined and state["grid"] != _shown(self._grid.values):
            raise ValueError(f"`state` must be that of the grid {self._grid.values}, got {state['grid']}.")
        if ("filter" in state) != (self._filter is not None) or ("detector" in state) != (self._detector is not None):
            raise ValueError("`state` must be that of a tuner with the same `cost` and `detect_changes`.")

    def _check_costs(self, cost: Any) -> Floats:
        costs = np.asarray(cost)
        if costs.shape != (len(self._grid),):
            raise ValueError(f"`cost` must have one entry for each of the {len(self._grid)} values, got {cost!r}.")
        return np.array([check_cost(entry) for entry in costs.tolist()])

    def _limits(self) -> Floats:
        """Return the caps of the probabilities: 1 / (d t) for arms that failed, 0 before any cost is known."""
        limits = np.ones(len(self._grid))
        limits[self._failed] = 1.0 / (limits.size * (self._serial + 1.0)) if self._seen else 0.0
        return limits

    def _close(self, ticket: Ticket | None, context: Any, value: Any) -> Ticket:
        """Return the ask that a cost belongs to, which is then no longer open."""
        if ticket is not None:
            if not isinstance(ticket, Ticket):
                raise TypeError(f"`ticket` must come from ask(ticket=True), got {ticket!r}.")
            if ticket.serial not in self._open:
                raise RuntimeError(f"`ticket` {ticket!r} is not open: its cost was told before, or to another tuner.")
            self._open.remove(ticket.serial)
            return ticket
        if context is None and value is None:
            if not self._asked:
                raise RuntimeError("tell() needs an open ask(): none came before, or its cost was told already.")
            return self._asked.pop()
        for issued in reversed(self._asked):
            if (value is None or issued.value == value) and (context is None or _same(issued.context, context)):
                self._asked.remove(issued)
                return issued
        raise RuntimeError(f"tell() needs an open ask() with context {context!r} and value {value!r}: there is none.")

    def _arm(self, issued: Ticket) -> int | None:
        """Return the arm of a ticket; after the grid was refined, the nearest one, None far from all."""
        if issued.epoch == self._epoch:
            return issued.arm
        gaps = np.abs(np.array(self._grid.values, dtype=float) - issued.value)
        nearest = int(np.argmin(gaps))
        spacing = np.abs(np.diff(self._grid.values)).max()
        return nearest if gaps[nearest] <= spacing else None

    def _take(self, issued: Ticket, cost: Any, censored: bool) -> None:
        """Take in a cost after the options that change it."""
        self._history.append(issued, cost, censored, False)
        if self._plain and not censored:
            self._seen += 1
            self._largest = max(self._largest, cost if type(cost) is float else float(cost.max()))
            self._policy.record(issued.where, issued, issued.arm, cost)
            return
        arm = self._arm(issued)
        if self._filter is not None and arm is not None:
            self._filter.add(arm, cost)
            if not self._filter.ready:
                self._held.append((issued, cost, censored))
                return
            held, self._held = self._held, []
            for earlier, its_cost, its_censored in held:
                self._account(earlier, self._arm(earlier), its_cost, its_censored)
        self._account(issued, arm, cost, censored)

    def _account(self, issued: Ticket, arm: int | None, cost: Any, censored: bool) -> None:
        """Count a cost, cut or raised to what it should count as."""
        if arm is None:
            return
        if self._filter is not None:
            cost = self._filter.clip(arm, cost)
        if self.max_cost is not None:
            cost = min(cost, self.max_cost) if self.method != "hedge" else np.minimum(cost, self.max_cost)
        self._seen += 1
        self._largest = max(self._largest, float(np.max(cost)))
        if censored and self.method != "hedge":
            # What is known is a bound: the prediction stands if it lies above.
            mean = self._policy.means(issued.where)[arm]
            cost = max(cost, float(mean)) if mean == mean else cost
        if self._detector is not None and self.method != "hedge":
            mean = self._policy.means(issued.where)[arm]
            if mean == mean and self._detector.update(cost - float(mean)):
                self._policy.reset()
                self._recent.clear()
        self._record(issued, arm, cost)
        if self._refine and self._seen % REFINE_EVERY == 0:
            self._zoom()

    def _record(self, issued: Ticket, arm: int, cost: Any) -> None:
        """Give a cost to the policy, and take the oldest one out of a full window."""
        drawn = Draw(arm, issued.probability, issued.shift, issued.best, issued.features)
        self._policy.record(issued.where, drawn, arm, cost)
        if self._window is not None:
            self._recent.append((issued.where, drawn, arm, cost))
            if len(self._recent) > self._window:
                where, old, old_arm, old_cost = self._recent.popleft()
                self._policy.record(where, old, old_arm, old_cost, -1.0)

    def _order(self, where: Any) -> list[int]:
        """Return the arms, best first: by the policy, then those never played from the middle, then those failed."""
        ranking = self._policy.ranking(where)
        middle = len(self._grid) // 2
        return sorted(
            range(len(self._grid)),
            key=lambda i: (
                self._failed[i],
                math.isnan(ranking[i]),
                0.0 if math.isnan(ranking[i]) else ranking[i],
                abs(i - middle),
            ),
        )

    def _zoom(self) -> None:
        """Space the grid twice as densely around the best arms if the others are worse beyond doubt."""
        best = self._policy.best_arms()
        if not best or self._epoch >= MAX_ZOOMS or self._any_failed:
            return
        center = (min(best) + max(best)) / 2
        grid, weights = self._grid.zoom(center)
        kept = weights.sum(axis=0) > 0
        if kept.all() or not self._policy.separated(kept):
            return
        self._grid = grid
        self._epoch += 1
        self._policy.regrid(weights)
        self._recent.clear()  # of other arms: what is in the sums stays there
        if self._filter is not None:
            self._filter = OutlierFilter(len(grid))


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b))


def _shown(values: list[Any]) -> list[Any]:
    """Return values as they are kept in a state: numbers and names as they are, others by their text."""
    return [value if isinstance(value, str | int | float | bool) else repr(value) for value in values]


def _plain_record(where: Any, drawn: Draw, arm: int, cost: Any) -> list[Any]:
    features = drawn.features.tolist() if isinstance(drawn.features, np.ndarray) else None
    plain_where = where.tolist() if isinstance(where, np.ndarray) else where
    plain_cost = cost.tolist() if isinstance(cost, np.ndarray) else cost
    return [plain_where, arm, drawn.probability, drawn.shift, drawn.best, features, plain_cost]


def _load_record(
    where: Any, arm: int, probability: float, shift: float, best: float, features: Any, cost: Any
) -> tuple[Any, Draw, int, Any]:
    at = np.array(where) if isinstance(where, list) else where
    known = None if features is None else np.array(features)
    return at, Draw(arm, probability, shift, best, known), arm, cost
