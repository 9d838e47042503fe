"""A landed file: the rows of a written hour and source, and in its footer what they are made of.

Belongs here: the table, the manifest and the rows' way into a file and out of it. Which blobs are
read and which rows are carried over is decided by `landing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from flow_pipeline.flowlog.block_list import BlockCursor
from flow_pipeline.flowlog.schema import COUNTERS, ENCODED_SCHEMA, LANDED_SCHEMA
from flow_pipeline.lake import FOOTER_KEY, LakeFile, TableSpec, footer_bytes, staging, writing

LANDED_TUPLES = TableSpec(
    "landed_tuples",
    # Files say what is never null; to the table it would be a rule, which older readers refuse.
    pa.schema([field.with_nullable(True) for field in LANDED_SCHEMA])
    .append(pa.field("written_date", pa.date32()))
    .append(pa.field("written_hour", pa.int32())),
    ("written_date", "written_hour"),
)

# Small enough to carry over a blob's rows cheaply, large enough for dictionaries to pay.
_ROW_GROUP_ROWS = 65_536
# Times rise within a blob, counters are mostly small or none, ports are spread evenly: of
# all these differences are about as small as compression makes them, in less time.
_DELTA_COLUMNS = ("flow_time", *COUNTERS, "src_port")
# More of them are put together sooner than they are written one by one.
_FEW_BATCHES = 8
# PyArrow writes a column in batches of so many rows; its own default of 1,024 costs five percent.
_WRITE_BATCH_ROWS = 65_536
# A dictionary of texts comes with the rows; one of numbers would have to be made, which takes
# longer than the compression that it saves.
_DICTIONARY_COLUMNS = [field.name for field in ENCODED_SCHEMA if pa.types.is_dictionary(field.type)]
# Of evenly spread differences nothing is left to compress, nor of places in a small dictionary.
_UNCOMPRESSED = {"src_port", *_DICTIONARY_COLUMNS} - {"src_ip", "dst_ip"}
# Of texts that are written plain, DuckDB 2.0 takes nulls for the one text that stands beside.
_DICTIONARY_COLUMNS.append("reject_reason")
# By these a reader can leave out files and row groups. Rows are not sorted by any other column, so
# for those it would be a third of the time of writing for nothing.
_COLUMNS_WITH_STATISTICS = ["flow_time", "date", "hour", "reject_reason"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Problem(_Record):
    """What was wrong with a blob as a whole or with one of its records."""

    code: str
    detail: str
    record_no: int | None


class BlobManifest(_Record):
    """One blob as it was read. `tuples` = landed + rejected; its rows begin at `first_row`.

    `size` is that of the listing, `bytes_read` how many bytes the rows are made of, whenever they
    were fetched. `blocks` counts the data blocks, null where nobody asked for the block list; the
    last of them and the byte behind it are null where reading must not go on from there. What has a
    default is missing in the footers of older files.
    """

    blob: str
    etag: str
    size: int
    bytes_read: int | None = None
    blocks: int | None = None
    last_block_id: str | None = None
    last_block_end: int | None = None
    records: int
    tuples: int
    rejected: int
    rejects: Mapping[str, int]
    problems: tuple[Problem, ...]
    problem_count: int
    versions: Mapping[int, int]
    event_hours: Mapping[datetime, int]
    digest: str
    first_row: int
    landed_at: datetime
    gone_at: datetime | None

    @property
    def cursor(self) -> BlockCursor | None:
        """Where reading goes on when the blob has grown; None if it has to be read whole."""
        if self.blocks is None or self.last_block_id is None or self.last_block_end is None:
            return None
        return BlockCursor(self.last_block_id, self.blocks, self.last_block_end)


class Manifest(_Record):
    """What a landed file is made of; stands in its footer.

    `sources` are all sources that were configured when the hour was looked at: with `listed_at` it
    tells whether the hour is complete. `emptied_hours` are event hours that an earlier file of this
    hour had flows of and this one has not: what was made of those has to be made anew.
    """

    version: int
    source: str
    sources: tuple[str, ...]
    written_hour: datetime
    listed_at: datetime
    landing_id: str
    blobs: tuple[BlobManifest, ...]
    emptied_hours: tuple[datetime, ...] = ()

    @property
    def tuples(self) -> int:
        """Tuples read, decoded or not."""
        return sum(blob.tuples for blob in self.blobs)

    @property
    def rejected(self) -> int:
        """Tuples that could not be decoded."""
        return sum(blob.rejected for blob in self.blobs)

    @property
    def event_hours(self) -> set[datetime]:
        """The hours in which the decoded flows happened."""
        return {hour for blob in self.blobs for hour in blob.event_hours}

    @property
    def touched_hours(self) -> set[datetime]:
        """The event hours that have, or had once, flows of this written hour."""
        return {*self.event_hours, *self.emptied_hours}


@dataclass(frozen=True)
class Landing:
    """A landed file with its manifest."""

    file: LakeFile
    manifest: Manifest


def read_landing(file: LakeFile) -> Landing:
    """A landed file's manifest, from its footer."""
    return Landing(file, Manifest.model_validate(file.footer()))


