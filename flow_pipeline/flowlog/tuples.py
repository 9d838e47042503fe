"""Flow tuples, as text, to columns: one exact reading, and a fast one for what is as it should be.

Belongs here: the meaning of a tuple's fields. `read_tuple` is the law. `read_tuples` reads whole
batches with Arrow's CSV parser and hands every row that it is not sure of to `read_tuple`, so that
both always give the same answer. Where a tuple stood is no matter of this module.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from flow_pipeline.flowlog.schema import LANDED_SCHEMA, RejectReason

_FIELDS_V1 = 8
_FIELDS_V2_V4 = 13
_EPOCH = datetime(1970, 1, 1)
_EARLIEST_MS = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp() * 1000)
# Seconds have had ten digits since 2001, milliseconds thirteen: eleven digits tell them apart.
_FIRST_MILLISECONDS = 10**11
_LATE_BY = timedelta(hours=2)  # the written hour itself, and one more
_MOST_PORT = 65535
_MOST_PROTOCOL = 255
_MOST_COUNT = 2**63 - 1
_MOST_DIGITS = 19  # of an int64
_PROTOCOL_NUMBERS = {"T": 6, "U": 17}
_COUNTERS = ("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src")


class FlowTuple(NamedTuple):
    """A decoded tuple; `flow_ms` is milliseconds since 1970 UTC, the rest as in the schema."""

    flow_ms: int
    src_ip: str
    dst_ip: str
    src_port: int
    dst_port: int
    protocol: int
    direction: str
    decision: str
    flow_state: str | None
    encryption: str | None
    packets_src_to_dst: int | None
    bytes_src_to_dst: int | None
    packets_dst_to_src: int | None
    bytes_dst_to_src: int | None
    log_version: int


def latest_ms(written_hour: datetime) -> int:
    """The last plausible flow time of a blob, in milliseconds since 1970 UTC."""
    return (written_hour + _LATE_BY - _EPOCH) // timedelta(milliseconds=1)


def read_tuple(text: object, latest: int) -> FlowTuple | RejectReason:
    """One element of `flowTuples`, exactly; a flow time after `latest` (ms) is implausible."""
    if not isinstance(text, str):
        return RejectReason.NOT_TEXT
    if not text:
        return RejectReason.EMPTY
    fields = text.split(",")
    if len(fields) > _FIELDS_V2_V4:
        return RejectReason.TOO_MANY_FIELDS
    if len(fields) not in (_FIELDS_V1, _FIELDS_V2_V4):
        return RejectReason.TOO_FEW_FIELDS
    start = _read_start(fields, latest)
    if isinstance(start, RejectReason):
        return start
    if fields[5] in _PROTOCOL_NUMBERS:
        return _read_nsg(start, fields)
    return _read_vnet(start, fields)


def _read_start(fields: list[str], latest: int) -> tuple[int, str, str, int, int] | RejectReason:
    """The five fields that all versions begin with: time, addresses, ports."""
    if not _is_digits(fields[0]):
        return RejectReason.FLOW_TIME_UNREADABLE
    flow_ms = _number(fields[0], latest)
    if flow_ms is not None and flow_ms < _FIRST_MILLISECONDS:
        flow_ms *= 1000
    if flow_ms is None or not _EARLIEST_MS <= flow_ms <= latest:
        return RejectReason.FLOW_TIME_IMPLAUSIBLE
    src_ip, dst_ip = canonical_address(fields[1]), canonical_address(fields[2])
    if src_ip is None or dst_ip is None:
        return RejectReason.ADDRESS_UNREADABLE
    src_port, dst_port = _number(fields[3], _MOST_PORT), _number(fields[4], _MOST_PORT)
    if src_port is None or dst_port is None:
        return RejectReason.PORT_UNREADABLE
    return flow_ms, src_ip, dst_ip, src_port, dst_port


def _read_nsg(start: tuple[int, str, str, int, int], fields: list[str]) -> FlowTuple | RejectReason:
    """Versions 1 and 2: protocol, direction, decision; in version 2 state and counters."""
    protocol = _PROTOCOL_NUMBERS[fields[5]]
    if fields[6] not in ("I", "O"):
        return RejectReason.DIRECTION_UNKNOWN
    if fields[7] not in ("A", "D"):
        return RejectReason.DECISION_UNKNOWN
    known = (*start, protocol, fields[6], fields[7])
    if len(fields) == _FIELDS_V1:
        return FlowTuple(*known, None, None, None, None, None, None, 1)
    if fields[8] not in ("B", "C", "E"):
        return RejectReason.STATE_UNKNOWN
    counters = _read_counters(fields)
    if counters is None:
        return RejectReason.COUNTER_UNREADABLE
    return FlowTuple(*known, fields[8], None, *counters, 2)


def _read_vnet(
    start: tuple[int, str, str, int, int], fields: list[str]
) -> FlowTuple | RejectReason:
    """Version 4: protocol number, direction, state or denial, encryption, counters."""
    protocol = _number(fields[5], _MOST_PROTOCOL)
    if protocol is None or len(fields) == _FIELDS_V1:
        return RejectReason.PROTOCOL_UNREADABLE
    if fields[6] not in ("I", "O"):
        return RejectReason.DIRECTION_UNKNOWN
    if fields[7] not in ("B", "C", "E", "D"):
        return RejectReason.STATE_UNKNOWN
    is_denied = fields[7] == "D"
    counters = _read_counters(fields)
    if counters is None:
        return RejectReason.COUNTER_UNREADABLE
    return FlowTuple(
        *start,
        protocol,
        fields[6],
        "D" if is_denied else "A",
        None if is_denied else fields[7],
        fields[8] or None,
        *counters,
        4,
    )


def _read_counters(
    fields: list[str],
) -> tuple[int | None, int | None, int | None, int | None] | None:
    counters = [_number(field, _MOST_COUNT) if field else None for field in fields[9:]]
    if any(counter is None and field for counter, field in zip(counters, fields[9:], strict=True)):
        return None
    return counters[0], counters[1], counters[2], counters[3]


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str, most: int) -> int | None:
    """ASCII digits that make a number up to `most`; leading zeros mean nothing."""
    if not _is_digits(text):
        return None
    # The length first: Python refuses to convert thousands of digits.
    significant = text.lstrip("0")
    if len(significant) > _MOST_DIGITS:
        return None
    number = int(significant or "0")
    return number if number <= most else None


@lru_cache(maxsize=1 << 16)
def canonical_address(text: str) -> str | None:
    """An IPv4 or IPv6 address as canonical text, or None if it is none or has a scope id."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        # Python 3.13 prints these with dots, older ones in hexadecimal.
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)


