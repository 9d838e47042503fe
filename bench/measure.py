"""One measurement in a process of its own: `python -m bench.measure CONTENDER DOCUMENTS SMALL OUT`.

Belongs here: the process, what it is bound to, and what is read off it. It imports and warms up on
small documents first; what it prints is one JSON object.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from bench.contenders import CONTENDERS, Contender
from bench.documents import Documents, open_documents

# One thread each, whatever the machine has; DuckDB is told when it connects, PyArrow below.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Measurement:
    """What one process did. CPU is user and system time, of all its threads and children.

    `peak_rss` is that of the whole process, `rss_increase` what came on top of what it held before
    it began: imports, warm-up, and the documents where they are in memory beforehand.
    """

    tuples: int
    cpu_seconds: float
    wall_seconds: float
    peak_rss: int
    rss_increase: int
    bytes_written: int


def measure(contender: Contender, documents: Documents, small: Documents, out: Path) -> Measurement:
    """Start the process and wait for it. `out` is where it writes."""
    command = [sys.executable, "-m", "bench.measure", contender.name]
    command += [str(documents.folder), str(small.folder), str(out)]
    done = subprocess.run(
        command,
        env=os.environ | _ONE_THREAD,
        cwd=Path(__file__).resolve().parents[1],
        stdout=subprocess.PIPE,
        check=True,
    )
    return Measurement(**json.loads(done.stdout))


def parquet_files(out: Path) -> list[Path]:
    """What a contender wrote, the lake's own log left out."""
    return sorted(path for path in out.rglob("*.parquet") if "_delta_log" not in path.parts)


def _measure_here(contender: Contender, documents: Documents, small: Documents, out: Path) -> None:
    import pyarrow as pa

    pa.set_cpu_count(1)
    prepare = contender.load()
    warm_up = out.with_name("warm-up")
    warm_up.mkdir()
    prepare(small, warm_up)()
    shutil.rmtree(warm_up)
    out.mkdir()
    work = prepare(documents, out)
    gc.collect()
    held = _memory("VmRSS")
    wall, cpu = time.perf_counter(), _cpu()
    tuples = work()
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    peak = _memory("VmHWM")
    found = Measurement(
        tuples=tuples,
        cpu_seconds=cpu,
        wall_seconds=wall,
        peak_rss=peak,
        rss_increase=max(0, peak - held),
        bytes_written=sum(path.stat().st_size for path in parquet_files(out)),
    )
    sys.stdout.write(json.dumps(asdict(found)))


def _cpu() -> float:
    """In microseconds' steps, where `os.times` has hundredths of a second."""
    return sum(
        usage.ru_utime + usage.ru_stime for usage in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN))
    )


def _memory(name: str) -> int:
    """Bytes, from /proc/self/status: `ru_maxrss` would be the parent's where that is more."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"Linux says {name}"
    return int(found[1]) * 1024


if __name__ == "__main__":
    _name, *_folders, _out = sys.argv[1:]
    _documents, _small = map(open_documents, map(Path, _folders))
    _measure_here(CONTENDERS[_name], _documents, _small, Path(_out))
