/* Time: see clock.h.
 *
 * Both clocks are read through the vDSO, about 25 ns, so callers need no cached "now" to be fast;
 * they keep one where many things must agree on it.
 *
 * Thread: any. Owns: nothing.
 */
#include "server/base/clock.h"

#include <assert.h>
#include <time.h>

static struct timespec read_clock(clockid_t id) {
    struct timespec t;
    int failed = clock_gettime(id, &t);
    assert(!failed);
    return t;
}

uint64_t clock_now_us(void) {
    struct timespec t = read_clock(CLOCK_MONOTONIC);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_now_ms(void) {
    return clock_now_us() / 1000;
}

int64_t clock_wall_ms(void) {
    struct timespec t = read_clock(CLOCK_REALTIME);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
