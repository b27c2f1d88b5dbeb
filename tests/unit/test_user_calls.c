/* What a back end does to a user's connections: who is reached, what they are told and in which
 * order, also while a subscribe or the connect waits for the broker.
 *
 * Thread: main. Owns: nothing.
 */
#include "server/session/user_calls.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/plain_protocol.h"

static unsigned done_count;

static int start(void **state) {
    (void)state;
    bench_start(stub_broker_create);
    done_count = 0;
    return 0;
}

static int stop(void **state) {
    (void)state;
    bench_stop();
    return 0;
}

/* As a good token does it. */
static struct wire *open_as(const char *user, const struct str *channels, size_t count) {
    struct wire *w = wire_open(&plain_protocol);
    user_index_add(w->client, str_of(user));
    give_channels(w->client, channels, count);
    turn();
    return w;
}

static struct wire *open_user(const char *user) {
    struct wire *w = open_as(user, NULL, 0);
    expect_lines(w, "1 connected\n");
    return w;
}

static void is_done(void *arg, enum broker_result result) {
    assert_ptr_equal(arg, &done_count);
    assert_int_equal(result, BROKER_OK);
    done_count++;
}

/* Without the answers of the broker. */
static void call(struct user_call q) {
    unsigned before = done_count;
    char *user = mem_strndup(q.user.p ? q.user.p : "", q.user.n);
    char *channel = mem_strndup(q.channel.p ? q.channel.p : "", q.channel.n);
    q.user.p = user;
    q.channel.p = channel;
    if (q.action == USER_SUBSCRIBE && !q.options)
        q.options = &bench.config->rules.without_namespace;
    user_call_start(&bench.sessions, &q, is_done, &done_count);
    mem_free(user); /* all is copied */
    mem_free(channel);
    assert_int_equal(done_count, before);
    turn();
    assert_int_equal(done_count, before + 1);
}

static struct str id_of(const struct wire *w) {
    return (struct str){w->client->id, CLIENT_ID_BYTES};
}

#define SUBSCRIBE(who) .action = USER_SUBSCRIBE, .user = STR(who), .channel = STR("news")
#define UNSUBSCRIBE(who) .action = USER_UNSUBSCRIBE, .user = STR(who), .channel = STR("news")
#define DISCONNECT(who) .action = USER_DISCONNECT, .user = STR(who)
#define REFRESH(who) .action = USER_REFRESH, .user = STR(who)

/* --- who -------------------------------------------------------------------------------------- */

static void all_connections_of_the_user_and_no_other(void **state) {
    (void)state;
    struct wire *ann[3], *bob = open_user("bob"), *nobody = open_user("");
    for (int i = 0; i < 3; i++)
        ann[i] = open_user("ann");
    call((struct user_call){UNSUBSCRIBE("ann")});
    for (int i = 0; i < 3; i++)
        expect_lines(ann[i], "news taken: server unsubscribe\n");
    expect_lines(bob, "");
    call((struct user_call){UNSUBSCRIBE("")});
    expect_lines(nobody, "news taken: server unsubscribe\n");
    expect_lines(bob, "");
    call((struct user_call){UNSUBSCRIBE("who")});
    assert_int_equal(users_count(bench.users), 3);
}

static void one_connection_alone(void **state) {
    (void)state;
    struct wire *a = open_user("ann"), *b = open_user("ann"), *c = open_user("bob");
    call((struct user_call){UNSUBSCRIBE("ann"), .client = id_of(b)});
    call((struct user_call){UNSUBSCRIBE("ann"), .client = id_of(c)}); /* not hers */
    call((struct user_call){UNSUBSCRIBE("ann"), .session = STR("x")});
    expect_lines(a, "");
    expect_lines(b, "news taken: server unsubscribe\n");
    expect_lines(c, "");
}

static void who_leaves_is_forgotten(void **state) {
    (void)state;
    struct wire *a = open_user("ann"), *b = open_user("ann");
    assert_int_equal(users_connections(bench.users, STR("ann")), 2);
    wire_gone(a, CLOSE_PEER);
    assert_int_equal(users_connections(bench.users, STR("ann")), 1);
    client_close(b->client, CLOSE_SHUTDOWN); /* before its peer has closed */
    assert_int_equal(users_count(bench.users), 0);
    assert_int_equal(bench.sessions.user_clients.count, 0);
    call((struct user_call){DISCONNECT("ann")});
    expect_lines(b, "bye shutdown\n");
}

