"""Penalties: proximal points, minimal subgradients, and their restriction to blocks."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numopt.coordinate._penalty import Penalty
from tests.helpers.xp import load, make, to_numpy

NUMPY = load("numpy")
VALUES = st.floats(-3, 3)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.floats(0.1, 5), st.floats(0, 2), st.floats(-2, 0), st.floats(0, 2))
def test_proximal_point_minimises(v: float, L: float, l1: float, lower: float, upper: float) -> None:
    penalty = Penalty(np.empty(1), NUMPY, l1=l1, lower=lower, upper=upper)
    z = penalty.prox(np.array([v]), L)[0]
    grid = np.linspace(lower, upper, 2001)
    values = l1 * np.abs(grid) + L / 2 * (grid - v) ** 2
    assert lower <= z <= upper
    assert l1 * abs(z) + L / 2 * (z - v) ** 2 <= values.min() + 1e-12


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=6, max_size=6), st.floats(0.1, 5), st.floats(0, 2))
def test_proximal_point_of_groups_minimises(values: list[float], L: float, l1: float) -> None:
    groups = [np.array([0, 3]), np.array([1, 2, 5]), np.array([4])]
    weights = np.array([1.0, 0.5, 2.0])
    penalty = Penalty(np.empty(6), NUMPY, l1=l1, groups=groups, group_weights=weights)
    v = np.array(values)
    z = penalty.prox(v, L)
    # The minimal subgradient of the objective of the proximal point is zero there.
    np.testing.assert_allclose(penalty.min_subgradient(z, L * (z - v)), 0.0, atol=1e-9)
    expected = sum(l1 * w * np.linalg.norm(z[group]) for w, group in zip(weights, groups, strict=True))
    assert penalty.value(z) == pytest.approx(expected)


def test_parts_agree_with_the_whole(xp: Any) -> None:
    rng = np.random.default_rng(0)
    l1, lower, upper = rng.random(8), -rng.random(8), rng.random(8)
    lower[2], upper[5] = -math.inf, math.inf
    penalty = Penalty(make(xp, np.empty(8)), xp, l1=make(xp, l1), lower=make(xp, lower), upper=make(xp, upper))
    x = make(xp, np.clip(rng.standard_normal(8), lower, upper))
    g = make(xp, rng.standard_normal(8))
    block = make(xp, np.array([1, 2, 5, 7]))
    part = penalty.restrict(block)
    xb, gb = xp.take(x, block), xp.take(g, block)
    whole = to_numpy(penalty.min_subgradient(x, g))[[1, 2, 5, 7]]
    np.testing.assert_array_equal(to_numpy(penalty.min_subgradient(xb, gb, block)), whole)
    np.testing.assert_array_equal(to_numpy(part.min_subgradient(xb, gb)), whole)
    np.testing.assert_array_equal(to_numpy(part.prox(gb, 2.0)), to_numpy(penalty.prox(gb, 2.0, block)))
    table = to_numpy(penalty.table(0.5, 8))
    np.testing.assert_array_equal(table, np.stack([l1, np.full(8, 0.5), lower, upper]))


@pytest.mark.parametrize("kind", ["plain", "nonneg", "box"])
def test_candidates_hold_the_free_and_the_violating(kind: str) -> None:
    rng = np.random.default_rng(1)
    bounds = {"plain": {}, "nonneg": {"lower": 0.0}, "box": {"lower": -0.5, "upper": 0.5}}[kind]
    penalty = Penalty(np.empty(200), NUMPY, l1=0.5, **bounds)
    x = penalty.project(rng.standard_normal(200) * (rng.random(200) < 0.5))
    g = rng.standard_normal(200)
    candidates = set(penalty.candidates(x, g).tolist())
    assert set(np.flatnonzero(penalty.min_subgradient(x, g)).tolist()) <= candidates
    assert set(penalty.free(x).tolist()) <= candidates


def test_nan_is_passed_on() -> None:
    penalty = Penalty(np.empty(2), NUMPY, l1=0.5)
    assert np.isnan(penalty.min_subgradient(np.zeros(2), np.array([np.nan, 0.0]))[0])
