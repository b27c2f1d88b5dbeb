/* The wheel: deadlines against a fake clock. Never early, at most a tick late, however they are
 * set, cancelled and turned.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/wheel.c"

#include "tests/unit/random_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { START_MS = 1234567, SPAN_MS = WHEEL_SLOTS * WHEEL_TICK_MS, ENTRIES = 2000 };

struct alarm {
    struct wheel_entry entry;
    uint64_t due_ms; /* 0: not set */
    unsigned fired_count;
    uint64_t fired_ms;
};

static struct wheel wheel;
static uint64_t now_ms;
static struct alarm alarms[ENTRIES];

static int start(void **state) {
    (void)state;
    now_ms = START_MS;
    wheel_init(&wheel, now_ms);
    for (size_t i = 0; i < ENTRIES; i++) {
        alarms[i] = (struct alarm){0};
        wheel_entry_init(&alarms[i].entry);
    }
    return 0;
}

static struct alarm *alarm_of(struct wheel_entry *e) {
    return list_entry(e, struct alarm, entry);
}

static void set(struct alarm *a, uint64_t due_ms) {
    a->due_ms = due_ms;
    wheel_set(&wheel, &a->entry, due_ms);
}

static void note(struct wheel_entry *e, void *arg) {
    struct alarm *a = alarm_of(e);
    assert_null(arg);
    assert_true(a->due_ms != 0);
    assert_true(a->due_ms <= now_ms); /* never early */
    a->due_ms = 0;
    a->fired_count++;
    a->fired_ms = now_ms;
}

static void turn_at(uint64_t ms) {
    now_ms = ms;
    wheel_turn(&wheel, now_ms, note, NULL);
    /* So the next turn looks at the slots since then only. */
    assert_int_equal(wheel.turned_to_tick, now_ms / WHEEL_TICK_MS);
}

/* As a worker does it: each WHEEL_TICK_MS. */
static void turn_until(uint64_t end_ms) {
    while (now_ms < end_ms)
        turn_at(now_ms + WHEEL_TICK_MS);
}

static void an_entry_fires_once_not_early_and_at_most_a_tick_late(void **state) {
    (void)state;
    for (uint64_t after_ms = 0; after_ms < 4 * WHEEL_TICK_MS; after_ms++) {
        uint64_t due_ms = now_ms + after_ms;
        struct alarm *a = &alarms[0];
        set(a, due_ms);
        a->fired_count = 0;
        for (int i = 0; i < 6 * WHEEL_TICK_MS; i++)
            turn_at(now_ms + 1);
        assert_int_equal(a->fired_count, 1);
        assert_true(a->fired_ms >= due_ms && a->fired_ms <= due_ms + WHEEL_TICK_MS);
    }
}

static void a_time_in_the_past_fires_in_the_next_turn(void **state) {
    (void)state;
    const uint64_t past[] = {1, START_MS - SPAN_MS, START_MS - 1, START_MS};
    for (size_t i = 0; i < 4; i++)
        set(&alarms[i], past[i]);
    turn_at(now_ms + WHEEL_TICK_MS);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(alarms[i].fired_count, 1);
}

static void a_time_beyond_the_span_waits_its_rounds(void **state) {
    (void)state;
    const uint64_t after_ms[] = {SPAN_MS - 1,     SPAN_MS,          SPAN_MS + 1,
                                 2 * SPAN_MS + 7, 10 * SPAN_MS + 9, 3600000};
    for (size_t i = 0; i < 6; i++)
        set(&alarms[i], START_MS + after_ms[i]);
    turn_until(START_MS + 3600000 + 2 * WHEEL_TICK_MS);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(alarms[i].fired_count, 1);
        assert_true(alarms[i].fired_ms <= START_MS + after_ms[i] + 2 * WHEEL_TICK_MS);
    }
}

static void a_cancelled_entry_never_fires(void **state) {
    (void)state;
    wheel_cancel(&alarms[0].entry); /* never set: fine */
    set(&alarms[0], now_ms + 100);
    set(&alarms[1], now_ms + 100);
    wheel_cancel(&alarms[0].entry);
    wheel_cancel(&alarms[0].entry);
    turn_until(now_ms + 2 * SPAN_MS);
    assert_int_equal(alarms[0].fired_count, 0);
    assert_int_equal(alarms[1].fired_count, 1);
}

static void setting_again_moves_the_entry(void **state) {
    (void)state;
    set(&alarms[0], now_ms + 100);
    set(&alarms[0], now_ms + 5000); /* later */
    set(&alarms[1], now_ms + 5000);
    set(&alarms[1], now_ms + 100); /* sooner */
    turn_until(START_MS + 1000);
    assert_int_equal(alarms[0].fired_count, 0);
    assert_int_equal(alarms[1].fired_count, 1);
    turn_until(START_MS + 6000);
    assert_int_equal(alarms[0].fired_count, 1);
    assert_int_equal(alarms[1].fired_count, 1);
}

static void a_long_sleep_fires_everything_due_and_nothing_else(void **state) {
    (void)state;
    for (size_t i = 0; i < 1000; i++)
        set(&alarms[i], START_MS + i * 500);
    turn_at(START_MS + 250000); /* more than seven rounds at once */
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(alarms[i].fired_count, i * 500 <= 250000 - WHEEL_TICK_MS ||
                                                    (i * 500 <= 250000 && alarms[i].fired_count));
    turn_until(START_MS + 500000 + 2 * WHEEL_TICK_MS);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(alarms[i].fired_count, 1);
}

