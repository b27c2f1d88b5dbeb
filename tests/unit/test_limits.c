/* Token buckets: exactly burst + rate * t units pass, whatever the schedule.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/limits.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S UINT64_C(1000000) /* in us */

static unsigned pass(struct bucket *b, struct rate r, unsigned tries, uint64_t now_us) {
    unsigned passed = 0;
    for (unsigned i = 0; i < tries; i++)
        passed += bucket_take(b, r, 1, now_us);
    return passed;
}

static void a_full_bucket_lets_a_burst_pass(void **state) {
    (void)state;
    struct bucket b = {0};
    const struct rate r = {.per_s = 10, .burst = 25};
    assert_int_equal(pass(&b, r, 100, 7 * S), 25);
    assert_int_equal(pass(&b, r, 100, 7 * S), 0);
}

static void it_fills_at_its_rate_and_not_beyond_its_burst(void **state) {
    (void)state;
    struct bucket b = {0};
    const struct rate r = {.per_s = 10, .burst = 25};
    pass(&b, r, 100, 7 * S);
    assert_int_equal(pass(&b, r, 100, 7 * S + 99999), 0);
    assert_int_equal(pass(&b, r, 100, 7 * S + 100000), 1);
    assert_int_equal(pass(&b, r, 100, 8 * S + 100000), 10);
    assert_int_equal(pass(&b, r, 100, 900 * S), 25);
}

static void over_a_long_time_it_is_exact(void **state) {
    (void)state;
    struct bucket b = {0};
    const struct rate r = {.per_s = 7, .burst = 3};
    unsigned passed = 0;
    for (uint64_t us = S; us <= 61 * S; us += 1000) /* a thousand tries a second, for a minute */
        passed += pass(&b, r, 1, us);
    assert_in_range(passed, 3 + 7 * 60 - 1, 3 + 7 * 60 + 1);
}

static void a_refusal_takes_nothing(void **state) {
    (void)state;
    struct bucket b = {0};
    const struct rate r = {.per_s = 100, .burst = 100};
    assert_true(bucket_take(&b, r, 60, S));
    assert_false(bucket_take(&b, r, 60, S));
    assert_true(bucket_take(&b, r, 40, S));
}

static void what_is_larger_than_the_burst_passes_when_it_is_full(void **state) {
    (void)state;
    struct bucket b = {0};
    const struct rate r = {.per_s = 1000, .burst = 2000};
    assert_true(bucket_take(&b, r, 50000, S));
    assert_false(bucket_take(&b, r, 1, S));
    assert_true(bucket_take(&b, r, UINT32_MAX, 3 * S));
}

static void without_a_burst_it_is_twice_the_rate(void **state) {
    (void)state;
    struct bucket b = {0};
    assert_int_equal(pass(&b, (struct rate){.per_s = 5}, 100, S), 10);
}

static void a_rate_of_zero_is_no_limit(void **state) {
    (void)state;
    struct bucket b = {0};
    assert_int_equal(pass(&b, (struct rate){0}, 1000, S), 1000);
}

static void the_largest_numbers_do_not_overflow(void **state) {
    (void)state;
    struct bucket b = {0};
    const struct rate r = {.per_s = UINT32_MAX, .burst = UINT32_MAX};
    assert_true(bucket_take(&b, r, UINT32_MAX, UINT64_C(1) << 50));
    assert_false(bucket_take(&b, r, UINT32_MAX, UINT64_C(1) << 50));
    struct bucket slow = {0};
    assert_true(bucket_take(&slow, (struct rate){.per_s = 1, .burst = UINT32_MAX}, UINT32_MAX, S));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_bucket_lets_a_burst_pass),
        cmocka_unit_test(it_fills_at_its_rate_and_not_beyond_its_burst),
        cmocka_unit_test(over_a_long_time_it_is_exact),
        cmocka_unit_test(a_refusal_takes_nothing),
        cmocka_unit_test(what_is_larger_than_the_burst_passes_when_it_is_full),
        cmocka_unit_test(without_a_burst_it_is_twice_the_rate),
        cmocka_unit_test(a_rate_of_zero_is_no_limit),
        cmocka_unit_test(the_largest_numbers_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
