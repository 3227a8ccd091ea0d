"""What a tuner must remember between an ask and its tell."""

from typing import Any

import numpy as np


class Ticket:
    """One open ask: the arm drawn, with which probability, and where; plain data, so that it can be pickled."""

    __slots__ = ("arm", "best", "context", "epoch", "features", "probability", "serial", "shift", "value", "where")

    def __init__(
        self,
        serial: int,
        epoch: int,
        value: Any,
        arm: int,
        where: Any,
        context: Any,
        probability: float,
        shift: float,
        best: float,
        features: Any,
    ) -> None:
        self.serial = serial
        self.epoch = epoch
        self.value = value
        self.arm = arm
        self.where = where
        self.context = context
        self.probability = probability
        self.shift = shift  # the baseline of the cost, or with contexts the predicted cost
        self.best = best
        self.features = features

    def __repr__(self) -> str:
        return f"Ticket({self.serial}, value={self.value!r}, context={self.context!r})"

    def asdict(self) -> dict[str, Any]:
        """Return the fields as plain values; the value is that of the arm and left out."""
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "value"}
        for name in ("where", "context", "features"):
            if isinstance(plain[name], np.ndarray | np.generic):
                plain[name] = plain[name].tolist()
        return plain

    @classmethod
    def fromdict(cls, fields: dict[str, Any], value: Any) -> "Ticket":
        """Return the ticket that `asdict` described."""
        arrays = {name: np.array(fields[name]) for name in ("where", "features") if isinstance(fields[name], list)}
        return cls(value=value, **(fields | arrays))
