/* See idempotency.h. All results live equally long, so the ring is in the order of expiry and the
 * oldest is always the last of its chain.
 *
 * Thread: one at a time.
 */
#include "channels/idempotency.h"

#include "server/base/mem.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 16 };

struct print {
    unsigned char bytes[crypto_shorthash_siphashx24_BYTES];
};

struct idempotency_result {
    struct print print;
    struct position position;
    uint64_t due_ms;
    uint32_t next; /* older one in the chain: index + 1, or 0 */
};

static void hash(const struct idempotency *d, const void *p, size_t n, struct print *out) {
    crypto_shorthash_siphashx24(out->bytes, n ? p : d->secret, n, d->secret);
}

/* The two are hashed first, so that ("a", "bc") and ("ab", "c") differ. */
static struct print print_of(const struct idempotency *d, struct str channel, struct str key) {
    struct print parts[2], print;
    static_assert(sizeof(parts) == 2 * crypto_shorthash_siphashx24_BYTES, "no gaps");
    static_assert(sizeof(d->secret) == crypto_shorthash_siphashx24_KEYBYTES, "the secret is a key");
    hash(d, channel.p, channel.n, &parts[0]);
    hash(d, key.p, key.n, &parts[1]);
    hash(d, parts, sizeof(parts), &print);
    return print;
}

static uint32_t *bucket_of(const struct idempotency *d, const struct print *print) {
    uint64_t number;
    memcpy(&number, print->bytes, sizeof(number));
    return &d->buckets[number % d->capacity];
}

static uint32_t slot_of(const struct idempotency *d, uint32_t i) {
    uint32_t left = d->capacity - d->first; /* before the ring's end */
    return i < left ? d->first + i : i - left;
}

static void free_arrays(struct idempotency *d) {
    mem_free(d->results);
    mem_free(d->buckets);
    d->results = NULL;
    d->buckets = NULL;
    d->first = d->count = d->capacity = 0;
}

static void append(struct idempotency *d, const struct idempotency_result *r) {
    uint32_t slot = slot_of(d, d->count), *bucket = bucket_of(d, &r->print);
    assert(d->count < d->capacity);
    d->results[slot] = *r;
    d->results[slot].next = *bucket;
    *bucket = slot + 1;
    d->count++;
}

static void drop_oldest(struct idempotency *d) {
    uint32_t *at = bucket_of(d, &d->results[d->first].print);
    assert(d->count > 0);
    while (*at != d->first + 1)
        at = &d->results[*at - 1].next;
    *at = 0;
    d->first = d->first + 1 == d->capacity ? 0 : d->first + 1;
    d->count--;
}

static void grow(struct idempotency *d) {
    struct idempotency old = *d;
    uint32_t capacity = old.capacity ? old.capacity * 2 : CAPACITY_MIN;
    if (capacity > d->max_count || old.capacity > d->max_count / 2)
        capacity = d->max_count;
    d->results = mem_array(capacity, sizeof(*d->results));
    d->buckets = mem_array(capacity, sizeof(*d->buckets));
    d->first = d->count = 0;
    d->capacity = capacity;
    for (uint32_t i = 0; i < old.count; i++)
        append(d, &old.results[slot_of(&old, i)]);
    free_arrays(&old);
}

void idempotency_init(struct idempotency *d, uint32_t max_count, uint64_t ttl_ms) {
    assert(max_count > 0);
    *d = (struct idempotency){.max_count = max_count, .ttl_ms = ttl_ms};
    if (sodium_init() < 0)
        abort();
    randombytes_buf(d->secret, sizeof(d->secret));
}

void idempotency_fini(struct idempotency *d) {
    free_arrays(d);
}

bool idempotency_find(const struct idempotency *d, struct str channel, struct str key,
                      uint64_t now_ms, struct position *out) {
    if (d->count == 0)
        return false;
    const struct print print = print_of(d, channel, key);
    for (uint32_t i = *bucket_of(d, &print); i; i = d->results[i - 1].next) {
        const struct idempotency_result *r = &d->results[i - 1];
        if (memcmp(&r->print, &print, sizeof(print)) != 0)
            continue;
        /* An older one of the same key would be over too. */
        if (r->due_ms <= now_ms)
            return false;
        *out = r->position;
        return true;
    }
    return false;
}

static bool is_oldest_over(const struct idempotency *d, uint64_t now_ms) {
    return d->count && d->results[d->first].due_ms <= now_ms;
}

void idempotency_put(struct idempotency *d, struct str channel, struct str key, uint64_t now_ms,
                     const struct position *result) {
    struct idempotency_result r = {
        .print = print_of(d, channel, key),
        .position = *result,
        .due_ms = d->ttl_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + d->ttl_ms,
    };
    if (d->count == d->capacity) {
        if (is_oldest_over(d, now_ms) || d->capacity == d->max_count)
            drop_oldest(d);
        else
            grow(d);
    }
    append(d, &r);
}

uint32_t idempotency_expire(struct idempotency *d, uint64_t now_ms, uint32_t max) {
    uint32_t done = 0;
    for (; done < max && is_oldest_over(d, now_ms); done++)
        drop_oldest(d);
    if (d->count == 0)
        free_arrays(d);
    return done;
}
