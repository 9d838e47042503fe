"""The parts of the torture, and how much of each there is in the long and in the short form.

Belongs here: over which lakes runs are killed and let race, and the programs that are called for
the rest. What a part does is in `kills`, `races`, `fuzz_decoder` and the tests of faults.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.emulator import emulator
from tests.torture.growing_logs import Account, Folders, Store
from tests.torture.kills import KillTally, kill_runs
from tests.torture.races import RaceTally, race_runs
from tests.torture.runs import PROJECT_DIR, Difference

Say = Callable[[str], None]


@dataclass(frozen=True)
class Amounts:
    """How much is done: kills and races over folders and over an account, and of the fuzzer."""

    kills: int
    kills_of_command: int
    kills_with_account: int
    kills_of_a_lake: int
    races: int
    races_with_account: int
    races_of_a_lake: int
    fuzz_inputs: int
    fuzz_seconds: int


LONG = Amounts(
    kills=160,
    kills_of_command=30,
    kills_with_account=30,
    kills_of_a_lake=40,
    races=40,
    races_with_account=10,
    races_of_a_lake=10,
    fuzz_inputs=1_000_000,
    fuzz_seconds=4 * 3600,
)
# What `make test` does, apart from the fuzzer, which needs a package that nothing else does.
SHORT = Amounts(
    kills=4,
    kills_of_command=1,
    kills_with_account=0,
    kills_of_a_lake=4,
    races=2,
    races_with_account=0,
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
    """Runs that are killed. Raises Difference."""
    total = KillTally()
    for kind, number in (
        ("worker", amounts.kills),
        ("command", amounts.kills_of_command),
        ("account", amounts.kills_with_account),
    ):
        for name, kills_of_lake in _lakes(kind, number, amounts.kills_of_a_lake):
            with _place(directory / f"kills-{name}", kind) as (place, store):
                say(f"kills, lake {name}: {place}")
                total.add(
                    kill_runs(
                        place,
                        store,
                        f"{seed}/{name}",
                        kills_of_lake,
                        say,
                        of_command=kind == "command",
                    )
                )
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
    for kind, number in (("worker", amounts.races), ("account", amounts.races_with_account)):
        for name, races_of_lake in _lakes(kind, number, amounts.races_of_a_lake):
            with _place(directory / f"races-{name}", kind) as (place, store):
                say(f"races, lake {name}: {place}")
                total.add(race_runs(place, store, f"{seed}/{name}", races_of_lake, say))
    return Outcome(
        f"{total.rounds.total()} races, {total.looks} looks by readers",
        (f"runs: {_listed(total.rounds)}",),
    )


def faults(directory: Path, seed: int, amounts: Amounts, say: Say) -> Outcome:
    """Faults between the program and a storage account, which are tests like others."""
    return _called("pytest", "-q", "--no-header", "tests/integration/test_faults.py")


def fuzz(directory: Path, seed: int, amounts: Amounts, say: Say) -> Outcome:
    """Documents that a fuzzer makes, decoded and compared with the reference."""
    inputs, seconds = str(amounts.fuzz_inputs), str(amounts.fuzz_seconds)
    options = ["--inputs", inputs, "--seconds", seconds, "--seed", str(seed)]
    return _called("tests.torture.fuzz_decoder", *options)


PARTS: dict[str, Callable[[Path, int, Amounts, Say], Outcome]] = {
    "kills": kills,
    "races": races,
    "faults": faults,
    "fuzz": fuzz,
}


def _lakes(kind: str, number: int, of_a_lake: int) -> Iterator[tuple[str, int]]:
    """Names of lakes, and how much each of them bears."""
    for no in range(-(-number // of_a_lake)):
        yield f"{kind}-{no + 1}", min(of_a_lake, number - no * of_a_lake)


@contextmanager
def _place(directory: Path, kind: str) -> Generator[tuple[Path, Store]]:
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        store: Store = Folders(directory / "logs")
        if kind == "account":
            account = stack.enter_context(emulator(directory))
            credential = {f"FLOW_CREDENTIAL_{account.account.upper()}": account.key}
            store = Account(account.service, account.endpoint, credential)
        yield directory, store


def _called(module: str, *arguments: str) -> Outcome:
    """Another program, whose last line says what it did; raises Difference with all if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Difference(f"{ended.stdout}\n{ended.stderr}".strip())
    *before, last = ended.stdout.strip().splitlines()
    return Outcome(last.strip("= "), tuple(before) if module.startswith("tests.") else ())


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
