/* A growing byte buffer: build an answer or a frame piece by piece, then take the bytes.
 *
 * A zeroed struct buf is a valid empty buffer. Growing is amortised; nothing is allocated before
 * the first byte.
 *
 * Owns: its bytes. Thread: one at a time.
 */
#ifndef CARILLON_BUF_H
#define CARILLON_BUF_H

#include "server/base/str.h"

#include <stdint.h>

struct buf {
    char *p;
    size_t n;   /* bytes used */
    size_t cap; /* bytes allocated */
};

void buf_fini(struct buf *b);

/* Empties the buffer and keeps its memory. */
void buf_clear(struct buf *b);

/* Makes room for more_bytes and returns where they go; the caller adds what it wrote to b->n. */
char *buf_reserve(struct buf *b, size_t more_bytes);

void buf_add(struct buf *b, struct str s);
void buf_add_z(struct buf *b, const char *z);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);

/* Borrows the content. */
struct str buf_str(const struct buf *b);

#endif
