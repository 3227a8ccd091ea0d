"""The instances of every CUDA template that are compiled and run without a GPU."""

from pathlib import Path

import numpy as np

from numopt.kernels._cuda import _build, dual, gibbs

SOURCES = sorted(path.name for path in _build.FOLDER.glob("*.cu"))

_F8, _F4, _I4, _I8 = np.float64, np.float32, np.int32, np.int64
_C16, _C8 = np.complex128, np.complex64
_SHARED_F8, _SHARED_F4 = _build.capacity(1, _F8), _build.capacity(1, _F4)

# Types of cost and potentials, and the costs read at once: 16 bytes where rows are aligned.
_PAIRS = [(_F8, _F8), (_F4, _F4), (_F4, _F8)]
_PAIRS_AND_WIDTHS = [(pair, width) for pair in _PAIRS for width in (1, 2 if pair[0] is _F8 else 4)]

# Type, dimension, metric, rows per thread of the kernels for points.
_POINTS = [(_F8, 3, 0, 2), (_F4, 2, 1, 2), (_F8, 1, 2, 2), (_F8, 16, 1, 1), (_F8, 0, 2, 1)]

# Type of a linear system and its indices.
_SYSTEMS = [(scalar, index) for scalar in (_F8, _F4, _C16, _C8) for index in (_I4, _I8)]

# Type of the columns of a sparse matrix and of its indices.
_COLUMNS = [(_F8, _I4), (_F8, _I8), (_F4, _I4), (_F4, _I8)]

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
    "merge.cu": [
        *(_build.expression("merge_sums", t) for t in [(_F8, _F8), (_F4, _F4), (_I4, _I8)]),
        *(_build.expression("merge_log_sums", t) for t in [(_F8,), (_F4,)]),
    ],
    "gibbs.cu": [
        *(
            _build.expression("gibbs_tiles", (*pair, width, gibbs._COLUMNS, gibbs._ROWS, store))
            for pair, width in _PAIRS_AND_WIDTHS
            for store in (False, True)
        ),
        *(
            _build.expression(kernel, (*pair, width, gibbs._LSE_COLUMNS, gibbs._LSE_ROWS))
            for kernel in ("gibbs_lse_rows", "gibbs_lse_columns")
            for pair, width in _PAIRS_AND_WIDTHS
        ),
        *(
            _build.expression("gibbs_count", (*pair, width, gibbs._COLUMNS, gibbs._ROWS))
            for pair, width in _PAIRS_AND_WIDTHS
        ),
        *(_build.expression("gibbs_fill", (*pair, gibbs._FILL_COLUMNS, gibbs._FILL_ROWS)) for pair in _PAIRS),
        *(_build.expression("gibbs_fill_columns", (*pair, gibbs._FILL_DEPTH)) for pair in _PAIRS),
    ],
    "scaling.cu": [
        *(
            _build.expression("scaling_sweep", (real, *pair, block))
            # A small block, too, which the sanitizers can run.
            for block, pairs in [
                (gibbs._SWEEP_BLOCK, gibbs._SWEEP_COLUMNS_DEPTH),
                (64, gibbs._SWEEP_COLUMNS_DEPTH[:3]),
            ]
            for real in (_F8, _F4)
            for pair in pairs
        ),
        *(
            _build.expression(kernel, (real,))
            for kernel in ("scaling_rows", "scaling_columns", "scaling_merge")
            for real in (_F8, _F4)
        ),
    ],
    "bipartite.cu": [
        _build.expression(kernel, (real,))
        for kernel in ("schur_columns", "schur_rows", "schur_pcg")
        for real in (_F8, _F4)
    ],
    "dual.cu": [
        *(_build.expression(kernel, (real,)) for kernel in ("side_terms", "step_terms") for real in (_F8, _F4)),
        *(_build.expression("merge_terms", shape) for shape in (dual._SIDE, dual._STEP)),
        *(_build.expression(kernel, (_I8,)) for kernel in ("kept_totals", "kept_starts")),
    ],
    "components.cu": [
        _build.expression(kernel, (_I4,)) for kernel in ("component_start", "component_join", "component_labels")
    ],
    "sor_batch.cu": [
        *(
            _build.expression("sor_batch", (scalar, index, held, size))
            for scalar, index in [(_F8, _I4), (_F4, _I4), (_F8, _I8), (np.complex128, _I4), (np.complex64, _I8)]
            for held, size in [(2, 512), (2, _build.capacity(1, scalar)), (1, _build.capacity(1, scalar)), (0, 0)]
        )
    ],
    "point_gibbs.cu": [
        *(_build.expression("point_sums", (*shape, value)) for shape in _POINTS for value in (False, True)),
        *(_build.expression(kernel, shape) for kernel in ("point_lse", "point_count") for shape in _POINTS),
        *(_build.expression("point_count", (*shape[:3], 1)) for shape in _POINTS if shape[3] != 1),
        *(_build.expression("point_fill", (*shape[:3], 1)) for shape in _POINTS),
        *(_build.expression("point_apply", (*shape, columns)) for shape in _POINTS[:2] for columns in (1, 2, 4, 8)),
    ],
    "block_sor.cu": [
        _build.expression(kernel, (*types, lanes))
        for kernel in ("block_sor_sweeps", "line_sor_sweeps")
        for lanes in (4, 32)
        for types in _SYSTEMS
    ],
    "stencil.cu": [
        _build.expression(kernel, types) for kernel in ("stencil_sweeps", "stencil_product") for types in _SYSTEMS
    ],
    "sor.cu": [
        *(_build.expression("sor_sweeps", (*types, lanes)) for lanes in (1, 8) for types in _SYSTEMS),
        *(_build.expression("split_values", types) for types in _SYSTEMS),
    ],
    "ssor.cu": [
        _build.expression(kernel, (*types, lanes))
        for kernel in ("ssor_sweeps", "ssor_solve")
        for lanes in (1, 8)
        for types in _SYSTEMS
    ],
    "eisenstat.cu": [_build.expression("eisenstat_pcg", (*types, lanes)) for lanes in (1, 8) for types in _SYSTEMS],
    "forest.cu": [
        *(
            _build.expression(kernel, (real,))
            for kernel in ("forest_factor", "forest_failure", "forest_solve")
            for real in (_F8, _F4)
        ),
        *(
            _build.expression(kernel, (real, index))
            for kernel in ("forest_ssor", "forest_schur")
            for real in (_F8, _F4)
            for index in (_I4, _I8)
        ),
    ],
    "descent.cu": [
        *(_build.expression("column_sums", (*types, squares)) for squares in (0, 1) for types in _COLUMNS),
        *(_build.expression(kernel, types) for kernel in ("csc_descent", "csc_gram") for types in _COLUMNS),
        *(_build.expression("dense_descent", (real,)) for real in (_F8, _F4)),
        *(_build.expression("gram_descent", t) for t in [(_F8, _SHARED_F8), (_F8, 0), (_F4, _SHARED_F4), (_F4, 0)]),
    ],
    "softmax.cu": [
        _build.expression(kernel, (real,)) for kernel in ("softmax_terms", "softmax_product") for real in (_F8, _F4)
    ],
}


def path_of(source: str) -> Path:
    """Return where a source of the package lies."""
    return _build.FOLDER / source
