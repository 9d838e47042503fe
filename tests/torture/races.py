"""Runs at the same time over one lake, and readers that look all the while.

Belongs here: which runs meet, and what readers and the last state have to be. Beside the lake
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
_MOST_RUNS = 3

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
    seed: str,
    rounds: int,
    say: Callable[[str], None] = lambda _line: None,
) -> RaceTally:
    """Let two or three runs meet so many times over one lake, the first time over a new one.

    Raises Difference if a run fails, a reader sees what never was, or the last state is not the one
    that all logs give; the lake is left as it is then.
    """
    racers_and_steady = _MOST_RUNS + 1
    with Workers(directory / "runs.log", racers_and_steady, more=False) as waiting:
        workers = [waiting.next() for _ in range(racers_and_steady)]
        lake = _RacedLake(directory, store, Random(seed), workers)
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
        *self._racers, self._steady = workers
        feed = directory / "feed.txt"
        feed.write_text("".join(f"{address}\n" for address in LISTED))
        self._feeds = (str(feed),)
        self._store = store
        self._logs = GrowingLogs(store, randomness, list(hours_between(START, END + HOUR)))
        self._lake, self._undisturbed = directory / "lake", directory / "undisturbed"
        self._seconds = self._run_undisturbed()

    def race(self) -> None:
        """Runs that begin one some time after the other; the logs may change in between."""
        kind, ranges = self._choose()
        begun: list[Worker] = []
        for racer, hours in zip(self._racers, ranges, strict=False):
            if not begun and self.tally.rounds:
                self._logs.change(_written(*ranges))
            elif begun:
                self._wait()
                if self._randomness.random() < 0.5:
                    # What the runs before may have missed this one has to find.
                    self._logs.change(_written(hours))
            racer.begin(self._job(self._lake, hours))
            begun.append(racer)
        while not all(racer.ends_within(0) for racer in begun):
            self._look()
        for racer in begun:
            racer.end()
        self._seconds = self._run_undisturbed()
        self._logs.settle()
        self._look()
        assert_same(self._lake, self._undisturbed)
        self.tally.rounds[kind] += 1

    def _choose(self) -> tuple[str, list[Hours]]:
        """Which hours the runs are for: two of them, or three."""
        number = self._randomness.choice((2, 2, _MOST_RUNS))
        is_same = self._randomness.random() < 0.5
        if not self.tally.rounds:
            whole, parts = (START, END), [(START, MIDDLE), (MIDDLE, END), (START, END)]
            return f"{number} over a new lake", [whole] * number if is_same else parts[:number]
        one, next_one = (MIDDLE, MIDDLE + HOUR), (MIDDLE + HOUR, END)
        if is_same:
            return f"{number} for the same hour", [one] * number
        return f"{number} for neighbouring hours", self._randomness.sample(
            [one, next_one, next_one][:number], number
        )

    def _wait(self) -> None:
        """Look for as long as the next run lets wait for it: not at all, or for any time."""
        draw = self._randomness
        until = time.monotonic() + draw.choice((0, 1, 1)) * draw.uniform(0, self._seconds)
        while time.monotonic() < until:
            self._look()

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
