"""Warning classes of numopt, and the one function that raises them at the user's line."""

import sys
import warnings


class NumoptWarning(UserWarning):
    """Base class of every warning that numopt raises itself."""


class ConvergenceWarning(NumoptWarning):
    """An estimator's solver stopped before it reached its tolerance."""


class DerivativeWarning(NumoptWarning):
    """Derivatives disagree with differences of the function, or a source is known to give wrong ones."""


class NumericalWarning(NumoptWarning):
    """The computation went on, with an option changed or with less accuracy than asked for."""


def warn(message: str, category: type[Warning] = NumoptWarning) -> None:
    """Warn with the line of the caller outside numopt (and outside SciPy, which calls us as a `method=`)."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("numopt", "scipy"):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
