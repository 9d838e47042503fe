"""What is measured: flow logs on disk, the same bytes for everybody.

Belongs here: naming documents and their blobs. They are made by `generator`, which a process that
measures does not import.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from flow_pipeline.flowlog.blob_path import BLOB_NAME, parse_blob_path

# What PyArrow takes by itself, and so the landing; DuckDB and Polars would take 3.
ZSTD_LEVEL = 1
# Written last by whoever makes documents: the layout, and how many tuples there are.
MARKER = "bench.json"


class Layout(StrEnum):
    """The two formats that are written today."""

    NSG2 = "nsg2"
    VNET = "vnet"


class Shape(StrEnum):
    """How the same tuples lie there."""

    DOCUMENT = "document"
    DAY = "day"


@dataclass(frozen=True)
class Blob:
    """One blob: its name as the lake keeps it, and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class Documents:
    """A folder of blobs by written hour, and the tuples that were written into them."""

    folder: Path
    layout: Layout
    tuples: int
    hours: dict[datetime, tuple[Blob, ...]]

    @property
    def source(self) -> str:
        """What stands in the column of that name."""
        return str(self.folder)

    @property
    def blobs(self) -> int:
        """How many there are."""
        return sum(map(len, self.hours.values()))

    @property
    def size(self) -> int:
        """Bytes of all blobs."""
        return sum(blob.path.stat().st_size for blobs in self.hours.values() for blob in blobs)


def open_documents(folder: Path) -> Documents:
    """Documents that were made before."""
    layout, tuples = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    by_hour: dict[datetime, list[Blob]] = {}
    for path in sorted(folder.rglob(BLOB_NAME)):
        name = path.relative_to(folder).as_posix()
        place = parse_blob_path(name)
        if place is None:
            raise ValueError(f"{name} is no name of a flow log: remove {folder}")
        by_hour.setdefault(place.written_hour, []).append(Blob(name, path))
    hours = {hour: tuple(by_hour[hour]) for hour in sorted(by_hour)}
    return Documents(folder, Layout(layout), tuples, hours)
