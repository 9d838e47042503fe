"""The table, and the file of results.

Belongs here: what is shown and kept of measurements, and under which circumstances they were made.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from rich.table import Table

from bench.contenders import CONTENDERS, Contender
from bench.documents import Documents
from bench.measure import Measurement

RESULTS = Path(__file__).with_name("results.jsonl")
_PACKAGES = ("pyarrow", "numpy", "numba", "orjson", "deltalake", "duckdb", "polars")
_QUANTITIES = ("CPU s", "s", "tuples/s", "MB/s", "peak MB", "increase MB", "bytes/tuple")
_CPU_MODEL = re.compile(r"^model name\s*: (.*)$", re.MULTILINE)


@dataclass
class Row:
    """One contender on one set of documents; `missing` says why it could not take part."""

    layout: str
    shape: str
    blobs: int
    bytes_read: int
    tuples: int
    contender: str
    missing: str | None = None
    measurements: list[Measurement] = field(default_factory=list[Measurement])

    def middle(self, quantity: str) -> float:
        """The median of one quantity over all repetitions."""
        return median(getattr(one, quantity) for one in self.measurements)


def new_row(documents: Documents, shape: str, contender: Contender) -> Row:
    """A row without measurements."""
    return Row(
        layout=str(documents.layout),
        shape=str(shape),
        blobs=documents.blobs,
        bytes_read=documents.size,
        tuples=documents.tuples,
        contender=contender.name,
        missing=contender.missing(),
    )


def table(rows: Sequence[Row]) -> Table:
    """What `make bench` prints: the medians."""
    shown = Table(title="Medians; each row in a process of its own", title_justify="left")
    shown.add_column("documents")
    shown.add_column("who")
    for name in _QUANTITIES:
        shown.add_column(name, justify="right")
    shown.add_column("compared", justify="left")
    documents = ""
    for row in rows:
        tuples = row.tuples
        place = _place(row)
        if place != documents:
            shown.add_section()
        label, documents = place if place != documents else "", place
        contender = CONTENDERS[row.contender]
        if row.missing:
            shown.add_row(label, contender.title, *[""] * len(_QUANTITIES), row.missing)
            continue
        cpu = row.middle("cpu_seconds")
        shown.add_row(
            label,
            contender.title,
            f"{cpu:.3f}",
            f"{row.middle('wall_seconds'):.3f}",
            f"{tuples / cpu:,.0f}",
            f"{row.bytes_read / cpu / 1e6:,.0f}",
            f"{row.middle('peak_rss') / 1e6:,.0f}",
            f"{row.middle('rss_increase') / 1e6:,.0f}",
            f"{row.middle('bytes_written') / tuples:.1f}" if contender.writes else "",
            _compared(row, rows),
        )
    return shown


def _place(row: Row) -> str:
    blobs = f"{row.blobs:,} blob" + ("s" if row.blobs > 1 else "")
    return (
        f"{row.layout} {row.shape}\n{blobs}\n{row.bytes_read / 1e6:,.0f} MB\n{row.tuples:,} tuples"
    )


def _compared(row: Row, rows: Sequence[Row]) -> str:
    contender = CONTENDERS[row.contender]
    against = [
        other
        for other in rows
        if (other.layout, other.shape, other.contender)
        == (row.layout, row.shape, contender.against)
        and other.measurements
    ]
    if not against or against[0] is row:
        return ""
    [other] = against
    if contender.name == "two":
        ratio = other.middle("wall_seconds") / row.middle("wall_seconds")
        return f"{ratio:.2f} times as fast as 1 worker"
    ratio = row.middle("cpu_seconds") / other.middle("cpu_seconds")
    if contender.against == "floor":
        return f"{1 / ratio:.2f} of the floor's speed"
    return f"{ratio:.2f} times the CPU of decode + Parquet"


def append(path: Path, what: str, repeat: int, rows: Sequence[Row]) -> None:
    """Add one line to the file of results: circumstances, and every single measurement."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
        "repeat": repeat,
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "rows": [asdict(row) for row in rows],
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    found = _CPU_MODEL.search(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else None


def _commit() -> str | None:
    """The state of the code, with a plus sign where files differ from it; None outside of git."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        head = _told([git, "rev-parse", "--short=12", "HEAD"])
        changed = _told([git, "status", "--porcelain", "--untracked-files=no"])
    except subprocess.CalledProcessError:
        return None
    return head + ("+" if changed else "")


def _told(command: Sequence[str]) -> str:
    return subprocess.run(
        command,
        cwd=Path(__file__).parent,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.strip()