/* --- subscribe -------------------------------------------------------------------------------- */

static void a_gift_is_told_before_its_first_message(void **state) {
    (void)state;
    struct wire *w = open_user("ann");
    call((struct user_call){SUBSCRIBE("ann"), .data = STR("{}")});
    arrives("news", "1");
    turn();
    expect_lines(w, "");
    answer();
    arrives("news", "2");
    turn();
    expect_lines(w, "news given with data\nnews 1\nnews 2\n");
    assert_true(client_find(w->client, STR("news"))->is_server_side);
    call((struct user_call){SUBSCRIBE("ann")}); /* again: nothing changes */
    expect_lines(w, "");
    say(w, "2 sub news");
    turn();
    expect_lines(w, "2 error already subscribed\n");
    assert_int_equal(w->client->open_calls, 0);
}

static void a_gift_to_who_is_connecting_is_in_the_reply_to_connect(void **state) {
    (void)state;
    static const struct str one[] = {{"a", 1}};
    struct wire *w = open_as("ann", one, 1);
    call((struct user_call){SUBSCRIBE("ann")});
    answer(); /* a */
    expect_lines(w, "");
    answer(); /* news */
    expect_lines(w, "1 connected\n");
    arrives("news", "1");
    turn();
    expect_lines(w, "news 1\n");
}

static void a_gift_that_fails_takes_nothing_else_away(void **state) {
    (void)state;
    struct wire *w = open_user("ann");
    call((struct user_call){SUBSCRIBE("ann")});
    refuse();
    say(w, "5 nothing");
    turn();
    expect_lines(w, "5 ok\n");
    assert_null(client_find(w->client, STR("news")));
    assert_int_equal(w->client->open_calls, 0);
}

static void too_many_gifts_end_the_connection(void **state) {
    (void)state;
    bench.config->client_channel_limit = 1;
    struct wire *w = open_user("ann");
    say(w, "2 sub a");
    answer();
    call((struct user_call){SUBSCRIBE("ann")});
    expect_lines(w, "2 subscribed\nbye channel limit\n");
}

static void a_gift_may_have_options_and_an_info_of_its_own(void **state) {
    (void)state;
    struct channel_options own = bench.config->rules.without_namespace;
    own.presence = own.join_leave = own.force_push_join_leave = true;
    struct wire *w = open_user("ann");
    call((struct user_call){SUBSCRIBE("ann"), .options = &own, .is_own_options = true,
                            .info = STR("{\"a\":1}")});
    memset(&own, 0, sizeof(own)); /* copied */
    answer();
    assert_int_equal(stub()->members.member_count, 1);
    struct presence_reply r = {.wants_members = true};
    presence_read(&stub()->members, STR("news"), &r);
    assert_true(str_equal(r.members[0]->parts.chan_info, STR("{\"a\":1}")));
    assert_true(str_equal(r.members[0]->parts.user, STR("ann")));
    presence_reply_fini(&r);
    call((struct user_call){UNSUBSCRIBE("ann")});
    assert_int_equal(stub()->members.member_count, 0);
    wire_news(w);
}

/* Until it is closed, or for a while. */
static void stay(struct wire *w, uint64_t ms) {
    for (; ms > 0 && w->client && w->client->state == CLIENT_CONNECTED; ms -= 1000) {
        if (w->client->owes_pong)
            say(w, "pong");
        pass_ms(1000);
    }
}

static void a_gift_ends_with_its_time(void **state) {
    (void)state;
    struct wire *w = open_user("ann");
    bench.config->client_insecure = false; /* there, nothing expires */
    call((struct user_call){SUBSCRIBE("ann"), .expires_at_s = clock_wall_ms() / 1000 + 40});
    answer();
    expect_lines(w, "news given\n");
    stay(w, 60000);
    assert_int_equal(closes(CLOSE_SUBSCRIPTION_EXPIRED), 0);
    stay(w, 35000);
    assert_int_equal(closes(CLOSE_SUBSCRIPTION_EXPIRED), 1);
}

/* --- unsubscribe ------------------------------------------------------------------------------ */

static void a_subscription_is_taken_away(void **state) {
    (void)state;
    struct wire *w = open_user("ann");
    say(w, "2 sub news");
    answer();
    call((struct user_call){UNSUBSCRIBE("ann")});
    expect_lines(w, "2 subscribed\nnews taken: server unsubscribe\n");
    assert_int_equal(stub()->attached_count, 0);
    say(w, "3 sub news");
    answer();
    expect_lines(w, "3 subscribed\n");
}

