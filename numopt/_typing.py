"""Type aliases shared by the whole package.

Arrays and namespaces of several libraries have no common static type, so both are `Any` here; the runtime checks of
`numopt._array` are what guards them.
"""

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A dense array of NumPy, CuPy or (in tests) array-api-strict."""

Namespace: TypeAlias = Any
"""An array-API namespace, as `numopt._array.namespace` returns it."""

RNGLike: TypeAlias = int | np.integer | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None
"""What SPEC 7 accepts as `rng`."""

__all__ = ["Array", "Namespace", "RNGLike"]
