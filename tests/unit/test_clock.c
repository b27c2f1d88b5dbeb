/* The clocks: units, direction, and which clock is which.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/base/clock.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void monotonic_time_never_goes_back(void **state) {
    (void)state;
    uint64_t last_us = clock_now_us();
    for (int i = 0; i < 100000; i++) {
        uint64_t now_us = clock_now_us();
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
}

/* Reads what is judged between two readings of the judge. */
static void each_clock_has_its_unit(void **state) {
    (void)state;
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    uint64_t now_us = clock_now_us(), now_ms = clock_now_ms();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_in_range(now_us, before.tv_sec * 1000000 + before.tv_nsec / 1000,
                    after.tv_sec * 1000000 + after.tv_nsec / 1000);
    assert_in_range(now_ms, before.tv_sec * 1000 + before.tv_nsec / 1000000,
                    after.tv_sec * 1000 + after.tv_nsec / 1000000);

    clock_gettime(CLOCK_REALTIME, &before);
    int64_t wall_ms = clock_wall_ms();
    clock_gettime(CLOCK_REALTIME, &after);
    assert_in_range(wall_ms, before.tv_sec * 1000 + before.tv_nsec / 1000000,
                    after.tv_sec * 1000 + after.tv_nsec / 1000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(each_clock_has_its_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
