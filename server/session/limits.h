/* Token buckets: how often something may happen.
 *
 * Kept as the generic cell rate algorithm: one time stamp per bucket says when it will be full
 * again, so a bucket costs 8 bytes and no timer. In any time t at most burst + rate * t units pass,
 * exactly.
 *
 * Thread: one at a time.
 */
#ifndef CARILLON_SESSION_LIMITS_H
#define CARILLON_SESSION_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct rate {
    uint32_t per_s; /* 0: no limit */
    uint32_t burst; /* units that may pass at once; 0: twice per_s */
};

/* A zeroed bucket is full. */
struct bucket {
    uint64_t full_at_ns;
};

/* Takes cost units. False, and nothing is taken, when they are not there. A cost above the burst
 * counts as the burst, else it could never pass. */
bool bucket_take(struct bucket *b, struct rate r, uint32_t cost, uint64_t now_us);

#endif
