/* Publishing and reading with a history, on the nodes of broker_testing.h.
 *
 * Include once. Thread: main. Owns: nothing.
 */
#ifndef CARILLON_TESTS_HISTORY_CALLS_H
#define CARILLON_TESTS_HISTORY_CALLS_H

#include "channels/delta.h"
#include "tests/unit/broker_testing.h"

static const struct keep ten = {10, 60000, 60000};

static inline struct position publish_with(uint32_t node, const char *channel, const char *data,
                                           const struct publish_options *o) {
    struct reply r = reply_to(node, 1);
    struct broker *b = test_nodes[node].broker;
    b->ops->publish(
        b, msg_create(&(struct msg_parts){.channel = str_of(channel), .data = str_of(data)}), o,
        &r);
    expect_result(node, 1, &r, BROKER_OK);
    return r.position;
}

static inline struct position publish_kept(uint32_t node, const char *channel, const char *data,
                                           const struct keep *keep) {
    return publish_with(node, channel, data, &(struct publish_options){.keep = *keep});
}

/* 1, 2, ... */
static inline void publish_many(uint32_t node, const char *channel, int count,
                                const struct keep *keep) {
    char data[12];
    for (int i = 1; i <= count; i++) {
        snprintf(data, sizeof(data), "%d", i);
        publish_kept(node, channel, data, keep);
    }
}

/* Fills the answer. */
static inline void read_history_of(uint32_t node, const char *channel, struct history_reply *h) {
    struct broker *b = test_nodes[node].broker;
    h->reply = reply_to(node, 1);
    b->ops->history(b, str_of(channel), h);
    expect_result(node, 1, &h->reply, BROKER_OK);
}

static inline struct history_reply read_all(uint32_t node, const char *channel) {
    struct history_reply h = {.limit = UINT32_MAX};
    read_history_of(node, channel, &h);
    return h;
}

/* As a subscriber asks: what the node has seen is enough. */
static inline struct position read_top(uint32_t node, const char *channel) {
    struct history_reply h = {.limit = 0, .may_lag = true};
    read_history_of(node, channel, &h);
    assert_int_equal(h.count, 0);
    return h.top;
}

/* Their data, with spaces between. */
static inline void expect_items(const struct history_reply *h, const char *text) {
    struct buf got = {0};
    for (uint32_t i = 0; i < h->count; i++) {
        if (i)
            buf_add_char(&got, ' ');
        buf_add(&got, h->items[i]->parts.data);
    }
    if (!str_equal(buf_str(&got), str_of(text)))
        fail_msg("expected \"%s\", not \"%.*s\"", text, (int)got.n, got.p ? got.p : "");
    buf_fini(&got);
}

static inline void expect_range(uint32_t node, const char *channel, const char *text,
                                const struct history_reply *question) {
    struct history_reply h = *question;
    read_history_of(node, channel, &h);
    expect_items(&h, text);
    history_reply_fini(&h);
}

#endif
