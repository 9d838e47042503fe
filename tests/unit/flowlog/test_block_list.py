"""Where reading goes on in a list of blocks, and when it must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.flowlog.block_list import (
    Block,
    BlockCursor,
    cursor_behind,
    data_blocks,
    is_at_its_place,
)

HEAD, END = Block("A", 12), Block("Z", 2)
A, B, C = Block("a", 100), Block("b", 20), Block("c", 3)
BEHIND_B = BlockCursor("b", blocks=2, offset=132)


def test_the_cursor_is_behind_the_last_data_block() -> None:
    assert cursor_behind([HEAD, A, B, END]) == BEHIND_B
    assert cursor_behind([HEAD, A, END]) == BlockCursor("a", blocks=1, offset=112)
    assert data_blocks([HEAD, A, B, END]) == [A, B]


@pytest.mark.parametrize("blocks", [[], [HEAD], [HEAD, END]])
def test_where_there_is_no_data_there_is_no_cursor(blocks: list[Block]) -> None:
    assert cursor_behind(blocks) is None


@pytest.mark.parametrize(
    "blocks",
    [[], [HEAD], [END], [A, B, END], [HEAD, A, B], [Block("x", 4_194_304), Block("y", 815)]],
)
def test_other_layouts_than_azures_have_no_data_blocks(blocks: list[Block]) -> None:
    assert data_blocks(blocks) is None
    assert cursor_behind(blocks) is None
    assert not is_at_its_place(BEHIND_B, blocks)


@pytest.mark.parametrize("added", [[], [C], [C, A]])
def test_a_block_is_at_its_place_however_many_follow(added: list[Block]) -> None:
    assert is_at_its_place(BEHIND_B, [HEAD, A, B, *added, END])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param([], id="emptied"),
        pytest.param([A], id="gone"),
        pytest.param([A, C, B], id="moved back"),
        pytest.param([B, A, C], id="moved forward"),
        pytest.param([A, Block("b", 21), C], id="grown"),
        pytest.param([Block("a", 99), B, C], id="after one that shrank"),
        pytest.param([A, Block("other", 20), C], id="another of the same size"),
    ],
)
def test_a_block_is_not_at_its_place(data: list[Block]) -> None:
    assert not is_at_its_place(BEHIND_B, [HEAD, *data, END])


@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=20),
    st.lists(st.integers(1, 1000), max_size=20),
)
def test_what_only_grows_is_always_read_on(sizes: list[int], added: list[int]) -> None:
    data = [Block(f"{number}", size) for number, size in enumerate([*sizes, *added])]
    cursor = cursor_behind([HEAD, *data[: len(sizes)], END])
    assert cursor is not None
    assert cursor == BlockCursor(f"{len(sizes) - 1}", len(sizes), 12 + sum(sizes))
    assert is_at_its_place(cursor, [HEAD, *data, END])