/* The SDK knows of no subscription before the reply. */
static void a_subscribe_under_way_is_answered_first(void **state) {
    (void)state;
    bench.config->rules.without_namespace.presence = true;
    struct wire *w = open_user("ann");
    say(w, "2 sub news\n3 pub news hello\n4 sub news");
    call((struct user_call){UNSUBSCRIBE("ann")});
    expect_lines(w, "");
    stub_answer(stub()); /* the attach */
    take_mail();
    flush();
    /* Then what waited behind it, of which the publish is not answered yet. */
    expect_lines(w, "2 subscribed\nnews taken: server unsubscribe\n4 subscribed\n");
    assert_int_equal(stub()->members.member_count, 1);
    answer();
    struct str news = wire_news(w);
    assert_true(str_equal(news, STR("3 published\nnews hello\n")) ||
                str_equal(news, STR("news hello\n3 published\n")));
    assert_int_equal(w->client->open_calls, 0);
}

static void what_is_given_and_taken_before_the_broker_answers_is_told_in_order(void **state) {
    (void)state;
    struct wire *w = open_user("ann");
    call((struct user_call){SUBSCRIBE("ann")});
    call((struct user_call){UNSUBSCRIBE("ann")});
    arrives("news", "1");
    answer();
    struct str news = wire_news(w);
    assert_true(str_starts(news, STR("news given\n")));
    assert_non_null(memmem(news.p, news.n, "news taken: server unsubscribe\n", 31));
    assert_null(client_find(w->client, STR("news")));
    call((struct user_call){SUBSCRIBE("ann")});
    call((struct user_call){UNSUBSCRIBE("ann")});
    call((struct user_call){SUBSCRIBE("ann")}); /* the last word counts */
    answer();
    expect_lines(w, "news given\n");
    assert_non_null(client_find(w->client, STR("news")));
}

static void who_is_connecting_is_told_after_the_reply(void **state) {
    (void)state;
    static const struct str both[] = {{"news", 4}, {"other", 5}};
    struct wire *w = open_as("ann", both, 2);
    call((struct user_call){UNSUBSCRIBE("ann")});
    call((struct user_call){.action = USER_UNSUBSCRIBE, .user = STR("ann"), .channel = STR("x")});
    answer();
    expect_lines(w, "");
    answer();
    expect_lines(w, "1 connected\nnews taken: server unsubscribe\n");
    assert_null(client_find(w->client, STR("news")));
    assert_non_null(client_find(w->client, STR("other")));
}

static void who_goes_meanwhile_leaves_nothing(void **state) {
    (void)state;
    struct wire *a = open_user("ann"), *b = open_user("ann");
    say(a, "2 sub news");
    call((struct user_call){SUBSCRIBE("ann"), .info = STR("1"), .data = STR("2")});
    call((struct user_call){UNSUBSCRIBE("ann")});
    wire_gone(a, CLOSE_PEER);
    wire_gone(b, CLOSE_PEER);
    turn();
    answer();
    assert_int_equal(stub()->attached_count, 0);
    assert_int_equal(bench.sessions.hub.channels.count, 0);
}

/* --- disconnect ------------------------------------------------------------------------------- */

static void all_are_disconnected_but_those_listed(void **state) {
    (void)state;
    struct wire *w[4];
    for (int i = 0; i < 4; i++)
        w[i] = open_user("ann");
    struct str ids[] = {id_of(w[1]), id_of(w[3])};
    call((struct user_call){DISCONNECT("ann"), .whitelist = ids, .whitelist_count = 2});
    expect_lines(w[0], "bye force disconnect\n");
    expect_lines(w[1], "");
    expect_lines(w[2], "bye force disconnect\n");
    call((struct user_call){DISCONNECT("ann"), .code = 4321, .text = STR("come back never")});
    expect_lines(w[1], "bye 4321 come back never\n");
    expect_lines(w[3], "bye 4321 come back never\n");
    struct wire *last = open_user("ann");
    call((struct user_call){DISCONNECT("ann"), .whitelist = ids}); /* nobody is on the list */
    expect_lines(last, "bye force disconnect\n");
    assert_int_equal(closes(CLOSE_FORCED), 5);
}

