"""The decoder under a coverage-guided fuzzer, held against the reference on every input.

Belongs here: how the fuzzer is run and what it has to say at the end. What an input is made of is
in `documents`, what counts as the same answer in `tests.unit.flowlog.agreement`.

Coverage sees Python, not what Numba compiled. So inputs are read in two ways, each in a process of
its own: most by the compiled scanner, the rest by the same scanner as plain Python, where each of
its branches is seen and looked for. Needs atheris, which nothing else does.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tests.torture.runs import PROJECT_DIR, Difference


class Mode(NamedTuple):
    """A way to run the scanner: the value of NUMBA_DISABLE_JIT, and its share of the inputs."""

    name: str
    disable_jit: str
    share: float


MODES = (Mode("compiled", "0", 0.9), Mode("plain Python", "1", 0.1))
# What Numba compiles must not be instrumented: the calls that are put in cannot be compiled.
COMPILED_MODULES = ("flow_pipeline.flowlog.scan",)
SEEDS = 200
LONGEST_INPUT = 300
# Under atheris a process grows by some kilobytes with each input, without it the same inputs leave
# it as it was: so one after the other takes on the corpus, and none comes near to its limit.
INPUTS_OF_A_PROCESS = 25_000
# For one input, of CPU time: a busy machine does not change it.
MOST_SECONDS = 30
# libFuzzer ends a process that hangs on one input, or takes more memory.
HANGS_AFTER_SECONDS = 600
MOST_MEMORY_MB = 1_024

SECONDS_BETWEEN_WORDS = 60


@dataclass
class Tally:
    """What a process has seen; `slowest_ms` is CPU time of both decoders, `memory_mb` the peak."""

    inputs: int = 0
    slowest_ms: float = 0.0
    memory_mb: float = 0.0
    tuples: int = 0
    rejected: int = 0
    problems: int = 0

    def add(self, other: Tally) -> None:
        """Count another process's in."""
        self.inputs += other.inputs
        self.slowest_ms = max(self.slowest_ms, other.slowest_ms)
        self.memory_mb = max(self.memory_mb, other.memory_mb)
        self.tuples += other.tuples
        self.rejected += other.rejected
        self.problems += other.problems


@dataclass
class _Reader:
    """The processes of one mode, one after the other, until they have read enough."""

    mode: Mode
    directory: Path
    seed: int
    inputs: int
    deadline: float
    corpus: Path
    ended: list[Tally] = field(default_factory=list[Tally])
    failures: list[str] = field(default_factory=list[str])
    running: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Begin the next process; it writes down now and then, and at its end, what it has seen."""
        inputs = min(INPUTS_OF_A_PROCESS, self.inputs - self.tally.inputs)
        seconds = self.deadline - time.monotonic()
        command = [sys.executable, "-c", "from tests.torture.fuzz_decoder import fuzz; fuzz()"]
        command += map(
            str, (inputs, seconds, self.seed + len(self.ended), self.corpus, self._notes)
        )
        environment = os.environ | {"NUMBA_DISABLE_JIT": self.mode.disable_jit}
        with self._log.open("wb") as output:
            self.running = subprocess.Popen(
                command, cwd=PROJECT_DIR, env=environment, stdout=output, stderr=output
            )

    def goes_on(self) -> bool:
        """Whether there is more to wait for; begins the next process where one has ended."""
        if self.running is None or self.running.poll() is None:
            return self.running is not None
        status = self.running.returncode
        if status != 0:
            told = self._log.read_text(errors="replace")[-8_000:]
            self.failures.append(f"{self.mode.name} ended with {status}:\n{told}")
        # Its log is named by how many ended before it.
        seen = self._running_tally()
        self.running = None
        self.ended.append(seen)
        is_done = self.tally.inputs >= self.inputs or time.monotonic() > self.deadline
        if status == 0 and not is_done:
            self._notes.unlink()
            self.begin()
        return self.running is not None

    def stop(self) -> None:
        """End the process that is running, if there is one."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()

    @property
    def tally(self) -> Tally:
        """What all its processes have written down so far."""
        total = Tally()
        for tally in [*self.ended, *([self._running_tally()] if self.running else [])]:
            total.add(tally)
        return total

    def _running_tally(self) -> Tally:
        return Tally(**json.loads(self._notes.read_text())) if self._notes.exists() else Tally()

    @property
    def _notes(self) -> Path:
        return self.directory / f"{self.mode.disable_jit}.json"

    @property
    def _log(self) -> Path:
        return self.directory / f"{self.mode.disable_jit}-{len(self.ended)}.log"


