"""The draws are pinned to values worked out apart, so that no library can move the sample."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.sample.draws import Draws, apportion


def test_the_stream_is_that_of_pcg64() -> None:
    # The same generator, asked for doubles by its own method instead of by its bits.
    from zlib import crc32

    import numpy as np

    generator = np.random.Generator(np.random.PCG64([5, crc32(b"a purpose")]))
    assert Draws(5, "a purpose").units(1_000).tolist() == generator.random(1_000).tolist()


def test_purposes_do_not_share_a_stream() -> None:
    assert Draws(5, "a").units(3).tolist() != Draws(5, "b").units(3).tolist()


@given(st.integers(0, 2**63), st.lists(st.integers(0, 9), min_size=1).filter(any))
def test_a_pick_never_takes_what_has_no_weight(seed: int, weights: list[int]) -> None:
    assert all(weights[index] for index in Draws(seed, "pick").pick(weights, 50).tolist())


@given(st.integers(0, 2**40), st.integers(-5, 5), st.integers(0, 9))
def test_between_stays_between(seed: int, least: int, more: int) -> None:
    drawn = Draws(seed, "between").between((least, least + more), 50).tolist()
    assert all(least <= value <= least + more for value in drawn)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1).filter(any))
def test_apportioned_parts_add_up_and_are_within_one_of_their_share(
    total: int, weights: list[int]
) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - total * weight) < sum(weights)


def test_largest_remainders_come_first_and_ties_by_place() -> None:
    # 10 by 1:1:1 is 3.33 each: the one left over goes to the first.
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    # 10 by 26:74 is 2.6 and 7.4.
    assert apportion(10, [26, 74]) == [3, 7]
