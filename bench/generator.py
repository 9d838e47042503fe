"""Making the documents, once, in a directory of scratch.

Belongs here: the sample's traffic in the layout that Azure writes, so that addresses, ports and
counters are spread as in real logs. Nothing is done here while a clock runs.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import BinaryIO

from bench.documents import MARKER, Documents, Layout, Shape, open_documents
from flow_pipeline.flowlog.blob_path import BLOB_NAME
from flow_pipeline.sample.blobs import BLOB_HEAD, BLOB_TAIL
from flow_pipeline.sample.generate import SUMMARY, generate, sample_blobs
from flow_pipeline.sample.story import SMALLEST_FLOWS

DAY = date(2026, 3, 1)
SEED = 2018
# The sample has some 129 tuples to 100 flows; a few more than asked for are no harm.
_TUPLES_PER_FLOW = 1.25
# Enough to have met every kind of tuple and to fill a row group of the smaller kind.
WARM_UP_TUPLES = 20_000
# Pieces from which a large blob is put together, and the days that many blobs are taken from.
_PIECE_FLOWS = 100_000
_SMALL_DAY_FLOWS = 50_000
# What stands once in every tuple and nowhere else counts tuples without reading any.
_ONCE_A_TUPLE = {"nsg2": (b",T,", b",U,"), "vnet": (b",NX,",)}


def make(scratch: Path, layout: Layout, shape: Shape, tuples: int) -> Documents:
    """At least so many tuples: a day of blobs, an hour and NIC each, or all in one document."""
    folder = scratch / f"{layout}-{tuples}"
    day = folder / Shape.DAY
    if not (day / MARKER).exists():
        flows = max(SMALLEST_FLOWS, int(tuples / _TUPLES_PER_FLOW))
        generate(day, DAY, flows, SEED, layout.value)
        written = json.loads((day / SUMMARY).read_text(encoding="utf-8"))["tuples"]
        _finish(day, layout, written)
    if shape is Shape.DAY:
        return open_documents(day)
    whole = folder / Shape.DOCUMENT
    if not (whole / MARKER).exists():
        made = open_documents(day)
        blobs = [blob for blobs in made.hours.values() for blob in blobs]
        with _writing_blob(whole / _last_name(layout)) as blob:
            for one in blobs:
                blob.add(one.path.read_bytes()[len(BLOB_HEAD) : -len(BLOB_TAIL)])
        _finish(whole, layout, made.tuples)
    return open_documents(whole)


def make_large_blob(scratch: Path, layout: Layout, size: int) -> Documents:
    """One blob of at least so many bytes, put together piece by piece."""
    folder = scratch / f"{layout}-blob-of-{size}"
    if not (folder / MARKER).exists():
        tuples = 0
        with _writing_blob(folder / _last_name(layout)) as blob:
            for content in _pieces(layout, _PIECE_FLOWS):
                blob.add(content[len(BLOB_HEAD) : -len(BLOB_TAIL)])
                tuples += _count(layout, content)
                if blob.size >= size:
                    break
        _finish(folder, layout, tuples)
    return open_documents(folder)


def make_many_blobs(scratch: Path, layout: Layout, count: int) -> Documents:
    """One written hour of so many blobs, each of a NIC of its own."""
    folder = scratch / f"{layout}-hour-of-{count}"
    if not (folder / MARKER).exists():
        tuples = 0
        directory, _, _ = _last_name(layout).rpartition("macAddress=")
        for number, content in zip(range(count), _pieces(layout, _SMALL_DAY_FLOWS), strict=False):
            mac = f"000D3A{number:06X}"
            path = folder / f"{directory}macAddress={mac}" / BLOB_NAME
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_of_nic(content, mac))
            tuples += _count(layout, content)
        _finish(folder, layout, tuples)
    return open_documents(folder)


def _last_name(layout: Layout) -> str:
    """A blob of the last hour: flows may be older than the hour of writing, but not younger."""
    *_, last = sample_blobs(DAY, SMALLEST_FLOWS, SEED, layout.value)
    return f"{last.container}/{last.name}"


def _pieces(layout: Layout, flows: int) -> Iterator[bytes]:
    """Blobs without end, each day drawn with a seed of its own."""
    seed = SEED
    while True:
        for blob in sample_blobs(DAY, flows, seed, layout.value):
            yield blob.content
        seed += 1


def _of_nic(content: bytes, mac: str) -> bytes:
    marker = b'"macAddress":"'
    begin = content.index(marker) + len(marker)
    return content.replace(content[begin : begin + 12], mac.encode())


def _count(layout: Layout, content: bytes) -> int:
    return sum(content.count(text) for text in _ONCE_A_TUPLE[layout])


def _finish(folder: Path, layout: Layout, tuples: int) -> None:
    """Written last: where it is, the rest is whole."""
    (folder / MARKER).write_text(json.dumps([layout, tuples]), encoding="utf-8")


class _BlobWriter:
    """Puts records together into one blob, as Azure's blocks do."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.write(BLOB_HEAD)

    def add(self, records: bytes) -> None:
        if self.size > len(BLOB_HEAD):
            self.size += self._file.write(b",")
        self.size += self._file.write(records)


@contextmanager
def _writing_blob(path: Path) -> Generator[_BlobWriter]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        yield _BlobWriter(file)
        file.write(BLOB_TAIL)
