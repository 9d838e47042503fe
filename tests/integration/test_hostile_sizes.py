"""Documents of sizes that nobody would write: what each costs, in bounded memory.

Each shape is repeated until it is far larger than what there is memory for, and stands between two
sound records. The decoder reads it in a process of its own, in chunks that are made as they are
read. Smaller ones, held against the reference, are in `tests/unit/flowlog/test_hostile.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace

# One process reads all of them, whichever test is the first.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PLACE = BlobPlace("logs", "container/PT1H.json", datetime(2026, 11, 1, 5))
CHUNK_BYTES = 4 << 20
KIB = 1024
# So many KiB.
HUGE = 512 * KIB
MANY = 100_000
# What may come on top of what the process held before: less than any of the shapes has.
MOST_MEMORY = 256 << 20

TUPLE = '"1793509200606,10.0.0.6,192.0.2.180,23956,443,6,O,E,NX,3,767,2,1580"'
TUPLES_BEGIN = (
    '{"time":"2026-11-01T05:01:02.1234567Z","flowLogVersion":4,"macAddress":"112233445566",'
    '"category":"FlowLogFlowEvent","flowRecords":{"flows":[{"aclID":"x","flowGroups":['
    '{"rule":"a","flowTuples":['
)
TUPLES_END = "]}]}]}}"
SOUND = TUPLES_BEGIN + TUPLE + TUPLES_END


@dataclass(frozen=True)
class Shape:
    """What stands between two sound records, and what is to come of it."""

    begin: str
    repeated: str
    """In it `#` is another text each time: a number in hexadecimal, with a colon."""
    times: int
    end: str
    landed: int = 0
    rejects: Mapping[str, int] = field(default_factory=dict[str, int])
    problems: Mapping[str, int] = field(default_factory=dict[str, int])
    takes_rest: bool = False
    """Where it ends cannot be told: the sound record behind it is lost with it."""

    def chunks(self) -> Iterator[bytes]:
        yield f'{{"records":[{SOUND},{self.begin}'.encode()
        at_once = max(1, CHUNK_BYTES // len(self.repeated))
        for start in range(0, self.times, at_once):
            count = min(at_once, self.times - start)
            if "#" in self.repeated:
                numbers = range(start, start + count)
                yield "".join(self.repeated.replace("#", text_of(n)) for n in numbers).encode()
            else:
                yield (self.repeated * count).encode()
        yield f"{self.end},{SOUND}]}}".encode()


def text_of(number: int) -> str:
    return f"{number >> 16:x}:{number & 0xFFFF:x}"


@dataclass(frozen=True)
class Found:
    """What the decoder made of a shape, and the most memory it took up to then."""

    landed: int
    rejects: Mapping[str, int]
    problems: Mapping[str, int]
    memory: int


MALFORMED = {"record_malformed": 1}
CUT_OFF = {"cut_off": 1}
SHAPES = {
    "ten million tuples": Shape(
        TUPLES_BEGIN, f"{TUPLE},", 10_000_000, TUPLE + TUPLES_END, landed=10_000_001
    ),
    "elements that are no tuples": Shape(
        TUPLES_BEGIN, "null,", MANY, TUPLE + TUPLES_END, landed=1, rejects={"not_text": MANY}
    ),
    "tuples with an address and a code of their own": Shape(
        TUPLES_BEGIN,
        TUPLE.replace("10.0.0.6", "2001:db8::#").replace("NX", "code #") + ",",
        MANY,
        TUPLE + TUPLES_END,
        landed=MANY + 1,
    ),
    "groups with a rule of their own": Shape(
        TUPLES_BEGIN + TUPLE,
        f']}},{{"rule":"rule #","flowTuples":[{TUPLE}',
        MANY,
        TUPLES_END,
        landed=MANY + 1,
    ),
    # 4 MiB are the most that is parsed.
    "objects in an envelope as large as can be": Shape(
        SOUND[:-1] + ',"new":[', "{},", 1_390_000, "1]}", landed=1
    ),
    "objects in an element as large as can be": Shape(
        f"{TUPLES_BEGIN}[", "{},", 1_390_000, f"1]{TUPLES_END}", rejects={"not_text": 1}
    ),
    "records": Shape("", f"{SOUND},", MANY, SOUND, landed=MANY + 1),
    "records of another service": Shape(
        "", "{},", MANY, SOUND, landed=1, problems={"foreign_category": MANY}
    ),
    "records that are none": Shape(
        "", "1,", MANY, SOUND, landed=1, problems={"record_malformed": MANY}
    ),
    "a huge tuple": Shape(
        f'{TUPLES_BEGIN}"', "1" * KIB, HUGE, f'"{TUPLES_END}', problems=MALFORMED
    ),
    "a huge rule": Shape(SOUND[:-1] + ',"rule":"', "r" * KIB, HUGE, '"}', problems=MALFORMED),
    "a huge text of escapes": Shape(
        SOUND[:-1] + ',"new":"', r"\u0041\\\"n" * (KIB // 12), HUGE, '"}', problems=MALFORMED
    ),
    "a huge key": Shape(SOUND[:-1] + ',"', "k" * KIB, HUGE, '":1}', problems=MALFORMED),
    "a huge number": Shape(SOUND[:-1] + ',"new":', "1" * KIB, HUGE, "}", problems=MALFORMED),
    "a huge envelope": Shape(
        SOUND[:-1] + ',"new":[', '{"a":[1,2,3]},' * (KIB // 14), HUGE, "1]}", problems=MALFORMED
    ),
    "a huge text in the place of a record": Shape('"', "x" * KIB, HUGE, '"', problems=MALFORMED),
    "huge space between records": Shape("", " \n" * (KIB // 2), HUGE, SOUND, landed=1),
    "huge space between tuples": Shape(
        f"{TUPLES_BEGIN}{TUPLE}", " \n" * (KIB // 2), HUGE, TUPLES_END, landed=1
    ),
    "commas": Shape("", "," * KIB, HUGE, SOUND, landed=1, problems={"unreadable_json": 1}),
    "brackets among tuples": Shape(
        TUPLES_BEGIN, "[" * KIB, HUGE, "", problems=CUT_OFF, takes_rest=True
    ),
    "braces": Shape('{"a":', '{"a":' * (KIB // 5), HUGE, "1", problems=CUT_OFF, takes_rest=True),
    "a text without an end": Shape(
        f'{TUPLES_BEGIN}"', "1 " * (KIB // 2), HUGE, "", problems=CUT_OFF, takes_rest=True
    ),
}


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    read = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import main; main()"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.returncode == 0, read.stderr
    return {name: Found(**one) for name, one in json.loads(read.stdout).items()}


def main() -> None:
    """Read all shapes, one after the other: what this process holds is theirs alone."""
    decode(Shape("", ",", 0, SOUND))
    held = memory("VmRSS")
    told: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        one = decode(shape)
        told[name] = asdict(one) | {"memory": one.memory - held}
    sys.stdout.write(json.dumps(told))


def decode(shape: Shape) -> Found:
    decoder = BlobDecoder(PLACE)
    rows = sum(len(batch) for chunk in shape.chunks() for batch in decoder.feed(chunk))
    rows += sum(len(batch) for batch in decoder.finish())
    summary = decoder.summary
    assert rows == summary.tuples
    codes = Counter(str(problem.code) for problem in summary.problems)
    if len(codes) == 1:
        codes = Counter(dict.fromkeys(codes, summary.problem_count))
    rejects = {str(reason): count for reason, count in summary.rejects.items()}
    return Found(rows - summary.rejected, rejects, dict(codes), memory("VmHWM"))


def memory(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [kilobytes] = re.findall(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_shape_costs_is_what_is_written_beside_it_and_bounded(
    name: str, found: dict[str, Found]
) -> None:
    shape, one = SHAPES[name], found[name]
    # The sound records before and behind it are read whatever it is.
    assert one.landed == shape.landed + (1 if shape.takes_rest else 2)
    assert one.rejects == shape.rejects
    assert one.problems == shape.problems
    assert one.memory < MOST_MEMORY