TUPLE_COLUMNS: tuple[str, ...] = (*FlowTuple._fields, "reject_reason", "raw")
"""What `read_tuples` gives: `flow_ms` in int64, the rest typed as in the schema."""

_TUPLE_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field(name, pa.int64() if name == "flow_ms" else LANDED_SCHEMA.field(name).type)
        for name in TUPLE_COLUMNS
    ]
)

_text = pa.dictionary(pa.int32(), pa.string())
_CSV_TYPES_V1: dict[str, pa.DataType] = {
    "flow_ms": pa.int64(),
    "src_ip": _text,
    "dst_ip": _text,
    "src_port": pa.int32(),
    "dst_port": pa.int32(),
    "protocol": _text,
    "direction": _text,
    "field_7": _text,
}
_CSV_TYPES_V2_V4: dict[str, pa.DataType] = (
    _CSV_TYPES_V1 | {"field_8": _text} | dict.fromkeys(_COUNTERS, pa.int64())
)
_CSV_TYPES = {_FIELDS_V1: _CSV_TYPES_V1, _FIELDS_V2_V4: _CSV_TYPES_V2_V4}

# Arrow's parser trims white space, knows quotes and minus signs and reads 0x1f and 0X1F: text with
# anything else than these, or with an X behind a zero, is none of its business.
_PLAIN = b"0123456789,.:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwyz_\n"
# What it reads without fail. Any field that is bounded here holds what its column can hold.
_SURE_START = r"[0-9]{1,18}(?:,[0-9A-Za-z_.:]*){2}(?:,[0-9]{1,5}){2}(?:,[0-9A-Za-z_.:]*)"
_SURE = {
    _FIELDS_V1: re.compile(_SURE_START + "{3}"),
    _FIELDS_V2_V4: re.compile(_SURE_START + "{4}(?:,[0-9]{0,18}){4}"),
}
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$"


