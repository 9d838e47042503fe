"""The tables that the scanner fills, and their rows as Arrow columns.

Belongs here: room for one batch of rows, the dictionaries of its addresses and texts, and the row
that an exact reading adds. Numbers stay numbers until a batch is taken.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from flow_pipeline.flowlog import scan
from flow_pipeline.flowlog.schema import COUNTERS, RejectReason
from flow_pipeline.flowlog.tuples import LONGEST_TUPLE, FlowTuple, read_tuple

# Not a power of two: or the columns would lie such that all of them fall into the same few lines of
# a processor's cache.
BATCH_TUPLES = 131_072 + 80
_MOST_GROUPS = 32_768
_MOST_RECORDS = 16_384
_MOST_SKELETONS = 4_096
_MOST_TEXTS = 16_384
_SKELETON_BYTES = 1 << 20
_HOUR_MS = 3_600_000
_CODED = {
    "direction": (scan.DIRECTION, pa.array(scan.DIRECTIONS)),
    "decision": (scan.DECISION, pa.array(scan.DECISIONS)),
    "flow_state": (scan.FLOW_STATE, pa.array(scan.STATES_OF_FLOW)),
}

TUPLE_COLUMNS: tuple[str, ...] = (
    "flow_time", "date", "hour", "src_ip", "dst_ip", "src_port", "dst_port", "protocol",
    "direction", "decision", "flow_state", "encryption", *COUNTERS, "log_version",
    "tuple_no", "reject_reason", "raw",
)  # fmt: skip
"""What a row is without its envelope."""


class TupleTable:
    """Room for the rows of a batch, and everything that the scanner remembers between them.

    `earliest` and `latest` (ms since 1970 UTC) are the plausible flow times.
    """

    def __init__(self, earliest: int, latest: int, *, record_no: int, is_resumed: bool) -> None:
        self.state = np.zeros(scan.STATES, np.int64)
        self.state[scan.EARLIEST], self.state[scan.LATEST] = earliest, latest
        self.state[scan.RECORD_NO] = record_no
        self.state[scan.COMMAS_DUE] = is_resumed
        self.state[scan.HOUR_START] = scan.NO_TIME // 2
        self._latest = latest
        self.groups = np.empty((scan.GROUP_COLUMNS, _MOST_GROUPS), np.int32)
        self.records = np.empty((scan.RECORD_COLUMNS, _MOST_RECORDS), np.int64)
        self._make_room()
        self._texts = _Texts()
        self._skeletons = np.empty(_SKELETON_BYTES, np.uint8)
        self._skeleton_ends = np.zeros(_MOST_SKELETONS + 1, np.int64)
        self._skeleton_table = np.full(2 * _MOST_SKELETONS, -1, np.int32)
        # Nobody who writes a log can know it: a value that has it was put there by the scanner.
        self.nonce = secrets.token_hex(8)
        self._nonce = np.frombuffer(self.nonce.encode(), np.uint8)
        self._rejects: dict[int, tuple[RejectReason, str]] = {}

    def _make_room(self) -> None:
        self._wide = _room(scan.WIDE, np.int64)
        self._narrow = _room(scan.NARROW, np.int32)

    @property
    def _gives_away(self) -> bool:
        """Whether columns are handed over as they are; few rows are copied, room is kept."""
        return self.rows > BATCH_TUPLES // 4

    def scan(self, window: np.ndarray, size: int) -> int:
        """Let the scanner go on in `window[:size]`; returns why it stopped."""
        texts = self._texts
        return scan.scan(
            window, size, self.state, self._wide, self._narrow, self.groups, self.records,
            texts.table, texts.starts, texts.store, texts.addresses, texts.encryptions,
            self._skeletons, self._skeleton_ends, self._skeleton_table, self._nonce,
        )  # fmt: skip

    def add(self, value: object) -> None:
        """Read one element exactly and add its row; the scanner has made sure of the room."""
        state = self.state
        row = int(state[scan.ROWS])
        if not state[scan.HAS_GROUP]:
            group = int(state[scan.GROUPS])
            self.groups[scan.GROUP_RECORD, group] = state[scan.RECORDS]
            self.groups[scan.GROUP_ARRAY, group] = state[scan.ARRAY_NO]
            self.groups[scan.GROUP_ROW, group] = row
            state[scan.GROUPS], state[scan.HAS_GROUP] = group + 1, 1
        found = read_tuple(value, self._latest)
        if isinstance(found, RejectReason):
            self._rejects[row] = (found, _verbatim(value))
            self._wide[:, row] = -1
            self._narrow[:, row] = -1
        else:
            self._add(row, found)
            self._learn(str(value), found)
        self._narrow[scan.TUPLE, row] = state[scan.TUPLE_NO]
        state[scan.ROWS] += 1
        state[scan.TUPLE_NO] += 1

    def _add(self, row: int, found: FlowTuple) -> None:
        wide, narrow = self._wide, self._narrow
        wide[scan.FLOW_MS, row] = found.flow_ms
        for counter, name in enumerate(COUNTERS, scan.FIRST_COUNTER):
            value = getattr(found, name)
            wide[counter, row] = -1 if value is None else value
        texts = self._texts
        wide[scan.SRC_IP, row] = texts.address(found.src_ip)
        wide[scan.DST_IP, row] = texts.address(found.dst_ip)
        hours = found.flow_ms // _HOUR_MS
        for column, value in (
            (scan.SRC_PORT, found.src_port),
            (scan.DST_PORT, found.dst_port),
            (scan.PROTOCOL, found.protocol),
            (scan.DIRECTION, scan.DIRECTIONS.index(found.direction)),
            (scan.DECISION, scan.DECISIONS.index(found.decision)),
            (scan.FLOW_STATE, _code(found.flow_state)),
            (scan.ENCRYPTION, texts.encryption(found.encryption)),
            (scan.LOG_VERSION, found.log_version),
            (scan.DATE, hours // 24),
            (scan.HOUR_OF_DAY, hours % 24),
        ):
            narrow[column, row] = value

    def _learn(self, text: str, found: FlowTuple) -> None:
        """So that the scanner knows the spelling of what it stumbled over the next time."""
        fields = text.split(",")
        for spelt, address in ((fields[1], found.src_ip), (fields[2], found.dst_ip)):
            if ":" in spelt:
                self._texts.learn_address(spelt, address)
        if found.encryption is not None:
            self._texts.learn_encryption(found.encryption)

    @property
    def rows(self) -> int:
        """Rows that wait, those of the record that is being read included."""
        return int(self.state[scan.ROWS])

    @property
    def whole_rows(self) -> int:
        """Rows of the records that were read to their end."""
        return int(self.state[scan.RECORD_FIRST_ROW])

    def skeleton(self, number: int) -> bytes:
        """An envelope as it stood in the blob, marks in the place of arrays of tuples."""
        start, end = self._skeleton_ends[number : number + 2]
        return self._skeletons[start:end].tobytes()

    @property
    def skeleton_bytes(self) -> int:
        """Length of the envelope that is being read, as far as it has come."""
        return int(self.state[scan.SKELETON_LENGTH])

    def make_room_for_skeleton(self) -> None:
        """Twice the room for envelopes."""
        grown = np.empty(2 * len(self._skeletons), np.uint8)
        grown[: len(self._skeletons)] = self._skeletons
        self._skeletons = grown

    def append_to_skeleton(self, data: bytes) -> None:
        """Copy a token of the envelope that the scanner left to the caller."""
        while self._skeleton_at + len(data) + scan.PAD > len(self._skeletons):
            self.make_room_for_skeleton()
        at = self._skeleton_at
        self._skeletons[at : at + len(data)] = np.frombuffer(data, np.uint8)
        self.state[scan.SKELETON_LENGTH] += len(data)

    @property
    def _skeleton_at(self) -> int:
        return int(self.state[scan.SKELETON_START] + self.state[scan.SKELETON_LENGTH])

    def fields(self, first: int, last: int) -> dict[str, pa.Array]:
        """`TUPLE_COLUMNS` of the rows [first, last), typed as ENCODED_SCHEMA has them."""
        rejected = [row - first for row in self._rejects if first <= row < last]
        mask = None
        if rejected:
            mask = np.zeros(last - first, bool)
            mask[rejected] = True
        wide, narrow = self._wide[:, first:last], self._narrow[:, first:last]
        if not self._gives_away:
            wide, narrow = wide.copy(), narrow.copy()
        columns: dict[str, Any] = {
            "flow_time": pa.array(wide[scan.FLOW_MS], mask=mask).view(pa.timestamp("ms")),
            "date": pa.array(narrow[scan.DATE], mask=mask).view(pa.date32()),
            "hour": pa.array(narrow[scan.HOUR_OF_DAY], mask=mask),
            "src_port": pa.array(narrow[scan.SRC_PORT], mask=mask),
            "dst_port": pa.array(narrow[scan.DST_PORT], mask=mask),
            "protocol": pa.array(narrow[scan.PROTOCOL].astype(np.int16), mask=mask),
            "log_version": pa.array(narrow[scan.LOG_VERSION].astype(np.int16), mask=mask),
            "tuple_no": pa.array(narrow[scan.TUPLE]),
        }
        for counter, name in enumerate(COUNTERS, scan.FIRST_COUNTER):
            columns[name] = nullable(wide[counter])
        for name, (row, words) in _CODED.items():
            columns[name] = pa.DictionaryArray.from_arrays(nullable(narrow[row]), words)
        columns["encryption"] = pa.DictionaryArray.from_arrays(
            nullable(narrow[scan.ENCRYPTION]), self._texts.encryption_texts()
        )
        columns["src_ip"] = self._addresses(wide[scan.SRC_IP])
        columns["dst_ip"] = self._addresses(wide[scan.DST_IP])
        count = last - first
        if rejected:
            found = [self._rejects[first + row] for row in rejected]
            reasons: list[str | None] = [None] * count
            raws: list[str | None] = [None] * count
            for row, (reason, raw) in zip(rejected, found, strict=True):
                reasons[row], raws[row] = reason.value, raw
            columns["reject_reason"] = pa.array(reasons, pa.string())
            columns["raw"] = pa.array(raws, pa.string())
        else:
            columns["reject_reason"] = pa.nulls(count, pa.string())
            columns["raw"] = pa.nulls(count, pa.string())
        return columns

    def _addresses(self, addresses: np.ndarray) -> pa.Array:
        table = np.zeros(1 << (2 * len(addresses)).bit_length(), np.int64)
        ips = np.empty(len(addresses), np.int64)
        codes = np.empty(len(addresses), np.int32)
        count = scan.places(addresses, table, ips, codes)
        text = np.empty(15 * count, np.uint8)
        ends = np.empty(count + 1, np.int32)
        length = scan.address_texts(ips, count, text, ends)
        words = pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(text[:length]))
        if len(codes) and codes.min() < -1:
            is_text = codes < -1
            used, place = np.unique(codes[is_text], return_inverse=True)
            codes[is_text] = count + place
            words = pa.concat_arrays([words, self._texts.address_texts(-2 - used)])
        return pa.DictionaryArray.from_arrays(nullable(codes), words)

    def reset(self) -> None:
        """Begin the next batch. A record that is being read goes on in it."""
        state = self.state
        if self.keeps_begun:
            self._keep_begun()
            return
        if self._gives_away:
            self._make_room()
        self.records[:, 0] = self.records[:, min(int(state[scan.RECORDS]), _MOST_RECORDS - 1)]
        for count in (scan.ROWS, scan.GROUPS, scan.RECORDS):
            state[count] = 0
        state[scan.RECORD_FIRST_ROW] = state[scan.HAS_GROUP] = 0
        self._rejects.clear()
        self._texts.forget_if_many()

    @property
    def keeps_begun(self) -> bool:
        """Whether the rows of a record that has not ended stay, because they are few."""
        rows = self.rows - self.whole_rows
        groups = int(np.count_nonzero(self._begun_groups))
        return 0 < rows <= BATCH_TUPLES // 4 and groups <= _MOST_GROUPS // 4

    @property
    def _begun_groups(self) -> np.ndarray:
        groups = self.groups[scan.GROUP_ROW, : self.state[scan.GROUPS]]
        return groups >= self.whole_rows

    def _keep_begun(self) -> None:
        state, whole, rows = self.state, self.whole_rows, self.rows
        groups = self.groups[:, : state[scan.GROUPS]][:, self._begun_groups]
        groups[scan.GROUP_RECORD] = 0
        groups[scan.GROUP_ROW] -= whole
        self.groups[:, : groups.shape[1]] = groups
        wide, narrow = self._wide, self._narrow
        if self._gives_away:
            self._make_room()
        self._wide[:, : rows - whole] = wide[:, whole:rows].copy()
        self._narrow[:, : rows - whole] = narrow[:, whole:rows].copy()
        self._rejects = {row - whole: why for row, why in self._rejects.items() if row >= whole}
        self.records[:, 0] = self.records[:, min(int(state[scan.RECORDS]), _MOST_RECORDS - 1)]
        state[scan.RECORDS] = state[scan.RECORD_FIRST_ROW] = 0
        state[scan.ROWS], state[scan.GROUPS] = rows - whole, groups.shape[1]

    def forget_skeletons_if_many(self) -> bool:
        """Make room for other envelopes; true if their numbers begin anew."""
        state = self.state
        start, length = int(state[scan.SKELETON_START]), int(state[scan.SKELETON_LENGTH])
        if start < _SKELETON_BYTES // 2 and state[scan.SKELETONS] < _MOST_SKELETONS // 2:
            return False
        # The one that is being read moves to the front.
        begun = self._skeletons[start : start + length]
        self._skeletons = np.empty(max(_SKELETON_BYTES, 2 * length), np.uint8)
        self._skeletons[:length] = begun
        state[scan.SKELETON_START] = state[scan.SKELETONS] = 0
        self._skeleton_table.fill(-1)
        return True


class _Texts:
    """Addresses that are no IPv4 ones, and encryption codes: spelling to place in a dictionary.

    Numbers of addresses go down from -2. What is learned stays until there is too much of it.
    """

    def __init__(self) -> None:
        self.table = np.empty(2 * _MOST_TEXTS, np.int32)
        self.starts = np.zeros(_MOST_TEXTS + 1, np.int64)
        self.store = np.empty(_MOST_TEXTS * scan.LONGEST_TEXT, np.uint8)
        self.addresses = np.empty(_MOST_TEXTS, np.int32)
        self.encryptions = np.empty(_MOST_TEXTS, np.int32)
        self._forget()

    def _forget(self) -> None:
        self.table.fill(-1)
        self._count = 0
        self._address_codes: dict[str, int] = {}
        self._encryption_codes: dict[str, int] = {}

    def forget_if_many(self) -> None:
        most = _MOST_TEXTS // 2
        if max(self._count, len(self._address_codes), len(self._encryption_codes)) > most:
            self._forget()

    def address(self, text: str) -> int:
        # As the scanner would: an address that had two places in a dictionary would keep Parquet
        # from taking it over.
        if ":" not in text:
            return int.from_bytes(map(int, text.split(".")))
        return -2 - self._address_codes.setdefault(text, len(self._address_codes))

    def encryption(self, text: str | None) -> int:
        if text is None:
            return -1
        return self._encryption_codes.setdefault(text, len(self._encryption_codes))

    def learn_address(self, spelt: str, address: str) -> None:
        number = self._number(spelt)
        if number is not None:
            self.addresses[number] = self.address(address)

    def learn_encryption(self, text: str) -> None:
        number = self._number(text)
        if number is not None:
            self.encryptions[number] = self.encryption(text)

    def address_texts(self, places: np.ndarray) -> pa.Array:
        return pa.array(list(self._address_codes), pa.string()).take(pa.array(places))

    def encryption_texts(self) -> pa.Array:
        return pa.array(list(self._encryption_codes), pa.string())

    def _number(self, text: str) -> int | None:
        """The text's number, which it is given if need be; None if it is nothing to remember."""
        data = np.frombuffer(text.encode(), np.uint8)
        if len(data) >= scan.LONGEST_TEXT or self._count == _MOST_TEXTS:
            return None
        if (data < ord(" ")).any():
            return None  # was written with an escape; as it is, it would be no JSON
        slot = scan.text_slot(data, 0, len(data), self.table, self.starts, self.store)
        number = int(self.table[slot])
        if number < 0:
            number, self._count = self._count, self._count + 1
            start = int(self.starts[number])
            self.store[start : start + len(data)] = data
            self.starts[number + 1] = start + len(data)
            self.addresses[number] = self.encryptions[number] = -1
            self.table[slot] = number
        return number


