/* See centrifugo.h: the client protocol over HTTP streams. What the server says is one line of JSON
 * each, or one event each; what the client says comes by session/emulated.h. One-way clients get
 * bare pushes, and an error of their connect as the end of the stream. Source: centrifugal/
 * centrifuge, client.go.
 *
 * Thread: the worker of the client. No state.
 */
#include "server/base/json_scan.h"
#include "server/protocol/centrifugo.h"
#include "server/protocol/centrifugo_encode.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

/* The form of a stream: what stands before and behind each object. */
struct form {
    const char *before, *behind;
    bool is_bare; /* pushes without {"push":...} */
};

static const struct form event_stream = {"data: ", "\n\n", false};
static const struct form lines = {"", "\n", false};
static const struct form bare_events = {"data: ", "\n\n", true};

static struct frame *take(struct buf *b) {
    struct frame *f = frame_create_plain(buf_str(b));
    buf_fini(b);
    return f;
}

static const struct form *form_of(const struct client *c) {
    return c->protocol->id == PROTOCOL_CENTRIFUGO_SSE ? &event_stream : &lines;
}

static void event(struct client *c, const struct event *e) {
    struct buf b = {0};
    buf_add_z(&b, form_of(c)->before);
    centrifugo_add_reply(&b, c, e);
    buf_add_z(&b, form_of(c)->behind);
    client_send(c, take(&b));
}

/* What a one-way client cannot be answered with ends its connection. */
static enum close_reason reason_of(enum client_error e) {
    if (e == ERROR_TOKEN_EXPIRED || e == ERROR_EXPIRED)
        return CLOSE_EXPIRED;
    return e == ERROR_TOO_MANY_REQUESTS ? CLOSE_TOO_MANY_REQUESTS : CLOSE_INTERNAL;
}

static void event_bare(struct client *c, const struct event *e) {
    struct buf b = {0};
    if (e->kind == EVENT_ERROR) {
        client_close(c, reason_of(e->error));
        return;
    }
    buf_add_z(&b, bare_events.before);
    centrifugo_add_bare_event(&b, c, e);
    buf_add_z(&b, bare_events.behind);
    client_send(c, take(&b));
}

static struct frame *encode_all(const struct form *form, struct msg *const *msgs, uint32_t count,
                                enum encoding how) {
    struct buf b = {0};
    for (uint32_t i = 0; i < count; i++) {
        buf_add_z(&b, form->before);
        if (form->is_bare)
            centrifugo_add_bare_push(&b, msgs[i], how);
        else
            centrifugo_add_push(&b, msgs[i], how);
        buf_add_z(&b, form->behind);
    }
    return take(&b);
}

static struct frame *encode_event(const struct msg *m, enum encoding how) {
    struct msg *one = (struct msg *)(uintptr_t)m;
    return encode_all(&event_stream, &one, 1, how);
}

static struct frame *encode_line(const struct msg *m, enum encoding how) {
    struct msg *one = (struct msg *)(uintptr_t)m;
    return encode_all(&lines, &one, 1, how);
}

static struct frame *encode_bare(const struct msg *m, enum encoding how) {
    struct msg *one = (struct msg *)(uintptr_t)m;
    return encode_all(&bare_events, &one, 1, how);
}

static struct frame *encode_bare_members(struct msg *const *msgs, uint32_t count) {
    return encode_all(&bare_events, msgs, count, ENCODING_PLAIN);
}

static struct frame *encode_member_events(struct msg *const *msgs, uint32_t count) {
    return encode_all(&event_stream, msgs, count, ENCODING_PLAIN);
}

static struct frame *encode_member_lines(struct msg *const *msgs, uint32_t count) {
    return encode_all(&lines, msgs, count, ENCODING_PLAIN);
}

static struct frame *ping_event(void) {
    return frame_create_plain(STR("data: {}\n\n"));
}

static struct frame *ping_line(void) {
    return frame_create_plain(STR("{}\n"));
}

static uint32_t ping_interval_ms(const struct config *config) {
    return config->client_ping_interval_ms;
}

/* The end of a stream without a reason makes SDKs come back. */
static struct frame *farewell_of(const struct form *form, uint16_t code, struct str text) {
    struct buf b = {0};
    if (!code || code == centrifugo_close_code(CLOSE_PEER))
        return NULL;
    buf_printf(&b, "%s%s{\"disconnect\":{\"code\":%u,\"reason\":", form->before,
               form->is_bare ? "" : "{\"push\":", code);
    json_add_string(&b, text);
    buf_printf(&b, "}}%s%s", form->is_bare ? "" : "}", form->behind);
    return take(&b);
}

static struct frame *farewell_event(enum close_reason r) {
    return farewell_of(&event_stream, centrifugo_close_code(r), str_of(close_reason_text(r)));
}

static struct frame *farewell_line(enum close_reason r) {
    return farewell_of(&lines, centrifugo_close_code(r), str_of(close_reason_text(r)));
}

static struct frame *farewell_bare(enum close_reason r) {
    return farewell_of(&bare_events, centrifugo_close_code(r), str_of(close_reason_text(r)));
}

static struct frame *farewell_bare_with(uint16_t code, struct str text) {
    return farewell_of(&bare_events, code, text);
}

static struct frame *farewell_event_with(uint16_t code, struct str text) {
    return farewell_of(&event_stream, code, text);
}

static struct frame *farewell_line_with(uint16_t code, struct str text) {
    return farewell_of(&lines, code, text);
}

const struct protocol protocol_centrifugo_sse = {
    .id = PROTOCOL_CENTRIFUGO_SSE,
    .transport = TRANSPORT_SDK_SSE,
    .receive = centrifugo_receive,
    .event = event,
    .encode = encode_event,
    .encode_members = encode_member_events,
    .ping = ping_event,
    .ping_interval_ms = ping_interval_ms,
    .expects_pong = true,
    .has_members = true,
    .farewell = farewell_event,
    .farewell_with = farewell_event_with,
    .close_code = centrifugo_close_code,
};

const struct protocol protocol_centrifugo_stream = {
    .id = PROTOCOL_CENTRIFUGO_STREAM,
    .transport = TRANSPORT_HTTP_STREAM,
    .receive = centrifugo_receive,
    .event = event,
    .encode = encode_line,
    .encode_members = encode_member_lines,
    .ping = ping_line,
    .ping_interval_ms = ping_interval_ms,
    .expects_pong = true,
    .has_members = true,
    .farewell = farewell_line,
    .farewell_with = farewell_line_with,
    .close_code = centrifugo_close_code,
};

const struct protocol protocol_centrifugo_uni_sse = {
    .id = PROTOCOL_CENTRIFUGO_UNI_SSE,
    .transport = TRANSPORT_UNI_SSE,
    .receive = centrifugo_receive_connect,
    .event = event_bare,
    .encode = encode_bare,
    .encode_members = encode_bare_members,
    .ping = ping_event,
    .ping_interval_ms = ping_interval_ms,
    .has_members = true,
    .farewell = farewell_bare,
    .farewell_with = farewell_bare_with,
    .close_code = centrifugo_close_code,
};
