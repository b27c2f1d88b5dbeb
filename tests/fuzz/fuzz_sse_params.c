/* Fuzzes what a request for a plain stream may ask for.
 *
 * Input: a byte that chooses GET, a form or JSON, then the query or the body. Whatever comes: it is
 * refused with a text, or gives at least one channel, and no value has a NUL in it.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/net/sse_params.c"

#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/fuzz_asserts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_params(const struct sse_params *p, const struct http_request *q) {
    struct str channel;
    if (p->status) {
        assert((p->status == 400 || p->status == 415) && p->why);
        return;
    }
    assert(sse_params_channel(p, 0).n && p->list.p[p->list.n - 1] == '\0');
    assert(sse_params_last_id(p, q).n <= SSE_ID_MAX_BYTES);
    assert(!has_empty_channel(p));
    for (size_t i = 0; i < 8 && (channel = sse_params_channel(p, i)).n; i++)
        assert(str_find(channel, '\0') == channel.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct str types[] = {{"application/x-www-form-urlencoded", 33},
                                       {"application/json", 16}};
    struct str text = {(const char *)data + !!size, size - !!size};
    uint8_t how = size ? data[0] % 3 : 0;
    struct http_request q = {.method = STR("POST"), .body = text};
    struct sse_params p;
    struct buf query = {0};
    if (how == 2) {
        q.method = STR("GET");
        if (!http_target_pairs(text, &query)) {
            buf_fini(&query);
            return 0;
        }
        q.query = buf_str(&query);
    } else {
        q.content_type = types[how];
    }
    sse_params_read(&q, &p);
    check_params(&p, &q);
    sse_params_fini(&p);
    buf_fini(&query);
    return 0;
}
