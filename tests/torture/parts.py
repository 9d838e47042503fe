"""The parts of the torture, and how much of each there is in the long and in the short form.

Belongs here: over which lakes runs are killed and let race, and what a part tells. What it does is
in `kills`, `races`, `fuzz_decoder` and the tests of faults.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from tests.integration.emulator import emulator
from tests.torture.fuzz_decoder import fuzz_decoder
from tests.torture.growing_logs import Account, Folders, Store
from tests.torture.kills import KillTally, kill_runs
from tests.torture.races import RaceTally, race_runs
from tests.torture.runs import PROJECT_DIR, Difference

Say = Callable[[str], None]

# A storage account that answers badly, a full disk, blobs that vanish, names that mean harm, and
# documents too large for memory.
FAULT_TESTS = tuple(
    f"tests/integration/test_{name}.py"
    for name in (
        "faults",
        "fault_commands",
        "disk_full",
        "retention",
        "hostile_names",
        "hostile_sizes",
    )
)


@dataclass(frozen=True)
class Amounts:
    """How much is done: over how many lakes, how much over each of them, and of the fuzzer.

    The logs of some lakes are in folders, those of others in a storage account.
    """

    lakes: int
    lakes_with_account: int
    kills_of_a_lake: int
    kills_of_command_of_a_lake: int
    races_of_a_lake: int
    fuzz_inputs: int
    fuzz_seconds: int


LONG = Amounts(
    lakes=4,
    lakes_with_account=1,
    kills_of_a_lake=40,
    kills_of_command_of_a_lake=8,
    races_of_a_lake=10,
    fuzz_inputs=1_000_000,
    fuzz_seconds=4 * 3600,
)
# What `make test` does, apart from the fuzzer, which needs a package that nothing else does.
SHORT = Amounts(
    lakes=1,
    lakes_with_account=0,
    kills_of_a_lake=3,
    kills_of_command_of_a_lake=1,
    races_of_a_lake=2,
    fuzz_inputs=20_000,
    fuzz_seconds=600,
)


@dataclass(frozen=True)
class Outcome:
    """What a part came to: what was done, and in which ways how often."""

    done: str
    details: tuple[str, ...]


def kills(directory: Path, seed: int, amounts: Amounts, say: Say) -> Outcome:
    """Runs that are killed, over as many lakes at once as there are cores. Raises Difference."""
    amount = amounts.kills_of_a_lake, amounts.kills_of_command_of_a_lake
    is_over = Event()
    total = KillTally()

    def over(lake: _Lake) -> KillTally:
        def tell(line: str) -> None:
            say(f"{lake.name}: {line}")

        with lake.store() as store:
            seed_of_lake = f"{seed}/{lake.name}"
            return kill_runs(lake.place, store, seed_of_lake, *amount, tell, is_over.is_set)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        lakes = [pool.submit(over, lake) for lake in _lakes(directory / "kills", amounts, say)]
        try:
            for lake in as_completed(lakes):
                total.add(lake.result())
        finally:
            # After a difference, or when somebody has had enough, the others need not go on.
            is_over.set()
    return Outcome(
        f"{total.kills} kills, {total.repairs} repairs, {total.looks} looks by readers",
        (
            f"killed {_listed(total.stages)}",
            f"chosen {_listed(total.kinds)}",
            f"{total.ended_before} runs ended before they could be killed",
            f"{total.leftovers} files were left behind, and are deleted once they are old",
        ),
    )


def races(directory: Path, seed: int, amounts: Amounts, say: Say) -> Outcome:
    """Runs that race. Raises Difference."""
    total = RaceTally()
    for lake in _lakes(directory / "races", amounts, say):
        with lake.store() as store:
            seed_of_lake = f"{seed}/{lake.name}"
            total.add(race_runs(lake.place, store, seed_of_lake, amounts.races_of_a_lake, say))
    return Outcome(
        f"{total.rounds.total()} races, {total.looks} looks by readers",
        (f"runs: {_listed(total.rounds)}",),
    )


def faults(directory: Path, seed: int, amounts: Amounts, say: Say) -> Outcome:
    """Faults between the program and a storage account: tests like others. Raises Difference."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", *FAULT_TESTS]
    ended = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Difference(f"{ended.stdout}\n{ended.stderr}".strip())
    return Outcome(ended.stdout.strip().splitlines()[-1].strip("= "), ())


def fuzz(directory: Path, seed: int, amounts: Amounts, say: Say) -> Outcome:
    """Documents that a fuzzer makes, decoded and compared with the reference. Raises Difference."""
    limits = amounts.fuzz_inputs, amounts.fuzz_seconds
    tallies = fuzz_decoder(directory, seed, *limits, say).items()
    inputs = sum(tally.inputs for _, tally in tallies)
    return Outcome(
        f"{inputs:,} inputs",
        tuple(
            f"{mode}: {tally.inputs:,} inputs, {tally.tuples:,} tuples of which {tally.rejected:,} "
            f"rejected, {tally.problems:,} problems; slowest {tally.slowest_ms:.0f} ms, "
            f"peak memory {tally.memory_mb:.0f} MB"
            for mode, tally in tallies
        ),
    )


PARTS: dict[str, Callable[[Path, int, Amounts, Say], Outcome]] = {
    "kills": kills,
    "races": races,
    "faults": faults,
    "fuzz": fuzz,
}


@dataclass(frozen=True)
class _Lake:
    """Where a lake and its logs are to be; the logs in folders or in a storage account."""

    name: str
    place: Path
    has_account: bool

    @contextmanager
    def store(self) -> Generator[Store]:
        """Where the logs go."""
        if not self.has_account:
            yield Folders(self.place / "logs")
            return
        with emulator(self.place) as account:
            credential = {f"FLOW_CREDENTIAL_{account.account.upper()}": account.key}
            yield Account(account.service, account.endpoint, credential)


def _lakes(directory: Path, amounts: Amounts, say: Say) -> Iterator[_Lake]:
    for number in range(amounts.lakes + amounts.lakes_with_account):
        lake = _Lake(f"lake {number + 1}", directory / f"{number + 1}", number >= amounts.lakes)
        lake.place.mkdir(parents=True)
        say(f"{lake.name}: {lake.place}")
        yield lake


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
