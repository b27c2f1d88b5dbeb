/* The method batch: order, one after the other or many at once, answers at their places, what one
 * broken command does to the others (nothing), and bounds.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/api/api_batch.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/api_testing.h"

#define DONE "{\"publish\":{}}"

static struct api_call *batch(const char *commands, const char *rest) {
    struct buf body = {0};
    buf_printf(&body, "{\"commands\":[%s]%s}", commands, rest);
    struct api_call *call = post_bytes("/api/batch", buf_str(&body));
    buf_fini(&body);
    return call;
}

static void expect_replies(const char *replies) {
    struct buf body = {0};
    buf_printf(&body, "{\"result\":{\"replies\":[%s]}}%c", replies, '\0');
    expect_response(200, body.p);
    buf_fini(&body);
}

static void answer_one(size_t which, enum broker_result result) {
    stub_answer_at(stub(), which, result);
    turn();
}

static struct str waiting_channel(void) {
    return list_entry(stub()->calls.next, struct stub_call, link)->msg->parts.channel;
}

static void add_publishes(struct buf *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        buf_printf(b, "%s{\"publish\":{\"channel\":\"c%zu\",\"data\":%zu}}", i ? "," : "", i, i);
    buf_add_char(b, '\0');
    b->n--;
}

static void commands_run_one_after_the_other(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    assert_non_null(batch("{\"publish\":{\"channel\":\"a\",\"data\":1}},"
                          "{\"publish\":{\"channel\":\"b\",\"data\":1}},"
                          "{\"publish\":{\"channel\":\"c\",\"data\":1}}",
                          ""));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(answer_count, 0);
        assert_int_equal(stub()->call_count, 1);
        assert_true(str_equal(waiting_channel(), str_of(names[i])));
        answer_one(0, i == 1 ? BROKER_UNAVAILABLE : BROKER_OK);
    }
    assert_int_equal(answer_count, 1);
    expect_replies(DONE "," ERROR("100", "internal server error") "," DONE);
}

static void in_parallel_all_wait_together_and_answers_keep_their_places(void **state) {
    (void)state;
    assert_non_null(batch("{\"publish\":{\"channel\":\"a\",\"data\":1}},"
                          "{\"publish\":{\"channel\":\"b\",\"data\":1}},"
                          "{\"publish\":{\"channel\":\"c\",\"data\":1}}",
                          ",\"parallel\":true"));
    assert_int_equal(stub()->call_count, 3);
    answer_one(2, BROKER_OK);
    answer_one(0, BROKER_UNKNOWN);
    assert_int_equal(answer_count, 0);
    answer_one(0, BROKER_OK);
    assert_int_equal(answer_count, 1);
    expect_replies(ERROR("100", "internal server error") "," DONE "," DONE);
}

static void only_so_many_run_at_once(void **state) {
    (void)state;
    struct buf commands = {0};
    add_publishes(&commands, WINDOW + 10);
    assert_non_null(batch(commands.p, ",\"parallel\":true"));
    for (size_t left = WINDOW + 10; left > 0; left--) {
        assert_int_equal(stub()->call_count, left < WINDOW ? left : WINDOW);
        answer_one(stub()->call_count / 2, BROKER_OK);
    }
    assert_int_equal(answer_count, 1);
    assert_int_equal(stub()->publishes_total, WINDOW + 10);
    buf_fini(&commands);
}

static void any_method_may_be_in_it(void **state) {
    (void)state;
    struct channel_options *o = &bench.config->rules.without_namespace;
    o->presence = true;
    o->history_size = o->history_ttl_s = o->history_meta_ttl_s = 10;
    assert_non_null(batch("{\"publish\":{\"channel\":\"a\",\"data\":1}},"
                          "{\"broadcast\":{\"channels\":[\"a\",\"no:such\"],\"data\":1}},"
                          "{\"history\":{\"channel\":\"a\"}},"
                          "{\"history_remove\":{\"channel\":\"a\"}},"
                          "{\"presence\":{\"channel\":\"a\"}},"
                          "{\"presence_stats\":{\"channel\":\"a\"}},"
                          "{\"info\":{}}",
                          ""));
    while (stub()->call_count)
        answer_one(0, BROKER_OK);
    assert_true(str_starts(
        buf_str(&response.body),
        STR("{\"result\":{\"replies\":[{\"publish\":{\"offset\":1,\"epoch\":\"STUBSTUB\"}},"
            "{\"broadcast\":{\"responses\":[{\"result\":{\"offset\":2,\"epoch\":\"STUBSTUB\"}},"
            "{\"error\":{\"code\":102,\"message\":\"unknown channel\"}}]}},"
            "{\"history\":{\"publications\":[],\"epoch\":\"STUBSTUB\",\"offset\":2}},"
            "{\"history_remove\":{}},{\"presence\":{\"presence\":{}}},"
            "{\"presence_stats\":{\"num_clients\":0,\"num_users\":0}},"
            "{\"info\":{\"nodes\":[{")));
}

#define ONE_MEMBER REFUSED("a command is an object with one member, named like its method")
#define NOT_FOUND ERROR("104", "not found")
#define NO_OBJECT REFUSED("the parameters of a command must be an object")
#define NESTED REFUSED("a batch cannot be in a batch")
#define NO_DATA REFUSED("\\\"data\\\" is missing")

static void a_broken_command_does_not_stop_the_others(void **state) {
    (void)state;
    static const char commands[] =
        "5,{},{\"publish\":{},\"history\":{}},{\"no_such\":{}},{\"publish\":[]},"
        "{\"publish\":null},{\"batch\":{\"commands\":[]}},{\"publish\":{}},"
        "{\"publi\\u0073h\":{\"channel\":\"a\",\"data\":1}}";
    static const char *const replies[] = {ONE_MEMBER, ONE_MEMBER, ONE_MEMBER, NOT_FOUND, NO_OBJECT,
                                          NO_OBJECT,  NESTED,     NO_DATA,    DONE};
    struct buf expected = {0};
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
        buf_printf(&expected, "%s%s", i ? "," : "", replies[i]);
    buf_add_char(&expected, '\0');
    assert_non_null(batch(commands, ""));
    assert_int_equal(stub()->publishes_total, 1);
    answer_one(0, BROKER_OK);
    expect_replies(expected.p);
    buf_fini(&expected);
}

static void what_is_answered_at_once_needs_no_waiting(void **state) {
    (void)state;
    assert_null(batch("", ""));
    expect_replies("");
    assert_null(batch("{\"no_such\":{}},{\"no_such\":{}}", ",\"parallel\":true"));
    expect_replies(ERROR("104", "not found") "," ERROR("104", "not found"));
    assert_int_equal(answer_count, 0);
}

static void a_batch_that_is_none_is_refused(void **state) {
    (void)state;
#define NO_LIST REFUSED("\\\"commands\\\" must be a list of at most 10000 commands")
    static const struct {
        const char *body, *answer;
    } rows[] = {
        {"{}", NO_LIST},
        {"{\"commands\":null}", NO_LIST},
        {"{\"commands\":{\"publish\":{}}}", NO_LIST},
        {"{\"commands\":[],\"parallel\":1}", REFUSED("\\\"parallel\\\" must be true or false")},
        {"{\"commands\":[],\"commands\":[]}", REFUSED("a member is there twice")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_null(post("/api/batch", rows[i].body));
        expect_response(200, rows[i].answer);
    }
}

static void a_batch_has_a_limit_of_commands(void **state) {
    (void)state;
    struct buf commands = {0};
    add_publishes(&commands, COMMANDS_MAX);
    assert_non_null(batch(commands.p, ""));
    for (int i = 0; i < COMMANDS_MAX; i++)
        answer_one(0, BROKER_OK);
    assert_int_equal(answer_count, 1);
    assert_int_equal(stub()->publishes_total, COMMANDS_MAX);
    buf_clear(&commands);
    add_publishes(&commands, COMMANDS_MAX + 1);
    assert_null(batch(commands.p, ""));
    expect_response(200, NO_LIST);
    assert_int_equal(stub()->publishes_total, COMMANDS_MAX);
    buf_fini(&commands);
}

/* Who sends a batch and hangs up has sent it all the same. */
static void an_abandoned_batch_runs_to_its_end(void **state) {
    (void)state;
    struct buf commands = {0};
    add_publishes(&commands, 10);
    api_abandon(batch(commands.p, ""));
    while (stub()->call_count)
        answer_one(0, BROKER_OK);
    assert_int_equal(stub()->publishes_total, 10);
    assert_int_equal(answer_count, 0);
    buf_fini(&commands);
}

