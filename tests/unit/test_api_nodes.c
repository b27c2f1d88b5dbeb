/* What an asker reads when not all nodes have done it: which, and why.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_nodes.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"
#include "tests/unit/held_nodes.h"

#define ALL "bench-node me two-uid two three-uid three"
#define DISCONNECT post("/api/disconnect", "{\"user\":\"ann\"}")

static int start(void **state) {
    (void)state;
    api_start(stub_broker_create);
    held_start();
    return 0;
}

static int stop(void **state) {
    (void)state;
    held_stop();
    api_stop();
    return 0;
}

/* Asks, and gives the id of the question. */
static uint64_t ask(const char *path, const char *body) {
    assert_non_null(post(path, body));
    turn();
    uint64_t id = held.note.id;
    held_say_who(ALL);
    assert_int_equal(answer_count, 0);
    return id;
}

static void it_is_done_when_all_have_done_it(void **state) {
    (void)state;
    struct wire *w = open_connected();
    uint64_t id = ask("/api/disconnect", "{\"user\":\"\"}");
    expect_lines(w, "bye force disconnect\n");
    held_answers("two-uid", id, CLUSTER_DONE, STR_NONE);
    assert_int_equal(answer_count, 0);
    held_answers("three-uid", id, CLUSTER_DONE, STR_NONE);
    assert_int_equal(answer_count, 1);
    expect_response(200, "{\"result\":{}}");
}

static void who_did_not_do_it_is_named_with_the_reason(void **state) {
    (void)state;
    uint64_t id = ask("/api/disconnect", "{\"user\":\"ann\"}");
    held_answers("two-uid", id, CLUSTER_UNKNOWN_OP, STR_NONE);
    pass_ms(CLUSTER_ASK_MS + 100);
    expect_response(200, ERROR("100", "internal server error: done on 1 of 3 nodes; not on "
                                      "\\\"two\\\" (two-uid): it does not know this operation, "
                                      "\\\"three\\\" (three-uid): no answer in time"));
}

static void in_a_batch_it_is_the_error_of_that_command(void **state) {
    (void)state;
    assert_non_null(post("/api/batch", "{\"commands\":[{\"disconnect\":{\"user\":\"ann\"}}]}"));
    turn();
    uint64_t id = held.note.id;
    held_say_who(ALL);
    held_answers("two-uid", id, CLUSTER_DONE, STR_NONE);
    held_answers("three-uid", id, CLUSTER_BAD_REQUEST, STR_NONE);
    expect_response(200,
                    "{\"result\":{\"replies\":[{\"error\":{\"code\":100,\"message\":\"internal "
                    "server error: done on 2 of 3 nodes; not on \\\"three\\\" (three-uid): it "
                    "refuses the request\"}}]}}");
}

static void many_names_are_cut_short(void **state) {
    (void)state;
    struct buf words = {0};
    assert_non_null(DISCONNECT);
    struct control_reply *r = held.owed;
    held.owed = NULL;
    r->nodes = mem_array(100, sizeof(*r->nodes));
    for (; r->count < 100; r->count++)
        r->nodes[r->count] = (struct control_node){mem_strndup("u", 1), mem_strndup("", 0)};
    for (size_t i = 0; i < r->count; i++) {
        buf_clear(&words);
        buf_printf(&words, "u%zu", i);
        mem_free(r->nodes[i].uid);
        r->nodes[i].uid = mem_strndup(words.p, words.n);
    }
    broker_answer(&r->reply, BROKER_OK);
    pass_ms(CLUSTER_ASK_MS + 100);
    assert_true(response_has("done on 0 of 100 nodes; not on u0: no answer in time, u1: "));
    assert_true(response_has("u19: no answer in time, and 80 more\""));
    buf_fini(&words);
}

