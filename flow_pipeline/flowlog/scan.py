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

from __future__ import annotations

from numba import njit

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
SOURCES = 17
TARGETS = 18
SKELETON_START = 19
SKELETON_LENGTH = 20
SKELETONS = 21
HOUR_START = 22
DAY = 23
HOUR = 24
EARLIEST = 25
LATEST = 26
STATES = 27

KEY_TUPLES = 1
KEY_TIME = 2

# ---------------------------------------------------------------- rows of `wide` (int64)
FLOW_MS = 0
FIRST_COUNTER = 1
WIDE = 5

# ---------------------------------------------------------------- rows of `narrow` (int32)
SRC_IP = 0  # a place in `source_ips`; from -2 downwards a text, -1 none
DST_IP = 1
SRC_PORT = 2
DST_PORT = 3
PROTOCOL = 4
DIRECTION = 5
DECISION = 6
FLOW_STATE = 7
ENCRYPTION = 8
LOG_VERSION = 9
DATE = 10
HOUR_OF_DAY = 11
TUPLE = 12
NARROW = 13

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

_FIRST_MILLISECONDS = 10**11
_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_MOST_DIGITS = 18
# What is nested deeper is left to the JSON parser, which refuses it.
_DEEPEST = 1_024
_QUOTE, _BACKSLASH, _COMMA, _COLON = 34, 92, 44, 58
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _CLOSE_BRACKET = 123, 125, 91, 93
_ZERO, _NINE, _POINT, _MINUS = 48, 57, 46, 45
_A, _B, _C, _D, _E, _I, _O, _T, _U, _Z = 65, 66, 67, 68, 69, 73, 79, 84, 85, 90
_SPACE, _TAB, _LF, _CR = 32, 9, 10, 13
# An address is 32 bits, its place in a dictionary fewer than 20; 0 is an empty slot.
_PLACE_BITS = 20
_PLACE_MASK = (1 << _PLACE_BITS) - 1

compiled = njit(cache=True, nogil=True)


@compiled
def _after_space(window, at, size):
    while at < size:
        byte = window[at]
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
        byte = window[at]
        if byte == _QUOTE:
            return at + 1, has_escapes
        if byte == _BACKSLASH:
            has_escapes = True
            at += 1
        at += 1
    return -1, has_escapes


@compiled
def _number(window, at, most_digits):
    """Digits as a number, -1 if there is none or it has too many; and the byte behind them."""
    value = 0
    start = at
    while True:
        digit = int(window[at]) - _ZERO
        if digit < 0 or digit > 9:
            break
        at += 1
        if at - start > most_digits:
            return -1, at
        value = value * 10 + digit
    if at == start:
        return -1, at
    return value, at


@compiled
def _ipv4(window, at):
    """An IPv4 address as a number, -1 if it is none; and the byte behind the comma after it."""
    address = 0
    for part in range(4):
        value = int(window[at]) - _ZERO
        if value < 0 or value > 9:
            return -1, at
        at += 1
        digit = int(window[at]) - _ZERO
        if 0 <= digit <= 9:
            if value == 0:
                return -1, at
            value = value * 10 + digit
            at += 1
            digit = int(window[at]) - _ZERO
            if 0 <= digit <= 9:
                value = value * 10 + digit
                at += 1
                if value > 255:
                    return -1, at
        address = (address << 8) | value
        if window[at] != (_POINT if part < 3 else _COMMA):
            return -1, at
        at += 1
    return address, at


@compiled
def _place(table, addresses, count, address):
    """The address's place among the distinct ones; it is added if it is not there."""
    mask = len(table) - 1
    slot = ((address * 1640531527) >> 15) & mask
    key = (address + 1) << _PLACE_BITS
    while True:
        entry = table[slot]
        if entry & ~_PLACE_MASK == key:
            return entry & _PLACE_MASK
        if entry == 0:
            table[slot] = key | count
            addresses[count] = address
            return count
        slot = (slot + 1) & mask


