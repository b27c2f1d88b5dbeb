/* The rules of history, one by one.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/history.c"

#include "history_testing.h"

#include <malloc.h>

static const struct keep keep_5 = {.size = 5, .ttl_ms = 100, .meta_ttl_ms = 1000};

static struct position add_as(const char *channel, const char *data, const struct keep *k,
                              const struct history_version *v, uint64_t now_ms) {
    struct msg *m =
        msg_create(&(struct msg_parts){.channel = str_of(channel), .data = str_of(data)});
    struct position before;
    history_top(&h, m->parts.channel, now_ms, &before);
    bool is_new = history_add(&h, m, k, v, now_ms);
    struct position p = m->position;
    assert_int_equal(p.offset, before.offset + is_new);
    assert_memory_equal(p.epoch, before.epoch, EPOCH_BYTES);
    msg_unref(m);
    return p;
}

static struct position add(const char *channel, const char *data, uint64_t now_ms) {
    return add_as(channel, data, &keep_5, NULL, now_ms);
}

static struct position top(const char *channel, uint64_t now_ms) {
    struct position p;
    history_top(&h, str_of(channel), now_ms, &p);
    return p;
}

/* Expects these data, one letter each, for r's question. */
static void expect_read(const char *channel, struct history_reply r, const char *expected,
                        uint64_t now_ms) {
    char got[32] = "";
    history_read(&h, str_of(channel), &r, now_ms);
    for (uint32_t i = 0; i < r.count; i++) {
        assert_int_equal(r.items[i]->parts.data.n, 1);
        got[i] = *r.items[i]->parts.data.p;
        assert_true(is_same_epoch(r.items[i]->position, r.top));
        assert_true(str_equal(r.items[i]->parts.channel, str_of(channel)));
    }
    assert_string_equal(got, expected);
    if (r.count == 0)
        assert_null(r.items);
    free_items(&r);
}

#define ALL .limit = UINT32_MAX
#define SINCE(at) .has_since = true, .since = {.offset = (at)}

/* --- rules ------------------------------------------------------------------------------------ */

static void an_epoch_is_known_before_the_first_publication_and_stays(void **state) {
    (void)state;
    struct position before = top("a", 0);
    assert_int_equal(before.offset, 0);
    for (int i = 0; i < EPOCH_BYTES; i++)
        assert_true((before.epoch[i] | 32) >= 'a' && (before.epoch[i] | 32) <= 'z');
    for (uint64_t i = 1; i < 20; i++) {
        struct position p = add("a", "x", i);
        assert_int_equal(p.offset, i);
        assert_true(is_same_epoch(p, before));
    }
    assert_false(is_same_epoch(top("b", 0), before));
}

static void a_restart_is_another_epoch(void **state) {
    (void)state;
    struct position before = add("a", "x", 0);
    history_fini(&h);
    history_init(&h);
    assert_false(is_same_epoch(top("a", 0), before));
}

static void reading_forward_starts_behind_since(void **state) {
    (void)state;
    const char *data[] = {"a", "b", "c", "d", "e", "f", "g"};
    for (int i = 0; i < 7; i++) /* c to g, 3 to 7, are kept */
        add("a", data[i], 0);
    expect_read("a", (struct history_reply){ALL}, "cdefg", 0);
    expect_read("a", (struct history_reply){.limit = 2}, "cd", 0);
    expect_read("a", (struct history_reply){.limit = 0}, "", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(4)}, "efg", 0);
    expect_read("a", (struct history_reply){.limit = 1, SINCE(4)}, "e", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(2)}, "cdefg", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(0)}, "cdefg", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(6)}, "g", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(7)}, "", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(8)}, "", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(UINT64_MAX)}, "", 0);
    expect_read("none", (struct history_reply){ALL, SINCE(0)}, "", 0);
}

