/* A protocol for people, so that tests of clients read like a talk. One command per line, an answer
 * per line:
 *
 *   1 connect [TOKEN]      -> 1 connected
 *   2 sub NEWS [joins]     -> 2 subscribed
 *   3 pub NEWS hello       -> 3 published
 *   4 unsub NEWS           -> 4 unsubscribed
 *   6 who NEWS             -> 6 2 clients 1 users
 *   5 nothing              -> 5 ok (the test's own: needs no channel)
 *   pong                      the answer to "ping"
 *
 * What the server does by itself: `NEWS given`, `NEWS taken: server unsubscribe`, `renewed 60 s`.
 *
 * A command that fails: `2 error permission denied`. A publication: `NEWS hello`; a member:
 * `NEWS joined`, `NEWS left`. The end: `bye slow`.
 *
 * Thread: one. Owns: nothing.
 */
#ifndef CARILLON_TESTS_PLAIN_PROTOCOL_H
#define CARILLON_TESTS_PLAIN_PROTOCOL_H

#include "tests/unit/session_testing.h"

#include <stdio.h>

static unsigned plain_encode_count;

static inline struct str plain_word(struct str *rest, char end) {
    size_t n = str_find(*rest, end);
    struct str word = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n + 1, rest->n);
    return word;
}

static inline struct frame *plain_line(const char *text) {
    char line[256];
    int n = snprintf(line, sizeof(line), "%s\n", text);
    return frame_create_plain((struct str){line, (size_t)n});
}

/* False: it must wait. */
static inline bool plain_run(struct client *c, struct str line) {
    uint64_t id = 0;
    bool has_id = str_to_u64(plain_word(&line, ' '), &id);
    struct str name = plain_word(&line, ' ');
    struct str channel = plain_word(&line, ' ');
    if (!has_id) {
        client_pong(c);
    } else if (str_equal(name, STR("connect"))) {
        client_connect(c, &(struct client_connect){.command_id = (uint32_t)id, .token = channel});
    } else if (c->state != CLIENT_CONNECTED) {
        client_close(c, CLOSE_BAD_REQUEST);
    } else if (!client_may_run(c, channel)) {
        return false;
    } else if (!client_admit(c, (uint32_t)id)) {
        return true;
    } else if (str_equal(name, STR("sub"))) {
        client_subscribe(c, &(struct client_subscribe){.command_id = (uint32_t)id,
                                                       .channel = channel,
                                                       .wants_join_leave = line.n > 0});
    } else if (str_equal(name, STR("unsub"))) {
        client_unsubscribe(c, (uint32_t)id, channel);
    } else if (str_equal(name, STR("pub"))) {
        client_publish(c, (uint32_t)id, channel, line);
    } else if (str_equal(name, STR("who"))) {
        client_presence(c, (uint32_t)id, channel, false);
    } else if (str_equal(name, STR("nothing"))) {
        client_send(c, plain_line("5 ok"));
    } else {
        client_close(c, CLOSE_BAD_REQUEST);
    }
    return true;
}

static inline void plain_receive(struct client *c, struct str message) {
    while (message.n && c->state < CLIENT_CLOSING) {
        struct str rest = message;
        if (!plain_run(c, plain_word(&message, '\n'))) {
            client_defer(c, rest);
            return;
        }
    }
}

static inline void plain_event(struct client *c, const struct event *e) {
    static const char *const words[] = {
        [EVENT_CONNECTED] = "connected",       [EVENT_SUBSCRIBED] = "subscribed",
        [EVENT_UNSUBSCRIBED] = "unsubscribed", [EVENT_PUBLISHED] = "published",
        [EVENT_REFRESHED] = "refreshed",
    };
    char line[128];
    if (e->kind == EVENT_ERROR)
        snprintf(line, sizeof(line), "%u error %s", e->command_id, client_error_text(e->error));
    else if (e->kind == EVENT_PRESENCE)
        snprintf(line, sizeof(line), "%u %u clients %u users", e->command_id,
                 e->presence->client_count, e->presence->user_count);
    else if (e->kind == EVENT_GIVEN)
        snprintf(line, sizeof(line), "%.*s given%s",
                 STR_ARG(e->subscription->hub.channel->node.key),
                 e->subscription->extra && e->subscription->extra->data ? " with data" : "");
    else if (e->kind == EVENT_REMOVED)
        snprintf(line, sizeof(line), "%.*s taken: %s", STR_ARG(e->channel),
                 unsubscribe_reason_text(e->removed_for));
    else if (e->kind == EVENT_RENEWED)
        snprintf(line, sizeof(line), "renewed %u s", client_ttl_s(c));
    else
        snprintf(line, sizeof(line), "%u %s", e->command_id, words[e->kind]);
    client_send(c, plain_line(line));
}