def _room(columns: int, kind: type[np.integer[Any]]) -> np.ndarray:
    """A table for a batch; of Arrow's memory, which is used again without asking the system."""
    size = columns * BATCH_TUPLES * np.dtype(kind).itemsize
    return np.frombuffer(pa.allocate_buffer(size), kind).reshape(columns, BATCH_TUPLES)


def nullable(values: np.ndarray) -> pa.Array:
    """Integers of which the negative ones are null. The array is handed over, not copied."""
    is_valid = values >= 0
    missing = len(values) - int(np.count_nonzero(is_valid))
    if not missing:
        return pa.array(values)
    # What PyArrow makes of a mask is the same, in ten times the time.
    bitmap = pa.py_buffer(np.packbits(is_valid, bitorder="little"))
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [bitmap, pa.py_buffer(values)], missing)


def _code(state: str | None) -> int:
    return -1 if state is None else scan.STATES_OF_FLOW.index(state)


def _verbatim(value: object) -> str:
    """A rejected element as text, no more of it than a tuple can have."""
    if isinstance(value, str):
        return value[:LONGEST_TUPLE]
    try:
        return orjson.dumps(value).decode()[:LONGEST_TUPLE]
    except orjson.JSONEncodeError:
        # It reads deeper nesting than it writes; nobody's flow is in there.
        return '"(nested too deeply to be shown)"'