static void reading_in_reverse_starts_before_since(void **state) {
    (void)state;
    const char *data[] = {"a", "b", "c", "d", "e", "f", "g"};
    for (int i = 0; i < 7; i++)
        add("a", data[i], 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true}, "gfedc", 0);
    expect_read("a", (struct history_reply){.limit = 2, .is_reverse = true}, "gf", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(8)}, "gfedc", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(7)}, "fedc", 0);
    expect_read("a", (struct history_reply){.limit = 1, .is_reverse = true, SINCE(5)}, "d", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(4)}, "c", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(3)}, "", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(1)}, "", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(0)}, "", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(9)}, "", 0);
    expect_read("a", (struct history_reply){ALL, .is_reverse = true, SINCE(UINT64_MAX)}, "", 0);
    expect_read("none", (struct history_reply){ALL, .is_reverse = true, SINCE(1)}, "", 0);
}

static void a_position_of_another_epoch_is_told(void **state) {
    (void)state;
    struct history_reply r = {ALL, .has_since = true, .since = add("a", "x", 0)};
    r.since.offset = 0;
    history_read(&h, STR("a"), &r, 0);
    assert_false(r.is_other_epoch);
    assert_int_equal(r.count, 1);
    free_items(&r);
    r.since.epoch[7] ^= 1;
    history_read(&h, STR("a"), &r, 0);
    assert_true(r.is_other_epoch);
    assert_int_equal(r.count, 0);
    assert_int_equal(r.top.offset, 1);
    r.since = top("never was", 0);
    history_read(&h, STR("never was"), &r, 0);
    assert_false(r.is_other_epoch);
}

static void all_publications_go_together_after_the_last_one(void **state) {
    (void)state;
    add("a", "x", 0);
    struct position p = add("a", "y", 90);
    expect_read("a", (struct history_reply){ALL}, "xy", 189);
    expect_read("a", (struct history_reply){ALL}, "", 190);
    assert_int_equal(h.message_count, 0);
    assert_memory_equal(&(struct position[]){top("a", 190)}, &p, sizeof(p));
    add("a", "z", 190);
    expect_read("a", (struct history_reply){ALL, SINCE(0)}, "z", 190);
}

static void a_forgotten_channel_begins_again_in_another_epoch(void **state) {
    (void)state;
    struct position first = add("a", "x", 0);
    assert_true(is_same_epoch(top("a", 999), first)); /* and who reads keeps it for 1000 more */
    assert_true(is_same_epoch(top("a", 1998), first));
    struct position none = top("a", 2998);
    assert_int_equal(none.offset, 0);
    assert_false(is_same_epoch(none, first));
    assert_true(is_same_epoch(add("a", "x", 2998), none));
    assert_int_equal(top("a", 2998).offset, 1);
    while (history_expire(&h, 10000, 1) == 1)
        continue;
    assert_false(is_same_epoch(top("a", 10000), none));
    assert_false(is_same_epoch(top("a", 10000), first));
}

static void forgetting_changes_the_epoch_of_its_slot_alone(void **state) {
    (void)state;
    enum { NAMES = 5000 };
    static char names[NAMES][8];
    static struct position before[NAMES];
    const uint32_t *slot = generation_of(&h, map_hash(STR("a")));
    const struct keep long_keep = {.size = 1, .ttl_ms = 9999, .meta_ttl_ms = 9999};
    int in_slot = 0;
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "n%d", i);
        before[i] = top(names[i], 0);
        if (i % 2) /* exists */
            add_as(names[i], "x", &long_keep, NULL, 0);
    }
    add("a", "x", 0);
    history_expire(&h, 1000, UINT32_MAX);
    for (int i = 0; i < NAMES; i++) {
        bool is_in_slot = generation_of(&h, map_hash(str_of(names[i]))) == slot;
        bool is_other = i % 2 == 0 && is_in_slot;
        assert_int_equal(is_same_epoch(top(names[i], 1000), before[i]), !is_other);
        in_slot += is_in_slot;
    }
    assert_true(in_slot < NAMES / 100);
}

