/* The results of publications with an idempotency key, of one shard of the memory engine: who sends
 * the same key to the same channel again within the TTL gets the first result.
 *
 * A ring of the newest results and an index by fingerprint, a keyed hash of 128 bits: keys need not
 * be kept, and nobody can choose two with the same one. When more than max_count are kept, the
 * oldest is forgotten early. Costs about 56 bytes per result and nothing while there is none.
 *
 * Owns: its arrays. Thread: one at a time.
 */
#ifndef CARILLON_CHANNELS_IDEMPOTENCY_H
#define CARILLON_CHANNELS_IDEMPOTENCY_H

#include "channels/msg.h"

enum { IDEMPOTENCY_SECRET_BYTES = 16 };

struct idempotency_result;

struct idempotency {
    struct idempotency_result *results; /* a ring of `capacity`, oldest first */
    uint32_t *buckets;                  /* `capacity` chains: index + 1 of the newest, or 0 */
    uint32_t first, count, capacity;
    uint32_t max_count;
    uint64_t ttl_ms;
    unsigned char secret[IDEMPOTENCY_SECRET_BYTES];
};

/* max_count: at least 1. */
void idempotency_init(struct idempotency *d, uint32_t max_count, uint64_t ttl_ms);

void idempotency_fini(struct idempotency *d);

/* False, and *out untouched, when there is no result, or it is too old. */
bool idempotency_find(const struct idempotency *d, struct str channel, struct str key,
                      uint64_t now_ms, struct position *out);

/* After idempotency_find has said no. now_ms must not go back by more than it matters to the TTL.
 */
void idempotency_put(struct idempotency *d, struct str channel, struct str key, uint64_t now_ms,
                     const struct position *result);

/* Forgets at most max results that are too old. Gives how many; less than max: none is left. */
uint32_t idempotency_expire(struct idempotency *d, uint64_t now_ms, uint32_t max);

#endif