def fuzz_decoder(
    directory: Path,
    seed: int,
    inputs: int,
    seconds: int,
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Tally]:
    """By mode what was read and what it took; ends after so many seconds in any case.

    Raises Difference if an answer was not the reference's, if one input took more time or memory
    than there is for it, or if a process ended by itself.
    """
    corpus = directory / "corpus"
    write_seeds(corpus, seed)
    deadline = time.monotonic() + seconds
    readers = [
        _Reader(mode, directory, seed, round(inputs * mode.share), deadline, corpus)
        for mode in MODES
    ]
    for reader in readers:
        reader.begin()
    said = time.monotonic()
    while [reader for reader in readers if reader.goes_on()]:
        if any(reader.failures for reader in readers):
            for reader in readers:
                reader.stop()
            break
        time.sleep(0.1)
        if time.monotonic() - said >= SECONDS_BETWEEN_WORDS:
            said = time.monotonic()
            say(", ".join(f"{it.mode.name} {it.tally.inputs:,} inputs" for it in readers))
    if failures := [failure for reader in readers for failure in reader.failures]:
        raise Difference("\n".join(failures))
    return {reader.mode.name: reader.tally for reader in readers}


def write_seeds(corpus: Path, seed: int) -> None:
    """Inputs to begin with: the sound document, and ones of many lengths that chance made."""
    corpus.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    (corpus / "sound").write_bytes(bytes(8))
    for number in range(SEEDS):
        length = chance.choice((16, 40, 80, 150, 300, LONGEST_INPUT))
        (corpus / f"chance-{seed}-{number}").write_bytes(chance.randbytes(length))


def fuzz() -> NoReturn:
    """One process, by its arguments; ends it when there were inputs enough, or time is over."""
    # Not by an import statement: whoever checks types need not have it.
    atheris: Any = importlib.import_module("atheris")
    inputs, seconds, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    corpus, notes = sys.argv[4], Path(sys.argv[5])
    is_compiled = os.environ["NUMBA_DISABLE_JIT"] == "0"
    with atheris.instrument_imports(
        include=["flow_pipeline.flowlog"], exclude=list(COMPILED_MODULES) if is_compiled else []
    ):
        import flow_pipeline.flowlog.decode
    from tests.torture.documents import BytesChoices, blob
    from tests.unit.flowlog.agreement import assert_agreement

    assert flow_pipeline.flowlog.decode
    tally = Tally()
    deadline = time.monotonic() + seconds

    def write() -> None:
        tally.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        written = notes.with_suffix(".written")
        written.write_text(json.dumps(asdict(tally)))
        written.replace(notes)

    def one(data: bytes) -> None:
        made = blob(BytesChoices(data))
        began = time.process_time()
        try:
            answer = assert_agreement(
                made.data, made.edges, made.first_record_no, made.digest, made.limits
            )
        except Exception as error:
            # What the fuzzer tells of it has not the document.
            raise Difference(f"{type(error).__name__}: {error}\n  {made!r}") from error
        seconds_of_input = time.process_time() - began
        if seconds_of_input > MOST_SECONDS:
            raise Difference(f"took {seconds_of_input:.1f} seconds\n  {made!r}")
        tally.tuples += len(answer.rows)
        tally.rejected += sum(row["reject_reason"] is not None for row in answer.rows)
        tally.problems += len(answer.problems)
        tally.inputs += 1
        tally.slowest_ms = max(tally.slowest_ms, seconds_of_input * 1000)
        is_last = tally.inputs >= inputs or time.monotonic() > deadline
        if is_last or tally.inputs % 1000 == 0:
            write()
        if is_last:
            os._exit(0)

    atheris.Setup(
        [
            "fuzz_decoder",
            corpus,
            f"-seed={seed}",
            f"-max_len={LONGEST_INPUT}",
            "-len_control=0",
            f"-timeout={HANGS_AFTER_SECONDS}",
            f"-rss_limit_mb={MOST_MEMORY_MB}",
            f"-artifact_prefix={notes.with_suffix('')}-",
        ],
        one,
    )
    atheris.Fuzz()
    sys.exit("libFuzzer came back")
