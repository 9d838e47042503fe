"""The compiled scanner: records as Azure writes them, from bytes to columns of numbers.

Belongs here: the one walk over every byte, and the tables that it fills. It reads a tuple itself
only where it is sure that `tuples.read_tuple` would read the same; at whatever else it stops and
says where, for `records` to go on. It stops at the end of what it was given, too, be it in the
middle of a record: the memory it needs depends on neither the size of a blob nor of a record.

A record's envelope is copied out beside, its arrays of tuples replaced by marks (`Skeletons`), and
left to a JSON parser: so no order of keys is assumed, and no white space.

Numba compiles this when it is first used, a few seconds, and keeps the result beside this file or
in the user's cache. Everything in here is written so that it gives the same without compiling
(NUMBA_DISABLE_JIT=1).
"""

# Numba finds the types out by itself, and llvmlite has none.
# pyright: reportMissingParameterType=false, reportPrivateUsage=false, reportUntypedFunctionDecorator=false
# pyright: reportCallIssue=false, reportRedeclaration=false, reportAttributeAccessIssue=false
# pyright: reportUnnecessaryComparison=false

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

# What follows is compiled into the code as constants, so they are numbers and no enumerations.

# ---------------------------------------------------------------- why `scan` returned
NEED_MORE = 0  # the rest of the window is a token whose end has not come in
FULL = 1  # a table has no room for the next row, group or record
BETWEEN_ODD = 2  # something else than one comma and an object between two records
ODD_ELEMENT = 3  # an element of flowTuples for the exact reading
ESCAPED_KEY = 4  # a key with escapes in it, at POS and up to TOKEN_END
BROKEN = 5  # no JSON: something else than a comma or the end behind an element
SKELETON_FULL = 6  # the envelope needs more room

# ---------------------------------------------------------------- where it is
BETWEEN = 0
RECORD = 1
AFTER_KEY = 2
FIRST_ELEMENT = 3
NEXT_ELEMENT = 4
AFTER_ELEMENT = 5
SKIP = 6  # in a record that is no JSON: only its end is looked for
SKIP_STRING = 7

# ---------------------------------------------------------------- `state`, one int64 each
POS = 0  # in the window; what lies before it is done with
MODE = 1
BASE = 2  # how many bytes of the blob lie before the window
COMMAS_DUE = 3
BRACES = 4
DEPTH = 5  # braces and brackets
KEY = 6
TOKEN_END = 7
RECORD_US = 8
RECORD_NO = 9
RECORD_FIRST_ROW = 10
ARRAY_NO = 11  # how many arrays of tuples the record has had
TUPLE_NO = 12
HAS_GROUP = 13
ROWS = 14
GROUPS = 15
RECORDS = 16
SKELETON_START = 17
SKELETON_LENGTH = 18
SKELETONS = 19
HOUR_START = 20
DAY = 21
HOUR = 22
EARLIEST = 23
LATEST = 24
STATES = 25

KEY_TUPLES = 1
KEY_TIME = 2

# ---------------------------------------------------------------- rows of `wide` (int64)
FLOW_MS = 0
SRC_IP = 1  # an IPv4 address; from -2 downwards a text, -1 none
DST_IP = 2
FIRST_COUNTER = 3
WIDE = 7

# ---------------------------------------------------------------- rows of `narrow` (int32)
SRC_PORT = 0
DST_PORT = 1
PROTOCOL = 2
DIRECTION = 3
DECISION = 4
FLOW_STATE = 5
ENCRYPTION = 6
LOG_VERSION = 7
DATE = 8
HOUR_OF_DAY = 9
TUPLE = 10
NARROW = 11

DIRECTIONS = ("I", "O")
DECISIONS = ("A", "D")
STATES_OF_FLOW = ("B", "C", "E")

# ---------------------------------------------------------------- rows of `records` (int64)
RECORD_BEGIN = 0  # bytes of the blob before it
RECORD_END = 1
RECORD_SKELETON = 2  # -1: no JSON
RECORD_TIME = 3
RECORD_NUMBER = 4
RECORD_ROW = 5
RECORD_COLUMNS = 6

# ---------------------------------------------------------------- rows of `groups` (int32)
GROUP_RECORD = 0
GROUP_ARRAY = 1
GROUP_ROW = 2
GROUP_COLUMNS = 3

NO_TIME = -(2**63) + 1
# Reading ahead of the end of what came in, which nothing here does by more.
PAD = 64
LONGEST_TEXT = 64

_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_MOST_DIGITS = 18
_EIGHT_ZEROS = int.from_bytes(b"00000000", "little")
# Most tuples begin or refuse a flow and have no counters: `,,,,"` and `,0,0,0,0`.
_FOUR_EMPTY = int.from_bytes(b',,,,"', "little")
_FOUR_ZEROS = int.from_bytes(b",0,0,0,0", "little")
# What is nested deeper is left to the JSON parser, which refuses it.
_DEEPEST = 1_024
_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET = 123, 125, 91, 93
_ZERO, _NINE, _POINT, _MINUS = 48, 57, 46, 45
_A, _B, _C, _D, _E, _I, _O, _T, _U, _Z = 65, 66, 67, 68, 69, 73, 79, 84, 85, 90
_SPACE, _TAB, _LF, _CR = 32, 9, 10, 13
# As many bytes are looked at together: an IPv4 address, or two ports and a protocol, with commas.
_PART_BYTES = 16
_DOT_WORD = int.from_bytes(b"000.", "little")
_COMMA_WORD = int.from_bytes(b"000,", "little")
# Moves three digits, a byte each, together to twelve bits that begin at the sixteenth.
_NIBBLES = 1 << 24 | 1 << 12 | 1