@compiled
def text_slot(window, start, end, table, starts, store):
    """Where a text stands in the table, or the empty slot where it would."""
    mask = len(table) - 1
    value = end - start
    for at in range(start, end):
        value = ((value * 1000003) ^ int(window[at])) & 0x3FFFFFFFFFF
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
                if store[begin + offset] != window[start + offset]:
                    same = False
                    break
            if same:
                return slot
        slot = (slot + 1) & mask


@compiled
def _known_text(window, at, texts, text_starts, text_store):
    """The number of the text up to the next comma, -1 if it is not known; and where it ends."""
    start = at
    while window[at] != _COMMA:
        byte = window[at]
        # The end of the tuple, of the window, or no plain text: for the exact reading.
        if byte == _QUOTE or byte == _BACKSLASH or byte == 0 or at - start >= LONGEST_TEXT:
            return -1, at
        at += 1
    return texts[text_slot(window, start, at, texts, text_starts, text_store)], at


@compiled
def _two_digits(window, at):
    high = int(window[at]) - _ZERO
    low = int(window[at + 1]) - _ZERO
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
    if window[at + 4] != _MINUS or window[at + 7] != _MINUS or window[at + 10] != _T:
        return NO_TIME
    if window[at + 13] != _COLON or window[at + 16] != _COLON:
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
    if window[at] == _POINT:
        at += 1
        first = at
        while _ZERO <= window[at] <= _NINE:
            if at - first < 6:
                micros = micros * 10 + int(window[at]) - _ZERO
            at += 1
        if at == first or at - first > 9:
            return NO_TIME
        for _ in range(at - first, 6):
            micros *= 10
    if window[at] != _Z or at + 2 != end:
        return NO_TIME
    # Days since 1970: years counted from March, so that the leap day comes last.
    shifted = year if month > 2 else year - 1
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros


@compiled
def _copy(window, start, end, store, at):
    for offset in range(end - start):
        store[at + offset] = window[start + offset]


