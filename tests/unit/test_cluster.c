/* Questions to all nodes: whose answers are waited for, what becomes of late, missing, doubled and
 * foreign ones, and that everything is bounded. The engine is held by the test: it sees what is
 * sent, says who is there, and hands over what comes.
 *
 * Thread: main. Owns: the cluster and one mailbox.
 */
#include "channels/cluster.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/fake_clock.h"

enum { OP = 3 };

static struct mailbox box;
static struct mailbox *boxes[] = {&box};
static struct cluster *cluster;
static unsigned up_count;

/* --- the engine ------------------------------------------------------------------------------- */

static struct engine {
    struct broker broker;
    struct cluster_envelope sent; /* the last one; its texts lie in `bytes` */
    struct buf bytes;
    char to[65];
    unsigned sent_count;
    struct control_reply *owed; /* who is there was not said yet */
    bool is_away;
} engine;

static bool engine_control(struct broker *b, struct str to, struct str bytes,
                           struct control_reply *r) {
    (void)b;
    if (engine.is_away) {
        if (r)
            broker_answer(&r->reply, BROKER_UNAVAILABLE);
        return false;
    }
    buf_clear(&engine.bytes);
    buf_add(&engine.bytes, bytes);
    assert_true(cluster_envelope_read(buf_str(&engine.bytes), &engine.sent));
    snprintf(engine.to, sizeof(engine.to), "%.*s", STR_ARG(to));
    engine.sent_count++;
    if (r)
        engine.owed = r;
    return true;
}

static const struct broker_ops with_others = {.name = "held", .control = engine_control};
static const struct broker_ops without = {.name = "alone"};

/* The names are uids with a space between them. */
static void say_who(const char *uids) {
    struct control_reply *r = engine.owed;
    struct str rest = str_of(uids), uid;
    engine.owed = NULL;
    r->nodes = mem_array(NODES_MAX, sizeof(*r->nodes));
    while (str_cut(&rest, ' ', &uid))
        r->nodes[r->count++] =
            (struct control_node){mem_strndup(uid.p, uid.n), mem_strndup("name", 4)};
    broker_answer(&r->reply, BROKER_OK);
}

static void break_off(enum broker_result result) {
    broker_answer(&engine.owed->reply, result);
    engine.owed = NULL;
}

static void arrives(const struct cluster_envelope *e) {
    struct buf b = {0};
    assert_true(cluster_envelope_add(&b, e));
    cluster_sink(cluster)->take(cluster, buf_str(&b));
    buf_fini(&b);
}

/* --- the worker ------------------------------------------------------------------------------- */

static void wake(void *arg) {
    (void)arg;
}

static void turn(void) {
    struct mail mail;
    while (mailbox_take(&box, &mail)) {
        if (mail.kind == MAIL_REPLY)
            mail.reply->done(mail.reply);
        else
            mail.control->run(mail.control, &box);
    }
}

/* Says what it was asked, after its own name. */
static void echo(void *arg, struct cluster_request *q, void *reader) {
    struct buf b = {0};
    assert_ptr_equal(arg, &engine);
    assert_ptr_equal(reader, &box);
    buf_add_z(&b, "echo ");
    buf_add(&b, q->body);
    cluster_answer(q, CLUSTER_DONE, buf_str(&b));
    buf_fini(&b);
}

static void come_up(void *reader) {
    assert_ptr_equal(reader, &box);
    up_count++;
}

static void start(const struct broker_ops *ops) {
    engine = (struct engine){.broker.ops = ops};
    up_count = 0;
    mailbox_init(&box, SIZE_MAX, wake, NULL);
    cluster = cluster_create("me", "my name", boxes, 1);
    cluster_handle(cluster, OP, echo, &engine);
    cluster_handle_up(cluster, come_up);
    cluster_set_broker(cluster, &engine.broker);
}

static int start_many(void **state) {
    (void)state;
    start(&with_others);
    return 0;
}

static int start_alone(void **state) {
    (void)state;
    start(&without);
    return 0;
}

static int stop(void **state) {
    (void)state;
    cluster_stop(cluster);
    if (engine.owed)
        break_off(BROKER_UNAVAILABLE);
    turn();
    cluster_destroy(cluster);
    mailbox_fini(&box);
    buf_fini(&engine.bytes);
    return 0;
}

/* --- a question ------------------------------------------------------------------------------- */

struct question {
    struct cluster_call call;
    bool is_answered;
};

static void note_answer(struct reply *r) {
    struct question *q =
        list_entry(list_entry(r, struct cluster_call, reply), struct question, call);
    assert_false(q->is_answered);
    q->is_answered = true;
}

static void ask(struct question *q, const char *body) {
    *q = (struct question){.call.reply = {.to = &box, .done = note_answer}};
    cluster_ask(cluster, &q->call, OP, str_of(body), 0);
}