static void the_newest_may_be_the_only_one(void **state) {
    (void)state;
    bench.config->rules.has_personal_channels = true;
    bench.config->client_personal_channel_single_connection = true;
    struct wire *bob = open_user("bob"), *nobody[] = {open_user(""), open_user("")};
    struct wire *w[3];
    for (int i = 0; i < 3; i++)
        w[i] = open_user("ann");
    expect_lines(w[0], "bye connection limit\n");
    expect_lines(w[1], "bye connection limit\n");
    expect_lines(w[2], "");
    expect_lines(bob, "");
    expect_lines(nobody[0], "");
    expect_lines(nobody[1], "");
}

/* Each would close the other if only the moment of the call counted. */
static void of_two_that_come_together_one_stays(void **state) {
    (void)state;
    static const struct str one[] = {{"a", 1}};
    bench.config->rules.has_personal_channels = true;
    bench.config->client_personal_channel_single_connection = true;
    struct wire *first = open_as("ann", one, 1), *second = open_as("ann", one, 1);
    answer(); /* both at once */
    turn();
    bool is_first = second->client->state == CLIENT_CONNECTED;
    expect_lines(is_first ? first : second, "1 connected\nbye connection limit\n");
    expect_lines(is_first ? second : first, "1 connected\n");
}

/* --- refresh ---------------------------------------------------------------------------------- */

static void refresh_changes_time_and_info(void **state) {
    (void)state;
    bench.config->client_insecure = false;
    struct wire *w = open_user("ann");
    call((struct user_call){REFRESH("ann"), .expires_at_s = clock_wall_ms() / 1000 + 100,
                            .info = STR("[7]")});
    struct str news = wire_news(w);
    assert_true(str_equal(news, STR("renewed 100 s\n")) || str_equal(news, STR("renewed 99 s\n")));
    assert_string_equal(w->client->conn_info, "[7]");
    call((struct user_call){REFRESH("ann")});
    expect_lines(w, "renewed 0 s\n");
    assert_string_equal(w->client->conn_info, "[7]");
    call((struct user_call){REFRESH("ann"), .is_expired = true});
    expect_lines(w, "bye connection expired\n");
}

static void who_is_connecting_is_refreshed_without_a_word(void **state) {
    (void)state;
    static const struct str one[] = {{"a", 1}};
    bench.config->client_insecure = false;
    struct wire *w = open_as("ann", one, 1);
    call((struct user_call){REFRESH("ann"), .expires_at_s = clock_wall_ms() / 1000 + 100});
    expect_lines(w, "");
    assert_true(client_ttl_s(w->client) >= 99);
    answer();
    expect_lines(w, "1 connected\n");
}

/* --- many ------------------------------------------------------------------------------------- */

static void a_thousand_connections_of_one_user(void **state) {
    (void)state;
    static struct wire *w[1000];
    for (int i = 0; i < 1000; i++)
        w[i] = open_user("ann");
    call((struct user_call){SUBSCRIBE("ann")});
    assert_int_equal(stub()->call_count, 1); /* one attach */
    answer();
    call((struct user_call){UNSUBSCRIBE("ann")});
    call((struct user_call){DISCONNECT("ann")});
    for (int i = 0; i < 1000; i++)
        expect_lines(w[i], "news given\nnews taken: server unsubscribe\nbye force disconnect\n");
    assert_int_equal(users_count(bench.users), 0);
}

#define USER_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        USER_TEST(all_connections_of_the_user_and_no_other),
        USER_TEST(one_connection_alone),
        USER_TEST(who_leaves_is_forgotten),
        USER_TEST(a_gift_is_told_before_its_first_message),
        USER_TEST(a_gift_to_who_is_connecting_is_in_the_reply_to_connect),
        USER_TEST(a_gift_that_fails_takes_nothing_else_away),
        USER_TEST(too_many_gifts_end_the_connection),
        USER_TEST(a_gift_may_have_options_and_an_info_of_its_own),
        USER_TEST(a_gift_ends_with_its_time),
        USER_TEST(a_subscription_is_taken_away),
        USER_TEST(a_subscribe_under_way_is_answered_first),
        USER_TEST(what_is_given_and_taken_before_the_broker_answers_is_told_in_order),
        USER_TEST(who_is_connecting_is_told_after_the_reply),
        USER_TEST(who_goes_meanwhile_leaves_nothing),
        USER_TEST(all_are_disconnected_but_those_listed),
        USER_TEST(the_newest_may_be_the_only_one),
        USER_TEST(of_two_that_come_together_one_stays),
        USER_TEST(refresh_changes_time_and_info),
        USER_TEST(who_is_connecting_is_refreshed_without_a_word),
        USER_TEST(a_thousand_connections_of_one_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
