/* Numbers and texts one after the other in bytes: how nodes write what they tell each other.
 *
 * Numbers are little endian; a text is its length (u32) and its bytes. Reading never looks behind
 * the end: after the first fault everything is zero and empty, so that a reader checks once, at the
 * end, with unpack_is_over().
 *
 * Thread: any (no state).
 */
#ifndef CARILLON_PACK_H
#define CARILLON_PACK_H

#include "server/base/buf.h"

void pack_u8(struct buf *b, uint8_t v);
void pack_u16(struct buf *b, uint16_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_str(struct buf *b, struct str s);

struct unpack {
    struct str rest;
    bool is_bad; /* it was too short, or a text too long */
};

uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);

/* Borrows from the bytes; a text that is longer is a fault. */
struct str unpack_str(struct unpack *u, size_t max_bytes);

/* Without a length before it. */
struct str unpack_bytes(struct unpack *u, size_t n);

/* Everything was there, and nothing is left. */
bool unpack_is_over(const struct unpack *u);

#endif
