"""Arrays and generators as plain values, for JSON and the like."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1


def plain_arrays(arrays: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Return arrays as nested lists."""
    return {name: array.tolist() for name, array in arrays.items()}


def load_arrays(arrays: dict[str, NDArray[np.float64]], state: dict[str, Any]) -> None:
    """Overwrite arrays with nested lists of the same shapes."""
    if set(arrays) != set(state):
        raise ValueError(f"`state` must hold the arrays {', '.join(sorted(arrays))}, got {', '.join(sorted(state))}.")
    new = {name: np.asarray(values, dtype=np.float64) for name, values in state.items()}
    for name, array in arrays.items():
        # Lists do not keep the shape of an array without elements.
        if new[name].size != array.size or (array.size and new[name].shape != array.shape):
            raise ValueError(f"`state` must hold {name} of shape {array.shape}, got {new[name].shape}.")
    for name, array in arrays.items():
        if array.size:
            array[...] = new[name]


def plain_rng(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator without arrays."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(entry) for name, entry in value.items()}
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

    return dict(plain(rng.bit_generator.state))


def load_rng(rng: np.random.Generator, state: dict[str, Any]) -> np.random.Generator:
    """Return a generator in the given state: a new one, so that others who hold `rng` keep theirs."""
    own = type(rng.bit_generator)
    kind = own if own.__name__ == state["bit_generator"] else getattr(np.random, state["bit_generator"])
    bits = kind()
    bits.state = state
    return np.random.Generator(bits)
