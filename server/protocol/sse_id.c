/* See sse_id.h.
 *
 * Thread: any. No state.
 */
#include "server/protocol/sse_id.h"

#include <sodium.h>
#include <string.h>

enum {
    HASH_DIGITS = 6,
    HEAD_BYTES = HASH_DIGITS + EPOCH_BYTES,
    ENTRY_MAX_BYTES = 1 + HEAD_BYTES + 20
};

/* Not secret: who makes two names collide confuses only streams of its own. */
static void add_hash(char out[HASH_DIGITS], struct str channel) {
    static const uint8_t key[crypto_shorthash_KEYBYTES] = "carillon sse id";
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, (const uint8_t *)channel.p, channel.n, key);
    for (size_t i = 0; i < HASH_DIGITS; i++)
        out[i] = digits[(hash[i / 2] >> (i % 2 * 4)) & 15];
}

bool sse_id_add(struct buf *b, size_t start, struct str channel, const struct position *p) {
    char hash[HASH_DIGITS];
    if (b->n - start + ENTRY_MAX_BYTES > SSE_ID_MAX_BYTES)
        return false;
    add_hash(hash, channel);
    if (b->n > start)
        buf_add_char(b, '.');
    buf_add(b, (struct str){hash, HASH_DIGITS});
    buf_add(b, (struct str){p->epoch, EPOCH_BYTES});
    buf_printf(b, "%llu", (unsigned long long)p->offset);
    return true;
}

static bool is_epoch(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= 'a' && s.p[i] <= 'z')))
            return false;
    return s.n == EPOCH_BYTES;
}

bool sse_id_find(struct str id, struct str channel, struct position *out) {
    char hash[HASH_DIGITS];
    struct str entry;
    add_hash(hash, channel);
    while (str_cut(&id, '.', &entry)) {
        if (entry.n <= HEAD_BYTES || memcmp(entry.p, hash, HASH_DIGITS) != 0)
            continue;
        struct str epoch = str_slice(entry, HASH_DIGITS, HEAD_BYTES);
        if (!is_epoch(epoch) || !str_to_u64(str_slice(entry, HEAD_BYTES, entry.n), &out->offset))
            return false;
        position_set_epoch(out, epoch);
        return true;
    }
    return false;
}
