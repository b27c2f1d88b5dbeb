/* Calls to several workers: each does it once, the answer comes once, in time.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/worker_calls.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/crew_testing.h"

static struct {
    struct worker_call call;
    uint64_t ran; /* a bit per worker */
    unsigned done_count, free_count;
    enum broker_result result;
} asked;

static void run(struct worker_call *call, struct sessions *s) {
    assert_ptr_equal(call, &asked.call);
    assert_false(asked.ran & UINT64_C(1) << s->worker);
    assert_int_equal(asked.free_count, 0);
    asked.ran |= UINT64_C(1) << s->worker;
}

static void done(struct worker_call *call, enum broker_result result) {
    assert_ptr_equal(call, &asked.call);
    assert_int_equal(asked.free_count, 0);
    asked.done_count++;
    asked.result = result;
}

static void forget(struct worker_call *call) {
    assert_ptr_equal(call, &asked.call);
    assert_int_equal(asked.done_count, 1);
    asked.free_count++;
}

static void ask(uint64_t workers) {
    memset(&asked, 0, sizeof(asked));
    asked.call.run = run;
    asked.call.done = done;
    asked.call.free = forget;
    worker_call_start(&crew.sessions[0], &asked.call, workers);
    assert_int_equal(asked.done_count, 0);
}

static void expect_done(enum broker_result result) {
    assert_int_equal(asked.done_count, 1);
    assert_int_equal(asked.result, result);
}

static void the_workers_named_do_it_and_nobody_else(void **state) {
    (void)state;
    for (uint64_t workers = 0; workers < 1u << CREW; workers++) {
        ask(workers);
        crew_settle();
        expect_done(BROKER_OK);
        assert_int_equal(asked.ran, workers);
        assert_int_equal(asked.free_count, 1);
    }
}

static void the_answer_comes_when_the_last_one_has_done_it(void **state) {
    (void)state;
    ask(7);
    crew_read(0);
    crew_read(2);
    crew_read(0);
    assert_int_equal(asked.done_count, 0);
    crew_read(1);
    assert_int_equal(asked.done_count, 0); /* it comes by mailbox */
    crew_read(0);
    expect_done(BROKER_OK);
}

static void tick(uint64_t ms) {
    fake_us += ms * 1000;
    crew.sessions[0].now_ms = clock_now_ms();
    worker_calls_tick(&crew.sessions[0]);
}

static void who_is_late_is_not_waited_for(void **state) {
    (void)state;
    ask(6);
    crew_read(1);
    tick(BROKER_DEADLINE_MS - 1);
    assert_int_equal(asked.done_count, 0);
    tick(1);
    expect_done(BROKER_UNKNOWN);
    assert_int_equal(asked.free_count, 0); /* worker 2 still has it */
    tick(BROKER_DEADLINE_MS);
    expect_done(BROKER_UNKNOWN);
    crew_settle();
    expect_done(BROKER_UNKNOWN);
    assert_int_equal(asked.ran, 6);
    assert_int_equal(asked.free_count, 1);
}

#define CALL_TEST(f) cmocka_unit_test_setup_teardown(f, crew_start, crew_stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        CALL_TEST(the_workers_named_do_it_and_nobody_else),
        CALL_TEST(the_answer_comes_when_the_last_one_has_done_it),
        CALL_TEST(who_is_late_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
