"""What only a GPU shows: the precision of float32 products, and data that stay where they are."""

import numpy as np
import pytest

pytestmark = pytest.mark.gpu


def test_float32_products_keep_full_precision() -> None:
    import cupy

    rng = np.random.default_rng(0)
    A, B = rng.random((256, 512), dtype=np.float32), rng.random((512, 256), dtype=np.float32)
    product = (cupy.asarray(A) @ cupy.asarray(B)).get()
    exact = A.astype("f8") @ B.astype("f8")
    # TF32 keeps 10 bits of each factor: a relative error near 1e-4 where float32 has 1e-6.
    assert np.max(np.abs(product - exact) / exact) < 512 * np.finfo("f4").eps / 8


def test_kernels_run_on_the_current_stream() -> None:
    import cupy

    from numopt.kernels import bind

    n = 1000
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        margins = cupy.zeros(n)
        margins += 1
        outputs = [cupy.empty(n) for _ in range(3)]
        bind(cupy).logistic_terms(margins, cupy.ones(n), *outputs)
    stream.synchronize()
    np.testing.assert_allclose(outputs[0].get(), np.log1p(np.exp(-1.0)), rtol=1e-15)


def test_repeated_calls_give_the_same_bits() -> None:
    import cupy

    from numopt.kernels import bind
    from tests.kernels.cases import sparse_matrix

    X = sparse_matrix(2000, 60, 0.2)
    arguments = [cupy.asarray(value) for value in (X.data, X.indices, X.indptr, np.ones(2000))]
    parts = bind(cupy).gram_parts(*X.shape)
    results = []
    for _ in range(3):
        out = cupy.empty((60, 60))
        bind(cupy).weighted_gram_csr(*arguments, cupy.empty((parts, 60, 60)), out)
        results.append(out.get())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("real", ["f8", "f4"])
def test_conjugate_gradients_over_many_blocks(real: str) -> None:
    import cupy
    import scipy.sparse as sp

    from numopt.kernels import bind

    n, m = 30_000, 20_000
    rng = np.random.default_rng(0)
    P = sp.random_array((n, m), density=2e-3, rng=rng, format="csr", dtype="f8") + sp.eye_array(n, m, format="csr")
    P = P.astype(real)
    Q = P.T.tocsr()
    r, c = 1.01 * P.sum(axis=1) + 1e-3, 1.01 * P.sum(axis=0) + 1e-3
    rhs = rng.standard_normal(n).astype(real)
    diagonal = r - P.power(2) @ (1 / c)
    arrays = [np.asarray(part, real) for part in (r, c, rhs, diagonal)]
    matrices = [(X.data, X.indices.astype("i4"), X.indptr.astype("i8")) for X in (P, Q)]
    moved = [cupy.asarray(part) for part in (*matrices[0], *matrices[1], *arrays)]
    rtol, results = 1e-9 if real == "f8" else 1e-4, []
    for _ in range(3):
        x, info = cupy.empty(n, real), cupy.empty(3)
        bind(cupy).schur_pcg(*moved, rtol, 500, x, cupy.empty((3, n), real), cupy.empty(m, real), info)
        results.append(x.get())
    residual = rhs - (r * results[0] - P @ ((Q @ results[0]) / c))
    assert np.linalg.norm(residual) <= 3 * rtol * np.linalg.norm(rhs)
    assert 1 < float(info[0]) < 500
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


# One of every number of columns that a thread may have, and more than any has.
@pytest.mark.parametrize("m", [700, 1500, 4000, 6001, 8000, 10000, 12000, 16384, 20000])
@pytest.mark.parametrize("real", ["f8", "f4"])
def test_scaling_sweep_in_every_width(m: int, real: str) -> None:
    import cupy

    from numopt.kernels import bind

    n, k = 500, bind(cupy)
    K, a, b, u, v = (cupy.random.random(shape).astype(real) for shape in [(n, m), n, m, n, m])
    r, c, work = cupy.empty(n, real), cupy.empty(m, real), cupy.empty((k.gibbs_parts(n, m), m), real)
    s = K.astype("f8") @ v
    expected = [u * s, a / s, K.T.astype("f8") @ (a / s), b / (K.T.astype("f8") @ (a / s))]
    k.scaling_sweep(K, a, b, u, v, r, work, c)
    for found, value in zip([r, u, c, v], expected, strict=True):
        np.testing.assert_allclose(found.get(), value.get(), rtol=50 * np.finfo(real).eps)


