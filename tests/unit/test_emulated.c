/* Messages that come by requests: how many may wait for another worker.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/emulated.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/session_testing.h"

/* Of nobody; on worker 0. */
static const struct str session = {"0123456789abcdef0123456789abcdef.0.0.1", 38};

/* Another worker has the message in hand. */
static int start(void **state) {
    (void)state;
    bench_start(stub_broker_create);
    bench.config->workers = 2;
    bench.sessions.worker = 1;
    bench.sessions.node_uid = "bench-node";
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

static size_t send_until_blocked(struct str message) {
    size_t count = 0;
    while (emulated_send(&bench.sessions, STR("bench-node"), session, message) == EMULATED_SENT)
        count++;
    return count;
}

static void what_waits_for_a_worker_is_bounded(void **state) {
    (void)state;
    static char large[65536];
    const struct str messages[] = {{large, sizeof(large)}, {"x", 1}, {"", 0}};
    for (size_t i = 0; i < 3; i++) {
        size_t note_bytes = sizeof(struct note) + session.n + messages[i].n;
        size_t count = send_until_blocked(messages[i]);
        assert_in_range(count * note_bytes, EMULATED_WAITING_MAX_BYTES - note_bytes,
                        EMULATED_WAITING_MAX_BYTES);
        take_mail();
        assert_int_equal(atomic_load(&bench.sessions.emulated_bytes), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_waits_for_a_worker_is_bounded, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
