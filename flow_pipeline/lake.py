"""The lake: Delta tables on a disk, their snapshots, and the one way to change a partition.

Belongs here: creating tables, snapshots, staging and committing files, footers, retention. What a
file holds and when it is made belongs to `landing` and `modelling`; how tables look from SQL to
`lake_views`.

A file is written under a new name and never touched again. One commit adds it and removes the one
that it replaces, and carries an application transaction named after table and partition: a writer
whose snapshot is no longer the newest for that partition is refused (`CommitRefused`) and has to
read its inputs again.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from flow_pipeline.errors import LakeError, LakeVersionError
from flow_pipeline.partitions import Partition, utc_now

LAKE_VERSION = 1
FOOTER_KEY = b"flow_pipeline"
ATTEMPTS = 10
_LONGEST_PAUSE = 0.2
# Of the system, so that processes that begin alike do not wait alike.
_CHANCE = random.SystemRandom()
_MARKER = "lake.json"
# What Delta, or DuckDB with hive partitions, takes for something else than a part of a path.
_MISREAD = re.compile(r"[?\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|(?:^|/)[^/=]+=")
# As `staged_beside` names files, and what DuckDB appends to that for a log of its own.
_STAGED = re.compile(r"\..+\.[0-9a-f]{32}(\.wal)?$")
# A checkpoint keeps opening a table cheap however many commits it has.
_TABLE_PROPERTIES = {"delta.checkpointInterval": "50"}


class CommitRefused(Exception):
    """Another writer changed the partition since the snapshot: read the inputs again.

    No failure that a user sees: whoever commits catches it and tries again, a bounded number of
    times.
    """


def attempts() -> Iterator[int]:
    """Tries at a commit that may be refused, with a pause before each but the first.

    Without pauses of random length a slow writer beside a quick one can lose every time.
    """
    for number in range(ATTEMPTS):
        if number:
            longest = min(0.01 * 2**number, _LONGEST_PAUSE)
            time.sleep(_CHANCE.uniform(0, longest))
        yield number


@dataclass(frozen=True)
class TableSpec:
    """A table's name, its columns (partition columns last) and how it is partitioned."""

    name: str
    schema: pa.Schema
    partition_by: tuple[str, ...]


@dataclass(frozen=True)
class LakeFile:
    """One file of a snapshot. `name` is its path below the table's directory, as the log has it."""

    root: Path
    name: str
    partition: Partition
    rows: int
    size: int
    # The log's statistics are read only where somebody asks: a snapshot may have thousands.
    actions: pa.Table = field(repr=False, compare=False)
    row: int = field(repr=False, compare=False)

    @cached_property
    def path(self) -> Path:
        """Where it lies."""
        return self.root / self.name

    @property
    def lowest(self) -> dict[str, Any]:
        """The lowest value of each column that has statistics."""
        return self._statistics("min.")

    @property
    def highest(self) -> dict[str, Any]:
        """The highest value of each column that has statistics."""
        return self._statistics("max.")

    def _statistics(self, prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value
            for name in self.actions.column_names
            if name.startswith(prefix)
            and (value := self.actions[name][self.row].as_py()) is not None
        }

    def footer(self) -> dict[str, Any]:
        """What the writer recorded of this file's origin."""
        return read_footer(self.path)


