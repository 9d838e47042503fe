/* The floor: the least that a decoder of flow logs must do.
 *
 * Finds the flowTuples of a document and parses every field of every tuple into columns: the time,
 * both addresses as 32-bit numbers, ports, protocol, direction, decision, state, encryption, and
 * the four counters with a mask of those that are empty. It knows the layout beforehand, knows only
 * IPv4, does not read the envelope, keeps no place of a tuple, makes no text and rejects nothing:
 * at the first thing that it does not know it gives up (-1). A decoder has to do all of that.
 *
 * The text must be followed by 64 bytes that are none of JSON's. Little-endian machines only.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the floor reads eight digits at once, lowest byte first"
#endif

/* Left to itself gcc inlines less, and the scan is some per cent slower. */
#define INLINE static inline __attribute__((always_inline))

struct columns {
    int64_t *time_ms;
    uint32_t *src_ip, *dst_ip;
    int32_t *src_port, *dst_port;
    int16_t *protocol;
    uint8_t *direction, *decision, *state, *encryption;
    int64_t *counters[4];
    uint8_t *empty; /* bit i: counter i is empty */
};

static const char *const ENCRYPTIONS[] = {
    "X", "NX", "NX_HW_NOT_SUPPORTED", "NX_SW_NOT_READY", "NX_NOT_ACCEPTED", "NX_NOT_SUPPORTED",
    "NX_LOCAL_DST", "NX_FALLBACK", "NX_ALL",
};

