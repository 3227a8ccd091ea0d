"""Detection of a change of the costs: a two-sided CUSUM test on the errors of the predictor."""

import math
from typing import Any

# The test waits for WARMUP errors; an error counts as at most LIMIT standard deviations. Errors that drift by one
# standard deviation raise an alarm after about 25 rounds; independent ones, about once in 1e6 rounds.
WARMUP, DRIFT, THRESHOLD, LIMIT = 30, 0.5, 12.0, 4.0


class ChangeDetector:
    """Sums of the errors beyond a drift, in standard deviations."""

    def __init__(self) -> None:
        self.alarms = 0
        self.reset()

    def reset(self) -> None:
        """Start again after an alarm."""
        self._n = 0
        self._mean = self._squares = self._up = self._down = 0.0

    def update(self, error: float) -> bool:
        """Take in the error of one prediction and tell whether the costs have changed."""
        if self._n >= WARMUP:
            deviation = math.sqrt(self._squares / (self._n - 1))
            if deviation > 0:
                z = max(-LIMIT, min(LIMIT, (error - self._mean) / deviation))
            else:
                z = 0.0 if error == self._mean else math.copysign(LIMIT, error - self._mean)
            self._up = max(0.0, self._up + z - DRIFT)
            self._down = max(0.0, self._down - z - DRIFT)
            if max(self._up, self._down) > THRESHOLD:
                self.alarms += 1
                self.reset()
                return True
            # The moments follow the errors that the test found in line, not the change itself.
            error = self._mean + z * deviation
        self._n += 1
        step = error - self._mean
        self._mean += step / self._n
        self._squares += step * (error - self._mean)
        return False

    def asdict(self) -> dict[str, Any]:
        """Return the state."""
        return {name.lstrip("_"): value for name, value in vars(self).items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state from `asdict`."""
        for name, value in state.items():
            setattr(self, name if name == "alarms" else f"_{name}", value)
