/* What the tests of history share: one history, and whether all in it fits together.
 *
 * Include after channels/history.c. Thread: main. Owns: the history.
 */
#ifndef CARILLON_TESTS_HISTORY_TESTING_H
#define CARILLON_TESTS_HISTORY_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct history h;

static int set_up(void **state) {
    (void)state;
    history_init(&h);
    return 0;
}

/* Every count, the heap and the order of expiry are what the streams say. */
static void expect_consistent(void) {
    uint64_t messages = 0, bytes = h.due_capacity * sizeof(*h.due);
    for (struct map_node *n = NULL; (n = map_next(&h.streams, n));) {
        struct stream *s = list_entry(n, struct stream, node);
        struct msg_parts parts;
        bytes += stream_bytes(s) + s->capacity * sizeof(*s->records);
        messages += s->count;
        for (uint32_t i = 0; i < s->count; i++)
            bytes += unpack(*record_at(s, i), &parts);
        assert_ptr_equal(h.due[s->due_at].stream, s);
        assert_true(h.due[s->due_at].at_ms <= due_ms(s));
        assert_true(h.due[s->due_at].at_ms >= h.due[(s->due_at - (s->due_at > 0)) / 2].at_ms);
    }
    assert_int_equal(h.message_count, messages);
    assert_int_equal(h.bytes, bytes);
}

static int tear_down(void **state) {
    (void)state;
    expect_consistent();
    history_fini(&h);
    return 0;
}

static inline void free_items(struct history_reply *r) {
    for (uint32_t i = 0; i < r->count; i++)
        msg_unref(r->items[i]);
    mem_free(r->items);
}

static inline bool is_same_epoch(struct position a, struct position b) {
    return memcmp(a.epoch, b.epoch, EPOCH_BYTES) == 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