def _octets():
    """By three digits of four bits: the number that they make, and above 8 bits its length."""
    table = np.full(4096, 0xFF00, np.uint16)
    for octet in range(256):
        table[int(f"{octet}", 16)] = octet | len(f"{octet}") << 8
    return table


OCTETS = _octets()
# An address is 32 bits, its place in a dictionary fewer than 20; 0 is an empty slot.
_PLACE_BITS = 20
_PLACE_MASK = (1 << _PLACE_BITS) - 1

# Nothing in here makes an array, and whoever calls it holds all of them: without counting
# references to them, a tenth of the time.
compiled = njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
inlined = njit(cache=True, nogil=True, inline="always", error_model="numpy")

if config.DISABLE_JIT:

    def byte_at(window, at):
        """One byte as a number."""
        return int(window[at])

    def word_at(store, at):
        """Eight bytes as a number."""
        return int.from_bytes(store[at : at + 8].tobytes(), "little", signed=True)

    def half_word_at(window, at):
        """Four bytes as a number."""
        return int.from_bytes(window[at : at + 4].tobytes(), "little")

    def octet_at(octets, at):
        """An entry of OCTETS."""
        return int(octets[at])

    def marks_at(window, at):
        """A bit for each of 16 bytes, the first one the lowest: whether it is no digit."""
        return sum(
            1 << place
            for place, byte in enumerate(window[at : at + _PART_BYTES].tolist())
            if not _ZERO <= byte <= _NINE
        )

    def copy_part(window, at, store, to):
        """Copy 16 bytes; a bit for each of them: whether a string may end or not go on there."""
        part = window[at : at + _PART_BYTES]
        store[to : to + _PART_BYTES] = part
        return sum(
            1 << place
            for place, byte in enumerate(part.tolist())
            if byte in (_QUOTE, _BACKSLASH, 0)
        )

    def trailing_zeros(marks):
        """The place of the lowest bit that is set, 64 if none is."""
        return (marks & -marks).bit_length() - 1 if marks else 64

    def digits_at(window, at):
        """The number that up to eight digits make, and above its 32 bits how many they are.

        If there is none, the number may be any.
        """
        count = 0
        value = 0
        while count < 8 and _ZERO <= window[at + count] <= _NINE:
            value = value * 10 + int(window[at + count]) - _ZERO
            count += 1
        return count << 32 | value

    def number_before(window, end, count):
        """The number that up to eight digits make; for any other count it may be any."""
        return int(window[end - count : end].tobytes()) if 0 < count <= 8 else 0

    def put(table, at, value):
        """Store a number, counted through the rows of a table."""
        table.reshape(-1)[at] = value