static void turning_twice_in_a_tick_is_harmless(void **state) {
    (void)state;
    set(&alarms[0], now_ms + 10);
    for (int i = 0; i < 10; i++)
        turn_at(now_ms);
    assert_int_equal(alarms[0].fired_count, 0);
    turn_until(now_ms + 200);
    assert_int_equal(alarms[0].fired_count, 1);
}

/* --- changes from inside fire ----------------------------------------------------------------- */

static void note_and_set_again(struct wheel_entry *e, void *arg) {
    note(e, NULL);
    set(alarm_of(e), now_ms + *(uint64_t *)arg);
}

static void turn_setting_again(uint64_t after_ms, unsigned turns) {
    for (; turns > 0; turns--) {
        now_ms += WHEEL_TICK_MS;
        wheel_turn(&wheel, now_ms, note_and_set_again, &after_ms);
    }
}

static void an_entry_set_again_in_fire_fires_once_per_turn(void **state) {
    (void)state;
    set(&alarms[0], now_ms);
    turn_setting_again(0, 50); /* due at once, again and again */
    assert_int_equal(alarms[0].fired_count, 50);
}

static void an_entry_set_again_to_its_own_slot_waits_a_round(void **state) {
    (void)state;
    set(&alarms[0], now_ms + WHEEL_TICK_MS);
    turn_setting_again(SPAN_MS, 2 * WHEEL_SLOTS);
    assert_int_equal(alarms[0].fired_count, 2);
}

static void a_long_sleep_does_not_fire_the_new_time_of_an_entry(void **state) {
    (void)state;
    uint64_t after_ms = 1000;
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        set(&alarms[i], START_MS + i * WHEEL_TICK_MS);
    now_ms += 3 * SPAN_MS;
    wheel_turn(&wheel, now_ms, note_and_set_again, &after_ms);
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        assert_int_equal(alarms[i].fired_count, 1);
}

static void note_and_cancel_neighbours(struct wheel_entry *e, void *arg) {
    (void)arg;
    size_t i = (size_t)(alarm_of(e) - alarms);
    note(e, NULL);
    wheel_cancel(&alarms[(i + 1) % ENTRIES].entry);
    wheel_cancel(e);
}

static void entries_may_be_cancelled_in_fire(void **state) {
    (void)state;
    for (size_t i = 0; i < ENTRIES; i++)
        set(&alarms[i], now_ms + 10); /* all in one slot, in this order */
    now_ms += 2 * WHEEL_TICK_MS;
    wheel_turn(&wheel, now_ms, note_and_cancel_neighbours, NULL);
    for (size_t i = 0; i < ENTRIES; i++)
        assert_int_equal(alarms[i].fired_count, i % 2 == 0);
}

/* --- at random -------------------------------------------------------------------------------- */

static struct random chance;

static uint64_t random_after_ms(void) {
    switch (random_below(&chance, 4)) {
    case 0:
        return random_below(&chance, 200);
    case 1:
        return random_below(&chance, 10 * SPAN_MS);
    default:
        return random_below(&chance, SPAN_MS);
    }
}

/* Sets or cancels some entry, perhaps itself, perhaps one that is due in this very turn. */
static void change_something(void) {
    struct alarm *a = &alarms[random_below(&chance, ENTRIES)];
    if (random_below(&chance, 4) == 0) {
        wheel_cancel(&a->entry);
        a->due_ms = 0;
    } else {
        set(a, now_ms + random_after_ms());
    }
}

static void note_and_change(struct wheel_entry *e, void *arg) {
    note(e, arg);
    change_something();
}

static void random_deadlines_are_kept(void **state) {
    (void)state;
    chance.state = 31337;
    for (int step = 0; step < 40000; step++) {
        change_something();
        uint64_t before_ms = now_ms;
        bool is_long = random_below(&chance, 500) == 0;
        now_ms +=
            is_long ? random_below(&chance, 4 * SPAN_MS) : random_below(&chance, WHEEL_TICK_MS);
        wheel_turn(&wheel, now_ms, note_and_change, NULL);
        /* Nothing is left over that was due a tick before the last turn, or before it was set. */
        if (step % 50 == 0)
            for (size_t i = 0; i < ENTRIES; i++)
                assert_true(!alarms[i].due_ms || alarms[i].due_ms + WHEEL_TICK_MS > before_ms);
    }
}

#define WHEEL_TEST(f) cmocka_unit_test_setup(f, start)

int main(void) {
    const struct CMUnitTest tests[] = {
        WHEEL_TEST(an_entry_fires_once_not_early_and_at_most_a_tick_late),
        WHEEL_TEST(a_time_in_the_past_fires_in_the_next_turn),
        WHEEL_TEST(a_time_beyond_the_span_waits_its_rounds),
        WHEEL_TEST(a_cancelled_entry_never_fires),
        WHEEL_TEST(setting_again_moves_the_entry),
        WHEEL_TEST(a_long_sleep_fires_everything_due_and_nothing_else),
        WHEEL_TEST(turning_twice_in_a_tick_is_harmless),
        WHEEL_TEST(an_entry_set_again_in_fire_fires_once_per_turn),
        WHEEL_TEST(an_entry_set_again_to_its_own_slot_waits_a_round),
        WHEEL_TEST(a_long_sleep_does_not_fire_the_new_time_of_an_entry),
        WHEEL_TEST(entries_may_be_cancelled_in_fire),
        WHEEL_TEST(random_deadlines_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