@compiled
def _intern_skeleton(state, store, ends, table):
    """The number of the skeleton that was just finished; one that is known is let go."""
    start = state[SKELETON_START]
    length = state[SKELETON_LENGTH]
    value = length
    for at in range(start, start + length):
        value = ((value * 1000003) ^ int(store[at])) & 0x3FFFFFFFFFF
    mask = len(table) - 1
    slot = (value ^ (value >> 17)) & mask
    while True:
        number = table[slot]
        if number < 0:
            number = state[SKELETONS]
            table[slot] = number
            ends[number + 1] = start + length
            state[SKELETONS] = number + 1
            state[SKELETON_START] = start + length
            break
        begin = ends[number]
        if ends[number + 1] - begin == length:
            same = True
            for offset in range(length):
                if store[begin + offset] != store[start + offset]:
                    same = False
                    break
            if same:
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
        byte = window[at]
        if byte == _COMMA:
            commas += 1
        elif byte != _SPACE and byte != _LF and byte != _CR and byte != _TAB:
            break
        at += 1
    if at == size:
        return NEED_MORE
    if window[at] != _OPEN_BRACE or commas != state[COMMAS_DUE]:
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
    room = len(skeletons)
    code = -2
    while code == -2:
        if at >= size:
            code = NEED_MORE
            break
        byte = window[at]
        if byte == _QUOTE:
            end, has_escapes = string_end(window, at, size)
            if end < 0:
                code = NEED_MORE
                break
            if out + end - at + PAD > room:
                code = SKELETON_FULL
                break
            if has_escapes:
                behind = _after_space(window, end, size)
                if behind == size:
                    code = NEED_MORE
                    break
                if window[behind] == _COLON:
                    state[TOKEN_END] = end
                    code = ESCAPED_KEY
                    break
            _copy(window, at, end, skeletons, out)
            out += end - at
            key = 0
            if (
                end - at == 12
                and window[at + 1] == 102  # flowTuples
                and window[at + 2] == 108
                and window[at + 3] == 111
                and window[at + 4] == 119
                and window[at + 5] == 84
                and window[at + 6] == 117
                and window[at + 7] == 112
                and window[at + 8] == 108
                and window[at + 9] == 101
                and window[at + 10] == 115
            ):
                key = KEY_TUPLES
            elif (
                end - at == 6
                and depth == 1
                and window[at + 1] == 116  # time
                and window[at + 2] == 105
                and window[at + 3] == 109
                and window[at + 4] == 101
            ):
                key = KEY_TIME
            at = end
            if key:
                state[KEY] = key
                state[MODE] = AFTER_KEY
                code = -1
            continue
        if out + PAD > room:
            code = SKELETON_FULL
            break
        skeletons[out] = byte
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
    if window[at] == _COLON:
        at = _after_space(window, at + 1, size)
        if at == size:
            return NEED_MORE
        if state[SKELETON_START] + state[SKELETON_LENGTH] + PAD > len(skeletons):
            return SKELETON_FULL
        is_array = window[at] == _OPEN_BRACKET and state[DEPTH] < _DEEPEST
        if state[KEY] == KEY_TUPLES and is_array:
            _append_mark(state, skeletons, nonce, state[ARRAY_NO])
            state[POS] = at + 1
            state[DEPTH] += 1
            state[TUPLE_NO] = 0
            state[HAS_GROUP] = 0
            state[MODE] = FIRST_ELEMENT
            return -1
        if state[KEY] == KEY_TIME and window[at] == _QUOTE:
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
    sources, source_ips, targets, target_ips,
    texts, text_starts, text_store, text_addresses, text_encryptions,
):  # fmt: skip
    """Elements of flowTuples, one after the other."""
    at = state[POS]
    mode = state[MODE]
    rows = state[ROWS]
    tuple_no = state[TUPLE_NO]
    n_sources = state[SOURCES]
    n_targets = state[TARGETS]
    group = state[GROUPS] - 1
    has_group = state[HAS_GROUP]
    hour_start = state[HOUR_START]
    day = state[DAY]
    hour = state[HOUR]
    earliest = state[EARLIEST]
    latest = state[LATEST]
    row_room = wide.shape[1]
    source_room = len(source_ips)
    target_room = len(target_ips)
    code = -2
    while code == -2:
        if mode == AFTER_ELEMENT:
            at = _after_space(window, at, size)
            if at == size:
                code = NEED_MORE
            elif window[at] == _COMMA:
                at += 1
                mode = NEXT_ELEMENT
            elif window[at] == _CLOSE_BRACKET:
                at += 1
                mode = RECORD
                code = -1
            else:
                code = BROKEN
            continue
        at = _after_space(window, at, size)
        if at == size:
            code = NEED_MORE
            continue
        if window[at] == _CLOSE_BRACKET and mode == FIRST_ELEMENT:
            at += 1
            mode = RECORD
            code = -1
            continue
        if rows == row_room or n_sources == source_room or n_targets == target_room:
            code = FULL
            continue
        if not has_group and group + 1 == groups.shape[1]:
            code = FULL
            continue
        # From here to the end of the loop: one tuple, or `code` says why not.
        code = ODD_ELEMENT
        if window[at] != _QUOTE:
            continue
        end = at + 1
        ms, end = _number(window, end, _MOST_DIGITS)
        if ms < 0 or window[end] != _COMMA:
            continue
        if ms < _FIRST_MILLISECONDS:
            ms *= 1000
        if ms < earliest or ms > latest:
            continue
        source, behind = _ipv4(window, end + 1)
        if source >= 0:
            source = _place(sources, source_ips, n_sources, source)
            n_sources += source == n_sources
            end = behind
        else:
            text, behind = _known_text(window, end + 1, texts, text_starts, text_store)
            if text < 0 or text_addresses[text] == -1:
                continue
            source = text_addresses[text]
            end = behind + 1
        target, behind = _ipv4(window, end)
        if target >= 0:
            target = _place(targets, target_ips, n_targets, target)
            n_targets += target == n_targets
            end = behind
        else:
            text, behind = _known_text(window, end, texts, text_starts, text_store)
            if text < 0 or text_addresses[text] == -1:
                continue
            target = text_addresses[text]
            end = behind + 1
        src_port, end = _number(window, end, 5)
        if src_port < 0 or src_port > 65535 or window[end] != _COMMA:
            continue
        dst_port, end = _number(window, end + 1, 5)
        if dst_port < 0 or dst_port > 65535 or window[end] != _COMMA:
            continue
        byte = window[end + 1]
        if byte == _T:
            version, protocol, end = 2, 6, end + 2
        elif byte == _U:
            version, protocol, end = 2, 17, end + 2
        else:
            version = 4
            protocol, end = _number(window, end + 1, 3)
            if protocol < 0 or protocol > 255:
                continue
        if window[end] != _COMMA:
            continue
        byte = window[end + 1]
        if byte == _I:
            direction = 0
        elif byte == _O:
            direction = 1
        else:
            continue
        if window[end + 2] != _COMMA:
            continue
        byte = window[end + 3]
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
            if window[end] != _COMMA:
                continue
            end += 1
            if window[end] != _COMMA:
                text, end = _known_text(window, end, texts, text_starts, text_store)
                if text < 0 or text_encryptions[text] == -1:
                    continue
                encryption = text_encryptions[text]
        else:
            if byte == _A:
                decision = 0
            elif byte == _D:
                decision = 1
            else:
                continue
            if window[end] == _QUOTE:
                version = 1
            else:
                if window[end] != _COMMA:
                    continue
                byte = window[end + 1]
                if byte == _B:
                    state_of_flow = 0
                elif byte == _C:
                    state_of_flow = 1
                elif byte == _E:
                    state_of_flow = 2
                else:
                    continue
                end += 2
        if version == 1:
            wide[FIRST_COUNTER, rows] = -1
            wide[FIRST_COUNTER + 1, rows] = -1
            wide[FIRST_COUNTER + 2, rows] = -1
            wide[FIRST_COUNTER + 3, rows] = -1
        else:
            is_plain = True
            for counter in range(FIRST_COUNTER, WIDE):
                if window[end] != _COMMA:
                    is_plain = False
                    break
                end += 1
                following = window[end]
                if following == _COMMA or following == _QUOTE:
                    wide[counter, rows] = -1
                    continue
                value, end = _number(window, end, _MOST_DIGITS)
                if value < 0:
                    is_plain = False
                    break
                wide[counter, rows] = value
            if not is_plain:
                continue
        if window[end] != _QUOTE:
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
        wide[FLOW_MS, rows] = ms
        narrow[SRC_IP, rows] = source
        narrow[DST_IP, rows] = target
        narrow[SRC_PORT, rows] = src_port
        narrow[DST_PORT, rows] = dst_port
        narrow[PROTOCOL, rows] = protocol
        narrow[DIRECTION, rows] = direction
        narrow[DECISION, rows] = decision
        narrow[FLOW_STATE, rows] = state_of_flow
        narrow[ENCRYPTION, rows] = encryption
        narrow[LOG_VERSION, rows] = version
        narrow[DATE, rows] = day
        narrow[HOUR_OF_DAY, rows] = hour
        narrow[TUPLE, rows] = tuple_no
        rows += 1
        tuple_no += 1
        at = end + 1
        code = -2
        # Nearly always the next one follows at once.
        if window[at] == _COMMA:
            at += 1
            mode = NEXT_ELEMENT
        else:
            mode = AFTER_ELEMENT
    if code == -1:
        state[ARRAY_NO] += 1
        state[DEPTH] -= 1
    elif code == ODD_ELEMENT and window[at] == _QUOTE and string_end(window, at, size)[0] < 0:
        code = NEED_MORE
    state[POS] = at
    state[MODE] = mode
    state[ROWS] = rows
    state[TUPLE_NO] = tuple_no
    state[SOURCES] = n_sources
    state[TARGETS] = n_targets
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
        byte = window[at]
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
    sources, source_ips, targets, target_ips,
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
                sources, source_ips, targets, target_ips,
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
