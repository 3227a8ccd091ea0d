"""Parameters of solvers chosen by bandits, from the costs of the solves so far."""

from numopt.tuning._sequence import solve_sequence
from numopt.tuning._tuned import tuned
from numopt.tuning._tuner import BanditTuner

__all__ = ["BanditTuner", "solve_sequence", "tuned"]