class RowWriter:
    """Writes rows in the order in which they come; the manifest goes into the footer at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with staging(path):
            self._writer = pq.ParquetWriter(
                path,
                ENCODED_SCHEMA,
                compression={
                    name: "NONE" if name in _UNCOMPRESSED else "ZSTD"
                    for name in ENCODED_SCHEMA.names
                },
                # Whoever reads the file gets texts, and dictionaries only if he asks for them.
                store_schema=False,
                use_dictionary=_DICTIONARY_COLUMNS,
                column_encoding=dict.fromkeys(_DELTA_COLUMNS, "DELTA_BINARY_PACKED"),
                write_statistics=_COLUMNS_WITH_STATISTICS,
                write_batch_size=_WRITE_BATCH_ROWS,
            )
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._old: _OldRows | None = None
        self.count = 0

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._old is not None:
            self._old.close()
        if error is not None:
            # Closing writes a footer; on a full disk even that fails, and nobody would read it.
            with suppress(OSError):
                self._writer.close()
            self._path.unlink(missing_ok=True)

    def extend(self, batches: Iterator[pa.RecordBatch]) -> None:
        """Rows of ENCODED_SCHEMA. Raises LakeError where the disk refuses them."""
        for batch in batches:
            self._waiting.append(batch)
            self._waiting_rows += batch.num_rows
            self.count += batch.num_rows
            if self._waiting_rows >= _ROW_GROUP_ROWS:
                self._flush()

    def carry_over(self, path: Path, first_row: int, rows: int) -> None:
        """Copy a blob's rows from the file that is replaced; only its row groups are read."""
        if self._old is None or self._old.path != path:
            if self._old is not None:
                self._old.close()
            self._old = _OldRows(path)
        for table in self._old.rows(first_row, rows):
            self.extend(iter(table.to_batches()))

    def close(self, manifest: Manifest) -> None:
        """Write the footer, which makes the file whole. Raises LakeError as `extend`."""
        self._flush()
        footer = footer_bytes(manifest.model_dump(mode="json"))
        with writing(self._path):
            self._writer.add_key_value_metadata({FOOTER_KEY: footer})
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, ENCODED_SCHEMA)
            if len(self._waiting) > 1:
                # With one dictionary for all of them Parquet takes it over as it is.
                table = table.unify_dictionaries()
            if len(self._waiting) > _FEW_BATCHES:
                table = table.combine_chunks()
            with writing(self._path):
                self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting, self._waiting_rows = [], 0


class _OldRows:
    """The rows of a landed file that is replaced, a row group in memory at a time.

    Blobs stand in both files in the same order: so each group is read once, however many blobs it
    holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        texts = [field.name for field in ENCODED_SCHEMA if pa.types.is_dictionary(field.type)]
        self._file = pq.ParquetFile(path, read_dictionary=texts)
        metadata = self._file.metadata
        sizes = [metadata.row_group(no).num_rows for no in range(metadata.num_row_groups)]
        self._starts = list(accumulate(sizes, initial=0))
        self._group_no: int | None = None
        self._group = ENCODED_SCHEMA.empty_table()

    def rows(self, first_row: int, count: int) -> Iterator[pa.Table]:
        """The rows [first_row, first_row + count)."""
        end = first_row + count
        for group_no, (start, next_start) in enumerate(pairwise(self._starts)):
            low, high = max(first_row, start), min(end, next_start)
            if low < high:
                if group_no != self._group_no:
                    group = self._file.read_row_group(group_no, columns=LANDED_SCHEMA.names)
                    self._group = group.cast(ENCODED_SCHEMA)
                    self._group_no = group_no
                yield self._group.slice(low - start, high - low)

    def close(self) -> None:
        self._file.close()
