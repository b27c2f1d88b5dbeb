/* See redis_requests.h.
 *
 * Thread: the link's.
 */
#include "channels/redis_requests.h"

#include "server/base/mem.h"

#include <assert.h>

enum { KEPT_CAPACITY = 4096 };

void redis_requests_fini(struct redis_requests *r) {
    assert(r->count == 0);
    mem_free(r->items);
    *r = (struct redis_requests){0};
}

static void grow(struct redis_requests *r) {
    size_t capacity = r->capacity ? r->capacity * 2 : 64;
    struct redis_request *items = mem_array(capacity, sizeof(*items));
    for (size_t i = 0; i < r->count; i++)
        items[i] = r->items[(r->first + i) & (r->capacity - 1)];
    mem_free(r->items);
    r->items = items;
    r->capacity = capacity;
    r->first = 0;
}

void redis_requests_push(struct redis_requests *r, struct redis_request request) {
    if (r->count == r->capacity)
        grow(r);
    r->items[(r->first + r->count++) & (r->capacity - 1)] = request;
}

struct redis_request *redis_requests_first(struct redis_requests *r) {
    return r->count ? &r->items[r->first] : NULL;
}

struct redis_request redis_requests_pop(struct redis_requests *r) {
    assert(r->count > 0);
    struct redis_request request = r->items[r->first];
    r->first = (r->first + 1) & (r->capacity - 1);
    if (--r->count == 0 && r->capacity > KEPT_CAPACITY) {
        mem_free(r->items); /* a burst is over: it must not keep its memory */
        *r = (struct redis_requests){0};
    }
    return request;
}