static inline void plain_add(struct buf *line, const struct msg *m) {
    buf_printf(line, "%.*s ", STR_ARG(m->parts.channel));
    if (m->parts.kind != MSG_PUBLICATION)
        buf_add_z(line, m->parts.kind == MSG_JOIN ? "joined" : "left");
    buf_add(line, m->parts.data);
}

/* "news joined a, left b" */
static inline struct frame *plain_encode_members(struct msg *const *msgs, uint32_t count) {
    struct buf line = {0};
    plain_encode_count++;
    buf_printf(&line, "%.*s", STR_ARG(msgs[0]->parts.channel));
    for (uint32_t i = 0; i < count; i++)
        buf_printf(&line, "%s %s %.*s", i ? "," : "",
                   msgs[i]->parts.kind == MSG_JOIN ? "joined" : "left",
                   STR_ARG(msgs[i]->parts.client));
    buf_add_char(&line, '\n');
    struct frame *f = frame_create_plain(buf_str(&line));
    buf_fini(&line);
    return f;
}

static inline struct frame *plain_encode(const struct msg *m, enum encoding how) {
    (void)how;
    struct buf line = {0};
    plain_encode_count++;
    plain_add(&line, m);
    buf_add_char(&line, '\n');
    struct frame *f = frame_create_plain(buf_str(&line));
    buf_fini(&line);
    return f;
}

static inline struct frame *plain_ping(void) {
    return plain_line("ping");
}

static inline struct frame *plain_farewell(enum close_reason r) {
    char line[64];
    snprintf(line, sizeof(line), "bye %s", close_reason_text(r));
    return r > CLOSE_WRITE_ERROR ? plain_line(line) : NULL;
}

static inline struct frame *plain_farewell_with(uint16_t code, struct str text) {
    char line[128];
    snprintf(line, sizeof(line), "bye %u %.*s", code, STR_ARG(text));
    return plain_line(line);
}

static inline uint16_t plain_close_code(enum close_reason r) {
    return (uint16_t)(1000 + r);
}

static inline uint32_t plain_ping_interval_ms(const struct config *config) {
    return config->client_ping_interval_ms;
}

static const struct protocol plain_protocol = {
    .receive = plain_receive,
    .event = plain_event,
    .encode = plain_encode,
    .encode_members = plain_encode_members,
    .ping = plain_ping,
    .ping_interval_ms = plain_ping_interval_ms,
    .expects_pong = true,
    .has_members = true,
    .farewell = plain_farewell,
    .farewell_with = plain_farewell_with,
    .close_code = plain_close_code,
};

/* All that was written since the last look is exactly this. */
static inline void expect_lines(struct wire *w, const char *lines) {
    struct str news = wire_news(w);
    if (!str_equal(news, str_of(lines)))
        print_error("to %s\nit wrote:\n%.*s\nexpected:\n%s\n", last_received, STR_ARG(news), lines);
    assert_true(str_equal(news, str_of(lines)));
}

/* A client that has connected; what was written is seen. */
static inline struct wire *open_connected(void) {
    struct wire *w = wire_open(&plain_protocol);
    say(w, "1 connect");
    turn();
    expect_lines(w, "1 connected\n");
    return w;
}

/* The same, and it is in a channel; a stub broker confirms it. */
static inline struct wire *open_subscribed(const char *channel) {
    char line[64];
    struct wire *w = open_connected();
    bool is_stub = !strcmp(bench.broker->ops->name, "stub");
    size_t calls = is_stub ? stub()->call_count : 0;
    snprintf(line, sizeof(line), "2 sub %s", channel);
    say(w, line);
    if (is_stub && stub()->call_count > calls)
        stub_answer_at(stub(), calls, BROKER_OK);
    turn();
    expect_lines(w, "2 subscribed\n");
    return w;
}

/* Another worker or node publishes; it is queued at the subscribers, not written. */
static inline void arrives(const char *channel, const char *data) {
    struct msg *m = msg_create(&(struct msg_parts){
        .kind = MSG_PUBLICATION, .channel = str_of(channel), .data = str_of(data)});
    fanout_post(bench.fanout, m);
    msg_unref(m);
    take_mail();
}

#endif
