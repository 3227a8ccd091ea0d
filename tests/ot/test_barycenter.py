"""`barycenter` against POT's log-domain projections, closed forms and invariants."""

import inspect
import math
import warnings
from typing import Any

import numpy as np
import ot as pot
import pytest

from numopt.ot import barycenter
from tests.helpers.xp import make, to_numpy


def gaussian(n: int, mean: float, deviation: float) -> Any:
    h = np.exp(-((np.arange(n) - mean) ** 2) / (2.0 * deviation**2))
    return h / h.sum()


def line(n: int = 50) -> tuple[Any, Any]:
    """Three histograms on a line, costs up to 1."""
    A = np.stack([gaussian(n, 0.2 * n, 3.0), gaussian(n, 0.7 * n, 4.0), gaussian(n, 0.45 * n, 2.0)], axis=1)
    x = np.arange(n) / (n - 1)
    return A, (x[:, None] - x) ** 2


def points(n: int = 40, k: int = 3, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    M = pot.dist(X, X)
    return rng.dirichlet(np.full(n, 0.5), size=k).T, M / M.max()


def by_pot(A: Any, M: Any, reg: float, weights: Any = None) -> Any:
    with np.errstate(divide="ignore"):
        return pot.barycenter(
            A, M, reg, weights=weights, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000, warn=False
        )


def test_positional_arguments_are_those_of_pot() -> None:
    positional, expected = (
        [p for p in inspect.signature(f).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        for f in (barycenter, pot.barycenter)
    )
    assert [p.name for p in positional] == [p.name for p in expected]
    assert [p.default for p in positional if p.name != "method"] == [p.default for p in expected if p.name != "method"]


@pytest.mark.parametrize("problem", [line, points])
@pytest.mark.parametrize("method", ["sns", "sinkhorn", "sinkhorn_log", "Sinkhorn_stabilized"])
@pytest.mark.parametrize("weights", [None, [0.6, 0.3, 0.1]])
def test_barycentre_is_that_of_log_domain_projections(problem: Any, method: str, weights: Any, xp: Any) -> None:
    A, M = problem()
    w = None if weights is None else np.array(weights)
    for reg in (0.1, 0.01):
        p = barycenter(make(xp, A), make(xp, M), reg, None if w is None else make(xp, w), method, stopThr=1e-11)
        assert type(p) is type(make(xp, A))
        np.testing.assert_allclose(to_numpy(p), by_pot(A, M, reg, w), rtol=0, atol=1e-9)


def test_newton_steps_replace_projections_at_a_small_regularisation() -> None:
    A, M = points(60)
    p, log = barycenter(A, M, 2e-3, stopThr=1e-10, log=True)
    slow, projections = barycenter(A, M, 2e-3, stopThr=1e-10, log=True, method="sinkhorn")
    assert log["n_newton"] > 0
    assert log["niter"] < projections["niter"] / 4
    assert projections["n_newton"] == 0
    np.testing.assert_allclose(p, slow, atol=1e-9)


def test_small_regularisation_on_every_library(xp: Any) -> None:
    # exp(-M / reg) underflows: costs are streamed, Newton systems sparse.
    A, M = points(25)
    p, log = barycenter(make(xp, A), make(xp, M), 1.5e-3, stopThr=1e-9, log=True)
    assert log["n_newton"] > 0
    np.testing.assert_allclose(to_numpy(p), by_pot(A, M, 1.5e-3), atol=1e-8)


@pytest.mark.parametrize("reg", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("zeros", [False, True])
def test_newton_steps_are_robust(reg: float, zeros: bool) -> None:
    A, M = line(100)
    if zeros:
        A[A < 1e-6] = 0.0
        A /= A.sum(axis=0)
    p, log = barycenter(A, M, reg, np.array([0.5, 0.2, 0.3]), stopThr=1e-9, numItermax=300, log=True)
    assert log["err"][-1] <= 1e-9
    assert np.all(np.isfinite(p))
    assert p.sum() == pytest.approx(1.0, abs=1e-9)


def test_unequal_weights_give_the_mean_of_the_means() -> None:
    # Quadratic costs on a line: .9 * 12 + .1 * 36 = 14.4. POT's default method gives 17.8 here.
    x = np.arange(50.0)
    A = np.stack([gaussian(50, 12, 3), gaussian(50, 36, 3)], axis=1)
    M = (x[:, None] - x) ** 2
    for method in ("sns", "sinkhorn", "debiased"):
        p = barycenter(A, M, 10.0, np.array([0.9, 0.1]), method, stopThr=1e-5)
        assert p @ x == pytest.approx(14.40, abs=5e-3)


def test_gaussians_have_the_barycentre_of_the_closed_form() -> None:
    # With reg sum P log P, equal deviations s stay a Gaussian of variance s^2 + reg / 2 for |x - y|^2.
    x = np.linspace(-12.0, 12.0, 400)
    A = np.stack([np.exp(-((x - m) ** 2) / 2.0) for m in (-2.0, 2.0)], axis=1)
    M, reg = (x[:, None] - x) ** 2, 1.0
    A /= A.sum(axis=0)
    p = barycenter(A, M, reg, stopThr=1e-10)
    assert p @ x**2 == pytest.approx(1.0 + reg / 2.0, rel=1e-4)
    assert barycenter(A, M, reg, method="debiased") @ x**2 == pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("weights", [None, [0.6, 0.3, 0.1]])
def test_debiased_barycentre_is_that_of_pot(weights: Any, xp: Any) -> None:
    A, M = line()
    w = None if weights is None else np.array(weights)
    p, log = barycenter(
        make(xp, A), make(xp, M), 0.02, None if w is None else make(xp, w), "debiased", stopThr=1e-5, log=True
    )
    assert log["n_newton"] == 0
    # Both creep towards the limit at the end.
    expected = pot.bregman.barycenter_debiased(
        A, M, 0.02, weights=w, method="sinkhorn_log", stopThr=1e-9, numItermax=500, warn=False
    )
    np.testing.assert_allclose(to_numpy(p), expected, rtol=0, atol=5e-4)


def test_debiased_barycentre_of_one_histogram_is_itself() -> None:
    A, M = line()
    np.testing.assert_allclose(barycenter(A[:, :1], M, 0.01, method="debiased", stopThr=1e-6), A[:, 0], atol=5e-5)


def test_log_has_the_keys_of_pot_and_the_measure_of_the_answer() -> None:
    A, M = points()
    p, log = barycenter(A, M, 0.02, log=True)
    _, theirs = pot.barycenter(A, M, 0.02, method="sinkhorn_log", log=True)
    assert set(theirs) <= set(log)
    assert log["err"][-1] <= 1e-4 < log["err"][0]
    np.testing.assert_allclose(p, by_pot(A, M, 0.02), atol=1e-3)


def test_columns_of_weight_zero_and_atoms_of_mass_zero_do_not_matter(xp: Any) -> None:
    A, M = line()
    A[:5] = 0.0
    A /= A.sum(axis=0)
    p = barycenter(make(xp, A), make(xp, M), 0.01, make(xp, np.array([0.7, 0.0, 0.3])), stopThr=1e-11)
    expected = by_pot(A[:, [0, 2]], M, 0.01, np.array([0.7, 0.3]))
    np.testing.assert_allclose(to_numpy(p), expected, atol=1e-9)


def test_a_histogram_with_all_its_mass_in_one_atom() -> None:
    _, M = line(30)
    A = np.eye(30)[:, [3, 20]]
    p = barycenter(A, M, 0.01, stopThr=1e-10)
    kernel = np.exp(-M / 0.01)
    expected = np.sqrt(kernel[3] / kernel[3].sum() * kernel[20] / kernel[20].sum())
    # The barycentre is where the two plans' columns agree: only p itself can carry both.
    assert np.argmax(p) == np.argmax(expected)
    assert np.all(np.isfinite(p))


def test_costs_may_be_rectangular_and_shifted() -> None:
    A, M = points(20)
    part = M[:, :13]
    p, q = (barycenter(A, C, 0.02, stopThr=1e-11) for C in (part, part + 1e3))
    assert p.shape == (13,)
    np.testing.assert_allclose(q, p, atol=1e-9)


def test_mass_scales_the_barycentre() -> None:
    A, M = points()
    np.testing.assert_allclose(
        barycenter(5.0 * A, M, 0.02, stopThr=1e-10), 5.0 * barycenter(A, M, 0.02, stopThr=1e-11), atol=1e-8
    )


def test_float32_stays_float32(xp: Any) -> None:
    A, M = line()
    single = [make(xp, v, "float32") for v in (A, M)]
    for reg in (0.05, 0.005):
        p = barycenter(*single, reg)
        assert p.dtype == xp.float32
        np.testing.assert_allclose(to_numpy(p), by_pot(A, M, reg), atol=1e-4)
    with pytest.warns(UserWarning, match=r"`stopThr` of 1e-09 is below what .*float32"):
        barycenter(*single, 0.05, stopThr=1e-9)


def test_lists_and_integers_are_accepted() -> None:
    p = barycenter([[1, 0], [0, 1]], [[0, 1], [1, 0]], 1, [0.5, 0.5])
    np.testing.assert_allclose(p, [0.5, 0.5])


def test_callback_sees_the_barycentre_and_may_stop() -> None:
    A, M = points()
    seen: list[Any] = []

    def callback(intermediate_result: Any) -> None:
        seen.append(intermediate_result.x)
        if len(seen) == 3:
            raise StopIteration

    with pytest.warns(UserWarning, match="Stopped by the callback"):
        p = barycenter(A, M, 0.01, stopThr=1e-12, callback=callback)
    np.testing.assert_allclose(p, seen[-1])


@pytest.mark.parametrize("anneal", [None, True])
def test_too_few_iterations_warn_and_return_a_finite_barycentre(anneal: Any) -> None:
    A, M = points()
    with pytest.warns(UserWarning, match=r"Stopped after .*spread of the column sums .*raise numItermax"):
        p, log = barycenter(A, M, 1e-3, numItermax=3, anneal=anneal, log=True)
    assert np.all(np.isfinite(p))
    assert log["niter"] <= 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        barycenter(A, M, 1e-3, numItermax=3, warn=False)


def test_verbose_shows_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    A, M = points()
    barycenter(A, M, 0.1, verbose=True)
    assert "ot.barycenter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"A": np.ones(3)}, ValueError, "`A` must be a 2-D array"),
        ({"A": np.array([[1.0, np.nan], [0, 0], [0, 0]])}, ValueError, "`A` must be finite"),
        ({"A": np.array([[2.0, 1], [-1, 0], [0, 0]])}, ValueError, "`A` must hold non-negative"),
        ({"A": np.array([[1.0, 0], [0, 0], [0, 0]])}, ValueError, "`A` must have positive mass in every column"),
        ({"A": np.array([[1.0, 2], [0, 0], [0, 0]])}, ValueError, "same mass"),
        ({"A": np.ones((3, 2), dtype=complex)}, TypeError, "`A` must be real"),
        ({"M": np.ones((4, 4))}, ValueError, "`M` must have 3 rows"),
        ({"M": np.full((3, 3), np.inf)}, ValueError, "`M` must be finite"),
        ({"M": np.ones((3, 2)), "method": "debiased"}, ValueError, "`M` must be square"),
        ({"M": np.triu(np.ones((3, 3))), "method": "debiased"}, ValueError, "`M` must be symmetric"),
        ({"weights": np.ones(3) / 3}, ValueError, r"`weights` must have shape \(2,\)"),
        ({"weights": np.array([0.5, 0.6])}, ValueError, "sum to 1"),
        ({"weights": np.array([1.5, -0.5])}, ValueError, "non-negative"),
        ({"weights": np.array([np.nan, 1.0])}, ValueError, "non-negative"),
        ({"weights": np.array([0.5, 0.5j])}, TypeError, "`weights` must be real"),
        ({"reg": 0.0}, ValueError, "`reg` must be"),
        ({"reg": 5e-324, "M": np.eye(3)}, ValueError, "`reg` of .* is too small"),
        ({"method": "newton"}, ValueError, "`method` must be one of"),
        ({"anneal": "maybe"}, ValueError, "`anneal` must be"),
        ({"numItermax": 0}, ValueError, "`numItermax` must be"),
        ({"stopThr": math.nan}, ValueError, "`stopThr` must be"),
    ],
)
def test_bad_input_raises(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"A": np.full((3, 2), 1 / 3), "M": np.ones((3, 3)), "reg": 1.0, **change}
    with pytest.raises(error, match=message):
        barycenter(**arguments)