static void answer_as(const char *uid, uint64_t id, uint8_t status, const char *body) {
    arrives(&(struct cluster_envelope){CLUSTER_ANSWERS, OP, status, id, str_of(uid), str_of(body)});
}

static void expect_node(const struct question *q, const char *uid, enum cluster_status status,
                        const char *body) {
    for (size_t i = 0; i < q->call.count; i++) {
        const struct cluster_node *n = &q->call.nodes[i];
        if (strcmp(n->uid, uid) != 0)
            continue;
        assert_int_equal(n->status, status);
        assert_true(str_equal(buf_str(&n->body), str_of(body)));
        assert_string_equal(n->name, "name");
        return;
    }
    fail_msg("%s is not there", uid);
}

static void expect_answered(struct question *q, enum broker_result result, size_t count) {
    turn();
    assert_true(q->is_answered);
    assert_int_equal(q->call.reply.result, result);
    assert_int_equal(q->call.count, count);
}

static void pass_ms(uint64_t ms) {
    fake_us += ms * 1000;
    cluster_tick(cluster, clock_now_ms());
    turn();
}

static void all_answer_and_the_asker_gets_all_at_once(void **state) {
    (void)state;
    struct question q;
    ask(&q, "hello");
    assert_string_equal(engine.to, "");
    assert_int_equal(engine.sent.kind, CLUSTER_ASKS);
    assert_true(str_equal(engine.sent.from, STR("me")));
    uint64_t id = engine.sent.id;
    answer_as("b", id, CLUSTER_DONE, "early"); /* before it is known who is there */
    say_who("me a b");
    turn();
    assert_false(q.is_answered);
    arrives(&engine.sent); /* it comes here like to all */
    turn();
    assert_false(q.is_answered);
    answer_as("a", id, CLUSTER_UNKNOWN_OP, "");
    expect_answered(&q, BROKER_OK, 3);
    expect_node(&q, "me", CLUSTER_DONE, "echo hello");
    expect_node(&q, "a", CLUSTER_UNKNOWN_OP, "");
    expect_node(&q, "b", CLUSTER_DONE, "early");
    assert_int_equal(cluster->counters.silent, 0);
    cluster_call_fini(&q.call);
}

static void who_does_not_answer_is_named_when_the_time_is_over(void **state) {
    (void)state;
    struct question q;
    ask(&q, "");
    uint64_t id = engine.sent.id;
    say_who("a b c");
    answer_as("b", id, CLUSTER_DONE, "x");
    pass_ms(CLUSTER_ASK_MS - 1);
    assert_false(q.is_answered);
    pass_ms(1);
    expect_answered(&q, BROKER_OK, 3);
    expect_node(&q, "a", CLUSTER_SILENT, "");
    expect_node(&q, "b", CLUSTER_DONE, "x");
    expect_node(&q, "c", CLUSTER_SILENT, "");
    assert_int_equal(cluster->counters.silent, 2);
    answer_as("a", id, CLUSTER_DONE, "late");
    assert_int_equal(cluster->counters.late, 1);
    cluster_call_fini(&q.call);
}

static void doubled_and_foreign_answers_change_nothing(void **state) {
    (void)state;
    struct question q;
    ask(&q, "");
    uint64_t id = engine.sent.id;
    answer_as("stranger", id, CLUSTER_DONE, "from before");
    answer_as("stranger", id, CLUSTER_DONE, "twice");
    say_who("a b");
    turn();
    answer_as("other", id, CLUSTER_DONE, "from after");
    answer_as("a", id, CLUSTER_DONE, "first");
    answer_as("a", id, CLUSTER_DONE, "second");
    answer_as("a", id + 1, CLUSTER_DONE, "to another question");
    assert_int_equal(cluster->counters.late, 4);
    answer_as("b", id, 77, "a status of a newer node");
    expect_answered(&q, BROKER_OK, 2);
    expect_node(&q, "a", CLUSTER_DONE, "first");
    expect_node(&q, "b", CLUSTER_FAILED, "a status of a newer node");
    cluster_call_fini(&q.call);
}

static void what_cannot_be_sent_fails_at_once(void **state) {
    (void)state;
    struct question q;
    engine.is_away = true;
    ask(&q, "");
    expect_answered(&q, BROKER_UNAVAILABLE, 0);
    assert_false(cluster_tell(cluster, STR_NONE, OP, STR_NONE));
    engine.is_away = false;
    char *large = mem_zalloc(CLUSTER_BODY_MAX + 2);
    memset(large, 'x', CLUSTER_BODY_MAX + 1);
    ask(&q, large);
    expect_answered(&q, BROKER_UNAVAILABLE, 0);
    assert_int_equal(engine.sent_count, 0);
    mem_free(large);
    ask(&q, "");
    break_off(BROKER_UNKNOWN); /* it went out, and the engine broke */
    expect_answered(&q, BROKER_UNKNOWN, 0);
}

