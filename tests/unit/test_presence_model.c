/* Random calls to presence against a naive model: a table of who is where, counted anew for every
 * answer. Channels of very different sizes, so that tables grow and shrink all the time.
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/presence.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "random_json.h"

enum { CHANNELS = 7, CLIENTS = 300, USERS = 40, STEPS = 300000 };

/* What a member said when it joined; all its texts follow from these. */
struct entry {
    bool is_in;
    uint32_t user, info;
};

static struct entry model[CHANNELS][CLIENTS];
static struct presence presence;
static struct random dice = {3};

static uint32_t pick(uint32_t n) {
    return random_below(&dice, n);
}

/* So many clients ever come to a channel: 2, 4, 9, 21, 50, 122, 300. */
static uint32_t clients_of(uint32_t channel) {
    static const uint32_t counts[CHANNELS] = {2, 4, 9, 21, 50, 122, CLIENTS};
    return counts[channel];
}

static struct str text(char *out, const char *format, uint32_t n) {
    return (struct str){out, (size_t)snprintf(out, 48, format, n)};
}

/* Names that are each other's beginnings; some hold a zero byte. */
static struct str channel_name(uint32_t c) {
    return str_slice((struct str){"room\0room", 9}, 0, c + 3);
}

struct texts {
    char client[48], user[48], conn_info[48], chan_info[48];
};

static struct msg_parts parts_of(uint32_t channel, uint32_t client, const struct entry *e,
                                 struct texts *t) {
    return (struct msg_parts){
        .kind = MSG_JOIN,
        .channel = channel_name(channel),
        .client = text(t->client, "%u", client),
        .user = e->user ? text(t->user, "user%u", e->user) : STR_NONE,
        .conn_info = e->info & 1 ? text(t->conn_info, "{\"n\":%u}", e->info) : STR_NONE,
        .chan_info = e->info & 2 ? text(t->chan_info, "[%u]", e->info) : STR_NONE,
    };
}

static void random_join(uint32_t channel, uint32_t client) {
    struct entry *e = &model[channel][client];
    struct texts t;
    bool is_new = !e->is_in;
    *e = (struct entry){true, pick(USERS), pick(1000)};
    struct msg_parts parts = parts_of(channel, client, e, &t);
    struct msg *m = msg_create(&parts);
    assert_int_equal(presence_join(&presence, m), is_new);
    msg_unref(m);
}

static void random_leave(uint32_t channel, uint32_t client) {
    struct entry *e = &model[channel][client];
    struct texts t;
    bool was_in = e->is_in;
    text(t.client, "%u", client);
    assert_int_equal(presence_leave(&presence, channel_name(channel), str_of(t.client)), was_in);
    e->is_in = false;
}

static void model_count(uint32_t channel, uint32_t *clients, uint32_t *users) {
    bool has_user[USERS] = {0};
    *clients = *users = 0;
    for (uint32_t i = 0; i < clients_of(channel); i++) {
        const struct entry *e = &model[channel][i];
        if (!e->is_in)
            continue;
        ++*clients;
        *users += !has_user[e->user];
        has_user[e->user] = true;
    }
}

static void expect_member(uint32_t channel, const struct msg *m, bool *is_seen) {
    struct texts t;
    uint64_t client = CLIENTS;
    assert_true(str_to_u64(m->parts.client, &client));
    assert_true(client < CLIENTS && model[channel][client].is_in && !is_seen[client]);
    is_seen[client] = true;
    struct msg_parts expected = parts_of(channel, (uint32_t)client, &model[channel][client], &t);
    assert_true(str_equal(m->parts.channel, expected.channel));
    assert_true(str_equal(m->parts.client, expected.client));
    assert_true(str_equal(m->parts.user, expected.user));
    assert_true(str_equal(m->parts.conn_info, expected.conn_info));
    assert_true(str_equal(m->parts.chan_info, expected.chan_info));
}

static void expect_counts(uint32_t channel, bool wants_members) {
    struct presence_reply r = {.wants_members = wants_members};
    bool is_seen[CLIENTS] = {0};
    uint32_t clients, users;
    model_count(channel, &clients, &users);
    presence_read(&presence, channel_name(channel), &r);
    assert_int_equal(r.client_count, clients);
    assert_int_equal(r.user_count, users);
    assert_int_equal(presence_client_count(&presence, channel_name(channel)), clients);
    for (uint32_t i = 0; wants_members && i < clients; i++)
        expect_member(channel, r.members[i], is_seen);
    presence_reply_fini(&r);
}

static void add_one(struct msg *m, void *arg) {
    (void)m;
    ++*(uint32_t *)arg;
}

static void expect_totals(void) {
    uint32_t clients, users, all = 0, channels = 0, visited = 0;
    for (uint32_t c = 0; c < CHANNELS; c++) {
        model_count(c, &clients, &users);
        all += clients;
        channels += clients > 0;
    }
    presence_each(&presence, add_one, &visited);
    assert_int_equal(visited, all);
    assert_int_equal(presence.member_count, all);
    assert_int_equal(presence.channels.count, channels); /* an empty one leaves nothing */
}

static void empty_channel(uint32_t channel) {
    for (uint32_t i = 0; i < clients_of(channel); i++)
        random_leave(channel, i);
}

static void random_step(void) {
    uint32_t channel = pick(CHANNELS), client = pick(clients_of(channel)), kind = pick(1000);
    if (kind < 450)
        random_join(channel, client);
    else if (kind < 850)
        random_leave(channel, client);
    else if (kind < 950)
        expect_counts(channel, false);
    else if (kind < 990)
        expect_counts(channel, true);
    else if (kind < 998)
        expect_totals();
    else
        empty_channel(channel);
}

static void random_calls_agree_with_a_naive_model(void **state) {
    (void)state;
    presence_init(&presence);
    for (int step = 0; step < STEPS; step++)
        random_step();
    expect_totals();
    presence_fini(&presence); /* with members in it */
}

/* Looking for each from the front of its table would take seconds, and four times that for twice as
 * many. */
static void the_end_of_a_large_presence_is_quick(void **state) {
    struct texts t;
    char name[48];
    (void)state;
    presence_init(&presence);
    for (uint32_t i = 0; i < 200000; i++) {
        struct msg_parts parts = parts_of(0, i, &(struct entry){true, i % 999, 0}, &t);
        if (i % 2)
            parts.channel = text(name, "channel%u", i);
        struct msg *m = msg_create(&parts);
        assert_true(presence_join(&presence, m));
        msg_unref(m);
    }
    presence_fini(&presence);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_calls_agree_with_a_naive_model),
        cmocka_unit_test(the_end_of_a_large_presence_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