/* The first answers take what there is. */
static void answers_share_their_room(void **state) {
    (void)state;
    struct batch *b = mem_zalloc(sizeof(*b));
    struct api_command c = {.room_bytes = 1000};
    b->command = &c;
    b->window = 1;
    assert_int_equal(room(b), 1000);
    b->used_bytes = 999;
    assert_int_equal(room(b), 1);
    b->window = WINDOW;
    assert_int_equal(room(b), 1);
    b->used_bytes = 0;
    assert_int_equal(room(b), 16);
    b->used_bytes = 1000;
    assert_int_equal(room(b), 0);
    b->used_bytes = SIZE_MAX;
    assert_int_equal(room(b), 0);
    mem_free(b);
}

#define BATCH_TEST(f) cmocka_unit_test_setup_teardown(f, api_setup_stub, api_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        BATCH_TEST(commands_run_one_after_the_other),
        BATCH_TEST(in_parallel_all_wait_together_and_answers_keep_their_places),
        BATCH_TEST(only_so_many_run_at_once),
        BATCH_TEST(any_method_may_be_in_it),
        BATCH_TEST(a_broken_command_does_not_stop_the_others),
        BATCH_TEST(what_is_answered_at_once_needs_no_waiting),
        BATCH_TEST(a_batch_that_is_none_is_refused),
        BATCH_TEST(a_batch_has_a_limit_of_commands),
        BATCH_TEST(an_abandoned_batch_runs_to_its_end),
        BATCH_TEST(answers_share_their_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
