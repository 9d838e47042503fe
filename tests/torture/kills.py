"""Runs that are killed without warning: the next one makes the lake what it would have been.

Belongs here: when a run is killed, and what is asked of the lake afterwards. Beside the lake whose
runs are killed stands one whose runs nobody disturbs; both are made of the same logs, which change
between the kills.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any
from urllib.parse import unquote

from flow_pipeline.partitions import HOUR, hours_between
from tests.integration.lakes import COVERAGE, DAYS, HOURS
from tests.torture.growing_logs import ADDRESSES, LISTED, GrowingLogs, Store
from tests.torture.look import assert_same, commits, judge, look
from tests.torture.runs import Command, Difference, Job, Workers

# Over midnight, so that there are two days to summarise.
START = datetime(2025, 11, 1, 22)
END = START + 3 * HOUR
_KILLS_BEFORE_A_REPAIR = 3
# After a file is staged DuckDB works where no call of Python is made.
_LONGEST_DELAY = 0.03
_AGE = timedelta(days=30)
_HISTORY = Lock()
# What a run does, one after the other, by the table that changes then.
_STAGES = {
    "landed_tuples": "while landing",
    "ip_lookup": "between landing and dbt",
    **dict.fromkeys(HOURS, "while dbt built hours"),
    **dict.fromkeys((*DAYS, *COVERAGE), "while dbt built days"),
}


@dataclass
class KillTally:
    """What was done to lakes, and what was asked of them without a difference."""

    kills: int = 0
    kinds: Counter[str] = field(default_factory=Counter[str])
    stages: Counter[str] = field(default_factory=Counter[str])
    ended_before: int = 0
    looks: int = 0
    repairs: int = 0
    leftovers: int = 0

    def add(self, other: KillTally) -> None:
        """Count another lake's in."""
        self.kills += other.kills
        self.kinds += other.kinds
        self.stages += other.stages
        self.ended_before += other.ended_before
        self.looks += other.looks
        self.repairs += other.repairs
        self.leftovers += other.leftovers


def kill_runs(
    directory: Path,
    store: Store,
    seed: str,
    kills: int,
    of_command: int,
    say: Callable[[str], None] = lambda _line: None,
    is_over: Callable[[], bool] = lambda: False,
) -> KillTally:
    """Kill so many runs of workers over one new lake, then so many of the command.

    Fewer once `is_over`. Raises Difference if the lake is not what it has to be; it is left as it
    is then.
    """
    with Workers(directory / "runs.log", 2) as workers:
        lake = _KilledLake(directory, store, Random(seed), workers)
        while (killed := lake.tally.kills) < kills + of_command and not is_over():
            at_most = kills - killed if killed < kills else kills + of_command - killed
            lake.kill_and_repair(at_most, of_command=killed >= kills)
            say(f"{lake.tally.kills} of {kills + of_command} kills, {lake.tally.repairs} repairs")
        if not is_over():
            lake.sweep()
    return lake.tally


