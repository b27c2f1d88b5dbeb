/* Channels with history on nodes of redis_testing.h, whose publications are their own numbers.
 *
 * Include once, after redis_testing.h. Thread: main. Owns: nothing.
 */
#ifndef CARILLON_TESTS_REDIS_HISTORY_CALLS_H
#define CARILLON_TESTS_REDIS_HISTORY_CALLS_H

#include "channels/redis_envelope.h"
#include "tests/unit/history_calls.h"

#define STREAM TEST_BASE "stream:"
#define META TEST_BASE "meta:"
#define KEEP ((struct publish_options){.keep = {5000, 60000, 60000}})

/* As SCRIPT_PUBLISH, but nobody hears of it: what a broken link would do. */
static inline void publish_unheard(const char *channel, const char *data) {
    static const char script[] =
        "local top = redis.call('HINCRBY', KEYS[1], 's', 1)\n"
        "local epoch = redis.call('HGET', KEYS[1], 'e')\n"
        "redis.call('XADD', KEYS[2], top .. '-0', 'm', 'CRN2' .. struct.pack('<I4I8', 36, top) ..\n"
        "    epoch .. struct.pack('<I4I4I4', 0, 60, 1000) .. ARGV[1])\n";
    struct buf envelope = {0};
    redis_envelope_add(&envelope, &(struct msg_parts){.data = str_of(data)});
    redis_server_do(&server, "EVAL %s 2 %s%s %s%s %b", script, META, channel, STREAM, channel,
                    envelope.p, envelope.n);
    buf_fini(&envelope);
}

static inline void publish_n(uint32_t node, const char *channel, int n) {
    char data[12];
    snprintf(data, sizeof(data), "%d", n);
    assert_int_equal(publish_with(node, channel, data, &KEEP).offset, n);
}

/* The publications first to last, of which each has its number as data and offset. */
static inline void expect_run(uint32_t node, int first, int last) {
    for (int i = first; i <= last; i++) {
        char data[12];
        struct msg *m = next_msg(node, 0);
        snprintf(data, sizeof(data), "%d", i);
        assert_int_equal(m->parts.kind, MSG_PUBLICATION);
        if (!str_equal(m->parts.data, str_of(data)) || m->position.offset != (uint64_t)i)
            fail_msg("expected %d, got %.*s at %llu", i, STR_ARG(m->parts.data),
                     (unsigned long long)m->position.offset);
        msg_unref(m);
    }
}

static inline struct position expect_top(uint32_t node) {
    struct msg *m = next_msg(node, 0);
    struct position p = m->position;
    assert_int_equal(m->parts.kind, MSG_TOP);
    msg_unref(m);
    return p;
}

#define COUNT_OF(node, field) ((uint64_t)counters_of(node)->field)

#endif
