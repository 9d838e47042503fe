"""Cuts the document `{"records":[…]}` into its records while the bytes come in.

Belongs here: the bytes that are being looked at, where the array of records begins and ends, what
is wrong around it, and whatever stopped the scanner. What stands in a record is no matter of this
module. Memory is bounded by a window and the longest value that is read whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

import numpy as np
import orjson
import xxhash

from flow_pipeline.flowlog import scan
from flow_pipeline.flowlog.envelope import Envelopes
from flow_pipeline.flowlog.problems import ProblemCode, ProblemLog, shown
from flow_pipeline.flowlog.tuple_table import TupleTable

# Fits a core's cache, so that what was copied is scanned from there.
_WINDOW_BYTES = 1 << 19
_PADDING = bytes(scan.PAD)
LONGEST_VALUE = 1 << 22
"""A record with an envelope, or a single element, beyond this many bytes is none of Azure's.

What it is parsed to takes up to thirty times as much memory: each `{}` and each `[]` is an object.
"""

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SEPARATORS = re.compile(rb"[ \t\r\n,]*+")
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SCALAR_REST = re.compile(rb'[^ \t\r\n,\[\]{}"]*+')
_WHOLE_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TO_BRACE = re.compile(rb'(?:[^"{}]++|' + _WHOLE_STRING + rb")*+", re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"\[\]]++|' + _WHOLE_STRING + rb")*+", re.DOTALL)
_TO_EITHER = re.compile(rb'(?:[^"{}\[\]]++|' + _WHOLE_STRING + rb")*+", re.DOTALL)

_QUOTE, _COMMA, _COLON = b'",:'
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET = b"{}[]"
_COUNTERPARTS = {
    _OPEN_BRACE: (_OPEN_BRACE, _CLOSE_BRACE),
    _OPEN_BRACKET: (_OPEN_BRACKET, _CLOSE_BRACKET),
}
_NO_VALUE = frozenset((_COMMA, _COLON, _CLOSE_BRACE, _CLOSE_BRACKET))
_KEYS = {"flowTuples": scan.KEY_TUPLES, "time": scan.KEY_TIME}
_TOO_LARGE = f"larger than {LONGEST_VALUE:,} bytes without its tuples, or one of them is"


class _State(Enum):
    """What the next byte that is not white space belongs to."""

    START = auto()
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    AFTER_VALUE = auto()
    ELEMENT = auto()
    END = auto()
    GIVEN_UP = auto()


class _ValueScan:
    """Looks for the end of one JSON value over as many windows as it takes, each byte once.

    Of braces and brackets only the kind that the value begins with is counted: a value with a
    bracket too few still ends where it ends. In a record, that means at the latest where the
    record does: `is_broken` tells of an array that has a brace too many.
    """

    def __init__(self, first: int, *, in_record: bool = False) -> None:
        self._opening = first
        self._pattern = _TO_BRACKET if first == _OPEN_BRACKET else _TO_BRACE
        if in_record:
            self._pattern = _TO_EITHER
        self._braces = 0
        self.is_broken = False
        self._is_scalar = first not in (_QUOTE, _OPEN_BRACE, _OPEN_BRACKET)
        self._in_string = first == _QUOTE
        self._depth = 0 if self._is_scalar or self._in_string else 1
        self.read = 1

    def advance(self, buffer: bytearray, start: int, size: int) -> bool:
        """Go on in the value that begins at `start`; true when `read` is its whole length."""
        at = start + self.read
        done = False
        while at < size and not done:
            if self._is_scalar:
                at = _end(_SCALAR_REST, buffer, at, size)
                done = at < size
            elif self._in_string:
                at = _end(_STRING_REST, buffer, at, size)
                if at == size or buffer[at] != _QUOTE:
                    break  # a lone backslash waits for the byte that it escapes
                at += 1
                self._in_string = False
                done = self._depth == 0
            else:
                at = _end(self._pattern, buffer, at, size)
                if at == size:
                    break
                byte = buffer[at]
                self._in_string = byte == _QUOTE
                if byte in _COUNTERPARTS[self._opening]:
                    self._depth += 1 if byte == self._opening else -1
                    done = self._depth == 0
                elif byte in _COUNTERPARTS[_OPEN_BRACE]:
                    self._braces += 1 if byte == _OPEN_BRACE else -1
                    done = self.is_broken = self._braces < 0
                at += 1
        self.read = at - start
        return done


class RecordReader:
    """Bytes of a document in, its records into the tables; what is wrong around them is reported.

    With `is_resumed` the bytes begin behind a record: at the comma before the next one, or at the
    end of the array. `digest` chains the records' bytes: H(digest before + H(record)), H being
    XXH3 of 128 bits, so that reading on from where one left off ends in the same digest.
    `records_end` is the byte that closes the array of records, once it was met.
    """

    def __init__(
        self,
        table: TupleTable,
        envelopes: Envelopes,
        problems: ProblemLog,
        *,
        is_resumed: bool,
        digest: bytes,
    ) -> None:
        self._table = table
        self._envelopes = envelopes
        self._problems = problems
        self._state = _State.ELEMENT if is_resumed else _State.START
        self._has_records = is_resumed
        self._buffer = bytearray(_WINDOW_BYTES + scan.PAD)
        self._window = np.frombuffer(self._buffer, np.uint8)
        self._filled = 0
        self._key: object = None
        self._scan: _ValueScan | None = None
        self._value: _ValueScan | None = None
        self._element: _ValueScan | None = None
        self._is_too_large = False
        self._commas = 0
        self._broken = ""
        self._record = xxhash.xxh3_128()
        self.digest = digest
        self.records_end: int | None = None

    @property
    def bytes_read(self) -> int:
        """How many bytes were fed, whatever was made of them."""
        return int(self._table.state[scan.BASE]) + self._filled

    def feed(self, chunk: bytes) -> Iterator[None]:
        """Take in the next bytes; yields whenever the table has to be emptied first."""
        done = 0
        while done < len(chunk):
            room = len(self._buffer) - scan.PAD - self._filled
            # Between views bytes are copied once, to a slice of the buffer itself twice.
            with memoryview(chunk) as view, memoryview(self._buffer) as buffer:
                piece = view[done : done + room]
                end = self._filled + len(piece)
                buffer[self._filled : end] = piece
                done += len(piece)
                buffer[end : end + scan.PAD] = _PADDING
            self._filled = end
            yield from self._read()
            self._drop()

    def finish(self) -> None:
        """Report a document that ended too early."""
        if self._state in (_State.END, _State.GIVEN_UP):
            return
        if self.bytes_read == 0:
            self._problems.add(ProblemCode.CUT_OFF, "the blob is empty")
            return
        begin = self._begun_at
        whole_to = self._blob_offset if begin is None else begin
        self._problems.add(
            ProblemCode.CUT_OFF,
            f"ends at byte {self.bytes_read} in the middle of the document; whole to byte "
            f"{whole_to}",
        )

    # ------------------------------------------------------------------- where the window stands

    @property
    def _at(self) -> int:
        return int(self._table.state[scan.POS])

    @_at.setter
    def _at(self, at: int) -> None:
        self._table.state[scan.POS] = at

    @property
    def _begun_at(self) -> int | None:
        """Where in the blob the record begins that is being read; None between two."""
        state = self._table.state
        if state[scan.MODE] == scan.BETWEEN:
            return None
        return int(self._table.records[scan.RECORD_BEGIN, state[scan.RECORDS]])

    def _drop(self) -> None:
        """Let go of what is done with; the rest waits for more, with room for as much again."""
        state, done = self._table.state, self._at
        begin = self._begun_at
        if begin is not None:
            self._hash(max(0, begin - int(state[scan.BASE])), done)
        left = self._filled - done
        self._buffer[:left] = self._buffer[done : self._filled]
        if 2 * left > len(self._buffer):
            self._buffer = self._buffer.ljust(2 * len(self._buffer), b"\0")
            self._window = np.frombuffer(self._buffer, np.uint8)
        self._filled = left
        state[scan.BASE] += done
        state[scan.POS] = 0

    def _hash(self, start: int, end: int) -> None:
        """A part of a record whose end may be in a later window."""
        with memoryview(self._buffer) as view:
            self._record.update(view[start:end])

    # ------------------------------------------------------------------- the array of records

    def _read(self) -> Iterator[None]:
        while True:
            if self._state is not _State.ELEMENT:
                if not self._read_around():
                    return
            elif self._value is not None:
                if not self._read_value_between(self._value):
                    return
            else:
                code = self._scan_records()
                if code == scan.FULL:
                    yield
                elif not self._help(code):
                    return

    def _scan_records(self) -> int:
        table, state = self._table, self._table.state
        first = int(state[scan.RECORDS])
        code = table.scan(self._window, self._filled)
        last = int(state[scan.RECORDS])
        if last > first:
            self._commas = 0
            records = table.records[:, first:last]
            self._chain(records)
            self._envelopes.take(records, self._broken)
        return code

    def _chain(self, records: np.ndarray) -> None:
        digest, digest_of = self.digest, xxhash.xxh3_128_digest
        base = int(self._table.state[scan.BASE])
        with memoryview(self._buffer) as view:
            for begin, end in zip(
                (records[scan.RECORD_BEGIN] - base).tolist(),
                (records[scan.RECORD_END] - base).tolist(),
                strict=True,
            ):
                if begin >= 0:
                    digest = digest_of(digest + digest_of(view[begin:end]))
                else:
                    # Only the first one: what stood in earlier windows is in there already.
                    self._record.update(view[:end])
                    digest = digest_of(digest + self._record.digest())
                    self._record.reset()
        self.digest = digest

    def _help(self, code: int) -> bool:
        """Do what the scanner left undone; false if that needs more bytes."""
        if code == scan.NEED_MORE:
            return self._give_up_on_what_is_too_large()
        if code == scan.BETWEEN_ODD:
            return self._read_between()
        if code == scan.ODD_ELEMENT:
            return self._read_element()
        if code == scan.ESCAPED_KEY:
            self._read_escaped_key()
        elif code == scan.BROKEN:
            self._break(f"no comma and no end of the array at byte {self._blob_offset}")
        elif self._table.skeleton_bytes > LONGEST_VALUE:
            self._break(_TOO_LARGE)
        else:
            self._table.make_room_for_skeleton()
        return True

    @property
    def _blob_offset(self) -> int:
        return int(self._table.state[scan.BASE]) + self._at

    def _give_up_on_what_is_too_large(self) -> bool:
        state = self._table.state
        if self._filled - self._at <= LONGEST_VALUE:
            return False
        if state[scan.MODE] != scan.BETWEEN:
            self._break(_TOO_LARGE)
            return True
        # Nothing but separators: what was seen of them counts for those to come.
        commas = self._buffer.count(b",", self._at, self._filled)
        self._commas += commas
        state[scan.COMMAS_DUE] -= commas
        self._at = self._filled
        return False

    def _break(self, detail: str) -> None:
        """The record is no JSON that is read here: only its end is looked for from now on."""
        self._broken = detail
        self._element = None
        self._table.state[scan.MODE] = scan.SKIP

    def _read_between(self) -> bool:
        """Separators that are not as they should be, or something else than an object."""
        state = self._table.state
        start, end = self._at, _end(_SEPARATORS, self._buffer, self._at, self._filled)
        commas = self._commas + self._buffer.count(b",", start, end)
        due = int(state[scan.COMMAS_DUE]) + self._commas
        self._at = end
        byte = self._buffer[end]
        is_last = byte == _CLOSE_BRACKET
        if commas != (0 if is_last else due):
            self._problems.add(
                ProblemCode.UNREADABLE_JSON,
                f"{commas} commas instead of {0 if is_last else due} before byte "
                f"{self._blob_offset}",
            )
        self._commas = 0
        state[scan.COMMAS_DUE] = 0
        if is_last:
            self.records_end = self._blob_offset
            self._at += 1
            self._state = _State.AFTER_VALUE
        elif byte != _OPEN_BRACE:
            self._value = _ValueScan(byte)
        return True

    def _read_value_between(self, value: _ValueScan) -> bool:
        """A value that is no object where a record should stand."""
        start = self._at
        is_done = value.advance(self._buffer, start, self._filled)
        if not is_done and not self._is_too_large and value.read <= LONGEST_VALUE:
            return False
        end = start + value.read
        self._hash(start, end)
        self._at = end
        if not is_done:
            self._is_too_large = True
            value.read = 0
            return False
        detail = _TOO_LARGE
        if not self._is_too_large:
            detail = _malformed(_copy(self._buffer, start, end))
        state = self._table.state
        self._problems.add(ProblemCode.RECORD_MALFORMED, detail, int(state[scan.RECORD_NO]))
        state[scan.RECORD_NO] += 1
        state[scan.COMMAS_DUE] = 1
        self.digest = xxhash.xxh3_128_digest(self.digest + self._record.digest())
        self._record.reset()
        self._value, self._is_too_large = None, False
        return True

    def _read_element(self) -> bool:
        """An element of an array of tuples that the scanner is not sure of."""
        state, start = self._table.state, self._at
        byte = self._buffer[start]
        if byte in _NO_VALUE:
            self._break(f"{_shown_byte(byte)} instead of a value at byte {self._blob_offset}")
            return True
        # Kept until its end has come in: looking for it from the start each time is quadratic.
        value = self._element or _ValueScan(byte, in_record=True)
        self._element = value
        if not value.advance(self._buffer, start, self._filled):
            return self._give_up_on_what_is_too_large()
        self._element = None
        if value.is_broken or value.read > LONGEST_VALUE:
            self._break(
                f"an array without an end at byte {self._blob_offset}"
                if value.is_broken
                else _TOO_LARGE
            )
            return True
        data = _copy(self._buffer, start, start + value.read)
        # As deep as it stands: a parser has a limit to that, which counts from the outside.
        depth = 0 if byte == _QUOTE else int(state[scan.DEPTH])
        try:
            element = orjson.loads(b"[" * depth + data + b"]" * depth)
        except orjson.JSONDecodeError as error:
            self._break(f"{error.msg} at byte {self._blob_offset}")
            return True
        for _ in range(depth):
            element = element[0]
        self._table.add(element)
        self._at = start + value.read
        state[scan.MODE] = scan.AFTER_ELEMENT
        return True

    def _read_escaped_key(self) -> None:
        """A key with escapes in it is the same key as without them."""
        state = self._table.state
        start, end = self._at, int(state[scan.TOKEN_END])
        data = _copy(self._buffer, start, end)
        try:
            key = orjson.loads(data)
        except orjson.JSONDecodeError:
            key = None  # the envelope as a whole will say so
        kind = _KEYS.get(str(key), 0)
        if kind == scan.KEY_TUPLES or (kind and state[scan.DEPTH] == 1):
            data = orjson.dumps(key)
            state[scan.KEY] = kind
            state[scan.MODE] = scan.AFTER_KEY
        self._table.append_to_skeleton(data)
        self._at = end

    # ------------------------------------------------------------------- around that array

    def _read_around(self) -> bool:
        """One step outside the array of records; false if it needs more bytes or there is none."""
        state = self._state
        if state is _State.GIVEN_UP:
            self._at = self._filled
            return False
        if state is _State.START and self._blob_offset == 0:
            begin = _copy(self._buffer, 0, min(self._filled, len(_BOM)))
            if len(begin) < len(_BOM) and _BOM.startswith(begin):
                return False
            if begin == _BOM:
                self._at = len(_BOM)
        if self._scan is None:
            self._at = _end(_SPACE, self._buffer, self._at, self._filled)
        if self._at == self._filled:
            return False
        byte = self._buffer[self._at]
        if state is _State.KEY and byte == _QUOTE:
            return self._read_key()
        if state is _State.VALUE:
            return self._read_value(byte)
        follows = _PUNCTUATION.get((state, byte))
        if follows is None:
            self._give_up(f"{_shown_byte(byte)} at byte {self._blob_offset}")
            return True
        self._at += 1
        self._state = follows
        if follows is _State.END and not self._has_records:
            self._give_up("an object without records")
        return True

    def _read_key(self) -> bool:
        start = self._at
        value = _ValueScan(_QUOTE)
        if not value.advance(self._buffer, start, self._filled):
            if self._filled - start <= LONGEST_VALUE:
                return False
            self._give_up(f"a key of more than {LONGEST_VALUE:,} bytes")
            return True
        self._at = start + value.read
        data = _copy(self._buffer, start, self._at)
        try:
            self._key = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._key = None  # whatever it is, it is not `records`
        self._state = _State.COLON
        return True

    def _read_value(self, byte: int) -> bool:
        if self._key == "records" and not self._has_records:
            if byte != _OPEN_BRACKET:
                self._give_up("records is not an array")
                return True
            self._at += 1
            self._has_records = True
            self._state = _State.ELEMENT
            return True
        if self._scan is None and self._key == "records":
            self._problems.add(ProblemCode.UNREADABLE_JSON, "a second array of records is left out")
        if not self._skip_value():
            return False
        self._state = _State.AFTER_VALUE
        return True

    def _skip_value(self) -> bool:
        if self._scan is None:
            self._scan = _ValueScan(self._buffer[self._at])
        is_done = self._scan.advance(self._buffer, self._at, self._filled)
        self._at += self._scan.read
        self._scan.read = 0
        if is_done:
            self._scan = None
        return is_done

    def _give_up(self, detail: str) -> None:
        code = ProblemCode.TRAILING_DATA if self._has_records else ProblemCode.NOT_A_FLOW_LOG
        self._problems.add(code, detail)
        self._state = _State.GIVEN_UP


_PUNCTUATION = {
    (_State.START, _OPEN_BRACE): _State.KEY,
    (_State.KEY, _CLOSE_BRACE): _State.END,
    (_State.COLON, _COLON): _State.VALUE,
    (_State.AFTER_VALUE, _COMMA): _State.KEY,
    (_State.AFTER_VALUE, _CLOSE_BRACE): _State.END,
}


def _shown_byte(byte: int) -> str:
    return repr(bytes((byte,)))[1:]


def _malformed(data: bytes) -> str:
    try:
        return f"{shown(orjson.loads(data))} where a record should stand"
    except orjson.JSONDecodeError as error:
        return error.msg


def _end(pattern: re.Pattern[bytes], buffer: bytearray, at: int, size: int) -> int:
    # Every pattern here matches, be it the empty text.
    match = pattern.match(buffer, at, size)
    return at if match is None else match.end()


def _copy(buffer: bytearray, start: int, end: int) -> bytes:
    with memoryview(buffer) as view:
        return bytes(view[start:end])