class _KilledLake:
    """A lake whose runs are killed, and one of the same logs whose runs are not."""

    def __init__(self, directory: Path, store: Store, randomness: Random, workers: Workers) -> None:
        self.tally = KillTally()
        self._randomness = randomness
        self._workers = workers
        self._log = directory / "runs.log"
        self._feed = directory / "feed.txt"
        self._feed.write_text("".join(f"{address}\n" for address in LISTED))
        self._logs = GrowingLogs(store, randomness, list(hours_between(START, END + HOUR)))
        lake, undisturbed = directory / "lake", directory / "undisturbed"
        feeds = (str(self._feed),)
        self._job = Job(lake, store, feeds, START, END)
        self._undisturbed_job = Job(undisturbed, store, feeds, START, END)
        self._steady = workers.next()
        self._steady.begin(self._undisturbed_job)
        self._whole = self._steady.end()
        self._command_seconds = 3 * self._whole.seconds

    def kill_and_repair(self, at_most: int, *, of_command: bool) -> None:
        """Some kills, the logs changed before each, and the run after them."""
        is_new = not self.tally.repairs
        kills = min(at_most, self._randomness.randint(1, _KILLS_BEFORE_A_REPAIR))
        if not is_new and self._randomness.random() < 0.2:
            # What it lists is judged by the run that reads it first: so nothing may come after it.
            self._list_another_address()
            kills = 1
        for number in range(kills):
            if not (is_new and number == 0):
                self._logs.change()
                self._steady.begin(self._undisturbed_job)
                self._whole = self._steady.end()
            self._kill(of_command=of_command)
            self._look()
        self._run(by_command=of_command)
        self.tally.repairs += 1
        self._logs.settle()
        self._look()
        assert_same(self._job.lake, self._undisturbed_job.lake)

    def sweep(self) -> None:
        """What killed runs left behind is deleted once it is old."""
        lake = self._job.lake
        old = time.time() - _AGE.total_seconds()
        leftovers = _leftovers(lake)
        for path in leftovers:
            os.utime(path, (old, old))
        marker = lake / "lake.json"
        marker.write_text(json.dumps(json.loads(marker.read_bytes()) | {"vacuumed_at": None}))
        self._run(by_command=False)
        self._look()
        assert_same(lake, self._undisturbed_job.lake)
        if left := [path for path in leftovers if path.exists()]:
            raise Difference(f"{len(left)} of {len(leftovers)} leftovers stay: {left[:5]}")
        self.tally.leftovers += len(leftovers)

    def _kill(self, *, of_command: bool) -> None:
        before = commits(self._job.lake)
        if of_command:
            kind, was_killed = self._kill_command()
        elif self._randomness.random() < 0.4:
            kind, was_killed = self._kill_at_a_moment()
        else:
            kind, was_killed = self._kill_at_a_call()
        if not was_killed:
            self.tally.ended_before += 1
            return
        self.tally.kills += 1
        self.tally.kinds[kind] += 1
        after = commits(self._job.lake)
        changed = [table for table in _STAGES if after.get(table, 0) > before.get(table, 0)]
        self.tally.stages[_STAGES[changed[-1]] if changed else "before the first commit"] += 1

    def _kill_command(self) -> tuple[str, bool]:
        # The first part of it is imports.
        moment = self._randomness.uniform(0.25, 1) * self._command_seconds
        run = Command(self._job, self._log)
        was_killed = not run.ends_within(moment)
        if not was_killed:
            run.end()
        run.kill()
        return "the command, at any moment", was_killed

    def _kill_at_a_moment(self) -> tuple[str, bool]:
        # A worker that has not worked before takes longer than one that has.
        moment = self._randomness.uniform(0, 1.5 * self._whole.seconds)
        worker = self._workers.next()
        worker.begin(self._job)
        was_killed = not worker.ends_within(moment)
        if not was_killed:
            worker.end()
        worker.kill()
        return "at any moment", was_killed

    def _kill_at_a_call(self) -> tuple[str, bool]:
        call = self._randomness.choice(sorted(self._whole.calls))
        moment = self._randomness.choice(("before", "after", "soon after"))
        death = {
            "call": call,
            "number": self._randomness.randint(1, self._whole.calls[call]),
            "moment": moment.removeprefix("soon "),
            "delay": self._randomness.uniform(0, _LONGEST_DELAY) if "soon" in moment else 0,
        }
        worker = self._workers.next()
        worker.begin(self._job, death)
        was_killed = worker.dies()
        worker.kill()
        return f"{moment}: {call}", was_killed

    def _run(self, *, by_command: bool) -> None:
        if by_command:
            command = Command(self._job, self._log)
            self._command_seconds = command.end().seconds
            command.kill()
            self._assert_no_run_seems_alive()
        else:
            self._steady.begin(self._job)
            self._steady.end()

    def _look(self) -> None:
        for seen in look(self._job.lake):
            judge(seen, self._logs)
            self.tally.looks += 1

    def _list_another_address(self) -> None:
        listed = len(self._feed.read_text().splitlines())
        with self._feed.open("a") as feed:
            feed.write(f"{ADDRESSES[listed]}\n")

    def _assert_no_run_seems_alive(self) -> None:
        import dagster as dg

        # Its configuration names this variable, which is one for the lakes of all threads.
        with _HISTORY:
            os.environ["DAGSTER_HOME"] = str(self._log.parent / ".dagster")
            with dg.DagsterInstance.get() as instance:
                alive = [run.run_id for run in instance.get_runs() if not run.is_finished]
        if alive:
            raise Difference(f"Dagster takes runs for alive that were killed: {alive}")


def _leftovers(lake: Path) -> list[Path]:
    """Files that no commit ever named, and staged ones beside the tables."""
    named: set[Path] = set()
    for log in lake.glob("*/_delta_log/*.json"):
        for line in log.read_text().splitlines():
            action: Mapping[str, Any] = json.loads(line)
            if "add" in action:
                named.add(log.parents[1] / unquote(action["add"]["path"]))
    files = {path for path in lake.glob("*/*/**/*.parquet") if "_delta_log" not in path.parts}
    staged = {path for path in lake.iterdir() if re.match(r"\..+\.[0-9a-f]{32}", path.name)}
    return sorted((files | set(lake.glob("*/*.parquet")) | staged) - named)