else:
    # An index of an array may be negative in Python, and Numba asks so for each byte anew.

    _WORD = ir.IntType(64)
    _PART = ir.VectorType(ir.IntType(8), _PART_BYTES)

    def _part(context, builder, kind, array, at):
        """A pointer to 16 bytes."""
        data = context.make_array(kind)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [at], inbounds=True), _PART.as_pointer())

    def _value_of_eight(builder, text):
        """The number that eight digits make, a byte less "0" each: pairs, then four of them."""

        def constant(value):
            return ir.Constant(_WORD, value)

        text = builder.add(builder.mul(text, constant(10)), builder.lshr(text, constant(8)))
        mask = constant(0x000000FF000000FF)
        first = builder.mul(builder.and_(text, mask), constant(100 + (1_000_000 << 32)))
        second = builder.and_(builder.lshr(text, constant(16)), mask)
        second = builder.mul(second, constant(1 + (10_000 << 32)))
        return builder.lshr(builder.add(first, second), constant(32))

    @intrinsic
    def byte_at(_context, window, at):
        """One byte as a number."""
        return types.int64(window, types.int64), _load(8)

    @intrinsic
    def word_at(_context, store, at):
        """Eight bytes as a number."""
        return types.int64(store, types.int64), _load(64)

    @intrinsic
    def half_word_at(_context, window, at):
        """Four bytes as a number."""
        return types.int64(window, types.int64), _load(32)

    @intrinsic
    def octet_at(_context, octets, at):
        """An entry of OCTETS."""
        return types.int64(octets, types.int64), _load(16)

    @intrinsic
    def marks_at(_context, window, at):
        """A bit for each of 16 bytes, the first one the lowest: whether it is no digit."""

        def generate(context, builder, signature, arguments):
            text = builder.load(_part(context, builder, signature.args[0], *arguments), align=1)
            value = builder.sub(text, ir.Constant(_PART, [_ZERO] * _PART_BYTES))
            marks = builder.icmp_unsigned(">", value, ir.Constant(_PART, [9] * _PART_BYTES))
            return builder.zext(builder.bitcast(marks, ir.IntType(_PART_BYTES)), ir.IntType(64))

        return types.int64(window, types.int64), generate

    @intrinsic
    def copy_part(_context, window, at, store, to):
        """Copy 16 bytes; a bit for each of them: whether a string may end or not go on there."""

        def generate(context, builder, signature, arguments):
            window, at, store, to = arguments
            text = builder.load(_part(context, builder, signature.args[0], window, at), align=1)
            place = _part(context, builder, signature.args[2], store, to)
            builder.store(text, place).align = 1
            marks = ir.Constant(ir.VectorType(ir.IntType(1), _PART_BYTES), [0] * _PART_BYTES)
            for byte in (_QUOTE, _BACKSLASH, 0):
                is_it = builder.icmp_unsigned("==", text, ir.Constant(_PART, [byte] * _PART_BYTES))
                marks = builder.or_(marks, is_it)
            return builder.zext(builder.bitcast(marks, ir.IntType(_PART_BYTES)), ir.IntType(64))

        return types.int64(window, types.int64, store, types.int64), generate

    @intrinsic
    def trailing_zeros(_context, marks):
        """The place of the lowest bit that is set, 64 if none is."""

        def generate(_context, builder, _signature, arguments):
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.int64), generate

    @intrinsic
    def digits_at(_context, window, at):
        """The number that up to eight digits make, and above its 32 bits how many they are.

        If there is none, the number may be any.
        """
        load = _load(64)

        def generate(context, builder, signature, arguments):
            def constant(value):
                return ir.Constant(_WORD, value)

            # Each byte less "0". Of those that are then above 9 the first is looked for; a carry
            # goes only to bytes behind it.
            text = builder.xor(
                load(context, builder, signature, arguments), constant(0x3030303030303030)
            )
            above = builder.or_(text, builder.add(text, constant(0x7676767676767676)))
            above = builder.and_(above, constant(0x8080808080808080))
            bits = builder.and_(builder.cttz(above, ir.Constant(ir.IntType(1), 0)), constant(0x78))
            # As many zeros before the digits as make eight of them.
            text = builder.shl(text, builder.and_(builder.neg(bits), constant(63)))
            count = builder.shl(builder.lshr(bits, constant(3)), constant(32))
            return builder.or_(count, _value_of_eight(builder, text))

        return types.int64(window, types.int64), generate

    @intrinsic
    def number_before(_context, window, end, count):
        """The number that up to eight digits make; for any other count it may be any."""
        load = _load(64)

        def generate(context, builder, signature, arguments):
            array, end, count = arguments
            start = builder.sub(end, ir.Constant(_WORD, 8))
            text = load(context, builder, signature, (array, start))
            text = builder.xor(text, ir.Constant(_WORD, 0x3030303030303030))
            before = builder.neg(builder.shl(count, ir.Constant(_WORD, 3)))
            before = builder.and_(before, ir.Constant(_WORD, 63))
            text = builder.shl(builder.lshr(text, before), before)
            return _value_of_eight(builder, text)

        return types.int64(window, types.int64, types.int64), generate

    @intrinsic
    def put(_context, table, at, value):
        """Store a number, counted through the rows of a table."""

        def generate(context, builder, signature, arguments):
            array, at, value = arguments
            data = context.make_array(signature.args[0])(context, builder, array).data
            kind = context.get_value_type(signature.args[0].dtype)
            if value.type.width > kind.width:
                value = builder.trunc(value, kind)
            builder.store(value, builder.gep(data, [at], inbounds=True))
            return context.get_dummy_value()

        return types.void(table, types.int64, types.int64), generate


def _load(bits):
    def generate(context, builder, signature, arguments):
        array, at = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.gep(data, [at], inbounds=True)
        if bits > 8:
            place = builder.bitcast(place, ir.IntType(bits).as_pointer())
        found = builder.load(place, align=1)
        return found if bits == 64 else builder.zext(found, ir.IntType(64))

    return generate


@compiled
def _after_space(window, at, size):
    while at < size:
        byte = byte_at(window, at)
        if byte != _SPACE and byte != _LF and byte != _CR and byte != _TAB:
            break
        at += 1
    return at


@compiled
def string_end(window, at, size):
    """The byte behind the string that begins at `at`, or -1; and whether it has escapes."""
    at += 1
    has_escapes = False
    while at < size:
        byte = byte_at(window, at)
        if byte == _QUOTE:
            return at + 1, has_escapes
        if byte == _BACKSLASH:
            has_escapes = True
            at += 1
        at += 1
    return -1, has_escapes


@inlined
def _rest_of_number(window, at, value):
    """The digits behind eight of them; -1 if there are too many."""
    start = at
    while True:
        digit = byte_at(window, at) - _ZERO
        if digit < 0 or digit > 9:
            break
        at += 1
        if at - start > _MOST_DIGITS - 8:
            return -1, at
        value = value * 10 + digit
    return value, at


@inlined
def _counter(window, at):
    """A comma and a counter, -1 if it is empty and -2 if it is none; and the byte behind it."""
    if byte_at(window, at) != _COMMA:
        return -2, at
    found = digits_at(window, at + 1)
    digits = found >> 32
    if digits == 8:
        value, at = _rest_of_number(window, at + 9, found & 0xFFFFFFFF)
        return value if value >= 0 else -2, at
    # Behind none at all a comma or the closing quote is looked for next.
    return found & 0xFFFFFFFF if digits else -1, at + 1 + digits