@pytest.mark.parametrize("columns", [1000, 1001])
@pytest.mark.parametrize("offset", [0, 1])
def test_plans_of_matrices_that_are_not_aligned(columns: int, offset: int) -> None:
    import cupy

    from numopt.kernels import bind

    n, k = 3000, bind(cupy)
    flat = cupy.random.random(n * columns + offset)
    C = flat[offset:].reshape(n, columns)
    f, g = cupy.random.random(n), cupy.random.random(columns)
    work = cupy.empty((k.gibbs_parts(n, columns), columns))
    P, r, c = cupy.empty((n, columns)), cupy.empty(n), cupy.empty(columns)
    k.gibbs_plan(C, f, g, 20.0, P, r, work, c)
    expected = cupy.exp(20.0 * (f[:, None] + g - C)).get()
    np.testing.assert_allclose(P.get(), expected, rtol=1e-13)
    np.testing.assert_allclose(r.get(), expected.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(c.get(), expected.sum(axis=0), rtol=1e-12)


def test_kept_pairs_of_points_do_not_depend_on_their_roles() -> None:
    import cupy

    from numopt.kernels import bind

    n, m, k = 20_000, 7_001, bind(cupy)
    X, Y, f, g = (cupy.random.random(shape) for shape in [(n, 3), (m, 3), n, m])
    row_floor, column_floor = cupy.full(n, 50.0), cupy.full(m, 60.0)
    sides = [
        (X, Y, 0, f, g, 100.0, row_floor, column_floor),
        (Y, X, 0, g, f, 100.0, column_floor, row_floor),
    ]
    found = []
    for side in sides:
        counts = cupy.empty(len(side[0]), "i8")
        k.point_count(*side, counts)
        indptr = cupy.concatenate([cupy.zeros(1, "i8"), cupy.cumsum(counts)])
        indices, data = cupy.empty(int(indptr[-1]), "i4"), cupy.empty(int(indptr[-1]))
        k.point_fill(*side, indptr, indices, data)
        rows = np.repeat(np.arange(len(side[0])), counts.get())
        found.append((rows, indices.get(), data.get()))
    (rows, columns, values), (trows, tcolumns, tvalues) = found
    order = np.lexsort((trows, tcolumns))
    np.testing.assert_array_equal(rows, tcolumns[order])
    np.testing.assert_array_equal(columns, trows[order])
    np.testing.assert_array_equal(values, tvalues[order])


@pytest.mark.parametrize("shape", ["chain", "random", "dense"])
def test_components_over_many_blocks(shape: str) -> None:
    import cupy
    import scipy.sparse as sp

    from numopt.kernels import bind
    from tests.kernels.test_components import arguments, oracle, path

    n, rng = 100_000, np.random.default_rng(0)
    if shape == "chain":
        graph = path(n, rng.permutation(n))
    else:
        entries = n // 2 if shape == "random" else 50 * n
        places = (rng.integers(0, n, entries), rng.integers(0, n // 2, entries))
        graph = sp.csr_array((np.ones(entries), places), shape=(n, n // 2))
    inputs = [cupy.asarray(part) for part in arguments(graph)]
    for _ in range(3):
        labels = cupy.empty(graph.shape[0], "i4"), cupy.empty(graph.shape[1], "i4")
        bind(cupy).bipartite_components(*inputs, *labels)
        for found, expected in zip(labels, oracle(graph), strict=True):
            np.testing.assert_array_equal(found.get(), expected)


def test_offsets_of_many_stretches() -> None:
    import cupy

    from numopt.kernels import bind

    n, m, parts = 100_000, 70_001, 264
    rng = np.random.default_rng(0)
    row_count, work = rng.integers(0, 99, n), rng.integers(0, 9, (parts, m))
    ends = np.cumsum(work.T.ravel()).reshape(m, parts).T
    moved, indptr, tindptr = cupy.asarray(work), cupy.empty(n + 1, "i8"), cupy.empty(m + 1, "i8")
    bind(cupy).kept_offsets(cupy.asarray(row_count), moved, indptr, tindptr)
    np.testing.assert_array_equal(indptr.get(), np.append(0, np.cumsum(row_count)))
    np.testing.assert_array_equal(tindptr.get(), np.append(0, ends[-1]))
    np.testing.assert_array_equal(moved.get(), ends - work)