def read_tuples(texts: list[object], latest: int) -> pa.RecordBatch:
    """Elements of `flowTuples` to `TUPLE_COLUMNS`, a row each, in order.

    A rejected row holds its reason and its text, and null in every other column.
    """
    for field_count in (_FIELDS_V2_V4, _FIELDS_V1):
        parsed = _parse_all(texts, field_count)
        if parsed is not None:
            every = np.arange(len(texts))
            return _in_order(_read_parsed(parsed, every, texts, latest))
    parts: list[_Part] = []
    rest = np.ones(len(texts), dtype=bool)
    for field_count, sure in _SURE.items():
        rows = np.flatnonzero(
            [isinstance(text, str) and sure.fullmatch(text) is not None for text in texts]
        )
        parsed = _parse_all([texts[row] for row in rows], field_count) if len(rows) else None
        if parsed is not None:
            parts += _read_parsed(parsed, rows, texts, latest)
            rest[rows] = False
    rows = np.flatnonzero(rest)
    if len(rows):
        parts.append(_read_one_by_one(rows, texts, latest))
    return _in_order(parts)


class _Part(NamedTuple):
    """Some rows of a batch, and which ones they are."""

    rows: np.ndarray
    columns: pa.RecordBatch


def _in_order(parts: list[_Part]) -> pa.RecordBatch:
    if len(parts) == 1:
        return parts[0].columns
    order = np.argsort(np.concatenate([part.rows for part in parts]))
    return pa.concat_batches([part.columns for part in parts]).take(pa.array(order))