static void metadata_outlives_the_publications_whatever_is_asked(void **state) {
    (void)state;
    const struct keep k = {.size = 5, .ttl_ms = 100, .meta_ttl_ms = 10};
    struct position p = add_as("a", "x", &k, NULL, 0);
    assert_true(is_same_epoch(top("a", 99), p)); /* and who reads keeps it for 10 more */
    assert_true(is_same_epoch(top("a", 108), p));
    assert_false(is_same_epoch(top("a", 118), p));
    const struct keep forever = {.size = 5, .ttl_ms = UINT64_MAX, .meta_ttl_ms = UINT64_MAX};
    add_as("b", "x", &forever, NULL, 5);
    expect_read("b", (struct history_reply){ALL}, "x", UINT64_MAX - 1);
}

static void what_is_kept_follows_the_size_of_the_last_publication(void **state) {
    (void)state;
    const char *data[] = {"a", "b", "c", "d", "e", "f", "g"};
    const struct keep size_2 = {.size = 2, .ttl_ms = 100, .meta_ttl_ms = 1000};
    const struct keep size_0 = {.size = 0, .ttl_ms = 100, .meta_ttl_ms = 1000};
    const struct keep ttl_0 = {.size = 5, .ttl_ms = 0, .meta_ttl_ms = 1000};
    for (int i = 0; i < 7; i++)
        add("a", data[i], 0);
    add_as("a", "x", &size_2, NULL, 0);
    expect_read("a", (struct history_reply){ALL}, "gx", 0);
    assert_int_equal(find(&h, STR("a"), map_hash(STR("a")), 0)->capacity, 2);
    add("a", "y", 0);
    expect_read("a", (struct history_reply){ALL}, "gxy", 0);
    assert_int_equal(add_as("a", "z", &size_0, NULL, 0).offset, 10);
    expect_read("a", (struct history_reply){ALL}, "", 0);
    add("a", "u", 0);
    assert_int_equal(add_as("a", "v", &ttl_0, NULL, 0).offset, 12);
    expect_read("a", (struct history_reply){ALL}, "", 0);
    assert_int_equal(h.message_count, 0);
}

static void removed_content_leaves_epoch_and_offset(void **state) {
    (void)state;
    add("a", "x", 0);
    struct position p = add("a", "y", 0);
    history_remove(&h, STR("a"));
    history_remove(&h, STR("none"));
    expect_read("a", (struct history_reply){ALL}, "", 0);
    assert_memory_equal(&(struct position[]){top("a", 0)}, &p, sizeof(p));
    add("a", "z", 0);
    expect_read("a", (struct history_reply){ALL, SINCE(0)}, "z", 0);
}

static void a_read_is_cut_at_its_bytes_but_gives_one(void **state) {
    (void)state;
    enum { EACH = TEXTS + 1 + HISTORY_FRAME_BYTES };
    static const struct {
        uint32_t max_bytes, count;
        bool is_cut;
    } cases[] = {{1, 1, true},
                 {2 * EACH - 1, 1, true},
                 {2 * EACH, 2, true},
                 {3 * EACH, 3, false},
                 {0, 3, false}};
    for (int i = 0; i < 3; i++)
        add("a", "x", 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct history_reply r = {ALL, .max_bytes = cases[i].max_bytes, .is_reverse = i % 2};
        history_read(&h, STR("a"), &r, 0);
        assert_int_equal(r.count, cases[i].count);
        assert_int_equal(r.is_cut, cases[i].is_cut);
        assert_int_equal(r.items[0]->position.offset, i % 2 ? 3 : 1);
        free_items(&r);
    }
}

static void the_newest_data_are_there_for_a_delta(void **state) {
    (void)state;
    assert_int_equal(history_last_data(&h, STR("a"), 0).n, 0);
    add("a", "first", 0);
    add("a", "second", 0);
    assert_true(str_equal(history_last_data(&h, STR("a"), 99), STR("second")));
    assert_null(history_last_data(&h, STR("a"), 100).p);
}