@inlined
def _ipv4(window, at):
    """An IPv4 address, where the comma behind it is, and not 0 if it is none.

    Without branches: nobody can foretell how long the next part of an address is, and a processor
    that guesses wrong loses more than all of this takes.
    """
    marks = marks_at(window, at)
    start = at
    address = 0
    end = at
    is_none = 0
    for part in range(4):
        end = at + trailing_zeros(marks)
        marks &= marks - 1
        length = end - start
        # Three digits and the separator; those that are not there are zeros. With a length that
        # cannot be, what is found has another one.
        word = half_word_at(window, end - 3) ^ (_DOT_WORD if part < 3 else _COMMA_WORD)
        missing = (24 - 8 * length) & 31
        digits = (word & 0xFFFFFF) >> missing << missing
        octet = octet_at(OCTETS, (digits * _NIBBLES >> 16) & 0xFFF)
        address = address << 8 | octet & 0xFF
        is_none |= word >> 24 | octet >> 8 ^ length
        start = end + 1
    return address, end, is_none


@compiled
def text_slot(window, start, end, table, starts, store):
    """Where a text stands in the table, or the empty slot where it would."""
    mask = len(table) - 1
    value = end - start
    for at in range(start, end):
        value = ((value * 1000003) ^ byte_at(window, at)) & 0x3FFFFFFFFFF
    slot = (value ^ (value >> 17)) & mask
    length = end - start
    while True:
        number = table[slot]
        if number < 0:
            return slot
        begin = starts[number]
        if starts[number + 1] - begin == length:
            same = True
            for offset in range(length):
                if store[begin + offset] != byte_at(window, start + offset):
                    same = False
                    break
            if same:
                return slot
        slot = (slot + 1) & mask


@inlined
def _known_text(window, at, texts, text_starts, text_store):
    """The number of the text up to the next comma, -1 if it is not known; and where it ends."""
    start = at
    while byte_at(window, at) != _COMMA:
        byte = byte_at(window, at)
        # The end of the tuple, of the window, or no plain text: for the exact reading.
        if byte == _QUOTE or byte == _BACKSLASH or byte == 0 or at - start >= LONGEST_TEXT:
            return -1, at
        at += 1
    return texts[text_slot(window, start, at, texts, text_starts, text_store)], at


@compiled
def _two_digits(window, at):
    high = byte_at(window, at) - _ZERO
    low = byte_at(window, at + 1) - _ZERO
    if high < 0 or high > 9 or low < 0 or low > 9:
        return -1
    return high * 10 + low


@compiled
def time_us(window, start, end):
    """`"2026-11-01T05:01:02.1234567Z"`, quotes included, in microseconds since 1970, or NO_TIME."""
    if end - start < 22 or end - start > 32:
        return NO_TIME
    at = start + 1
    century, year = _two_digits(window, at), _two_digits(window, at + 2)
    month, day = _two_digits(window, at + 5), _two_digits(window, at + 8)
    hour, minute = _two_digits(window, at + 11), _two_digits(window, at + 14)
    second = _two_digits(window, at + 17)
    if (
        byte_at(window, at + 4) != _MINUS
        or byte_at(window, at + 7) != _MINUS
        or byte_at(window, at + 10) != _T
    ):
        return NO_TIME
    if byte_at(window, at + 13) != _COLON or byte_at(window, at + 16) != _COLON:
        return NO_TIME
    if century < 19 or year < 0 or month < 1 or month > 12 or day < 1:
        return NO_TIME
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return NO_TIME
    year += century * 100
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if month == 2:
        last = 29 if is_leap else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        last = 30
    else:
        last = 31
    if day > last:
        return NO_TIME
    at += 19
    micros = 0
    if byte_at(window, at) == _POINT:
        at += 1
        first = at
        while _ZERO <= byte_at(window, at) <= _NINE:
            if at - first < 6:
                micros = micros * 10 + byte_at(window, at) - _ZERO
            at += 1
        if at == first or at - first > 9:
            return NO_TIME
        for _ in range(at - first, 6):
            micros *= 10
    if byte_at(window, at) != _Z or at + 2 != end:
        return NO_TIME
    # Days since 1970: years counted from March, so that the leap day comes last.
    shifted = year if month > 2 else year - 1
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros


@compiled
def _copy(window, start, end, store, at):
    for offset in range(end - start):
        store[at + offset] = byte_at(window, start + offset)


@compiled
def _intern_skeleton(state, store, ends, table):
    """The number of the skeleton that was just finished; one that is known is let go."""
    start = state[SKELETON_START]
    length = state[SKELETON_LENGTH]
    # Whole words: behind it there is always room, which is made to be the same each time.
    for offset in range(8):
        store[start + length + offset] = 0
    value = length
    for at in range(start, start + length, 8):
        word = word_at(store, at)
        value = (value * 1000003) ^ (word & 0xFFFFFFFF) ^ ((word >> 23) & 0x1FFFFFFFE00)
        value &= 0x3FFFFFFFFFF
    mask = len(table) - 1
    slot = (value ^ (value >> 17)) & mask
    while True:
        number = int(table[slot])
        if number < 0:
            number = int(state[SKELETONS])
            table[slot] = number
            ends[number + 1] = start + length
            state[SKELETONS] = number + 1
            state[SKELETON_START] = start + length
            break
        begin = ends[number]
        if ends[number + 1] - begin == length:
            different = 0
            rest = length & 7
            for offset in range(0, length - rest, 8):
                different |= word_at(store, begin + offset) ^ word_at(store, start + offset)
            for offset in range(length - rest, length):
                different |= byte_at(store, begin + offset) ^ byte_at(store, start + offset)
            if different == 0:
                break
        slot = (slot + 1) & mask
    state[SKELETON_LENGTH] = 0
    return number