/* Eight digits at once; how is shown by the widths: pairs, fours, eight. */
INLINE int eight_digits(const uint8_t *at, int64_t *value)
{
    uint64_t word;
    memcpy(&word, at, 8);
    word -= 0x3030303030303030u;
    if ((word | (word + 0x7676767676767676u)) & 0x8080808080808080u)
        return 0;
    word = word * 10 + (word >> 8);
    *value = (((word & 0x000000FF000000FFu) * 0x000F424000000064u) +
              (((word >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u)) >> 32;
    return 1;
}

/* Digits up to the next other character; no digit gives 0 and is told by *at not moving. */
INLINE int64_t digits(const uint8_t **at)
{
    const uint8_t *p = *at;
    uint64_t value = 0;
    unsigned digit;
    while ((digit = (unsigned)*p - '0') < 10) {
        value = value * 10 + digit;
        p++;
    }
    *at = p;
    return (int64_t)value;
}

/* A number and the comma behind it. */
INLINE int number(const uint8_t **at, int64_t *value)
{
    const uint8_t *begin = *at;
    *value = digits(at);
    return *at != begin && *(*at)++ == ',';
}

/* An IPv4 address and the comma behind it. */
INLINE int address(const uint8_t **at, uint32_t *out)
{
    const uint8_t *p = *at;
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = (unsigned)*p - '0', octet = digit;
        if (digit > 9)
            return 0;
        if ((digit = (unsigned)*++p - '0') < 10) {
            octet = octet * 10 + digit;
            if ((digit = (unsigned)*++p - '0') < 10) {
                octet = octet * 10 + digit;
                p++;
            }
        }
        value = value << 8 | octet;
        if (*p++ != (i < 3 ? '.' : ','))
            return 0;
    }
    *out = value;
    *at = p;
    return 1;
}

/* The four counters, without a comma before and up to the quote behind them. Most tuples begin or
 * refuse a flow and have none: they are told by one comparison. */
INLINE int counters(const uint8_t **at, const struct columns *c, int64_t row,
                           const char *none, int none_length, uint8_t none_empty)
{
    const uint8_t *p = *at;
    uint8_t empty = 0;
    if (!memcmp(p, none, none_length)) {
        for (int i = 0; i < 4; i++)
            c->counters[i][row] = 0;
        c->empty[row] = none_empty;
        *at = p + none_length - 1;
        return 1;
    }
    for (int i = 0; i < 4; i++) {
        const uint8_t *begin = p;
        c->counters[i][row] = digits(&p);
        empty |= (uint8_t)((p == begin) << i);
        if (i < 3 && *p++ != ',')
            return 0;
    }
    c->empty[row] = empty;
    *at = p;
    return 1;
}

/* TIME,SRC,DST,PORT,PORT,T|U,DIRECTION,DECISION,STATE,COUNTERS */
INLINE int nsg2_tuple(const uint8_t **at, const struct columns *c, int64_t row)
{
    const uint8_t *p = *at;
    int64_t head, value;
    if (!eight_digits(p, &head))
        return 0;
    p += 8;
    unsigned tens = (unsigned)p[0] - '0', ones = (unsigned)p[1] - '0';
    if (tens > 9 || ones > 9 || p[2] != ',')
        return 0;
    c->time_ms[row] = (head * 100 + tens * 10 + ones) * 1000;
    p += 3;
    if (!address(&p, &c->src_ip[row]) || !address(&p, &c->dst_ip[row]) || !number(&p, &value))
        return 0;
    c->src_port[row] = (int32_t)value;
    if (!number(&p, &value))
        return 0;
    c->dst_port[row] = (int32_t)value;
    if ((p[0] != 'T' && p[0] != 'U') || p[1] != ',' || p[3] != ',' || p[5] != ',' || p[7] != ',')
        return 0;
    c->protocol[row] = p[0] == 'T' ? 6 : 17;
    c->direction[row] = p[2];
    c->decision[row] = p[4];
    c->state[row] = p[6];
    c->encryption[row] = 0;
    p += 8;
    if (!counters(&p, c, row, ",,,\"", 4, 15))
        return 0;
    *at = p;
    return 1;
}

/* TIME,SRC,DST,PORT,PORT,PROTOCOL,DIRECTION,STATE,ENCRYPTION,COUNTERS */
INLINE int vnet_tuple(const uint8_t **at, const struct columns *c, int64_t row)
{
    const uint8_t *p = *at;
    int64_t head, value;
    if (!eight_digits(p, &head))
        return 0;
    p += 8;
    const uint8_t *begin = p;
    if (!number(&p, &value) || p - begin != 6)
        return 0;
    c->time_ms[row] = head * 100000 + value;
    if (!address(&p, &c->src_ip[row]) || !address(&p, &c->dst_ip[row]) || !number(&p, &value))
        return 0;
    c->src_port[row] = (int32_t)value;
    if (!number(&p, &value))
        return 0;
    c->dst_port[row] = (int32_t)value;
    if (!number(&p, &value) || p[1] != ',' || p[3] != ',')
        return 0;
    c->protocol[row] = (int16_t)value;
    c->direction[row] = p[0];
    c->decision[row] = p[2] == 'D' ? 'D' : 'A';
    c->state[row] = p[2] == 'D' ? 0 : p[2];
    p += 4;
    if (!memcmp(p, "NX,", 3)) {
        c->encryption[row] = 2;
        p += 3;
    } else {
        int code, count = sizeof ENCRYPTIONS / sizeof *ENCRYPTIONS;
        for (code = 0; code < count; code++) {
            size_t length = strlen(ENCRYPTIONS[code]);
            if (!memcmp(p, ENCRYPTIONS[code], length) && p[length] == ',') {
                p += length + 1;
                break;
            }
        }
        if (code == count)
            return 0;
        c->encryption[row] = (uint8_t)(code + 1);
    }
    if (!counters(&p, c, row, "0,0,0,0\"", 8, 0))
        return 0;
    *at = p;
    return 1;
}

/* Parses the next `capacity` tuples into the columns, from row 0 on, and returns how many they are;
 * fewer, only when the document has ended. `cursor` (where, and whether among tuples) begins as
 * {0, 0} and is handed back for the next call. */
INLINE int64_t scan(const uint8_t *text, int64_t length, int64_t cursor[2],
                           const struct columns *c, int64_t capacity,
                           int (*tuple)(const uint8_t **, const struct columns *, int64_t))
{
    static const char key[] = "\"flowTuples\":[";
    const uint8_t *p = text + cursor[0], *end = text + length;
    int is_among_tuples = (int)cursor[1];
    int64_t row = 0;
    while (row < capacity) {
        if (!is_among_tuples) {
            p = memmem(p, (size_t)(end - p), key, sizeof key - 1);
            if (!p) {
                p = end;
                break;
            }
            p += sizeof key - 1;
            if (*p == ']')
                continue;
            is_among_tuples = 1;
        }
        if (*p++ != '"' || !tuple(&p, c, row) || *p++ != '"')
            return -1;
        row++;
        if (*p == ']')
            is_among_tuples = 0;
        else if (*p != ',')
            return -1;
        p++;
    }
    cursor[0] = p - text;
    cursor[1] = is_among_tuples;
    return row;
}

int64_t scan_nsg2(const uint8_t *text, int64_t length, int64_t cursor[2], const struct columns *c,
                  int64_t capacity)
{
    return scan(text, length, cursor, c, capacity, nsg2_tuple);
}

int64_t scan_vnet(const uint8_t *text, int64_t length, int64_t cursor[2], const struct columns *c,
                  int64_t capacity)
{
    return scan(text, length, cursor, c, capacity, vnet_tuple);
}
