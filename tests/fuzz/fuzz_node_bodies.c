/* Fuzzes what is inside the envelopes of other nodes: calls on users, and pages of channels.
 *
 * Input: a byte that says which, then the body. Whatever comes, reading must not look outside of
 * it; a call that is taken is sound and, written again and read, is the same; a page has each name
 * once, in order.
 *
 * Thread: one. Owns: the bench, for the rules.
 */
#include "server/session/channel_pages.c"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/json_scan.h"
#include "server/session/user_wire.h"
#include "tests/fuzz/fuzz_asserts.h"
#include "tests/unit/session_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(struct str s) {
    struct json_value value;
    struct json_fault fault;
    assert(s.n == 0 || (json_scan_all(s, &value, &fault) && !value.has_newline));
}

static void check_call(const struct user_wire *w) {
    const struct user_call *q = &w->call;
    struct buf b = {0}, again = {0};
    struct user_wire other;
    assert(q->action <= USER_REFRESH && str_is_utf8(q->user) && str_is_utf8(q->text));
    assert(q->whitelist_count <= USER_CALL_WHITELIST_MAX);
    assert(q->action != USER_SUBSCRIBE || (q->options && q->channel.n));
    assert(!q->is_own_options || q->options == &w->options);
    check_json(q->data);
    check_json(q->info);
    user_wire_add(&b, q);
    bool is_read = user_wire_read(buf_str(&b), &bench.config->rules, &other);
    assert(is_read);
    user_wire_add(&again, &other.call);
    assert(str_equal(buf_str(&b), buf_str(&again)));
    user_wire_fini(&other);
    buf_fini(&b);
    buf_fini(&again);
}

static void try_call(struct str body) {
    struct user_wire w;
    if (user_wire_read(body, &bench.config->rules, &w))
        check_call(&w);
    user_wire_fini(&w);
}

/* The same answer from two nodes. */
static void try_page(struct str body) {
    struct cluster_node nodes[2] = {{.status = CLUSTER_DONE}, {.status = CLUSTER_DONE}};
    struct cluster_call call = {.nodes = nodes, .count = 2};
    buf_add(&nodes[0].body, body);
    buf_add(&nodes[1].body, body);
    struct channel_counts page = channel_pages_merge(&call, 100);
    assert(page.count <= 100 && nodes[0].status == nodes[1].status);
    assert(page.count == 0 || nodes[0].status == CLUSTER_DONE);
    for (size_t i = 1; i < page.count; i++)
        assert(channel_names_compare(page.items[i - 1].name, page.items[i].name) < 0);
    channel_counts_fini(&page);
    buf_fini(&nodes[0].body);
    buf_fini(&nodes[1].body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!bench.config)
        bench_start(stub_broker_create);
    if (size == 0)
        return 0;
    /* A heap block of exactly this size, so that ASan sees what is read behind it. */
    char *copy = mem_alloc(size - 1);
    if (size > 1)
        memcpy(copy, data + 1, size - 1);
    if (*data % 2)
        try_page((struct str){copy, size - 1});
    else
        try_call((struct str){copy, size - 1});
    mem_free(copy);
    return 0;
}
