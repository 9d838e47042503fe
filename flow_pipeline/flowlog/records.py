"""Cuts the document `{"records":[…]}` into its records while the bytes come in.

Belongs here: where a record begins and ends, and what is wrong around the records. What stands in
a record is no matter of this module. Memory is bounded by a chunk and one record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

import orjson

from flow_pipeline.flowlog.problems import ProblemCode, ProblemLog

# Both products end a record with these two bytes and have them nowhere else in it, as long as they
# write without spaces and the flows last. Only a guess: the JSON parser has the last word.
_LIKELY_END = b"}}"
# A blob that is laid out differently disappoints every time. After this many wrong guesses none is
# made any more, which bounds what they can cost.
_WRONG_GUESSES_ALLOWED = 8

_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_SEPARATORS = re.compile(rb"[ \t\r\n,]*+")
_STRING_REST = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_SCALAR_REST = re.compile(rb'[^ \t\r\n,\[\]{}"]*+')
_WHOLE_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TO_BRACE = re.compile(rb'(?:[^"{}]++|' + _WHOLE_STRING + rb")*+", re.DOTALL)
_TO_BRACKET = re.compile(rb'(?:[^"\[\]]++|' + _WHOLE_STRING + rb")*+", re.DOTALL)

_QUOTE, _COMMA, _COLON = b'",:'
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET = b"{}[]"


class RawRecord(NamedTuple):
    """An element of `records`: its bytes, its value, and why it has none (else empty)."""

    data: bytes
    value: object
    error: str


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
    """Looks for the end of one JSON value over as many chunks as it takes, each byte once.

    Of braces and brackets only the kind that the value begins with is counted: a record with a
    bracket too few still ends where it ends.
    """

    def __init__(self, first: int) -> None:
        self._opening = first
        self._pattern = _TO_BRACKET if first == _OPEN_BRACKET else _TO_BRACE
        self._is_scalar = first not in (_QUOTE, _OPEN_BRACE, _OPEN_BRACKET)
        self._in_string = first == _QUOTE
        self._depth = 0 if self._is_scalar or self._in_string else 1
        self.read = 1

    def advance(self, buffer: bytearray, start: int) -> bool:
        """Go on in the value that begins at `start`; true when `read` is its whole length."""
        at = start + self.read
        size = len(buffer)
        done = False
        while at < size and not done:
            if self._is_scalar:
                at = _end(_SCALAR_REST, buffer, at)
                done = at < size
            elif self._in_string:
                at = _end(_STRING_REST, buffer, at)
                if at == size or buffer[at] != _QUOTE:
                    break  # a lone backslash waits for the byte that it escapes
                at += 1
                self._in_string = False
                done = self._depth == 0
            else:
                at = _end(self._pattern, buffer, at)
                if at == size:
                    break
                self._in_string = buffer[at] == _QUOTE
                if not self._in_string:
                    self._depth += 1 if buffer[at] == self._opening else -1
                    done = self._depth == 0
                at += 1
        self.read = at - start
        return done


class RecordCutter:
    """Bytes of a document in, its records out, in order; what is wrong around them is reported.

    With `is_resumed` the bytes begin behind a record: at the comma before the next one, or at the
    end of the array.
    """

    def __init__(self, problems: ProblemLog, *, is_resumed: bool = False) -> None:
        self._problems = problems
        self._state = _State.ELEMENT if is_resumed else _State.START
        self._has_records = is_resumed
        self._buffer = bytearray()
        self._dropped = 0
        self._at = 0
        self._key: object = None
        self._scan: _ValueScan | None = None
        self._commas = 0
        self._commas_due = 1 if is_resumed else 0
        self._wrong_guesses = 0
        self._guess = -1
        self._guessed_to = 0

    @property
    def bytes_read(self) -> int:
        """How many bytes were fed, whatever was made of them."""
        return self._dropped + len(self._buffer)

    def feed(self, chunk: bytes) -> Iterator[RawRecord]:
        """The records that end in this chunk. To be exhausted before the next call."""
        self._buffer += chunk
        while True:
            if self._state is _State.ELEMENT:
                record = self._next_record()
                if record is not None:
                    yield record
                    continue
                if self._state is _State.ELEMENT:
                    break
            elif not self._read_around():
                break
        self._drop()

    def finish(self) -> None:
        """Report a document that ended too early."""
        if self._state in (_State.END, _State.GIVEN_UP):
            return
        if self.bytes_read == 0:
            self._problems.add(ProblemCode.CUT_OFF, "the blob is empty")
            return
        whole_to = self._dropped + self._at
        self._problems.add(
            ProblemCode.CUT_OFF,
            f"ends at byte {self.bytes_read} in the middle of the document; whole to byte "
            f"{whole_to}",
        )

    def _next_record(self) -> RawRecord | None:
        if self._scan is None:
            end = _end(_SEPARATORS, self._buffer, self._at)
            self._commas += self._buffer.count(b",", self._at, end)
            self._at = end
            if end == len(self._buffer):
                return None
            is_last = self._buffer[end] == _CLOSE_BRACKET
            self._check_commas(0 if is_last else self._commas_due)
            if is_last:
                self._at += 1
                self._state = _State.AFTER_VALUE
                return None
            self._commas, self._commas_due = 0, 1
            record = self._guess_record()
            if record is not None:
                return record
        data = self._value()
        return None if data is None else _parsed(data)

    def _check_commas(self, due: int) -> None:
        if self._commas != due:
            self._problems.add(
                ProblemCode.UNREADABLE_JSON,
                f"{self._commas} commas instead of {due} before byte {self._dropped + self._at}",
            )

    def _guess_record(self) -> RawRecord | None:
        """The record here if it ends at the next likely end: a value has one end, so no other."""
        start = self._at
        if self._wrong_guesses >= _WRONG_GUESSES_ALLOWED or self._buffer[start] != _OPEN_BRACE:
            return None
        if self._guess < start:
            self._guess = self._buffer.find(_LIKELY_END, max(start, self._guessed_to))
            found = self._guess >= 0
            self._guessed_to = self._guess if found else max(start, len(self._buffer) - 1)
            if not found:
                return None
        end = self._guess + len(_LIKELY_END)
        record = _parsed(_copy(self._buffer, start, end))
        if record.error:
            self._wrong_guesses += 1
            return None
        self._at = end
        return record

    def _value(self) -> bytes | None:
        """The whole value that begins here, or None until its end has come in."""
        start = self._at
        if self._scan is None:
            self._scan = _ValueScan(self._buffer[start])
        if not self._scan.advance(self._buffer, start):
            return None
        self._at = start + self._scan.read
        self._scan = None
        return _copy(self._buffer, start, self._at)

    def _read_around(self) -> bool:
        """One step outside the array of records; false if it needs more bytes or there is none."""
        state = self._state
        if state is _State.GIVEN_UP:
            self._at = len(self._buffer)
            return False
        if state is _State.START and self._dropped == self._at == 0:
            if len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
                return False
            if self._buffer.startswith(_BOM):
                self._at = len(_BOM)
        if self._scan is None:
            self._at = _end(_SPACE, self._buffer, self._at)
        if self._at == len(self._buffer):
            return False
        byte = self._buffer[self._at]
        if state is _State.KEY and byte == _QUOTE:
            return self._read_key()
        if state is _State.VALUE:
            return self._read_value(byte)
        follows = _PUNCTUATION.get((state, byte))
        if follows is None:
            self._give_up(f"{_shown_byte(byte)} at byte {self._dropped + self._at}")
            return True
        self._at += 1
        self._state = follows
        if follows is _State.END and not self._has_records:
            self._give_up("an object without records")
        return True

    def _read_key(self) -> bool:
        data = self._value()
        if data is None:
            return False
        self._key = _parsed(data).value
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
        is_done = self._scan.advance(self._buffer, self._at)
        self._at += self._scan.read
        self._scan.read = 0
        if is_done:
            self._scan = None
        return is_done

    def _give_up(self, detail: str) -> None:
        code = ProblemCode.TRAILING_DATA if self._has_records else ProblemCode.NOT_A_FLOW_LOG
        self._problems.add(code, detail)
        self._state = _State.GIVEN_UP

    def _drop(self) -> None:
        done = self._at
        del self._buffer[:done]
        self._dropped += done
        self._at = 0
        self._guess = max(-1, self._guess - done)
        self._guessed_to = max(0, self._guessed_to - done)


_PUNCTUATION = {
    (_State.START, _OPEN_BRACE): _State.KEY,
    (_State.KEY, _CLOSE_BRACE): _State.END,
    (_State.COLON, _COLON): _State.VALUE,
    (_State.AFTER_VALUE, _COMMA): _State.KEY,
    (_State.AFTER_VALUE, _CLOSE_BRACE): _State.END,
}


def _shown_byte(byte: int) -> str:
    return repr(bytes((byte,)))[1:]


def _end(pattern: re.Pattern[bytes], buffer: bytearray, at: int) -> int:
    # Every pattern here matches, be it the empty text. The match must not outlive this call: it
    # would lock the size of the buffer.
    match = pattern.match(buffer, at)
    return at if match is None else match.end()


def _copy(buffer: bytearray, start: int, end: int) -> bytes:
    with memoryview(buffer) as view:
        return bytes(view[start:end])


def _parsed(data: bytes) -> RawRecord:
    try:
        return RawRecord(data, orjson.loads(data), "")
    except orjson.JSONDecodeError as error:
        return RawRecord(data, None, str(error))
