/* Results by idempotency key: the rules, then random calls against a naive list.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/idempotency.c"

#include "random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TTL_MS = 300, KEYS = 40, STEPS = 200000 };

static struct idempotency d;

static void put(struct str channel, struct str key, uint64_t now_ms, uint64_t offset) {
    idempotency_put(&d, channel, key, now_ms, &(struct position){.offset = offset});
}

/* Gives the offset; UINT64_MAX when there is none. */
static uint64_t find(struct str channel, struct str key, uint64_t now_ms) {
    struct position p = {.offset = UINT64_MAX};
    idempotency_find(&d, channel, key, now_ms, &p);
    return p.offset;
}

static struct str number(uint32_t *n) {
    return (struct str){(const char *)n, sizeof(*n)};
}

static void a_key_gives_its_channels_first_result_until_it_is_too_old(void **state) {
    (void)state;
    const struct position result = {7, "abcdefgh"};
    struct position got = {0};
    idempotency_init(&d, 100, TTL_MS);
    assert_false(idempotency_find(&d, STR("a"), STR("k"), 0, &got));
    idempotency_put(&d, STR("a"), STR("k"), 0, &result);
    assert_true(idempotency_find(&d, STR("a"), STR("k"), TTL_MS - 1, &got));
    assert_memory_equal(&got, &result, sizeof(got));
    assert_false(idempotency_find(&d, STR("a"), STR("k"), TTL_MS, &got));
    put(STR("a"), STR("k"), TTL_MS, 8);
    assert_int_equal(find(STR("a"), STR("k"), TTL_MS), 8);
    idempotency_fini(&d);
}

static void channel_and_key_are_not_mixed_up(void **state) {
    (void)state;
    idempotency_init(&d, 100, TTL_MS);
    put(STR("a"), STR("bc"), 0, 1);
    put(STR_NONE, STR("abc"), 0, 2);
    assert_int_equal(find(STR("b"), STR("bc"), 0), UINT64_MAX);
    assert_int_equal(find(STR("ab"), STR("c"), 0), UINT64_MAX);
    assert_int_equal(find(STR("abc"), STR_NONE, 0), UINT64_MAX);
    assert_int_equal(find(STR("bc"), STR("a"), 0), UINT64_MAX);
    assert_int_equal(find(STR("a"), STR("bc"), 0), 1);
    assert_int_equal(find(STR_NONE, STR("abc"), 0), 2);
    idempotency_fini(&d);
}

static void the_oldest_go_when_there_are_too_many(void **state) {
    (void)state;
    enum { MAX = 1000, PUT = 3500 }; /* not a power of two */
    idempotency_init(&d, MAX, TTL_MS);
    for (uint32_t i = 0; i < PUT; i++)
        put(STR("a"), number(&i), 0, i);
    assert_int_equal(d.count, MAX);
    assert_int_equal(d.capacity, MAX);
    for (uint32_t i = 0; i < PUT; i++)
        assert_int_equal(find(STR("a"), number(&i), 0), i < PUT - MAX ? UINT64_MAX : i);
    idempotency_fini(&d);
}

static void memory_is_reused_and_returned_when_all_are_over(void **state) {
    (void)state;
    idempotency_init(&d, 16384, TTL_MS);
    assert_null(d.results);
    for (uint32_t i = 0; i < 10000; i++) /* at most 100 are not too old */
        put(STR("a"), number(&i), i * (uint64_t)TTL_MS / 100, i);
    assert_true(d.capacity <= 128);
    assert_int_equal(idempotency_expire(&d, UINT64_MAX, 10), 10);
    while (idempotency_expire(&d, UINT64_MAX, 10) == 10)
        continue;
    assert_int_equal(d.count, 0);
    assert_null(d.results);
    assert_null(d.buckets);
    idempotency_fini(&d);
}

static void one_may_be_kept_and_time_has_no_end(void **state) {
    (void)state;
    idempotency_init(&d, 1, UINT64_MAX);
    put(STR("a"), STR("k"), 5, 1);
    put(STR("a"), STR("l"), 5, 2);
    assert_int_equal(find(STR("a"), STR("k"), 5), UINT64_MAX);
    assert_int_equal(find(STR("a"), STR("l"), UINT64_MAX - 1), 2);
    idempotency_fini(&d);
}

static void random_calls_agree_with_a_naive_list(void **state) {
    (void)state;
    enum { MAX = 23 };
    struct random dice = {1};
    static struct {
        uint32_t key;
        uint64_t due;
    } list[STEPS];
    size_t first = 0, end = 0; /* the newest MAX */
    uint64_t now = 0;
    idempotency_init(&d, MAX, TTL_MS);
    for (int step = 0; step < STEPS; step++) {
        uint32_t key = random_below(&dice, KEYS), what = random_below(&dice, 8);
        size_t at = end;
        while (at > first && list[at - 1].key != key)
            at--;
        bool is_there = at > first && list[at - 1].due > now;
        assert_int_equal(find(STR("a"), number(&key), now), is_there ? at - 1 : UINT64_MAX);
        if (what < 5 && !is_there) {
            put(STR("a"), number(&key), now, end);
            list[end].key = key;
            list[end++].due = now + TTL_MS;
            first = end > MAX && end - MAX > first ? end - MAX : first;
        } else if (what == 5) {
            idempotency_expire(&d, now, random_below(&dice, 4));
        } else if (what == 6) {
            now += random_below(&dice, 40);
        }
        assert_true(d.count <= MAX);
    }
    assert_true(end > STEPS / 40);
    idempotency_fini(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_gives_its_channels_first_result_until_it_is_too_old),
        cmocka_unit_test(channel_and_key_are_not_mixed_up),
        cmocka_unit_test(the_oldest_go_when_there_are_too_many),
        cmocka_unit_test(memory_is_reused_and_returned_when_all_are_over),
        cmocka_unit_test(one_may_be_kept_and_time_has_no_end),
        cmocka_unit_test(random_calls_agree_with_a_naive_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
