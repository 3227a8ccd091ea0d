"""`numopt._rng`: SPEC 7."""

from typing import Any

import numpy as np
import pytest

from numopt._rng import default_rng, spawn


@pytest.mark.parametrize("seed", [3, np.int64(3), np.random.SeedSequence(3)])
def test_equal_seeds_give_equal_streams(seed: Any) -> None:
    np.testing.assert_array_equal(default_rng(seed).random(4), np.random.default_rng(3).random(4))


def test_generator_is_returned_itself_and_bit_generator_is_wrapped() -> None:
    generator = np.random.default_rng(0)
    assert default_rng(generator) is generator
    assert default_rng(generator.bit_generator).bit_generator is generator.bit_generator


def test_none_draws_fresh_entropy() -> None:
    assert default_rng().integers(2**62) != default_rng(None).integers(2**62)


@pytest.mark.parametrize("bad", ["0", 1.0, True, [1, 2]])
def test_other_kinds_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=f"`rng` must be None, a non-negative integer, .* got {type(bad).__name__}"):
        default_rng(bad)


def test_legacy_state_is_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match=r"legacy random state is not supported; pass numpy\.random\.default_rng"):
        default_rng(np.random.RandomState(0))  # type: ignore[arg-type]


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="`rng` must be a non-negative integer seed, got -1"):
        default_rng(-1)


def test_spawned_generators_are_repeatable_and_differ() -> None:
    first, second = ([g.random() for g in spawn(7, 3)] for _ in range(2))
    assert first == second
    assert len(set(first)) == 3
    assert spawn(None, 0) == []


def test_spawning_leaves_the_stream_of_the_parent_alone() -> None:
    parent = np.random.default_rng(5)
    children = [g.random() for g in spawn(parent, 2)] + [g.random() for g in spawn(parent, 2)]
    assert len(set(children)) == 4
    assert parent.random() == np.random.default_rng(5).random()


def test_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="`n` must be a non-negative integer, got -2"):
        spawn(0, -2)
