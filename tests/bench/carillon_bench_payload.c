/* The payload of a published message: valid JSON of exactly the wanted size, in which publisher,
 * sequence number and send time have fixed places.
 *
 * Fixed places make it cheap to check: the receiver reads 30 hex digits and compares the rest with
 * the template, which must cost far less than what the server does for the same delivery.
 *
 * Owns: nothing. Thread: any.
 * Does not: know JSON. A server that reorders or reprints payloads is caught by the comparison.
 */
#include "tests/bench/carillon_bench.h"

enum { PUBLISHER_AT = 6, SEQUENCE_AT = 8, TIME_AT = 20 };

void payload_template(char *out, size_t size_bytes) {
    static const char head[] = PAYLOAD_MARK "000000000000000000000000000000\",\"x\":\"";
    memset(out, 'x', size_bytes);
    memcpy(out, head, sizeof(head) - 1);
    memcpy(out + size_bytes - 2, "\"}", 2);
}

static void write_hex(char *out, int digits, uint64_t value) {
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        out[i] = "0123456789abcdef"[value & 15];
}

/* Sets *is_hex to false if it is not. */
static uint64_t read_hex(const char *in, int digits, bool *is_hex) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) {
        unsigned c = (unsigned char)in[i];
        unsigned digit = c - '0' < 10 ? c - '0' : c - 'a' + 10;
        if (digit > 15)
            *is_hex = false;
        value = value << 4 | digit;
    }
    return value;
}

void payload_write(char *out, const struct payload *p) {
    write_hex(out + PUBLISHER_AT, 2, p->publisher);
    write_hex(out + SEQUENCE_AT, 12, p->sequence);
    write_hex(out + TIME_AT, 16, p->time_ns);
}

bool payload_read(const char *in, struct payload *p) {
    bool is_hex = true;
    p->publisher = (uint32_t)read_hex(in + PUBLISHER_AT, 2, &is_hex);
    p->sequence = read_hex(in + SEQUENCE_AT, 12, &is_hex);
    p->time_ns = read_hex(in + TIME_AT, 16, &is_hex);
    return is_hex;
}