@compiled
def _end_record(state, records, at, skeleton):
    number = state[RECORDS]
    records[RECORD_END, number] = state[BASE] + at
    records[RECORD_SKELETON, number] = skeleton
    records[RECORD_TIME, number] = state[RECORD_US]
    records[RECORD_NUMBER, number] = state[RECORD_NO]
    records[RECORD_ROW, number] = state[RECORD_FIRST_ROW]
    state[RECORDS] = number + 1
    state[RECORD_NO] += 1
    state[RECORD_FIRST_ROW] = state[ROWS]
    state[COMMAS_DUE] = 1
    state[MODE] = BETWEEN
    state[POS] = at


@compiled
def _scan_between(window, size, state, records, skeleton_ends):
    """From the end of one record to the beginning of the next."""
    at = state[POS]
    commas = 0
    while at < size:
        byte = byte_at(window, at)
        if byte == _COMMA:
            commas += 1
        elif byte != _SPACE and byte != _LF and byte != _CR and byte != _TAB:
            break
        at += 1
    if at == size:
        return NEED_MORE
    if byte_at(window, at) != _OPEN_BRACE or commas != state[COMMAS_DUE]:
        return BETWEEN_ODD
    number = state[RECORDS]
    if number == records.shape[1] or state[SKELETONS] + 1 >= len(skeleton_ends):
        return FULL
    records[RECORD_BEGIN, number] = state[BASE] + at
    state[POS] = at
    state[MODE] = RECORD
    state[BRACES] = 0
    state[DEPTH] = 0
    state[RECORD_US] = NO_TIME
    state[ARRAY_NO] = 0
    state[SKELETON_LENGTH] = 0
    return -1


@compiled
def _scan_record(window, size, state, skeletons, skeleton_ends, skeleton_table, records):
    """In an envelope: copy it, and watch for the keys that matter and for its end."""
    at = state[POS]
    braces = state[BRACES]
    depth = state[DEPTH]
    out = state[SKELETON_START] + state[SKELETON_LENGTH]
    if out + size - at + PAD > len(skeletons):
        return SKELETON_FULL
    code = -2
    while code == -2:
        if at >= size:
            code = NEED_MORE
            break
        byte = byte_at(window, at)
        if byte == _QUOTE:
            end = at + 1
            place = out + 1
            put(skeletons, out, byte)
            marks = copy_part(window, end, skeletons, place)
            while marks == 0:
                end += _PART_BYTES
                place += _PART_BYTES
                marks = copy_part(window, end, skeletons, place)
            end += trailing_zeros(marks) + 1
            if byte_at(window, end - 1) != _QUOTE or end > size:
                # An escape, a NUL, or the end of what came in.
                end, has_escapes = string_end(window, at, size)
                if end < 0:
                    code = NEED_MORE
                    break
                if has_escapes:
                    behind = _after_space(window, end, size)
                    if behind == size:
                        code = NEED_MORE
                        break
                    if byte_at(window, behind) == _COLON:
                        state[TOKEN_END] = end
                        code = ESCAPED_KEY
                        break
                _copy(window, at, end, skeletons, out)
            out += end - at
            key = 0
            if (
                end - at == 12
                and byte_at(window, at + 1) == 102  # flowTuples
                and byte_at(window, at + 2) == 108
                and byte_at(window, at + 3) == 111
                and byte_at(window, at + 4) == 119
                and byte_at(window, at + 5) == 84
                and byte_at(window, at + 6) == 117
                and byte_at(window, at + 7) == 112
                and byte_at(window, at + 8) == 108
                and byte_at(window, at + 9) == 101
                and byte_at(window, at + 10) == 115
            ):
                key = KEY_TUPLES
            elif (
                end - at == 6
                and depth == 1
                and byte_at(window, at + 1) == 116  # time
                and byte_at(window, at + 2) == 105
                and byte_at(window, at + 3) == 109
                and byte_at(window, at + 4) == 101
            ):
                key = KEY_TIME
            at = end
            if key:
                state[KEY] = key
                state[MODE] = AFTER_KEY
                code = -1
            continue
        put(skeletons, out, byte)
        out += 1
        at += 1
        if byte == _OPEN_BRACE:
            braces += 1
            depth += 1
        elif byte == _OPEN_BRACKET:
            depth += 1
        elif byte == _CLOSE_BRACKET:
            depth -= 1
        elif byte == _CLOSE_BRACE:
            braces -= 1
            depth -= 1
            if braces == 0:
                state[SKELETON_LENGTH] = out - state[SKELETON_START]
                skeleton = _intern_skeleton(state, skeletons, skeleton_ends, skeleton_table)
                _end_record(state, records, at, skeleton)
                return -1
    state[POS] = at
    state[BRACES] = braces
    state[DEPTH] = depth
    state[SKELETON_LENGTH] = out - state[SKELETON_START]
    return code


