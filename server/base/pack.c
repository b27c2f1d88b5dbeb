/* See pack.h.
 *
 * Thread: any.
 */
#include "server/base/pack.h"

static void pack_number(struct buf *b, uint64_t v, size_t n) {
    char *at = buf_reserve(b, n);
    for (size_t i = 0; i < n; i++)
        at[i] = (char)(v >> (8 * i) & 0xff);
    b->n += n;
}

void pack_u8(struct buf *b, uint8_t v) {
    pack_number(b, v, 1);
}

void pack_u16(struct buf *b, uint16_t v) {
    pack_number(b, v, 2);
}

void pack_u32(struct buf *b, uint32_t v) {
    pack_number(b, v, 4);
}

void pack_u64(struct buf *b, uint64_t v) {
    pack_number(b, v, 8);
}

void pack_str(struct buf *b, struct str s) {
    pack_u32(b, (uint32_t)s.n);
    buf_add(b, s);
}

struct str unpack_bytes(struct unpack *u, size_t n) {
    if (u->is_bad || n > u->rest.n) {
        u->is_bad = true;
        return STR_NONE;
    }
    struct str s = {u->rest.p, n};
    u->rest = str_slice(u->rest, n, u->rest.n);
    return s;
}

static uint64_t unpack_number(struct unpack *u, size_t n) {
    struct str s = unpack_bytes(u, n);
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++)
        v |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
    return v;
}

uint8_t unpack_u8(struct unpack *u) {
    return (uint8_t)unpack_number(u, 1);
}

uint16_t unpack_u16(struct unpack *u) {
    return (uint16_t)unpack_number(u, 2);
}

uint32_t unpack_u32(struct unpack *u) {
    return (uint32_t)unpack_number(u, 4);
}

uint64_t unpack_u64(struct unpack *u) {
    return unpack_number(u, 8);
}

struct str unpack_str(struct unpack *u, size_t max_bytes) {
    size_t n = unpack_u32(u);
    if (n > max_bytes)
        u->is_bad = true;
    return unpack_bytes(u, n);
}

bool unpack_is_over(const struct unpack *u) {
    return !u->is_bad && u->rest.n == 0;
}
