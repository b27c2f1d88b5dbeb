/* One connection per user over nodes: the highest number stays, in whatever order numbers and what
 * other nodes tell arrive. With one node only, it is in test_user_calls.c.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/single_connection.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/held_nodes.h"
#include "tests/unit/plain_protocol.h"

static int start(void **state) {
    (void)state;
    bench_start(stub_broker_create);
    held_start();
    bench.config->rules.has_personal_channels = true;
    bench.config->client_personal_channel_single_connection = true;
    return 0;
}

static int stop(void **state) {
    (void)state;
    held_stop();
    bench_stop();
    return 0;
}

static struct wire *open_user(const char *user) {
    struct wire *w = wire_open(&plain_protocol);
    user_index_add(w->client, str_of(user));
    client_join_all(w->client, &(struct client_join_all){1, NULL, 0, NULL, NULL});
    turn();
    expect_lines(w, "1 connected\n");
    return w;
}

/* The oldest that asked, or any. */
static void number_at(unsigned at, uint64_t number) {
    struct reply *r = held.numbers[at];
    assert_non_null(r);
    held.numbers[at] = NULL;
    r->position.offset = number;
    broker_answer(r, BROKER_OK);
    turn();
}

static void tell_from(const char *uid, const char *user, uint64_t number) {
    struct buf b = {0};
    add(&b, str_of(user), number);
    held_arrives(&(struct cluster_envelope){
        .kind = CLUSTER_TELLS, .op = NODE_SINGLE, .from = str_of(uid), .body = buf_str(&b)});
    buf_fini(&b);
}

static void expect_told(const char *user, uint64_t number) {
    struct unpack u = {.rest = held.note.body};
    assert_int_equal(held.note.kind, CLUSTER_TELLS);
    assert_int_equal(held.note.op, NODE_SINGLE);
    assert_true(unpack_u64(&u) == number);
    assert_true(str_equal(unpack_str(&u, 100), str_of(user)));
    assert_true(unpack_is_over(&u));
}

#define BYE "bye connection limit\n"

static void a_connection_gets_a_number_and_tells_it(void **state) {
    (void)state;
    struct wire *w = open_user("ann");
    assert_int_equal(held.number_count, 1);
    assert_int_equal(held.note_count, 0);
    number_at(0, 70);
    expect_told("ann", 70);
    assert_true(w->client->number == 70);
    open_user(""); /* the anonymous are many */
    assert_int_equal(held.number_count, 1);
}

static void of_two_here_the_higher_number_stays(void **state) {
    (void)state;
    struct wire *a = open_user("ann"), *b = open_user("ann"), *c = open_user("bob");
    number_at(1, 71); /* the answers change places */
    expect_lines(a, "");
    number_at(0, 70);
    expect_lines(a, BYE);
    expect_lines(b, "");
    expect_lines(c, "");
}

static void a_higher_number_elsewhere_closes_the_one_here(void **state) {
    (void)state;
    struct wire *a = open_user("ann"), *b = open_user("bob");
    number_at(0, 70);
    number_at(1, 71);
    unsigned notes = held.note_count;
    tell_from("other", "ann", 100);
    expect_lines(a, BYE);
    expect_lines(b, "");
    tell_from("other", "ann", 100);
    tell_from("other", "nobody", 100);
    assert_int_equal(held.note_count, notes);
}

static void a_lower_number_elsewhere_is_told_of_the_one_here(void **state) {
    (void)state;
    struct wire *a = open_user("ann");
    number_at(0, 70);
    unsigned notes = held.note_count;
    tell_from("other", "ann", 69);
    expect_lines(a, "");
    assert_int_equal(held.note_count, notes + 1);
    expect_told("ann", 70);
}

/* Its number is given, but not known here yet, when the other one tells a higher one. */
static void who_has_no_number_yet_is_spared_and_learns_it_later(void **state) {
    (void)state;
    struct wire *a = open_user("ann");
    tell_from("other", "ann", 71);
    expect_lines(a, "");
    number_at(0, 70);
    expect_told("ann", 70); /* the other one will answer */
    expect_lines(a, "");
    tell_from("other", "ann", 71);
    expect_lines(a, BYE);
}