@compiled
def _append_mark(state, skeletons, nonce, number):
    """`:"nonce"` in the skeleton, with a number where it is one of several."""
    out = state[SKELETON_START] + state[SKELETON_LENGTH]
    skeletons[out] = _COLON
    skeletons[out + 1] = _QUOTE
    out += 2
    for offset in range(len(nonce)):
        skeletons[out] = nonce[offset]
        out += 1
    if number >= 0:
        digits = 1
        while number >= 10**digits:
            digits += 1
        for place in range(digits):
            skeletons[out + digits - 1 - place] = _ZERO + number // 10**place % 10
        out += digits
    skeletons[out] = _QUOTE
    state[SKELETON_LENGTH] = out + 1 - state[SKELETON_START]


@compiled
def _scan_after_key(window, size, state, skeletons, nonce):
    """Behind a string that may be the key of tuples, or of the record's time."""
    start = state[POS]
    at = _after_space(window, start, size)
    if at == size:
        return NEED_MORE
    if byte_at(window, at) == _COLON:
        at = _after_space(window, at + 1, size)
        if at == size:
            return NEED_MORE
        if state[SKELETON_START] + state[SKELETON_LENGTH] + PAD > len(skeletons):
            return SKELETON_FULL
        is_array = byte_at(window, at) == _OPEN_BRACKET and state[DEPTH] < _DEEPEST
        if state[KEY] == KEY_TUPLES and is_array:
            _append_mark(state, skeletons, nonce, state[ARRAY_NO])
            state[POS] = at + 1
            state[DEPTH] += 1
            state[TUPLE_NO] = 0
            state[HAS_GROUP] = 0
            state[MODE] = FIRST_ELEMENT
            return -1
        if state[KEY] == KEY_TIME and byte_at(window, at) == _QUOTE:
            end, _ = string_end(window, at, size)
            if end < 0:
                return NEED_MORE
            found = time_us(window, at, end)
            if found != NO_TIME:
                state[RECORD_US] = found
                _append_mark(state, skeletons, nonce, -1)
                state[POS] = end
    state[MODE] = RECORD
    return -1


