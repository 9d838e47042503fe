"""The yardstick: floor.c compiled, called on documents in memory.

Belongs here: compiling it, calling it, and the sums that show that it read what we read.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.documents import Documents, Layout

_SOURCE = Path(__file__).with_name("floor.c")
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
# The columns of one batch stay in the cache, as a decoder's do that hands on batch by batch.
_BATCH_TUPLES = 65_536
_PADDING = 64
_COLUMNS = {
    "time_ms": "i8",
    "src_ip": "u4",
    "dst_ip": "u4",
    "src_port": "i4",
    "dst_port": "i4",
    "protocol": "i2",
    "direction": "u1",
    "decision": "u1",
    "state": "u1",
    "encryption": "u1",
    "packets_src_to_dst": "i8",
    "bytes_src_to_dst": "i8",
    "packets_dst_to_src": "i8",
    "bytes_dst_to_src": "i8",
    "empty": "u1",
}


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc")


def build(scratch: Path) -> None:
    """Compile the scan for this machine's processor."""
    cc = compiler()
    assert cc is not None, "asked for before"
    scratch.mkdir(parents=True, exist_ok=True)
    subprocess.run([cc, *_FLAGS, "-o", str(_library(scratch)), str(_SOURCE)], check=True)


def prepare(documents: Documents, out: Path) -> Callable[[], int]:
    """The scan of all blobs, which are in memory before it begins; gives the tuples."""
    scanner = _Scanner(out.parent, documents)
    return lambda: sum(scanner.batches())


def sums(documents: Documents, scratch: Path) -> dict[str, int]:
    """What the columns add up to, to be compared with other ways to read the same documents."""
    scanner = _Scanner(scratch, documents)
    totals = dict.fromkeys(_COLUMNS, 0)
    for rows in scanner.batches():
        for name, column in scanner.columns.items():
            totals[name] += int(column[:rows].sum(dtype=np.int64))
    return totals


def _library(scratch: Path) -> Path:
    return scratch / "floor.so"


class _Scanner:
    def __init__(self, scratch: Path, documents: Documents) -> None:
        library = ctypes.CDLL(str(_library(scratch)))
        self._scan = library.scan_vnet if documents.layout is Layout.VNET else library.scan_nsg2
        self._scan.restype = ctypes.c_int64
        self._texts = [_padded(blob.path) for blobs in documents.hours.values() for blob in blobs]
        self.columns = {name: np.zeros(_BATCH_TUPLES, kind) for name, kind in _COLUMNS.items()}
        addresses = [column.ctypes.data for column in self.columns.values()]
        self._addresses = (ctypes.c_void_p * len(addresses))(*addresses)

    def batches(self) -> Iterator[int]:
        """The rows of one batch after the other; the columns hold them until the next."""
        for text in self._texts:
            data = (ctypes.c_char * len(text)).from_buffer(text)
            length = ctypes.c_int64(len(text) - _PADDING)
            cursor = (ctypes.c_int64 * 2)(0, 0)
            rows = _BATCH_TUPLES
            while rows == _BATCH_TUPLES:
                rows = self._scan(
                    data, length, cursor, self._addresses, ctypes.c_int64(_BATCH_TUPLES)
                )
                if rows < 0:
                    raise ValueError("floor.c met what it does not know")
                yield rows


def _padded(path: Path) -> bytearray:
    text = bytearray(path.stat().st_size + _PADDING)
    with path.open("rb") as file:
        file.readinto(text)
    return text
