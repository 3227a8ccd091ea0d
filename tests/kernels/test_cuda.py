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