static void without_the_engine_the_reason_is_said_at_once(void **state) {
    (void)state;
    held.is_away = true;
    assert_non_null(DISCONNECT);
    turn();
    expect_response(200,
                    ERROR("100", "internal server error: nothing was done: the engine is away"));
    assert_non_null(post("/api/info", "{}"));
    turn();
    assert_true(response_has("the engine is away"));
    assert_non_null(post("/api/channels", "{}"));
    turn();
    assert_true(response_has("the engine is away"));
    held.is_away = false;
    assert_non_null(DISCONNECT);
    pass_ms(CLUSTER_ASK_MS + 100);
    assert_true(response_has("it may or may not have been done"));
}

/* --- info ------------------------------------------------------------------------------------- */

static void add_answer(struct buf *b, const char *name) {
    pack_str(b, str_of(name));
    pack_str(b, STR("9.9"));
    for (uint64_t i = 0; i < 7; i++)
        pack_u64(b, 1000 + i);
}

static void info_has_those_that_answer_and_names_the_others(void **state) {
    (void)state;
    struct buf b = {0};
    uint64_t id = ask("/api/info", "{}");
    add_answer(&b, "other \"two\"");
    pack_u64(&b, 5); /* what a newer node adds is not looked at */
    held_answers("two-uid", id, CLUSTER_DONE, buf_str(&b));
    held_answers("three-uid", id, CLUSTER_DONE, str_slice(buf_str(&b), 0, 40));
    assert_int_equal(answer_count, 1);
    assert_true(
        response_has("{\"uid\":\"two-uid\",\"name\":\"other \\\"two\\\"\",\"version\":\"9.9\","
                     "\"num_clients\":1000,\"num_users\":1001,\"num_subs\":1002,"
                     "\"num_channels\":1003,\"uptime\":1004,\"process\":{\"cpu\":1.005,"
                     "\"rss\":1006}}"));
    assert_true(response_has("{\"uid\":\"bench-node\","));
    assert_true(response_has("],\"missing\":[{\"uid\":\"three-uid\",\"name\":\"three\","
                             "\"reason\":\"it failed\"}]}}"));
    buf_fini(&b);
}

static void figures_that_are_cut_off_are_none(void **state) {
    (void)state;
    struct buf b = {0};
    struct figures f;
    add_answer(&b, "n");
    for (size_t n = 0; n < b.n; n++)
        assert_false(read_figures(str_slice(buf_str(&b), 0, n), &f));
    assert_true(read_figures(buf_str(&b), &f));
    b.p[4] = '\xff';
    assert_false(read_figures(buf_str(&b), &f)); /* no UTF-8 */
    buf_fini(&b);
}

/* --- channels --------------------------------------------------------------------------------- */

static void a_list_of_channels_that_is_none_is_named(void **state) {
    (void)state;
    struct buf b = {0};
    pack_u8(&b, 0);
    pack_u32(&b, 1);
    pack_u32(&b, 7);
    pack_str(&b, STR("news"));
    for (size_t n = 0; n <= b.n; n++) {
        answer_count = 0;
        uint64_t id = ask("/api/channels", "{}");
        held_answers("two-uid", id, CLUSTER_DONE, buf_str(&b));
        held_answers("three-uid", id, CLUSTER_DONE, str_slice(buf_str(&b), 0, n));
        assert_int_equal(answer_count, 1);
        if (n < b.n)
            assert_true(response_has("not on \\\"three\\\" (three-uid): it failed"));
        else
            expect_response(200, "{\"result\":{\"channels\":{\"news\":{\"num_clients\":14}}}}");
    }
    buf_fini(&b);
}

#define NODES_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        NODES_TEST(it_is_done_when_all_have_done_it),
        NODES_TEST(who_did_not_do_it_is_named_with_the_reason),
        NODES_TEST(in_a_batch_it_is_the_error_of_that_command),
        NODES_TEST(many_names_are_cut_short),
        NODES_TEST(without_the_engine_the_reason_is_said_at_once),
        NODES_TEST(info_has_those_that_answer_and_names_the_others),
        NODES_TEST(figures_that_are_cut_off_are_none),
        NODES_TEST(a_list_of_channels_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
