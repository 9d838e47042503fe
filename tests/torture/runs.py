"""Runs of the pipeline in processes of their own: waiting for them, and killing them.

Belongs here: starting workers and the command, with no setting of this machine. What a worker does
is in `worker`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.torture.growing_logs import Store

PROJECT_DIR = Path(__file__).resolve().parents[2]
# Against runs that hang: on a busy machine one may take minutes.
_PATIENCE = 900


class Difference(AssertionError):
    """A lake is not what it has to be, or a run failed that nobody disturbed."""


@dataclass(frozen=True)
class Job:
    """What a run is to do: the event hours [start, end) of a lake."""

    lake: Path
    store: Store
    feeds: tuple[str, ...]
    start: datetime
    end: datetime

    def environment(self) -> dict[str, str]:
        """The settings, for a run of the command."""
        return {
            "FLOW_SOURCES": " ".join(self.store.sources),
            "FLOW_LAKE": str(self.lake),
            "FLOW_THREAT_FEEDS": " ".join(self.feeds),
            **self.store.environment,
        }


@dataclass(frozen=True)
class Ended:
    """A run that came to its end: how long it took, and which calls it made how often."""

    seconds: float
    calls: Mapping[str, int]


class Run:
    """A process, and all that it starts, as a group that can be killed without warning."""

    def __init__(
        self, arguments: Sequence[str | Path], environment: Mapping[str, str], log: Path
    ) -> None:
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FLOW_", "DAGSTER_", "AZURE_"))
        }
        self._log = log
        self.begun_at = time.monotonic()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                list(map(str, arguments)),
                cwd=log.parent,
                env={**clean, "TMPDIR": str(log.parent), **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
                text=True,
            )

    def kill(self) -> None:
        """End it and all that it started, if it runs still."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            # What was still to be said to it is said to nobody.
            with suppress(BrokenPipeError):
                stream.close()

    def _failed(self) -> Difference:
        told = self._log.read_text(errors="replace")[-4000:]
        return Difference(f"a run ended with {self.process.poll()}:\n{told}")


class Command(Run):
    """`flow-pipeline run`, as a person starts it."""

    def __init__(self, job: Job, log: Path) -> None:
        hours = ["--from", f"{job.start:%Y-%m-%dT%H}", "--to", f"{job.end:%Y-%m-%dT%H}"]
        command = Path(sys.executable).with_name("flow-pipeline")
        super().__init__([command, "run", *hours], job.environment(), log)

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at most; whether it ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None

    def end(self) -> Ended:
        """Wait for its end. Raises Difference if it failed."""
        told, _ = self.process.communicate(timeout=_PATIENCE)
        if self.process.returncode:
            with self._log.open("a") as log:
                log.write(told)
            raise self._failed()
        return Ended(time.monotonic() - self.begun_at, {})


class Worker(Run):
    """A run without Dagster; see `worker`."""

    def __init__(self, log: Path) -> None:
        # The tests are no package that is installed, and the project's `.env` is not theirs.
        path = os.pathsep.join(filter(None, (str(PROJECT_DIR), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "tests.torture.worker"]
        super().__init__(command, {"PYTHONPATH": path}, log)

    def get_ready(self) -> None:
        """Wait until all is imported."""
        if self._answer() != {"ready": True}:
            raise self._failed()

    def begin(self, job: Job, death: Mapping[str, Any] | None = None) -> None:
        """Give it a job; it has to be ready, or done with the one before."""
        told = {
            "environment": dict(job.store.environment),
            "lake": str(job.lake),
            "sources": job.store.sources,
            "feeds": job.feeds,
            "start": job.start.isoformat(),
            "end": job.end.isoformat(),
            "death": death,
        }
        assert self.process.stdin is not None
        self.begun_at = time.monotonic()
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at most; whether it is done, or dead."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], max(0, seconds))[0])

    def dies(self) -> bool:
        """Whether it died at the call that was chosen, or came to its end without such a call."""
        answer = self._answer()
        if answer is not None:
            return False
        self.process.wait()
        if self.process.returncode != -signal.SIGKILL:
            raise self._failed()
        return True

    def end(self) -> Ended:
        """Wait until it is done. Raises Difference if it failed or died."""
        answer = self._answer()
        if answer is None:
            self.process.wait()
            raise self._failed()
        return Ended(time.monotonic() - self.begun_at, answer["calls"])

    def _answer(self) -> dict[str, Any] | None:
        """What it says next; None if it died."""
        if not self.ends_within(_PATIENCE):
            raise Difference(f"a run did not end within {_PATIENCE} seconds")
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else None
        if answer and answer.get("failures"):
            raise Difference(f"a run could not build everything: {answer['failures']}")
        return answer


class Workers:
    """Workers that get ready while others work; those that are left end with it.

    `at_first` of them begin at once; each that is taken is made up for by another one, if `more`.
    """

    def __init__(self, log: Path, at_first: int = 1, *, more: bool = True) -> None:
        self._log = log
        self._more = more
        self._all: list[Worker] = []
        self._waiting = deque[Worker]()
        self._at_first = at_first

    def __enter__(self) -> Workers:
        for _ in range(self._at_first):
            self._begin_another()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._all:
            worker.kill()

    def next(self) -> Worker:
        """A worker that is ready."""
        worker = self._waiting.popleft()
        if self._more:
            self._begin_another()
        worker.get_ready()
        return worker

    def _begin_another(self) -> None:
        worker = Worker(self._log)
        self._all.append(worker)
        self._waiting.append(worker)
