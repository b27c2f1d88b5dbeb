/* Presence against a naive list of (channel, client, user).
 *
 * Thread: main. Owns: nothing.
 */
#include "channels/presence.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CHANNELS = 5, CLIENTS = 12, USERS = 4, STEPS = 20000 };

static struct presence presence;
static bool is_in[CHANNELS][CLIENTS];
static int user_of[CHANNELS][CLIENTS];

static struct str name(char *text, char kind, int n) {
    text[0] = kind;
    text[1] = (char)('a' + n);
    return (struct str){text, 2};
}

static bool join(int channel, int client, int user) {
    char c[2], i[2], u[2];
    struct msg *m = msg_create(&(struct msg_parts){.kind = MSG_JOIN,
                                                   .channel = name(c, 'c', channel),
                                                   .client = name(i, 'i', client),
                                                   .user = user ? name(u, 'u', user) : STR_NONE});
    bool is_new = presence_join(&presence, m);
    msg_unref(m);
    return is_new;
}

static bool leave(int channel, int client) {
    char c[2], i[2];
    return presence_leave(&presence, name(c, 'c', channel), name(i, 'i', client));
}

static void expect_as_in_the_model(int channel) {
    char c[2];
    bool has_user[USERS] = {0};
    uint32_t clients = 0, users = 0;
    struct presence_reply r = {.wants_members = true}, counts = {0};
    for (int i = 0; i < CLIENTS; i++) {
        if (!is_in[channel][i])
            continue;
        clients++;
        users += !has_user[user_of[channel][i]];
        has_user[user_of[channel][i]] = true;
    }
    presence_read(&presence, name(c, 'c', channel), &r);
    presence_read(&presence, name(c, 'c', channel), &counts);
    assert_int_equal(r.client_count, clients);
    assert_int_equal(r.user_count, users);
    assert_int_equal(counts.client_count, clients);
    assert_null(counts.members);
    for (uint32_t i = 0; i < r.client_count; i++)
        assert_true(is_in[channel][r.members[i]->parts.client.p[1] - 'a']);
    presence_reply_fini(&r);
}

static void random_joins_and_leaves_agree_with_a_naive_model(void **state) {
    (void)state;
    uint32_t seed = 1;
    presence_init(&presence);
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525u + 1013904223u;
        int channel = (int)(seed >> 8) % CHANNELS, client = (int)(seed >> 12) % CLIENTS;
        int user = (int)(seed >> 16) % USERS;
        bool was_in = is_in[channel][client];
        is_in[channel][client] = seed >> 30 & 1;
        if (is_in[channel][client]) {
            assert_int_equal(join(channel, client, user), !was_in);
            user_of[channel][client] = user;
        } else {
            assert_int_equal(leave(channel, client), was_in);
        }
        expect_as_in_the_model(channel);
    }
    presence_fini(&presence);
}

static void count_member(struct msg *m, void *arg) {
    assert_int_equal(m->parts.kind, MSG_JOIN);
    ++*(int *)arg;
}

static void each_visits_all_and_an_empty_channel_leaves_nothing(void **state) {
    (void)state;
    int count = 0;
    presence_init(&presence);
    join(0, 0, 0);
    join(0, 1, 1);
    join(1, 0, 0);
    presence_each(&presence, count_member, &count);
    assert_int_equal(count, 3);
    assert_true(leave(0, 0) && leave(0, 1) && leave(1, 0));
    assert_false(leave(1, 0));
    assert_int_equal(presence.channels.count, 0);
    assert_int_equal(presence.member_count, 0);
    presence_fini(&presence);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_joins_and_leaves_agree_with_a_naive_model),
        cmocka_unit_test(each_visits_all_and_an_empty_channel_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