@dataclass(frozen=True)
class Snapshot:
    """A table at one version: its files, and what is needed to commit on top of it."""

    spec: TableSpec
    root: Path
    version: int
    files: tuple[LakeFile, ...]
    # None where it is only read so far: whoever commits has one of its own.
    _opened: DeltaTable | None = field(repr=False, compare=False)

    @cached_property
    def _delta(self) -> DeltaTable:
        """The table at this version."""
        return self._opened or DeltaTable(str(self.root), version=self.version)

    @property
    def paths(self) -> list[str]:
        """Where the files lie, as text: a path of each would cost more than all else of it."""
        return [f"{self.root}/{file.name}" for file in self.files]

    @cached_property
    def by_partition(self) -> dict[Partition, tuple[LakeFile, ...]]:
        """The files of each partition that has any."""
        found: dict[Partition, list[LakeFile]] = {}
        for file in self.files:
            found.setdefault(file.partition, []).append(file)
        return {partition: tuple(files) for partition, files in found.items()}

    def files_of(self, partition: Partition) -> tuple[LakeFile, ...]:
        """The files of one partition; none if it was never written."""
        return self.by_partition.get(partition, ())

    def bounds(self, column: str) -> list[tuple[LakeFile, Any, Any]]:
        """Each file with the lowest and highest value of a column, for those that have any row."""
        if not self.files:
            return []
        actions = self.files[0].actions
        lowest, highest = (actions[f"{end}.{column}"].to_pylist() for end in ("min", "max"))
        return [
            (file, lowest[file.row], highest[file.row])
            for file in self.files
            if lowest[file.row] is not None and highest[file.row] is not None
        ]

    def stage(self, partition: Partition) -> Path:
        """A new name in the partition's directory, which is made. Nobody reads it before commit."""
        directory = self.root / partition.path
        with writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{uuid.uuid4().hex}.parquet"

    def commit(
        self,
        partition: Partition,
        added: Sequence[Path],
        replaced: Iterable[LakeFile],
    ) -> None:
        """Add staged files and remove those that they replace, in one commit.

        Raises CommitRefused if the partition changed since this snapshot was taken, LakeError where
        the disk refuses it; the staged files are deleted then, for nobody can use them.
        """
        now = int(time.time() * 1000)
        values = partition.as_dict()
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=path.relative_to(self.root).as_posix(),
                size=path.stat().st_size,
                partition_values=values,
                modification_time=now,
                data_change=True,
                stats=_statistics(path),
            )
            for path in added
        ]
        actions += [
            RemoveAction(
                path=file.name,
                data_change=True,
                deletion_timestamp=now,
                size=file.size,
                partition_values=values,
            )
            for file in replaced
        ]
        app_id = f"{self.spec.name}/{partition.path}"
        try:
            with writing(self.root):
                refused = self._commit(actions, app_id, added)
        except LakeError:
            # A checkpoint, for instance, is written when the commit has been made.
            actions_now = pa.table(cast(Any, DeltaTable(str(self.root)).get_add_actions()))
            committed = set(actions_now["path"].to_pylist())
            _discard(
                path for path in added if path.relative_to(self.root).as_posix() not in committed
            )
            raise
        if refused is not None:
            _discard(added)
            raise CommitRefused(str(refused)) from refused

    def _commit(
        self, actions: list[AddAction | RemoveAction], app_id: str, added: Sequence[Path]
    ) -> CommitFailedError | None:
        """Write to the log; returns why that was refused."""
        for path in added:
            _flush(path)
        number = self._delta.transaction_version(app_id) or 0
        transaction = CommitProperties(app_transactions=[Transaction(app_id, number + 1)])
        refused: CommitFailedError | None = None
        # Delta holds a commit against all others since the table was read. Of a range of hours each
        # would cost more than the one before: so all but the first are made on top of the newest.
        table = self._now() if self._committed else self._delta
        for _ in range(ATTEMPTS):
            if table is not self._delta and (table.transaction_version(app_id) or 0) != number:
                return refused or CommitFailedError(f"{app_id} was changed by another run")
            try:
                table.create_write_transaction(
                    actions,
                    "append",
                    self.spec.schema,
                    partition_by=list(self.spec.partition_by),
                    commit_properties=transaction,
                )
            except CommitFailedError as error:
                # Delta refuses to remove a file once any other was removed since. That is of no
                # concern while nobody has committed to this partition: on top of the newest.
                refused = error
                table = self._now()
            else:
                self._committed.add(app_id)
                return None
        return refused

    def _now(self) -> DeltaTable:
        """The table as it is now, others' commits and ours included."""
        self._newest.update_incremental()
        return self._newest

    @cached_property
    def _committed(self) -> set[str]:
        """What has been committed on top of this snapshot."""
        return set()

    @cached_property
    def _newest(self) -> DeltaTable:
        """The table as others have changed it meanwhile; `_delta` stays at this version."""
        return DeltaTable(str(self.root))


# Tables as they were read last, with the mark of that version: a run opens its lake several times,
# looks at its tables hundreds of times, and most of them have not changed since.
_last_read: dict[Path, tuple[Snapshot, tuple[int, int]]] = {}
_MOST_LAST_READ = 200


