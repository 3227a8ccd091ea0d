"""The differentiable solve for JAX arrays."""

import numpy as np
import pytest

from numopt._core.warnings import ConvergenceWarning
from numopt.ot import solve

jax = pytest.importorskip("jax")


def data(seed=0, n=7, m=5):
    rng = np.random.default_rng(seed)
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return a / a.sum(), b / b.sum(), rng.random((n, m))


@pytest.fixture
def transport():
    """The solve of JAX arrays in double precision."""
    from numopt.ot.jax import solve as jax_solve

    with jax.enable_x64(True):
        yield jax_solve


def test_value_and_gradients_are_those_of_the_result(transport):
    a, b, C = data()
    res = solve(a, b, C, 0.1, tol=1e-12)
    bars = np.random.default_rng(1).standard_normal(C.shape)

    def loss(a, b, C):
        found = transport(a, b, C, 0.1, tol=1e-12)
        return (bars * found.plan).sum() + 2.0 * found.value + found.f[0] - found.g[1]

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(a, b, C)
    f, g = np.zeros_like(a), np.zeros_like(b)
    f[0], g[1] = 1.0, -1.0
    expected = res.vjp(plan=bars, value=2.0, f=f, g=g)
    for gradient, name in zip(gradients, "abC", strict=True):
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-8, atol=1e-8)


def test_failure_warns_and_gives_no_gradient(transport):
    a, b, C = data()
    with pytest.warns(ConvergenceWarning):
        gradient = jax.grad(lambda C: transport(a, b, C, 1e-3, maxiter=1).value)(C)
    assert np.all(np.isnan(gradient))


def test_options_that_make_no_sense_are_refused(transport):
    a, b, C = data()
    with pytest.raises(TypeError, match="`init`"):
        transport(a, b, C, 0.1, init=None)
