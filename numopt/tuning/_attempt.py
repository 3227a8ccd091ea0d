"""One solve under a tuner: the value asked for, another one where that fails or takes too long, the cost told."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from numopt.tuning._outcome import Outcome, read
from numopt.tuning._ticket import Ticket
from numopt.tuning._timing import stopwatch
from numopt.tuning._tuner import BanditTuner

Run = Callable[[Any, Any, float], Any]
"""Solve with a value, from a start (None: the usual one), within a budget of cost: returns the solver's answer."""
CostOf = Callable[[Outcome], float]


class Attempt(NamedTuple):
    """What came of it."""

    outcome: Outcome
    value: Any  # as drawn; the answer may come from another one
    cost: float  # of all solves together, those that raised left out
    nit: int  # likewise; -1 if the solver does not tell
    seconds: float  # spent in the solver


def attempt(tuner: BanditTuner, context: Any, run: Run, cost_of: CostOf, abort: float | None) -> Attempt:
    """Ask, solve, and tell.

    A solve that raises or breaks down is reported as failed; the next best values are tried until one does not raise. A
    solve that spends its budget is continued with the best other value. All of it is charged.
    """
    value, ticket = tuner.ask(context, ticket=True)
    budget = tuner.limit(ticket, abort)
    try:
        first = timed(run, value, None, budget)
    except Exception as error:
        tuner.fail(ticket=ticket)
        rescued = _rescue(tuner, ticket, run, error)
        return Attempt(rescued, value, cost_of(rescued), rescued.nit, rescued.seconds)
    cost = cost_of(first)
    spent = first.limited and cost >= budget
    if first.solved or (first.limited and not spent):
        tuner.tell(cost, ticket=ticket, censored=not first.solved)
        return Attempt(first, value, cost, first.nit, first.seconds)
    second = _second(tuner, ticket, run, first)
    if second is not None:
        cost += cost_of(second)
    if spent:
        tuner.tell(cost, ticket=ticket, censored=second is None or not second.solved)
    else:
        tuner.fail(ticket=ticket)
    if second is None:
        return Attempt(first, value, cost, first.nit, first.seconds)
    # Of two answers that are none the later one stands only if it is in better order.
    outcome = first if not second.solved and first.limited and not second.limited else second
    nit = first.nit + second.nit if min(first.nit, second.nit) >= 0 else -1
    return Attempt(outcome, value, cost, nit, first.seconds + second.seconds)


def timed(run: Run, value: Any, start: Any, budget: float = math.inf) -> Outcome:
    """Solve and take the time."""
    return read(*stopwatch(run, value, start, budget))


def _rescue(tuner: BanditTuner, ticket: Ticket, run: Run, error: Exception) -> Outcome:
    """Solve with the best value that does not raise."""
    for other in tuner.alternatives(ticket):
        try:
            return timed(run, other, None)
        except Exception:
            continue
    raise error  # the first one: where every value fails, the cause is another


def _second(tuner: BanditTuner, ticket: Ticket, run: Run, first: Outcome) -> Outcome | None:
    """Go on, or start again, with the best other value; None if there is none or it raises."""
    others = tuner.alternatives(ticket)
    if not others:
        return None
    try:
        return timed(run, others[0], first.x if first.limited else None)
    except Exception:
        return None
