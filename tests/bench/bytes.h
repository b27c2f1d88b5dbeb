/* A growing run of bytes, for the load generator and the reference server.
 *
 * Starts as all zero, which holds nothing and owns nothing; grows by doubling; out of memory
 * aborts. bytes_free() gives the memory back and leaves it all zero again, so that an idle
 * connection that once had something pending is small again.
 *
 * Owns: its memory. Thread: the one of its owner.
 */
#ifndef CARILLON_BENCH_BYTES_H
#define CARILLON_BENCH_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *at;
    size_t count;
    size_t room;
};

/* Gives a place for n more bytes at the end; they count at once. */
static inline uint8_t *bytes_extend(struct bytes *b, size_t n) {
    if (b->count + n > b->room) {
        size_t room = b->room ? b->room : 512;
        while (room < b->count + n)
            room *= 2;
        b->at = realloc(b->at, room);
        if (!b->at)
            abort();
        b->room = room;
    }
    b->count += n;
    return b->at + b->count - n;
}

static inline void bytes_add(struct bytes *b, const void *p, size_t n) {
    if (n > 0)
        memcpy(bytes_extend(b, n), p, n);
}

static inline void bytes_add_text(struct bytes *b, const char *text) {
    bytes_add(b, text, strlen(text));
}

/* Drops the first n bytes. */
static inline void bytes_drop(struct bytes *b, size_t n) {
    b->count -= n;
    memmove(b->at, b->at + n, b->count);
}

static inline void bytes_free(struct bytes *b) {
    free(b->at);
    *b = (struct bytes){0};
}

#endif