class Lake:
    """A lake's directory. Opening it checks that this program may read it."""

    def __init__(self, root: Path, marker: dict[str, Any]) -> None:
        self.root = root
        self._marker = marker

    @classmethod
    def open(cls, root: Path, *, is_sample: bool = False) -> Lake:
        """Open the lake, or begin one in an empty or absent directory. Raises as `find`."""
        lake = cls.find(root, is_sample=is_sample)
        if lake is not None:
            return lake
        marker = {"version": LAKE_VERSION, "is_sample": is_sample, "start": None}
        try:
            root.mkdir(parents=True, exist_ok=True)
            _write_marker(root, marker)
        except OSError as error:
            raise unusable(root, error) from None
        return cls(root, marker)

    @classmethod
    def find(cls, root: Path, *, is_sample: bool = False) -> Lake | None:
        """Open the lake that is there, or None where one could begin. Writes nothing.

        Raises LakeVersionError for another layout, LakeError if the directory cannot be used, or
        if generated data would mix with real ones.
        """
        if misread := _MISREAD.search(str(root.absolute())):
            raise LakeError(
                f"The lake cannot be in {str(root)!r}: {misread.group()!r} would be misread there",
                "A path without question marks, backslashes, control characters, percent-encoded "
                "ones, and directories named like partitions (name=value)",
                "Set FLOW_LAKE to another directory",
            )
        try:
            marker = _read_marker(root / _MARKER)
        except FileNotFoundError:
            if any(root.glob("*/_delta_log")):
                raise LakeError(
                    f"The lake {root} has tables but no {_MARKER}",
                    "A lake that this program wrote",
                    f"Restore {_MARKER}, or set FLOW_LAKE to another directory",
                ) from None
            return None
        except (OSError, ValueError) as error:
            raise unusable(root, error) from None
        if marker["version"] != LAKE_VERSION:
            raise LakeVersionError(
                f"The lake {root} has layout {marker['version']}",
                f"This program reads and writes layout {LAKE_VERSION}",
                "Use the version that wrote it, or set FLOW_LAKE to a new directory and land again",
            )
        if bool(marker["is_sample"]) != is_sample:
            kind, other = ("generated", "real") if marker["is_sample"] else ("real", "generated")
            raise LakeError(
                f"The lake {root} holds {kind} data",
                f"{other.capitalize()} data go to a lake of their own",
                "Set FLOW_LAKE to another directory",
            )
        return cls(root, marker)

    @classmethod
    def open_to_read(cls, root: Path) -> Lake:
        """Open a lake that exists, whatever it holds. Raises LakeError if there is none."""
        try:
            marker = _read_marker(root / _MARKER)
        except FileNotFoundError:
            raise LakeError(
                f"There is no lake in {root}",
                "A directory that `flow-pipeline run` made",
                "Run `flow-pipeline run` first, or set FLOW_LAKE to where the lake is",
            ) from None
        except (OSError, ValueError) as error:
            raise unusable(root, error) from None
        return cls.open(root, is_sample=bool(marker["is_sample"]))

    @property
    def start(self) -> datetime | None:
        """The first written hour, as recorded; None before the first run."""
        return datetime.fromisoformat(self._marker["start"]) if self._marker["start"] else None

    @property
    def is_sample(self) -> bool:
        """Whether the lake holds the generated sample."""
        return bool(self._marker["is_sample"])

    def record_start(self, hour: datetime) -> None:
        """Record the first written hour, so that partitions need no network to be defined."""
        if self._marker["start"] != hour.isoformat():
            self._record(start=hour.isoformat())

    def table_names(self) -> list[str]:
        """The names of the tables that exist."""
        return sorted(log.parent.name for log in self.root.glob("*/_delta_log"))

    def ensure_table(self, spec: TableSpec) -> None:
        """Create a table unless it is there. Losing the race to create it is no error."""
        path = self.root / spec.name
        if DeltaTable.is_deltatable(str(path)):
            return
        try:
            with writing(path):
                DeltaTable.create(
                    str(path),
                    spec.schema,
                    mode="ignore",
                    partition_by=list(spec.partition_by),
                    configuration=_TABLE_PROPERTIES,
                )
        except DeltaError:
            if not DeltaTable.is_deltatable(str(path)):
                raise

    def begin_anew_if_other_columns(self, name: str, columns: Iterable[str]) -> None:
        """Remove a table that an older version wrote with other columns, if it can be made anew.

        What it held is then missing, and made again like all that is missing. Its files stay for
        those who read them until they are vacuumed.
        """
        snapshot = self.snapshot(name)
        if snapshot is None or set(snapshot.spec.schema.names) == set(columns):
            return
        log = snapshot.root / "_delta_log"
        replaced = log.with_name(f"replaced_log-{uuid.uuid4()}")
        # Another run may begin the table anew as soon as its log is gone, or have done so before.
        with writing(snapshot.root), suppress(FileNotFoundError):
            log.rename(replaced)
            shutil.rmtree(replaced)

    def snapshot(self, name: str) -> Snapshot | None:
        """The newest version of a table; None if it does not exist yet."""
        root = self.root / name
        if (last_read := _last_read.get(root)) is not None:
            read, mark = last_read
            # What cannot be looked at is told of by opening it.
            with suppress(OSError):
                if mark == _mark(root, read.version) and _mark(root, read.version + 1) is None:
                    return replace(read, _opened=None)
        try:
            delta = DeltaTable(str(root))
            mark = _mark(root, delta.version())
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise unusable(root, error) from None
        partition_by = tuple(delta.metadata().partition_columns)
        schema = pa.schema(cast(Any, delta.schema().to_arrow()))
        spec = TableSpec(name, schema, partition_by)
        actions = pa.table(cast(Any, delta.get_add_actions(flatten=True)))
        files = sorted(_files(root, partition_by, actions), key=_file_order)
        read = Snapshot(spec, root, delta.version(), tuple(files), delta)
        if mark is not None:
            if len(_last_read) >= _MOST_LAST_READ:
                _last_read.clear()
            _last_read[root] = (read, mark)
        return read

    def version(self, name: str) -> int:
        """The newest version of a table that exists."""
        snapshot = self.snapshot(name)
        assert snapshot is not None, f"{name} does not exist"
        return snapshot.version

    def existing(self, spec: TableSpec) -> Snapshot:
        """The newest version of a table that is created if need be."""
        self.ensure_table(spec)
        snapshot = self.snapshot(spec.name)
        assert snapshot is not None, f"{spec.name} was just created"
        return snapshot

    def vacuum_daily(self, keep: timedelta) -> None:
        """Vacuum, at most once a day: it has to look at every file that lies there."""
        now = utc_now()
        last = self._marker.get("vacuumed_at")
        if last is not None and now - datetime.fromisoformat(last) < timedelta(days=1):
            return
        self.vacuum(keep)
        self._record(vacuumed_at=now.isoformat(timespec="seconds"))

    def _record(self, **values: str) -> None:
        with writing(self.root):
            # Another process may have recorded something since this one opened the lake.
            self._marker = _read_marker(self.root / _MARKER) | values
            _write_marker(self.root, self._marker)

    def vacuum(self, keep: timedelta) -> int:
        """Delete files that were replaced, or staged and never committed, longer ago than `keep`.

        Returns how many.
        """
        hours = max(1, int(keep / timedelta(hours=1)))
        deleted = 0
        for name in self.table_names():
            vacuum = partial(
                DeltaTable(str(self.root / name)).vacuum,
                retention_hours=hours,
                enforce_retention_duration=False,
                full=True,
            )
            # The log names what was removed for a while after it is deleted. And a vacuum writes
            # two commits, even one that finds nothing.
            found = [path for path in vacuum(dry_run=True) if (self.root / name / path).exists()]
            if found:
                with writing(self.root / name):
                    vacuum(dry_run=False)
                deleted += len(found)
        return deleted + self._vacuum_beside_tables(keep)

    def _vacuum_beside_tables(self, keep: timedelta) -> int:
        """Delete what was staged beside the tables by a run that was killed then."""
        oldest = time.time() - keep.total_seconds()
        found = [path for path in self.root.iterdir() if _STAGED.match(path.name)]
        deleted = 0
        for path in found:
            # Another run may put it in place, or delete it, while we look.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    deleted += 1
        return deleted


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Tell what the disk refuses inside as a LakeError that names `path`."""
    try:
        yield
    except OSError as error:
        raise unusable(path, error) from error


@contextmanager
def staging(path: Path) -> Generator[None]:
    """As `writing`, of a new file, which does not stay where it was not finished."""
    try:
        with writing(path):
            yield
    except BaseException:
        _discard([path])
        raise


def read_footer(path: Path) -> dict[str, Any]:
    """What the writer of a Parquet file recorded of its origin.

    Raises LakeError if the file is missing or has no such record.
    """
    try:
        recorded = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowInvalid) as error:
        raise unusable(path, error) from None
    if FOOTER_KEY not in recorded:
        raise LakeError(
            f"{path} does not say what it is made of",
            "A file that this program wrote",
            "Delete the table's directory and run again; what can be rebuilt will be",
        )
    return json.loads(recorded[FOOTER_KEY])


def footer_bytes(recorded: Mapping[str, Any]) -> bytes:
    """A footer as it stands in a file: the same content gives the same bytes."""
    return json.dumps(recorded, sort_keys=True, separators=(",", ":")).encode()


def _files(root: Path, partition_by: Sequence[str], actions: pa.Table) -> Iterator[LakeFile]:
    values = [
        [(name, _partition_text(value)) for value in actions[f"partition.{name}"].to_pylist()]
        for name in partition_by
    ]
    paths, sizes, counts = (
        actions[name].to_pylist() for name in ("path", "size_bytes", "num_records")
    )
    for row, path in enumerate(paths):
        partition = Partition(tuple(column[row] for column in values))
        yield LakeFile(root, path, partition, counts[row] or 0, sizes[row], actions, row)


def _mark(root: Path, version: int) -> tuple[int, int] | None:
    """What tells a commit from one of that number in a log begun anew; None if there is none."""
    try:
        found = (root / f"_delta_log/{version:020}.json").stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def _file_order(file: LakeFile) -> tuple[tuple[tuple[str, str], ...], str]:
    return (file.partition.values, file.name)


def _partition_text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _statistics(path: Path) -> str:
    """Row count, and lowest and highest values of numbers and times, so that engines can prune."""
    metadata = pq.read_metadata(path)
    lowest: dict[str, Any] = {}
    highest: dict[str, Any] = {}
    unknown: set[str] = set()
    for group_no in range(metadata.num_row_groups):
        group = metadata.row_group(group_no)
        for column_no in range(group.num_columns):
            column = group.column(column_no)
            name = column.path_in_schema
            statistics = column.statistics
            if statistics is None or not statistics.has_min_max:
                if statistics is None or statistics.null_count != group.num_rows:
                    unknown.add(name)
                continue
            low, high = statistics.min, statistics.max
            if isinstance(low, (int, date)) and not isinstance(low, bool):
                lowest[name] = min(lowest.get(name, low), low)
                highest[name] = max(highest.get(name, high), high)
    return json.dumps(
        {
            "numRecords": metadata.num_rows,
            "minValues": {k: _json_value(v) for k, v in lowest.items() if k not in unknown},
            "maxValues": {k: _json_value(v) for k, v in highest.items() if k not in unknown},
        }
    )


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        # To the microsecond where there are any: a maximum that is cut short hides rows.
        whole = value.microsecond % 1000 == 0
        timespec = "milliseconds" if whole else "microseconds"
        return value.replace(tzinfo=None).isoformat(timespec=timespec)
    return value.isoformat() if isinstance(value, date) else value


def _flush(path: Path) -> None:
    # The log must not name a file whose bytes a power cut can still take away.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _read_marker(path: Path) -> dict[str, Any]:
    """Raises FileNotFoundError, OSError, or ValueError for a file that is no marker."""
    marker = json.loads(path.read_bytes())
    if not isinstance(marker, dict) or "version" not in marker:
        raise ValueError(f"{path.name} is damaged")
    return {"is_sample": False, "start": None} | cast(dict[str, Any], marker)


def _write_marker(root: Path, marker: Mapping[str, Any]) -> None:
    replace_file(root / _MARKER, json.dumps(marker, indent=2).encode() + b"\n")


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file so that a reader sees the old one or the new one, never a part.

    Raises LakeError where the disk refuses it.
    """
    staged = staged_beside(path)
    with staging(staged):
        staged.write_bytes(content)
        _flush(staged)
        staged.replace(path)


def staged_beside(path: Path) -> Path:
    """A new name in the same directory, for a file that is to be renamed into place."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def unusable(path: Path, error: Exception) -> LakeError:
    """What the disk, or whoever writes to it for us, said of a path, as a user should read it."""
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    # Delta's own words come as a coloured tree.
    reason = " ".join(re.sub("\x1b\\[[0-9;]*m|\u21b3", "", told).split())
    return LakeError(
        f"The lake cannot be used: {path}: {reason}",
        "A directory that can be read and written, with space left",
        "Check permissions and space, or set FLOW_LAKE to another directory",
    )
