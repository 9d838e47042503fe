"""The blocks of a blob, and where among them reading left off.

Azure puts one block in about once a minute: the list is a head (`{"records":[`), data blocks and an
end (`]}`), and grows before its end. So what stands behind the last data block that was read is
new, and the end with it.

Belongs here: arithmetic on block lists. Asking for one is the business of a source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

HEAD_BYTES = len(b'{"records":[')
END = b"]}"


class Block(NamedTuple):
    """One committed block: its id and its size in bytes."""

    id: str
    size: int


@dataclass(frozen=True)
class BlockCursor:
    """Where a blob was left: its last data block, which it was, and the byte behind it."""

    last_block_id: str
    blocks: int
    offset: int


def data_blocks(blocks: Sequence[Block]) -> Sequence[Block] | None:
    """The blocks between head and end; None if the list is not laid out so."""
    if len(blocks) < 2 or blocks[0].size != HEAD_BYTES or blocks[-1].size != len(END):
        return None
    return blocks[1:-1]


def cursor_behind(blocks: Sequence[Block]) -> BlockCursor | None:
    """The cursor of one who has read all data blocks; None if there are none."""
    data = data_blocks(blocks)
    if not data:
        return None
    offset = HEAD_BYTES + sum(block.size for block in data)
    return BlockCursor(data[-1].id, len(data), offset)


def is_at_its_place(cursor: BlockCursor, blocks: Sequence[Block]) -> bool:
    """Whether the blob still begins with what was read up to the cursor."""
    data = data_blocks(blocks)
    if data is None or len(data) < cursor.blocks:
        return False
    return cursor_behind([blocks[0], *data[: cursor.blocks], blocks[-1]]) == cursor
