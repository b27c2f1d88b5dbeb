/* Time that stands still until a test moves it: replaces the clock of the whole program.
 *
 * Include once. Thread: one. Owns: nothing.
 */
#ifndef CARILLON_TESTS_FAKE_CLOCK_H
#define CARILLON_TESTS_FAKE_CLOCK_H

#include "server/base/clock.h"

static uint64_t fake_us = UINT64_C(1000000000);

uint64_t clock_now_us(void) {
    return fake_us;
}

uint64_t clock_now_ms(void) {
    return fake_us / 1000;
}

int64_t clock_wall_ms(void) {
    return INT64_C(1790000000000) + (int64_t)(fake_us / 1000);
}

#endif
