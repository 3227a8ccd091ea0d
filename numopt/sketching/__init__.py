"""Randomised linear solvers by sketching: the Kaczmarz family and sketch-and-project."""

from numopt.sketching._kaczmarz import kaczmarz, sketch_and_project

__all__ = ["kaczmarz", "sketch_and_project"]
