"""The decoder under a coverage-guided fuzzer, held against the reference on every input.

    python -m tests.torture.fuzz_decoder --inputs 1000000 --seconds 3600

Belongs here: how the fuzzer is run and what it has to say at the end. What an input is made of is
in `documents`, what counts as the same answer in `tests.unit.flowlog.agreement`.

Coverage sees Python, not what Numba compiled. So inputs are read in two ways, each in a process of
its own: most by the compiled scanner, the rest by the same scanner as plain Python, where each of
its branches is seen and looked for. Needs atheris, which nothing else does.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from rich.console import Console


class Mode(NamedTuple):
    """A way to run the scanner: the value of NUMBA_DISABLE_JIT, and its share of the inputs."""

    name: str
    disable_jit: str
    share: float


MODES = (Mode("compiled", "0", 0.75), Mode("plain Python", "1", 0.25))
# What Numba compiles must not be instrumented: the calls that are put in cannot be compiled.
COMPILED_MODULES = ("flow_pipeline.flowlog.scan",)
SEEDS = 200
LONGEST_INPUT = 600
# libFuzzer ends a process that takes longer for one input, or more memory: both are findings.
MOST_SECONDS = 30
MOST_MEMORY_MB = 2_048
KEPT_DIFFERENCES = 10

console = Console(highlight=False, soft_wrap=True)


@dataclass
class Tally:
    """What a process has seen; `slowest_ms` counts both decoders, `memory_mb` is the peak."""

    inputs: int = 0
    differences: int = 0
    slowest_ms: float = 0.0
    memory_mb: float = 0.0
    tuples: int = 0
    rejected: int = 0
    problems: int = 0
    examples: list[str] = field(default_factory=list)


def main() -> int:
    """The whole run: 0 if there was no difference, 1 if there was one, 2 if it could not begin."""
    parser = argparse.ArgumentParser(description="Fuzz the decoder against the reference.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=600, help="end after so long in any case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="begin with what is here, and add to it")
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        console.print("The fuzzer needs atheris: .venv/bin/python -m pip install atheris")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        corpus = arguments.corpus or Path(scratch) / "corpus"
        return _run(arguments, corpus, Path(scratch))


def _run(arguments: argparse.Namespace, corpus: Path, scratch: Path) -> int:
    write_seeds(corpus, arguments.seed)
    began = time.monotonic()
    processes: list[tuple[Mode, Path, Path, subprocess.Popen[bytes]]] = []
    for mode in MODES:
        notes = scratch / f"{mode.disable_jit}.json"
        log = scratch / f"{mode.disable_jit}.log"
        command = [sys.executable, "-c", "from tests.torture.fuzz_decoder import fuzz; fuzz()"]
        inputs = round(arguments.inputs * mode.share)
        command += [str(inputs), str(arguments.seconds), str(arguments.seed), str(corpus)]
        command += [str(notes)]
        environment = os.environ | {"NUMBA_DISABLE_JIT": mode.disable_jit}
        with log.open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        processes.append((mode, notes, log, process))

    total = Tally()
    is_broken = False
    for mode, notes, log, process in processes:
        status = process.wait()
        tally = Tally(**json.loads(notes.read_text())) if notes.exists() else Tally()
        console.print(
            f"{mode.name}: inputs {tally.inputs:,}, tuples {tally.tuples:,} of which rejected "
            f"{tally.rejected:,}, problems {tally.problems:,}, {time.monotonic() - began:.0f} s",
        )
        for example in tally.examples:
            console.print(example, markup=False)
        if status != 0:
            is_broken = True
            console.print(f"ended with status {status}:", markup=False)
            console.print(log.read_text(errors="replace")[-8_000:], markup=False)
        total.inputs += tally.inputs
        total.differences += tally.differences
        total.slowest_ms = max(total.slowest_ms, tally.slowest_ms)
        total.memory_mb = max(total.memory_mb, tally.memory_mb)
    console.print(
        f"inputs {total.inputs}, differences {total.differences + is_broken}, slowest "
        f"{total.slowest_ms:.0f} ms, peak memory {total.memory_mb:.0f} MB"
    )
    return 1 if total.differences or is_broken else 0


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
    kinds: Counter[str] = Counter()

    def write() -> None:
        tally.memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        notes.write_text(json.dumps(asdict(tally)))

    def one(data: bytes) -> None:
        made = blob(BytesChoices(data))
        began = time.monotonic()
        try:
            answer = assert_agreement(
                made.data, made.edges, made.first_record_no, made.digest, made.limits
            )
        except Exception as error:  # noqa: BLE001 - whatever is raised is what is looked for
            tally.differences += 1
            kind = f"{type(error).__name__} {str(error)[:20]}"
            kinds[kind] += 1
            if kinds[kind] == 1 and len(tally.examples) < KEPT_DIFFERENCES:
                tally.examples.append(f"{type(error).__name__}: {str(error)[:1000]}\n  {made!r}")
        else:
            tally.tuples += len(answer.rows)
            tally.rejected += sum(row["reject_reason"] is not None for row in answer.rows)
            tally.problems += len(answer.problems)
        ended = time.monotonic()
        tally.inputs += 1
        tally.slowest_ms = max(tally.slowest_ms, (ended - began) * 1000)
        is_last = tally.inputs >= inputs or ended > deadline
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
            f"-timeout={MOST_SECONDS}",
            f"-rss_limit_mb={MOST_MEMORY_MB}",
            f"-artifact_prefix={notes.with_suffix('')}-",
        ],
        one,
    )
    atheris.Fuzz()
    sys.exit("libFuzzer came back")


if __name__ == "__main__":
    sys.exit(main())