def _parse_all(texts: list[object], field_count: int) -> dict[str, pa.Array] | None:
    """The fields of all texts, or None if Arrow's parser might read one of them differently."""
    try:
        # Nearly always all are text, and joining them tells sooner than asking each.
        data = ("\n".join(cast("list[str]", texts)) + "\n").encode()
    except TypeError:
        return None  # an element that is not text
    if data.translate(None, delete=_PLAIN) or _has_hexadecimal(data):
        return None
    types = _CSV_TYPES[field_count]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(data),
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=list(types)
            ),
            parse_options=pa_csv.ParseOptions(
                quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=False, check_utf8=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(texts):
        return None  # a line break within an element
    batch = table.combine_chunks().to_batches()[0]
    return dict(zip(types, batch.columns, strict=True))


def _has_hexadecimal(data: bytes) -> bool:
    # Many times as fast as a search for the two bytes, each of which is everywhere.
    characters = np.frombuffer(data, dtype=np.uint8)
    return bool(((characters[:-1] == ord("0")) & (characters[1:] == ord("X"))).any())


def _read_parsed(
    parsed: dict[str, pa.Array], rows: np.ndarray, texts: list[object], latest: int
) -> list[_Part]:
    """The rows whose fields are as they should be; the others go through `read_tuple`."""
    columns, is_good = _typed(parsed, latest)
    batch = pa.RecordBatch.from_arrays(columns, schema=_TUPLE_SCHEMA)
    if is_good.all():
        return [_Part(rows, batch)]
    parts = [_read_one_by_one(rows[~is_good], texts, latest)]
    if is_good.any():
        parts.append(_Part(rows[is_good], batch.filter(pa.array(is_good))))
    return parts


def _typed(parsed: dict[str, pa.Array], latest: int) -> tuple[list[pa.Array], np.ndarray]:
    count = len(parsed["flow_ms"])
    time = pc.fill_null(parsed["flow_ms"], -1).to_numpy()
    time = np.where(time < _FIRST_MILLISECONDS, time * 1000, time)
    is_good = (time >= _EARLIEST_MS) & (time <= latest)
    src_ip, is_address = _addresses(parsed["src_ip"])
    is_good &= is_address
    dst_ip, is_address = _addresses(parsed["dst_ip"])
    is_good &= is_address
    for name in ("src_port", "dst_port"):
        port = pc.fill_null(parsed[name], -1).to_numpy()
        is_good &= (port >= 0) & (port <= _MOST_PORT)

    nothing = pa.nulls(count, pa.string())
    is_v1 = "field_8" not in parsed
    protocol, is_vnet = _protocols(parsed["protocol"])
    is_good &= (protocol >= 0) & ~(is_vnet & is_v1)
    direction = _codes(parsed["direction"], _DIRECTIONS)
    is_good &= direction >= 0
    seventh = _codes(parsed["field_7"], _SEVENTH)
    if is_v1:
        decision, state, encryption = seventh, None, nothing
        is_good &= decision >= 0
        is_good &= decision <= _DENIED
        counters = [pa.nulls(count, pa.int64())] * len(_COUNTERS)
        version = np.ones(count, dtype=np.int16)
    else:
        eighth = _codes(parsed["field_8"], _SEVENTH)
        # NSG: decision, state. VNet: a state, or D for a denial.
        state = np.where(is_vnet, seventh, eighth)
        is_denied = seventh == _DENIED
        decision = np.where(is_vnet, np.where(is_denied, _DENIED, _ALLOWED), seventh)
        is_good &= (decision == _ALLOWED) | (decision == _DENIED)
        is_good &= (state > _DENIED) | (is_vnet & is_denied)
        state = np.where(is_vnet & is_denied, -1, state)
        encryption = _encryption(parsed["field_8"], is_vnet) if is_vnet.any() else nothing
        counters = [parsed[name] for name in _COUNTERS]
        version = np.where(is_vnet, 4, 2).astype(np.int16)
    return [
        pa.array(time),
        src_ip,
        dst_ip,
        parsed["src_port"],
        parsed["dst_port"],
        pa.array(protocol),
        _words(direction, _DIRECTIONS),
        _words(decision, _SEVENTH),
        nothing if state is None else _words(state, _SEVENTH),
        encryption,
        *counters,
        pa.array(version),
        nothing,
        nothing,
    ], is_good


_DIRECTIONS = ["I", "O"]
_SEVENTH = ["A", "D", "B", "C", "E"]  # decisions before states
_ALLOWED, _DENIED = 0, 1


def _codes(column: pa.DictionaryArray, words: list[str]) -> np.ndarray:
    """Each row's word as its place in `words`; -1 for any other."""
    place = {word: code for code, word in enumerate(words)}
    codes = [place.get(word, -1) for word in column.dictionary.to_pylist()]
    return np.array(codes, dtype=np.int8)[column.indices.to_numpy()]


def _words(codes: np.ndarray, words: list[str]) -> pa.Array:
    """The way back: -1 becomes null."""
    indices = pa.array(codes, mask=codes < 0)
    return pa.array(words, pa.string()).take(indices)


def _protocols(column: pa.DictionaryArray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's IANA number (-1: unreadable), and whether it was written as a number."""
    texts = column.dictionary.to_pylist()
    numbers = [_PROTOCOL_NUMBERS.get(text) for text in texts]
    is_number = np.array([number is None for number in numbers], dtype=bool)
    for code, text in enumerate(texts):
        if numbers[code] is None:
            numbers[code] = _number(text, _MOST_PROTOCOL)
    found = np.array([-1 if number is None else number for number in numbers], dtype=np.int16)
    indices = column.indices.to_numpy()
    return found[indices], is_number[indices]


def _addresses(column: pa.DictionaryArray) -> tuple[pa.Array, np.ndarray]:
    """Canonical text, null where there is no address; and which rows have one."""
    texts = column.dictionary
    # An IPv4 address has only one spelling; whatever else is asked of Python, once a text.
    is_ipv4 = pc.match_substring_regex(texts, _IPV4)
    if not pc.all(is_ipv4).as_py():
        texts = pa.array([canonical_address(text) for text in texts.to_pylist()], pa.string())
    found = texts.take(column.indices)
    return found, pc.is_valid(found).to_numpy(zero_copy_only=False)


def _encryption(column: pa.DictionaryArray, is_vnet: np.ndarray) -> pa.Array:
    codes = pa.array([text or None for text in column.dictionary.to_pylist()], pa.string())
    indices = pa.array(column.indices.to_numpy(), mask=~is_vnet)
    return codes.take(indices)


def _read_one_by_one(rows: np.ndarray, texts: list[object], latest: int) -> _Part:
    lines: list[tuple[object, ...]] = []
    for row in rows:
        text = texts[row]
        found = read_tuple(text, latest)
        if isinstance(found, RejectReason):
            lines.append((*_NO_FIELDS, found.value, _verbatim(text)))
        else:
            lines.append((*found, None, None))
    arrays = [
        pa.array(list(values), field.type)
        for values, field in zip(zip(*lines, strict=True), _TUPLE_SCHEMA, strict=True)
    ]
    return _Part(rows, pa.RecordBatch.from_arrays(arrays, schema=_TUPLE_SCHEMA))


_NO_FIELDS = (None,) * len(FlowTuple._fields)


def _verbatim(text: object) -> str:
    if isinstance(text, str):
        return text
    try:
        return orjson.dumps(text).decode()
    except orjson.JSONEncodeError:
        # It reads deeper nesting than it writes; nobody's flow is in there.
        return '"(nested too deeply to be shown)"'