/* The engine still owes its word when the asker is answered; it may come later, or at the end. */
static void an_engine_that_does_not_say_who_is_there_makes_nobody_wait(void **state) {
    (void)state;
    struct question q, other;
    ask(&q, "");
    answer_as("a", engine.sent.id, CLUSTER_DONE, "x");
    pass_ms(CLUSTER_ASK_MS);
    expect_answered(&q, BROKER_UNKNOWN, 0);
    say_who("a");
    turn();
    ask(&other, "");
    pass_ms(CLUSTER_ASK_MS);
    expect_answered(&other, BROKER_UNKNOWN, 0); /* stop() says the rest */
}

static void a_deadline_is_never_above_the_bound(void **state) {
    (void)state;
    struct question q = {.call.reply = {.to = &box, .done = note_answer}};
    cluster_ask(cluster, &q.call, OP, STR_NONE, UINT32_MAX);
    say_who("a");
    turn();
    pass_ms(BROKER_DEADLINE_MS - 1);
    assert_false(q.is_answered);
    pass_ms(1);
    expect_answered(&q, BROKER_OK, 1);
    cluster_call_fini(&q.call);
}

static void open_questions_are_bounded(void **state) {
    (void)state;
    struct question *q = mem_array(CALLS_MAX + 1, sizeof(*q));
    struct control_reply *owed[CALLS_MAX];
    for (int i = 0; i < CALLS_MAX; i++) {
        ask(&q[i], "");
        owed[i] = engine.owed;
    }
    ask(&q[CALLS_MAX], "");
    expect_answered(&q[CALLS_MAX], BROKER_UNAVAILABLE, 0);
    assert_int_equal(cluster->counters.refused, 1);
    for (int i = 0; i < CALLS_MAX; i++)
        broker_answer(&owed[i]->reply, BROKER_UNAVAILABLE);
    engine.owed = NULL;
    turn();
    ask(&q[0], ""); /* there is room again */
    say_who("a");
    answer_as("a", engine.sent.id, CLUSTER_DONE, "");
    expect_answered(&q[0], BROKER_OK, 1);
    cluster_call_fini(&q[0].call);
    mem_free(q);
}

static void bytes_of_answers_are_bounded(void **state) {
    (void)state;
    struct question q;
    struct buf uids = {0};
    char *body = mem_zalloc(CLUSTER_BODY_MAX), uid[16];
    int fitting = ANSWERS_MAX_BYTES / CLUSTER_BODY_MAX;
    ask(&q, "");
    uint64_t id = engine.sent.id;
    for (int i = 0; i <= fitting; i++)
        buf_printf(&uids, "%sn%d", i ? " " : "", i);
    buf_add_char(&uids, '\0');
    say_who(uids.p);
    turn();
    for (int i = 0; i <= fitting; i++) {
        snprintf(uid, sizeof(uid), "n%d", i);
        arrives(&(struct cluster_envelope){
            CLUSTER_ANSWERS, OP, 0, id, str_of(uid), {body, CLUSTER_BODY_MAX}});
    }
    expect_answered(&q, BROKER_OK, (size_t)fitting + 1);
    expect_node(&q, uid, CLUSTER_FAILED, "");
    assert_int_equal(cluster->answer_bytes, 0);
    cluster_call_fini(&q.call);
    buf_fini(&uids);
    mem_free(body);
}

/* --- being asked ------------------------------------------------------------------------------ */

static void ask_as(const char *uid, uint8_t op, uint64_t id, const char *body) {
    arrives(&(struct cluster_envelope){CLUSTER_ASKS, op, 0, id, str_of(uid), str_of(body)});
}

static void an_answer_goes_to_who_asked(void **state) {
    (void)state;
    ask_as("other", OP, 5, "hi");
    assert_int_equal(engine.sent_count, 0); /* not in the engine's thread */
    turn();
    assert_string_equal(engine.to, "other");
    assert_int_equal(engine.sent.kind, CLUSTER_ANSWERS);
    assert_int_equal(engine.sent.id, 5);
    assert_int_equal(engine.sent.status, CLUSTER_DONE);
    assert_true(str_equal(engine.sent.body, STR("echo hi")));
}

static void an_operation_that_is_not_known_is_answered_so(void **state) {
    (void)state;
    const uint8_t ops[] = {0, OP + 1, CLUSTER_OPS - 1, CLUSTER_OPS, 255};
    for (size_t i = 0; i < sizeof(ops); i++) {
        ask_as("newer", ops[i], 5, "hi");
        turn();
        assert_int_equal(engine.sent_count, i + 1);
        assert_int_equal(engine.sent.status, CLUSTER_UNKNOWN_OP);
        assert_int_equal(engine.sent.op, ops[i]);
    }
}