@compiled
def _scan_tuples(
    window, size, state, wide, narrow, groups,
    texts, text_starts, text_store, text_addresses, text_encryptions,
):  # fmt: skip
    """Elements of flowTuples, one after the other."""
    at = state[POS]
    mode = state[MODE]
    rows = state[ROWS]
    tuple_no = state[TUPLE_NO]
    group = state[GROUPS] - 1
    has_group = state[HAS_GROUP]
    hour_start = state[HOUR_START]
    day = state[DAY]
    hour = state[HOUR]
    earliest = state[EARLIEST]
    latest = state[LATEST]
    last_mask = last_length = last_encryption = 0
    last_word = -1
    # Eight digits of the time of the tuple before, which this one mostly has, too.
    last_head = _EIGHT_ZEROS
    last_head_value = 0
    # A machine's own address is in each of its tuples. The shortest one is a word with its comma.
    own = own_length = own_mask = own_turn = 0
    own_word = own_rest = -1
    row_room = wide.shape[1]
    code = -2
    while code == -2:
        if mode == AFTER_ELEMENT:
            at = _after_space(window, at, size)
            if at == size:
                code = NEED_MORE
            elif byte_at(window, at) == _COMMA:
                at += 1
                mode = NEXT_ELEMENT
            elif byte_at(window, at) == _CLOSE_BRACKET:
                at += 1
                mode = RECORD
                code = -1
            else:
                code = BROKEN
            continue
        if byte_at(window, at) <= _SPACE:
            at = _after_space(window, at, size)
        if at == size:
            code = NEED_MORE
            continue
        if byte_at(window, at) == _CLOSE_BRACKET and mode == FIRST_ELEMENT:
            at += 1
            mode = RECORD
            code = -1
            continue
        if rows == row_room:
            code = FULL
            continue
        if not has_group and group + 1 == groups.shape[1]:
            code = FULL
            continue
        # From here to the end of the loop: one tuple, or `code` says why not.
        code = ODD_ELEMENT
        if byte_at(window, at) != _QUOTE:
            continue
        end = at + 1
        word = word_at(window, end)
        if word != last_head:
            found = digits_at(window, end)
            if found >> 32 != 8:
                continue
            last_head = word
            last_head_value = found & 0xFFFFFFFF
        found = digits_at(window, end + 8)
        rest = found & 0xFFFFFFFF
        if found >> 32 == 2:
            ms = (last_head_value * 100 + rest) * 1000
            end += 10
        elif found >> 32 == 5:
            ms = last_head_value * 100_000 + rest
            end += 13
        else:
            continue
        if byte_at(window, end) != _COMMA:
            continue
        if ms < earliest or ms > latest:
            continue
        src_start = end + 1
        is_own = (
            word_at(window, src_start) == own_word
            and word_at(window, src_start + 8) & own_mask == own_rest
        )
        if is_own:
            source = own
            dst_start = src_start + own_length
            is_none = 0
        else:
            source, end, is_none = _ipv4(window, src_start)
            dst_start = end + 1
        if is_none == 0:
            if (
                word_at(window, dst_start) == own_word
                and word_at(window, dst_start + 8) & own_mask == own_rest
            ):
                target = own
                behind = dst_start + own_length
            else:
                target, end, is_none = _ipv4(window, dst_start)
                behind = end + 1
                if not is_own and is_none == 0:
                    # One of them will be the machine's: by turns, until it comes again.
                    own_turn ^= 1
                    start = dst_start if own_turn else src_start
                    own = target if own_turn else source
                    own_length = behind - dst_start if own_turn else dst_start - src_start
                    own_word = word_at(window, start)
                    own_mask = -1 if own_length == 16 else (1 << 8 * (own_length - 8)) - 1
                    own_rest = word_at(window, start + 8) & own_mask
        if is_none:
            text, end = _known_text(window, src_start, texts, text_starts, text_store)
            if text < 0 or text_addresses[text] == -1:
                continue
            source = text_addresses[text]
            text, end = _known_text(window, end + 1, texts, text_starts, text_store)
            if text < 0 or text_addresses[text] == -1:
                continue
            target = text_addresses[text]
            behind = end + 1
        marks = marks_at(window, behind)
        end = behind + trailing_zeros(marks)
        length = end - behind
        src_port = number_before(window, end, length)
        if length < 1 or length > 5 or src_port > 65535 or byte_at(window, end) != _COMMA:
            continue
        marks &= marks - 1
        start = end + 1
        end = behind + trailing_zeros(marks)
        length = end - start
        dst_port = number_before(window, end, length)
        if length < 1 or length > 5 or dst_port > 65535 or byte_at(window, end) != _COMMA:
            continue
        byte = byte_at(window, end + 1)
        if byte == _T or byte == _U:
            version = 2
            protocol = 6 if byte == _T else 17
            end += 2
        else:
            version = 4
            marks &= marks - 1
            start = end + 1
            end = behind + trailing_zeros(marks)
            length = end - start
            protocol = number_before(window, end, length)
            if length < 1 or length > 3 or protocol > 255:
                continue
        if byte_at(window, end) != _COMMA:
            continue
        byte = byte_at(window, end + 1)
        if byte != _I and byte != _O:
            continue
        direction = 1 if byte == _O else 0
        if byte_at(window, end + 2) != _COMMA:
            continue
        byte = byte_at(window, end + 3)
        end += 4
        encryption = -1
        state_of_flow = -1
        if version == 4:
            decision = 0
            if byte == _B:
                state_of_flow = 0
            elif byte == _C:
                state_of_flow = 1
            elif byte == _E:
                state_of_flow = 2
            elif byte == _D:
                decision = 1
            else:
                continue
            if byte_at(window, end) != _COMMA:
                continue
            end += 1
            if byte_at(window, end) != _COMMA:
                word = word_at(window, end)
                if word & last_mask == last_word:
                    encryption = last_encryption
                    end += last_length
                else:
                    start = end
                    text, end = _known_text(window, end, texts, text_starts, text_store)
                    if text < 0 or text_encryptions[text] == -1:
                        continue
                    encryption = int(text_encryptions[text])
                    if end - start < 7:
                        # The next one has mostly the same: with the comma it fits a word.
                        last_length = end - start
                        last_mask = (1 << 8 * (last_length + 1)) - 1
                        last_word = word & last_mask
                        last_encryption = encryption
        else:
            if byte == _A:
                decision = 0
            elif byte == _D:
                decision = 1
            else:
                continue
            if byte_at(window, end) == _QUOTE:
                version = 1
            else:
                if byte_at(window, end) != _COMMA:
                    continue
                byte = byte_at(window, end + 1)
                if byte == _B:
                    state_of_flow = 0
                elif byte == _C:
                    state_of_flow = 1
                elif byte == _E:
                    state_of_flow = 2
                else:
                    continue
                end += 2
        packets_there = bytes_there = packets_back = bytes_back = -1
        word = word_at(window, end)
        if word & 0xFFFFFFFFFF == _FOUR_EMPTY and version != 1:
            end += 4
        elif word == _FOUR_ZEROS and version != 1:
            packets_there = bytes_there = packets_back = bytes_back = 0
            end += 8
        elif version != 1:
            packets_there, end = _counter(window, end)
            if packets_there < -1:
                continue
            bytes_there, end = _counter(window, end)
            if bytes_there < -1:
                continue
            packets_back, end = _counter(window, end)
            if packets_back < -1:
                continue
            bytes_back, end = _counter(window, end)
            if bytes_back < -1:
                continue
        if byte_at(window, end) != _QUOTE:
            continue
        if not has_group:
            group += 1
            groups[GROUP_RECORD, group] = state[RECORDS]
            groups[GROUP_ARRAY, group] = state[ARRAY_NO]
            groups[GROUP_ROW, group] = rows
            has_group = 1
        since = ms - hour_start
        if since < 0 or since >= _HOUR_MS:
            day = ms // _DAY_MS
            hour = ms % _DAY_MS // _HOUR_MS
            hour_start = ms - ms % _HOUR_MS
        put(wide, FLOW_MS * row_room + rows, ms)
        put(wide, SRC_IP * row_room + rows, source)
        put(wide, DST_IP * row_room + rows, target)
        put(wide, FIRST_COUNTER * row_room + rows, packets_there)
        put(wide, (FIRST_COUNTER + 1) * row_room + rows, bytes_there)
        put(wide, (FIRST_COUNTER + 2) * row_room + rows, packets_back)
        put(wide, (FIRST_COUNTER + 3) * row_room + rows, bytes_back)
        put(narrow, SRC_PORT * row_room + rows, src_port)
        put(narrow, DST_PORT * row_room + rows, dst_port)
        put(narrow, PROTOCOL * row_room + rows, protocol)
        put(narrow, DIRECTION * row_room + rows, direction)
        put(narrow, DECISION * row_room + rows, decision)
        put(narrow, FLOW_STATE * row_room + rows, state_of_flow)
        put(narrow, ENCRYPTION * row_room + rows, encryption)
        put(narrow, LOG_VERSION * row_room + rows, version)
        put(narrow, DATE * row_room + rows, day)
        put(narrow, HOUR_OF_DAY * row_room + rows, hour)
        put(narrow, TUPLE * row_room + rows, tuple_no)
        rows += 1
        tuple_no += 1
        at = end + 1
        code = -2
        # Nearly always the next one follows at once.
        if byte_at(window, at) == _COMMA:
            at += 1
            mode = NEXT_ELEMENT
        else:
            mode = AFTER_ELEMENT
    if code == -1:
        state[ARRAY_NO] += 1
        state[DEPTH] -= 1
    elif (
        code == ODD_ELEMENT
        and byte_at(window, at) == _QUOTE
        and string_end(window, at, size)[0] < 0
    ):
        code = NEED_MORE
    state[POS] = at
    state[MODE] = mode
    state[ROWS] = rows
    state[TUPLE_NO] = tuple_no
    state[GROUPS] = group + 1
    state[HAS_GROUP] = has_group
    state[HOUR_START] = hour_start
    state[DAY] = day
    state[HOUR] = hour
    return code


