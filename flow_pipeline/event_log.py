"""Dagster's event log in SQLite, with connections that stay open and one commit for a batch.

Belongs here: how the events of a run reach the disk. What they say is Dagster's, and so are the
files and their tables: Dagster's own event log reads and writes the same ones, before, after and
meanwhile. `dagster.yaml` names this class.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import RLock

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine

# Dagster's name for the database of all runs; each run has one of its own beside it.
_INDEX = "index"
# As long as Dagster waits for another process that writes.
_SECONDS_TO_WAIT = 30


class EventLog(SqliteEventLogStorage):
    """The event log of a Dagster home.

    Dagster's own opens and closes the database several times for each event, and SQLite brings
    everything to its place, with several waits for the disk, whenever nobody has it open any more.
    """

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # Before Dagster's own part, which already asks for connections.
        self._lock = RLock()
        self._engines: dict[str, Engine] = {}
        self._in_batch: dict[str, Connection] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, object]
    ) -> EventLog:
        """From dagster.yaml: `base_dir` is the Dagster home, and the log is where it always is."""
        return cls(str(Path(str(config_value["base_dir"]), "history", "runs")), inst_data)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        """A transaction in the database of a run."""
        return self._transaction(run_id or "")

    def index_connection(self) -> AbstractContextManager[Connection]:
        """A transaction in the database of all runs."""
        return self._transaction(_INDEX)

    def has_table(self, table_name: str) -> bool:
        """Whether a table is there; it is asked for every event, and no table ever goes."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store an event and what follows from it."""
        self.store_event_batch([event])

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events of one run, all or none of them, with a commit for each database."""
        run_id = events[0].run_id
        with self._lock:
            with ExitStack() as commits:
                commits.callback(self._in_batch.clear)
                # The last one that is entered is committed first: the run's, as Dagster does.
                for database in (_INDEX, run_id):
                    self._in_batch[database] = commits.enter_context(self._transaction(database))
                for event in events:
                    super().store_event(_of_whole_run(event))
            # Who watches a run, as its page in the UI does, watches its file; a commit goes into
            # the log beside it.
            os.utime(self.path_for_shard(run_id))

    def wipe(self) -> None:
        """Delete all events; the databases of runs are deleted as files."""
        with self._lock:
            self._close()
            super().wipe()

    def dispose(self) -> None:
        """Close the databases."""
        with self._lock:
            self._close()
        super().dispose()

    @contextmanager
    def _transaction(self, database: str) -> Generator[Connection]:
        with self._lock:
            if database in self._in_batch:
                yield self._in_batch[database]
            else:
                with self._engine(database).begin() as connection:
                    yield connection

    def _engine(self, database: str) -> Engine:
        if database not in self._engines:
            is_index = database == _INDEX
            if not is_index:
                # One run at a time: a UI that is open for days looks at very many.
                self._close(keep=_INDEX)
            # Dagster's own way makes a database that is not there yet.
            with super().index_connection() if is_index else super().run_connection(database):
                self._engines[database] = create_engine(
                    self.conn_string_for_shard(database),
                    connect_args={"timeout": _SECONDS_TO_WAIT},
                )
        return self._engines[database]

    def _close(self, *, keep: str | None = None) -> None:
        for database in set(self._engines) - {keep}:
            self._engines.pop(database).dispose()


def _of_whole_run(event: dg.EventLogEntry) -> dg.EventLogEntry:
    """A planned check as it will be evaluated: once for a run, whatever its partitions are.

    Dagster plans it for each of them, even where the check has none, and keeps those rows for ever
    as of a check that was never made.
    """
    planned = event.dagster_event
    data = planned.event_specific_data if planned else None
    if planned is None or not isinstance(data, AssetCheckEvaluationPlanned):
        return event
    data = AssetCheckEvaluationPlanned(asset_key=data.asset_key, check_name=data.check_name)
    return event._replace(dagster_event=planned._replace(event_specific_data=data))
