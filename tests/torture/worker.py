"""Runs in a process of its own, which is ready before it is wanted and can die at a chosen call.

    python -m tests.torture.worker

It says `{"ready": true}`, takes one job after the other, each a line of JSON, and answers each with
a line: what could not be built, and how often each of the calls was made at which a run may die. A
job is {"environment", "lake", "sources", "feeds", "start", "end", "death"}. A death is {"call",
"number", "moment", "delay"}: before or after the so-manyth call, or some seconds later.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from datetime import datetime
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from deltalake import DeltaTable

from tests.integration.lakes import bring_up_to_date, pipeline_over

# Where a file or a table changes. They are the libraries' calls, whoever makes them.
CALLS: dict[str, tuple[Any, str]] = {
    "table made": (DeltaTable, "create"),
    "commit": (DeltaTable, "create_write_transaction"),
    "rows written": (pq.ParquetWriter, "write_table"),
    "file closed": (pq.ParquetWriter, "close"),
    "file flushed": (os, "fsync"),
    "directory made": (Path, "mkdir"),
    "file renamed": (Path, "replace"),
    "file deleted": (Path, "unlink"),
}


class Calls:
    """Counts calls, and ends the process, with all that it started, at the one that is chosen."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.death: dict[str, Any] | None = None
        self._lock = threading.Lock()
        for name, (owner, attribute) in CALLS.items():
            self._count(name, owner, attribute)

    def _count(self, name: str, owner: Any, attribute: str) -> None:
        original = getattr(owner, attribute)

        @wraps(original)
        def counted(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self.counts[name] += 1
                number = self.counts[name]
            self._die_if_chosen(name, number, "before")
            result = original(*arguments, **options)
            self._die_if_chosen(name, number, "after")
            return result

        # `DeltaTable.create` is a class method: taken from the class it is bound already.
        setattr(owner, attribute, staticmethod(counted) if name == "table made" else counted)

    def _die_if_chosen(self, name: str, number: int, moment: str) -> None:
        death = self.death
        if death and (death["call"], death["number"], death["moment"]) == (name, number, moment):
            if death["delay"]:
                threading.Timer(death["delay"], _die).start()
            else:
                _die()


def _die() -> None:
    os.killpg(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Do jobs until there are no more."""
    # What a run imports on its way takes longer than the run.
    for module in ("dbt.cli.main", "dbt.adapters.duckdb", "dbt.task.build"):
        import_module(module)
    calls = Calls()
    _say({"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        os.environ.update(job["environment"])
        calls.counts.clear()
        calls.death = job["death"]
        pipeline = pipeline_over(Path(job["lake"]), *job["sources"], threat_feeds=job["feeds"])
        start, end = (datetime.fromisoformat(job[name]) for name in ("start", "end"))
        update = bring_up_to_date(pipeline, start, end)
        _say({"failures": update.failures, "calls": calls.counts})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