static void a_version_that_is_not_above_the_last_changes_nothing(void **state) {
    (void)state;
    const struct history_version none = {0}, v2 = {.number = 2}, v3 = {.number = 3},
                                 v1_of_e = {1, STR("e")}, v2_of_e = {2, STR("e")};
    assert_int_equal(add_as("a", "a", &keep_5, &v2, 0).offset, 1);
    assert_int_equal(add_as("a", "b", &keep_5, &v2, 0).offset, 1);
    assert_int_equal(add_as("a", "c", &keep_5, &v3, 0).offset, 2);
    assert_int_equal(add_as("a", "d", &keep_5, &v2, 0).offset, 2);
    assert_int_equal(add_as("a", "e", &keep_5, &none, 0).offset, 3);
    assert_int_equal(add_as("a", "f", &keep_5, &v3, 0).offset, 3);
    assert_int_equal(add_as("a", "g", &keep_5, &v1_of_e, 0).offset, 4); /* another epoch */
    assert_int_equal(add_as("a", "h", &keep_5, &v1_of_e, 0).offset, 4);
    assert_int_equal(add_as("a", "i", &keep_5, &v2_of_e, 0).offset, 5);
    assert_int_equal(add_as("a", "j", &keep_5, &v2, 0).offset, 5);
    expect_read("a", (struct history_reply){ALL}, "acegi", 0);
}

static void asking_for_a_million_names_costs_no_memory(void **state) {
    (void)state;
    struct history_counts before = {0}, after_all = {0};
    add("a", "x", 0);
    history_count(&h, &before);
    size_t in_use = mallinfo2().uordblks;
    for (uint32_t i = 0; i < 1000000; i++) {
        const struct str name = {(const char *)&i, sizeof(i)};
        struct position p;
        if (i % 2)
            history_top(&h, name, 0, &p);
        else
            history_read(&h, name, &(struct history_reply){ALL}, 0);
    }
    history_count(&h, &after_all);
    assert_int_equal(mallinfo2().uordblks, in_use);
    assert_memory_equal(&after_all, &before, sizeof(before));
    assert_int_equal(before.channels, 1);
    assert_int_equal(before.messages, 1);
}

static void expiring_is_bounded_and_then_complete(void **state) {
    (void)state;
    const struct keep k = {.size = 1000, .ttl_ms = 100, .meta_ttl_ms = 1000};
    uint32_t calls = 0;
    for (int i = 0; i < 1000; i++) {
        char name[] = {(char)('a' + i % 10), '\0'};
        add_as(name, "x", &k, NULL, 0);
    }
    assert_int_equal(history_expire(&h, 99, 100), 0);
    for (uint64_t before = h.message_count; history_expire(&h, 100, 7) >= 7; calls++) {
        assert_true(before - h.message_count <= 7);
        before = h.message_count;
    }
    assert_true(calls >= 1000 / 7);
    assert_int_equal(h.message_count, 0);
    assert_int_equal(h.streams.count, 10);
    while (history_expire(&h, 1000, 3) >= 3)
        continue;
    assert_int_equal(h.streams.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_epoch_is_known_before_the_first_publication_and_stays),
        TEST(a_restart_is_another_epoch),
        TEST(reading_forward_starts_behind_since),
        TEST(reading_in_reverse_starts_before_since),
        TEST(a_position_of_another_epoch_is_told),
        TEST(all_publications_go_together_after_the_last_one),
        TEST(a_forgotten_channel_begins_again_in_another_epoch),
        TEST(forgetting_changes_the_epoch_of_its_slot_alone),
        TEST(metadata_outlives_the_publications_whatever_is_asked),
        TEST(what_is_kept_follows_the_size_of_the_last_publication),
        TEST(removed_content_leaves_epoch_and_offset),
        TEST(a_read_is_cut_at_its_bytes_but_gives_one),
        TEST(the_newest_data_are_there_for_a_delta),
        TEST(a_version_that_is_not_above_the_last_changes_nothing),
        TEST(asking_for_a_million_names_costs_no_memory),
        TEST(expiring_is_bounded_and_then_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
