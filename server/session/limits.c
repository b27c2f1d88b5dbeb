/* See limits.h.
 *
 * Thread: one at a time.
 */
#include "server/session/limits.h"

#define NS_PER_S UINT64_C(1000000000)

bool bucket_take(struct bucket *b, struct rate r, uint32_t cost, uint64_t now_us) {
    if (r.per_s == 0)
        return true;
    uint64_t now_ns = now_us * 1000;
    uint64_t burst = r.burst ? r.burst : 2 * (uint64_t)r.per_s;
    uint64_t units = cost < burst ? cost : burst;
    uint64_t full_at_ns = b->full_at_ns > now_ns ? b->full_at_ns : now_ns;
    full_at_ns += units * NS_PER_S / r.per_s;
    if (full_at_ns - now_ns > burst * NS_PER_S / r.per_s)
        return false;
    b->full_at_ns = full_at_ns;
    return true;
}
