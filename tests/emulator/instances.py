"""The instances of every CUDA template that are compiled and run without a GPU."""

from pathlib import Path

import numpy as np

from numopt.kernels._cuda import _build

SOURCES = sorted(path.name for path in _build.FOLDER.glob("*.cu"))

_F8, _F4, _I4, _I8 = np.float64, np.float32, np.int32, np.int64
_SHARED_F8, _SHARED_F4 = _build.capacity(1, _F8), _build.capacity(1, _F4)

# Source -> C++ names. The first of a kernel is the one that the fully covered types use.
INSTANCES: dict[str, list[str]] = {
    "kaczmarz.cu": [
        *(_build.expression("row_kaczmarz", t) for t in [(_F8, _SHARED_F8), (_F8, 0), (_F4, _SHARED_F4), (_F4, 0)]),
        *(
            _build.expression("csr_row_kaczmarz", t)
            for t in [
                (_F8, _I4, _SHARED_F8),
                (_F8, _I4, 0),
                (_F8, _I8, _SHARED_F8),
                (_F4, _I4, _SHARED_F4),
                (_F4, _I8, _SHARED_F4),
            ]
        ),
    ],
    "gram.cu": [
        *(_build.expression("gram_accumulate", t) for t in [(_F8, _I4), (_F8, _I8), (_F4, _I4), (_F4, _I8)]),
        *(_build.expression("gram_merge", t) for t in [(_F8,), (_F4,)]),
    ],
    "logistic.cu": [_build.expression("logistic_terms", t) for t in [(_F8,), (_F4,)]],
}


def path_of(source: str) -> Path:
    """Return where a source of the package lies."""
    return _build.FOLDER / source