@compiled
def _skip(window, size, state, records):
    """In a record that is no JSON: to where its last brace closes."""
    at = state[POS]
    is_string = state[MODE] == SKIP_STRING
    braces = state[BRACES]
    while at < size:
        byte = byte_at(window, at)
        at += 1
        if is_string:
            if byte == _BACKSLASH:
                if at == size:
                    at -= 1
                    break
                at += 1
            elif byte == _QUOTE:
                is_string = False
        elif byte == _QUOTE:
            is_string = True
        elif byte == _OPEN_BRACE:
            braces += 1
        elif byte == _CLOSE_BRACE:
            braces -= 1
            if braces == 0:
                state[SKELETON_LENGTH] = 0
                _end_record(state, records, at, -1)
                return -1
    state[POS] = at
    state[BRACES] = braces
    state[MODE] = SKIP_STRING if is_string else SKIP
    return NEED_MORE


@compiled
def scan(
    window, size, state, wide, narrow, groups, records,
    texts, text_starts, text_store, text_addresses, text_encryptions,
    skeletons, skeleton_ends, skeleton_table, nonce,
):  # fmt: skip
    """Scan `window[state[POS]:size]`, behind which PAD bytes of zeros have to stand.

    Returns why it stopped; `state[POS]` is where. Everything before that is in the tables.
    """
    while True:
        mode = state[MODE]
        if mode == BETWEEN:
            code = _scan_between(window, size, state, records, skeleton_ends)
        elif mode == RECORD:
            code = _scan_record(
                window, size, state, skeletons, skeleton_ends, skeleton_table, records
            )
        elif mode == AFTER_KEY:
            code = _scan_after_key(window, size, state, skeletons, nonce)
        elif mode == SKIP or mode == SKIP_STRING:
            code = _skip(window, size, state, records)
        else:
            code = _scan_tuples(
                window, size, state, wide, narrow, groups,
                            texts, text_starts, text_store, text_addresses, text_encryptions,
            )  # fmt: skip
        if code >= 0:
            return code


@compiled
def address_texts(addresses, count, text, ends):
    """IPv4 addresses as text: the bytes one after the other, and where each ends."""
    at = 0
    ends[0] = 0
    for number in range(count):
        address = int(addresses[number])
        for part in range(4):
            value = (address >> (24 - 8 * part)) & 255
            if value >= 100:
                text[at] = _ZERO + value // 100
                at += 1
            if value >= 10:
                text[at] = _ZERO + value // 10 % 10
                at += 1
            text[at] = _ZERO + value % 10
            at += 1
            if part < 3:
                text[at] = _POINT
                at += 1
        ends[number + 1] = at
    return at


@compiled
def places(addresses, table, distinct, codes):
    """Each address's place among the distinct ones, which are counted and noted; texts stay."""
    mask = len(table) - 1
    count = 0
    for row in range(len(addresses)):
        address = int(addresses[row])
        if address < 0:
            codes[row] = address
            continue
        key = (address + 1) << _PLACE_BITS
        slot = ((address * 1640531527) >> 15) & mask
        while True:
            entry = int(table[slot])
            if entry & ~_PLACE_MASK == key:
                codes[row] = entry & _PLACE_MASK
                break
            if entry == 0:
                table[slot] = key | count
                distinct[count] = address
                codes[row] = count
                count += 1
                break
            slot = (slot + 1) & mask
    return count
