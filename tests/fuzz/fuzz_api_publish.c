/* Fuzzes the bodies of POST /api/publish, /api/broadcast and /api/batch.
 *
 * Input: a byte of options, then the body. Whatever comes: there is exactly one answer, at once or
 * when the broker has answered; JSON answers are JSON; and what is published is one JSON value on
 * one line, with tags that are an object, to a channel whose name is allowed. Half of the inputs
 * find a channel with history.
 *
 * Dictionary: api_publish.dict. Thread: main. Owns: nothing.
 */
#include "server/api/api_publish.c"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/fuzz/fuzz_asserts.h"
#include "tests/unit/api_testing.h"

enum {
    OPTION_BROADCAST = 1,
    OPTION_TRANSPORT = 2,
    OPTION_FAILS = 4,
    OPTION_ABANDON = 8,
    OPTION_SMALL = 16,
    OPTION_BATCH = 32,
    OPTION_HISTORY = 64
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(struct str text, enum json_kind kind) {
    struct json_value value;
    struct json_fault fault;
    assert(json_scan_all(text, &value, &fault) && !value.has_newline);
    assert(value.text.n == text.n); /* no space around it */
    assert(kind == JSON_KIND_MISSING || value.kind == kind);
}

static void check_published(const struct msg_parts *p) {
    const struct channel_options *o;
    check_line(p->data, JSON_KIND_MISSING);
    assert(p->data.n <= publication_max_bytes(bench.config));
    if (p->tags.n)
        check_line(p->tags, JSON_KIND_OBJECT);
    assert(p->channel.n && rules_find(&bench.config->rules, p->channel, &o) == RULES_OK);
    assert(p->kind == MSG_PUBLICATION && p->user.n == 0 && p->client.n == 0);
}

static void check_response(bool is_transport_mode) {
    struct json_value value;
    struct json_fault fault;
    int status = response.status;
    assert(status == 200 || status == 400 || status == 413 ||
           (is_transport_mode && (status == 404 || status == 500)));
    assert(response.content_type && response.body.n);
    if (!strcmp(response.content_type, "application/json"))
        assert(json_scan_all(buf_str(&response.body), &value, &fault));
    else
        assert(status == 400 || status == 413);
}

static void check_calls(void) {
    list_for_each(l, &stub()->calls) {
        const struct stub_call *call = list_entry(l, struct stub_call, link);
        if (call->kind == STUB_PUBLISH)
            check_published(&call->msg->parts);
    }
}

/* Answers some with success, some not; a batch goes on then. */
static void broker_moves(uint8_t options) {
    unsigned i = 0;
    turn();
    while (stub()->call_count) {
        check_calls();
        for (; stub()->call_count; i++)
            stub_answer_at(stub(), stub()->call_count - 1,
                           options & OPTION_FAILS && i % 2 ? BROKER_UNAVAILABLE : BROKER_OK);
        turn();
    }
}

static const char *path_of(uint8_t options) {
    if (options & OPTION_BATCH)
        return "/api/batch";
    return options & OPTION_BROADCAST ? "/api/broadcast" : "/api/publish";
}

static void set_options(uint8_t options) {
    struct channel_options *o = &bench.config->rules.without_namespace;
    bench.config->client_queue_max_size_bytes = options & OPTION_SMALL ? 4096 / 8 : 1 << 20;
    o->presence = o->delta_publish = options & OPTION_HISTORY;
    o->history_size = o->history_ttl_s = o->history_meta_ttl_s = options & OPTION_HISTORY;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t options = size ? data[0] : 0;
    char *copy = mem_alloc(size);
    if (size > 1)
        memcpy(copy, data + 1, size - 1);
    if (!bench.config)
        api_start(stub_broker_create);
    set_options(options);
    bool is_transport_mode = options & OPTION_TRANSPORT;
    answer_count = 0;
    struct api_call *call = request_as(&(struct http_request){
        .method = STR("POST"),
        .path = str_of(path_of(options)),
        .body = {copy, size ? size - 1 : 0},
        .error_mode = is_transport_mode ? STR("transport") : STR_NONE,
    });
    mem_free(copy); /* whatever is published must have been copied */
    assert(call || stub()->call_count == 0);
    check_calls();
    bool is_abandoned = call && options & OPTION_ABANDON;
    if (is_abandoned)
        api_abandon(call);
    broker_moves(options);
    assert(answer_count == (call && !is_abandoned));
    if (!is_abandoned)
        check_response(is_transport_mode);
    return 0;
}
