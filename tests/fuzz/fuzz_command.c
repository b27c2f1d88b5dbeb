/* Fuzzes the Centrifugo protocol from a connected client's message to the frames that answer it.
 *
 * Input: a byte of options, then messages, separated by 0x1e. Between messages the broker answers,
 * fails or lets wait, as the options say. Whatever comes: each frame is sound WebSocket, each text
 * one JSON object of the protocol, nothing follows a close frame, and client, hub and broker agree
 * on what is subscribed. When the client is gone nothing is left of it.
 *
 * Dictionary: command.dict. Thread: main. Owns: nothing.
 */
#include "server/protocol/centrifugo.c"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/fuzz_asserts.h"
#include "tests/unit/session_testing.h"
#include "tests/unit/ws_frames.h"

enum {
    OPTION_LISTENER = 1,    /* somebody else is in channel "a" */
    OPTION_SMALL_QUEUE = 2, /* and few channels */
    OPTION_FAILS = 4,       /* the broker does, now and then */
    OPTION_WAITS = 8,       /* it takes its time */
    OPTION_PING = 16,       /* a pong is owed */
    OPTION_MEMBERS = 32,    /* presence, joins and leaves */
    OPTION_LIMITS = 64,     /* on commands and bytes */
    OPTION_TOKEN = 128,     /* comes with a token that names channels "a" and "b" */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* {} or one with "id" and one more member, or one with "push" only. */
static void check_text(struct str text) {
    struct json_value object, key, value;
    struct json_fault fault;
    struct json_field fields[] = {JSON_FIELD("id"), JSON_FIELD("push")};
    size_t at = 0, count = 0;
    uint64_t id;
    assert(json_scan_all(text, &object, &fault));
    assert(object.kind == JSON_KIND_OBJECT && !object.has_newline);
    assert(json_fields(object, fields, 2, &fault));
    while (json_each(object, &at, &key, &value))
        count++;
    if (count == 0)
        return;
    if (fields[1].value.kind != JSON_KIND_MISSING) {
        assert(count == 1);
        return;
    }
    assert(count == 2 && fields[0].value.kind == JSON_KIND_NUMBER);
    assert(json_u64(fields[0].value, UINT32_MAX, &id));
}

static void check_close(struct str payload) {
    uint64_t code = ws_number(payload, 0, 2);
    assert(payload.n > 2 && str_is_utf8(str_slice(payload, 2, payload.n)));
    assert(code >= 1000 && code < 5000);
}

/* What was written since the last look; fragments are put together. */
static void check_news(struct wire *w) {
    struct str news = wire_news(w);
    struct buf message = {0};
    struct ws_frame f;
    bool is_inside = false;
    while (news.n) {
        assert(ws_next(&news, &f));
        assert(f.opcode == (is_inside ? WS_CONTINUATION : WS_TEXT) || f.opcode == WS_CLOSE);
        if (f.opcode == WS_CLOSE) {
            check_close(f.payload);
            assert(news.n == 0 && !is_inside);
            break;
        }
        buf_add(&message, f.payload);
        is_inside = !f.is_final;
        if (is_inside)
            continue;
        check_text(buf_str(&message));
        buf_clear(&message);
    }
    assert(!is_inside);
    buf_fini(&message);
}

static void check_client(const struct wire *w) {
    const struct client *c = w->client;
    uint32_t count = 0;
    if (!c)
        return;
    list_for_each(l, &c->subscriptions) {
        const struct subscription *sub = list_entry(l, struct subscription, in_client);
        assert(sub->client == c && sub->hub.channel->subs[sub->hub.index] == &sub->hub);
        count++;
    }
    assert(count == c->subscription_count && count <= bench.config->client_channel_limit);
    assert(c->open_calls <= CLIENT_CALLS_MAX);
    assert(c->queue.size_bytes <= bench.config->client_queue_max_size_bytes + 125);
    assert(c->deferred.n == 0 || c->is_paused);
    assert(c->state < CLIENT_CLOSING || count == 0);
}

static void broker_moves(uint8_t options) {
    if (options & OPTION_WAITS && options & OPTION_FAILS && stub()->call_count > 1)
        stub_answer_at(stub(), stub()->call_count - 1, BROKER_OK);
    else if (stub()->call_count && !(options & OPTION_WAITS))
        stub_answer_at(stub(), 0, options & OPTION_FAILS ? BROKER_UNAVAILABLE : BROKER_OK);
}

static void settle(void) {
    while (stub()->call_count) {
        stub_answer(stub());
        turn();
    }
}

static void set_options(uint8_t options) {
    struct config *c = bench.config;
    c->client_queue_max_size_bytes = options & OPTION_SMALL_QUEUE ? 4096 : 1 << 20;
    c->client_channel_limit = options & OPTION_SMALL_QUEUE ? 3 : 128;
    c->rules.without_namespace.presence = options & OPTION_MEMBERS;
    c->rules.without_namespace.join_leave = options & OPTION_MEMBERS;
    c->client_command_rate_limit = options & OPTION_LIMITS ? 5 : 0;
    c->client_bytes_rate_limit = options & OPTION_LIMITS ? 1000 : 0;
}

static struct wire *open_with_token(void) {
    struct client_gift gifts[] = {{.channel = STR("a")}, {.channel = STR("b")}};
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    client_join_all(w->client,
                    &(struct client_join_all){.command_id = 1, .gifts = gifts, .gift_count = 2});
    return w;
}

static struct wire *open_connected(void) {
    struct wire *w = wire_open(&protocol_centrifugo_ws);
    say(w, "{\"id\":1,\"connect\":{}}");
    turn();
    check_news(w);
    return w;
}

static void run_messages(struct wire *w, struct wire *listener, struct str rest, uint8_t options) {
    for (bool is_more = true; is_more; broker_moves(options)) {
        size_t end = str_find(rest, '\x1e');
        is_more = end < rest.n;
        if (w->client)
            wire_receive(w, str_slice(rest, 0, end));
        rest = str_slice(rest, end + 1, rest.n);
        check_client(w);
        turn();
        check_news(w);
        if (listener)
            check_news(listener);
    }
    settle();
    check_news(w);
    check_client(w);
}

static void check_nothing_is_left(void) {
    turn();
    settle();
    assert(bench.sessions.client_count == 0 && bench.sessions.hub.sub_count == 0);
    assert(bench.sessions.hub.channels.count == 0);
    assert(fanout_channel_count(bench.fanout) == 0 && stub()->attached_count == 0);
    assert(!sessions_has_pending(&bench.sessions));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t options = size ? data[0] : 0;
    struct wire *listener = NULL;
    if (!bench.config)
        bench_start(stub_broker_create);
    set_options(options);
    struct wire *w = options & OPTION_TOKEN ? open_with_token() : open_connected();
    if (options & OPTION_LISTENER) {
        listener = open_connected();
        say(listener, "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
        settle();
    }
    if (options & OPTION_PING && w->client->state == CLIENT_CONNECTED) {
        pass_until_write(w);
        check_news(w);
    }
    run_messages(w, listener, (struct str){(const char *)data + !!size, size - !!size}, options);
    wire_free(w);
    if (listener)
        wire_free(listener);
    check_nothing_is_left();
    return 0;
}