static void what_is_told_is_not_answered_and_not_told_to_oneself(void **state) {
    (void)state;
    assert_true(cluster_tell(cluster, STR_NONE, OP, STR("news")));
    assert_int_equal(engine.sent.kind, CLUSTER_TELLS);
    assert_string_equal(engine.to, "");
    arrives(&engine.sent); /* one's own */
    assert_int_equal(cluster->running_count, 0);
    arrives(&(struct cluster_envelope){.kind = CLUSTER_TELLS, .op = OP, .from = STR("other")});
    assert_int_equal(cluster->running_count, 1);
    turn();
    assert_int_equal(cluster->running_count, 0);
    assert_int_equal(engine.sent_count, 1);
}

static void what_is_run_for_others_is_bounded(void **state) {
    (void)state;
    for (int i = 0; i < RUNNING_MAX; i++)
        ask_as("other", OP, 5, "");
    ask_as("other", OP, 6, "");
    assert_int_equal(cluster->counters.refused, 1);
    turn();
    assert_int_equal(engine.sent_count, RUNNING_MAX);
    assert_int_equal(engine.sent.id, 5);
    ask_as("other", OP, 7, "");
    turn();
    assert_int_equal(engine.sent.id, 7);
    assert_int_equal(cluster->running_bytes, 0);
}

static void who_misses_what_was_told_because_of_a_bound_hears_of_it_later(void **state) {
    (void)state;
    for (int i = 0; i < RUNNING_MAX; i++)
        ask_as("other", OP, 5, "");
    arrives(&(struct cluster_envelope){.kind = CLUSTER_TELLS, .op = OP, .from = STR("other")});
    cluster_tick(cluster, clock_now_ms()); /* not before there is room */
    turn();
    assert_int_equal(up_count, 0);
    pass_ms(1);
    pass_ms(1);
    assert_int_equal(up_count, 1);
}

static void what_is_no_note_is_counted(void **state) {
    (void)state;
    cluster_sink(cluster)->take(cluster, STR("CRC1 is how they begin"));
    cluster_sink(cluster)->take(cluster, STR_NONE);
    assert_int_equal(cluster->counters.garbage, 2);
    assert_int_equal(cluster->running_count, 0);
}

static void workers_hear_that_the_engine_is_up(void **state) {
    (void)state;
    cluster_sink(cluster)->up(cluster);
    turn();
    assert_int_equal(up_count, 1);
}

/* --- alone ------------------------------------------------------------------------------------ */

static void a_single_process_asks_itself(void **state) {
    (void)state;
    struct question q;
    assert_true(cluster_is_alone(cluster));
    ask(&q, "self");
    assert_false(q.is_answered);
    expect_answered(&q, BROKER_OK, 1);
    assert_string_equal(q.call.nodes[0].uid, "me");
    assert_string_equal(q.call.nodes[0].name, "my name");
    assert_true(str_equal(buf_str(&q.call.nodes[0].body), STR("echo self")));
    cluster_call_fini(&q.call);
    assert_true(cluster_tell(cluster, STR_NONE, OP, STR_NONE));
}

static void after_the_stop_questions_are_refused(void **state) {
    (void)state;
    struct question q, late;
    ask(&q, "");
    cluster_stop(cluster);
    ask(&late, "");
    expect_answered(&late, BROKER_UNAVAILABLE, 0);
    expect_answered(&q, BROKER_UNKNOWN, 0);
}

#define MANY(f) cmocka_unit_test_setup_teardown(f, start_many, stop)
#define ALONE(f) cmocka_unit_test_setup_teardown(f, start_alone, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        MANY(all_answer_and_the_asker_gets_all_at_once),
        MANY(who_does_not_answer_is_named_when_the_time_is_over),
        MANY(doubled_and_foreign_answers_change_nothing),
        MANY(what_cannot_be_sent_fails_at_once),
        MANY(an_engine_that_does_not_say_who_is_there_makes_nobody_wait),
        MANY(a_deadline_is_never_above_the_bound),
        MANY(open_questions_are_bounded),
        MANY(bytes_of_answers_are_bounded),
        MANY(an_answer_goes_to_who_asked),
        MANY(an_operation_that_is_not_known_is_answered_so),
        MANY(what_is_told_is_not_answered_and_not_told_to_oneself),
        MANY(what_is_run_for_others_is_bounded),
        MANY(who_misses_what_was_told_because_of_a_bound_hears_of_it_later),
        MANY(what_is_no_note_is_counted),
        MANY(workers_hear_that_the_engine_is_up),
        MANY(after_the_stop_questions_are_refused),
        ALONE(a_single_process_asks_itself),
        ALONE(after_the_stop_questions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
