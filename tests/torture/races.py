"""Runs at the same time over one lake, and readers that look all the while.

Belongs here: which runs meet, and what the readers and the last state have to be. Beside the lake
stands one in which one run goes after the other; both are made of the same logs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from flow_pipeline.partitions import HOUR, hours_between
from tests.torture.growing_logs import LISTED, GrowingLogs, Store
from tests.torture.look import assert_same, judge, look
from tests.torture.runs import Job, Worker, Workers

# Over midnight, so that two days are summarised.
START = datetime(2025, 11, 1, 22)
MIDDLE = START + HOUR
END = START + 3 * HOUR
ROUNDS_OF_A_LAKE = 10

Hours = tuple[datetime, datetime]


@dataclass
class RaceTally:
    """Which runs met how often, and how often readers looked meanwhile without a difference."""

    rounds: Counter[str] = field(default_factory=Counter[str])
    looks: int = 0

    def add(self, other: RaceTally) -> None:
        """Count another lake's in."""
        self.rounds += other.rounds
        self.looks += other.looks


def race_runs(
    directory: Path,
    store: Store,
    seed: int,
    rounds: int,
    say: Callable[[str], None] = lambda _line: None,
) -> RaceTally:
    """Let two runs meet so many times over one lake, the first time over a new one.

    Raises Difference if a run fails, a reader sees what never was, or the last state is not the one
    that all logs give; the lake is left as it is then.
    """
    with Workers(directory / "runs.log") as workers:
        lake = _RacedLake(directory, store, Random(seed), [workers.next() for _ in range(3)])
        for number in range(rounds):
            lake.race()
            say(f"{number + 1} of {rounds} races, {lake.tally.looks} looks, the same")
    return lake.tally


class _RacedLake:
    """A lake over which two runs race, and one of the same logs with one run after the other."""

    def __init__(
        self, directory: Path, store: Store, randomness: Random, workers: Sequence[Worker]
    ) -> None:
        self.tally = RaceTally()
        self._randomness = randomness
        self._racers, self._steady = workers[:2], workers[2]
        feed = directory / "feed.txt"
        feed.write_text("".join(f"{address}\n" for address in LISTED))
        self._feeds = (str(feed),)
        self._store = store
        self._logs = GrowingLogs(store, randomness, list(hours_between(START, END + HOUR)))
        self._lake, self._undisturbed = directory / "lake", directory / "undisturbed"
        self._seconds = self._run_undisturbed()

    def race(self) -> None:
        """Two runs, the second some time after the first; the logs may change in between."""
        kind, first, second = self._choose()
        if self.tally.rounds:
            self._logs.change(_written(first, second))
        self._racers[0].begin(self._job(self._lake, first))
        if self._randomness.random() < 0.7:
            begin = time.monotonic() + self._randomness.uniform(0, self._seconds)
            while time.monotonic() < begin:
                self._look()
        if self._randomness.random() < 0.5:
            # What the first run may have missed the second one has to find.
            self._logs.change(_written(second))
        self._racers[1].begin(self._job(self._lake, second))
        while not all(racer.ends_within(0) for racer in self._racers):
            self._look()
        for racer in self._racers:
            racer.end()
        self._seconds = self._run_undisturbed()
        self._logs.settle()
        self._look()
        assert_same(self._lake, self._undisturbed)
        self.tally.rounds[kind] += 1

    def _choose(self) -> tuple[str, Hours, Hours]:
        is_same = self._randomness.random() < 0.5
        if not self.tally.rounds:
            whole, after = (START, END), (MIDDLE, END)
            return (
                ("a new lake, the same hours", whole, whole)
                if is_same
                else ("a new lake, neighbouring hours", (START, MIDDLE), after)
            )
        one, next_one = (MIDDLE, MIDDLE + HOUR), (MIDDLE + HOUR, END)
        if is_same:
            return "the same hour", one, one
        neighbours = [one, next_one]
        self._randomness.shuffle(neighbours)
        return "neighbouring hours", neighbours[0], neighbours[1]

    def _look(self) -> None:
        for seen in look(self._lake):
            judge(seen, self._logs)
            self.tally.looks += 1

    def _run_undisturbed(self) -> float:
        self._steady.begin(self._job(self._undisturbed, (START, END)))
        return self._steady.end().seconds

    def _job(self, lake: Path, hours: Hours) -> Job:
        return Job(lake, self._store, self._feeds, *hours)


def _written(*ranges: Hours) -> list[datetime]:
    """The written hours that runs over some event hours land."""
    return sorted({hour for start, end in ranges for hour in hours_between(start, end + HOUR)})
