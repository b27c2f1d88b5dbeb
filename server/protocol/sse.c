/* See sse.h.
 *
 * Thread: the worker of the client. No state.
 */
#include "server/protocol/sse.h"

#include "server/base/json_scan.h"
#include "server/session/client.h"
#include "server/session/sessions.h"

#include <sodium.h>

enum { RETRY_MS = 1000, RETRY_JITTER_MS = 1000, SHUTDOWN_RETRY_JITTER_MS = 5000 };

static void add_retry(struct buf *b, uint32_t jitter_ms) {
    buf_printf(b, "retry: %u\n", RETRY_MS + randombytes_uniform(jitter_ms));
}

void sse_add_preamble(struct buf *b) {
    buf_add_z(b, ": carillon\n");
    add_retry(b, RETRY_JITTER_MS);
    buf_add_char(b, '\n');
}

static struct frame *take(struct buf *b) {
    struct frame *f = frame_create_plain(buf_str(b));
    buf_fini(b);
    return f;
}

/* Whoever may not listen is told; the stream goes on with the other channels. */
static void event(struct client *c, const struct event *e) {
    struct buf b = {0};
    if (e->kind == EVENT_REMOVED && e->removed_for == UNSUBSCRIBE_INSUFFICIENT_STATE)
        client_close(c, CLOSE_INSUFFICIENT_STATE); /* EventSource comes back */
    if (e->kind != EVENT_ERROR)
        return;
    buf_add_z(&b, "event: error\ndata: {\"message\":");
    json_add_string(&b, str_of(client_error_text(e->error)));
    buf_add_z(&b, "}\n\n");
    client_send(c, take(&b));
    client_close(c, CLOSE_INTERNAL); /* EventSource comes back and tries again */
}

static struct frame *encode(const struct msg *m, enum encoding how) {
    struct buf b = {0};
    (void)how; /* never negotiated: plain */
    buf_add_z(&b, "data: ");
    buf_add(&b, m->parts.data);
    buf_add_z(&b, "\n\n");
    return take(&b);
}

/* A comment: the only way to notice a peer that is gone without a word. */
static struct frame *ping(void) {
    return frame_create_plain(STR(":\n\n"));
}

static uint32_t ping_interval_ms(const struct config *config) {
    return config->sse_plain_heartbeat_interval_ms;
}

static uint16_t close_code(enum close_reason r) {
    (void)r;
    return 0; /* there are none */
}

static struct frame *farewell(enum close_reason r) {
    struct buf b = {0};
    if (r == CLOSE_SHUTDOWN)
        add_retry(&b, SHUTDOWN_RETRY_JITTER_MS);
    buf_printf(&b, "event: disconnect\ndata: {\"reason\":\"%s\"}\n\n", close_reason_text(r));
    return take(&b);
}

const struct protocol protocol_sse = {
    .id = PROTOCOL_SSE,
    .name = "sse",
    .event = event,
    .encode = encode,
    .ping = ping,
    .ping_interval_ms = ping_interval_ms,
    .farewell = farewell,
    .close_code = close_code,
};