static void who_is_gone_when_its_number_comes_tells_nothing(void **state) {
    (void)state;
    struct wire *a = open_user("ann"), *b = open_user("ann");
    number_at(0, 70);
    unsigned notes = held.note_count;
    wire_gone(b, CLOSE_PEER);
    turn();
    number_at(1, 71);
    assert_int_equal(held.note_count, notes);
    expect_lines(a, "");
}

static void a_number_that_was_refused_is_asked_for_again(void **state) {
    (void)state;
    held.is_away = true;
    struct wire *a = open_user("ann");
    turn();
    assert_int_equal(held.number_count, 0);
    pass_ms(3 * RETRY_MS);
    assert_int_equal(held.number_count, 0);
    held.is_away = false;
    pass_ms(RETRY_MS + 200);
    assert_int_equal(held.number_count, 1);
    pass_ms(3 * RETRY_MS);
    assert_int_equal(held.number_count, 1); /* it is on its way */
    number_at(0, 5);
    assert_true(a->client->number == 5);
}

static void when_the_engine_is_back_all_numbers_are_told_again(void **state) {
    (void)state;
    open_user("ann");
    open_user("bob");
    number_at(0, 70);
    number_at(1, 71);
    held.is_away = true;
    open_user("cyd");
    turn();
    held.is_away = false;
    unsigned notes = held.note_count;
    cluster_sink(bench.cluster)->up(cluster_sink(bench.cluster)->arg);
    turn();
    assert_int_equal(held.note_count, notes + 1);
    struct unpack u = {.rest = held.note.body};
    unsigned seen = 0;
    while (u.rest.n && !u.is_bad) {
        uint64_t number = unpack_u64(&u);
        struct str user = unpack_str(&u, 10);
        assert_true(str_equal(user, number == 70 ? STR("ann") : STR("bob")));
        seen++;
    }
    assert_true(unpack_is_over(&u));
    assert_int_equal(seen, 2);
    pass_ms(200);
    assert_int_equal(held.number_count, 3); /* that of cyd */
}

static void what_is_told_and_cut_off_is_refused(void **state) {
    (void)state;
    struct wire *a = open_user("ann");
    struct buf b = {0};
    number_at(0, 70);
    add(&b, STR("ann"), 100);
    for (size_t n = 1; n < b.n; n++)
        held_arrives(&(struct cluster_envelope){.kind = CLUSTER_TELLS,
                                                .op = NODE_SINGLE,
                                                .from = STR("other"),
                                                .body = str_slice(buf_str(&b), 0, n)});
    expect_lines(a, "");
    buf_fini(&b);
}

static void without_the_option_nothing_is_numbered_or_closed(void **state) {
    (void)state;
    bench.config->client_personal_channel_single_connection = false;
    struct wire *a = open_user("ann"), *b = open_user("ann");
    a->client->number = 1;
    tell_from("other", "ann", 100);
    cluster_sink(bench.cluster)->up(cluster_sink(bench.cluster)->arg);
    pass_ms(RETRY_MS + 200);
    expect_lines(a, "");
    expect_lines(b, "");
    assert_int_equal(held.number_count + held.note_count, 0);
}

#define SINGLE_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        SINGLE_TEST(a_connection_gets_a_number_and_tells_it),
        SINGLE_TEST(of_two_here_the_higher_number_stays),
        SINGLE_TEST(a_higher_number_elsewhere_closes_the_one_here),
        SINGLE_TEST(a_lower_number_elsewhere_is_told_of_the_one_here),
        SINGLE_TEST(who_has_no_number_yet_is_spared_and_learns_it_later),
        SINGLE_TEST(who_is_gone_when_its_number_comes_tells_nothing),
        SINGLE_TEST(a_number_that_was_refused_is_asked_for_again),
        SINGLE_TEST(when_the_engine_is_back_all_numbers_are_told_again),
        SINGLE_TEST(what_is_told_and_cut_off_is_refused),
        SINGLE_TEST(without_the_option_nothing_is_numbered_or_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
