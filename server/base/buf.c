/* A growing byte buffer: see buf.h.
 *
 * The size doubles, starting at 64 bytes, so that n bytes added one by one cost O(n). It never
 * shrinks: an owner that lives long and once was big calls buf_fini.
 *
 * Thread: one at a time. Owns: the bytes of each buffer.
 */
#include "server/base/buf.h"

#include "server/base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_BYTES 64

void buf_fini(struct buf *b) {
    mem_free(b->p);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b) {
    b->n = 0;
}

static void grow(struct buf *b, size_t more_bytes) {
    assert(more_bytes <= SIZE_MAX / 4 - b->n);
    size_t cap = b->cap ? b->cap * 2 : FIRST_BYTES;
    if (cap < b->n + more_bytes)
        cap = b->n + more_bytes;
    b->p = mem_realloc(b->p, cap);
    b->cap = cap;
}

char *buf_reserve(struct buf *b, size_t more_bytes) {
    if (more_bytes > b->cap - b->n || !b->p)
        grow(b, more_bytes);
    return b->p + b->n;
}

void buf_add(struct buf *b, struct str s) {
    if (s.n == 0)
        return;
    memcpy(buf_reserve(b, s.n), s.p, s.n);
    b->n += s.n;
}

void buf_add_z(struct buf *b, const char *z) {
    buf_add(b, str_of(z));
}

void buf_add_char(struct buf *b, char c) {
    *buf_reserve(b, 1) = c;
    b->n++;
}

void buf_add_u64(struct buf *b, uint64_t v) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_add(b, (struct str){digits + at, sizeof(digits) - at});
}

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);

    /* vsnprintf adds a zero byte, which is not counted in b->n. */
    size_t size = (size_t)length + 1;
    char *to = buf_reserve(b, size);
    va_start(args, format);
    vsnprintf(to, size, format, args);
    va_end(args);
    b->n += (size_t)length;
}

void buf_consume(struct buf *b, size_t n) {
    assert(n <= b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

struct str buf_str(const struct buf *b) {
    return (struct str){b->p, b->n};
}
