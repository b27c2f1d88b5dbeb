/* See websocket.h.
 *
 * Thread: main.
 */
#include "server/doctor/websocket.h"

#include "server/doctor/ws_frame.h"

#include <sodium.h>

enum { MESSAGE_BYTES_MAX = 1 << 20, REFUSAL_BYTES_MAX = 65536, KEY_BYTES = 25 };

static bool is_upgraded(struct websocket *w, const char *key) {
    struct str accept;
    char wanted[29];
    if (w->x.head.status != 101)
        return false;
    ws_accept_of(str_of(key), wanted);
    if (answer_find(&w->x.head, "sec-websocket-accept", &accept) == 1 &&
        str_equal(accept, str_of(wanted)))
        return true;
    w->x.fault = "101 with a wrong Sec-WebSocket-Accept";
    return false;
}

bool websocket_open(struct websocket *w, const struct target *t, const char *path,
                    const char *origin) {
    uint8_t random[16];
    char key[KEY_BYTES];
    struct buf headers = {0};
    *w = (struct websocket){0};
    randombytes_buf(random, sizeof(random));
    sodium_bin2base64(key, sizeof(key), random, sizeof(random), sodium_base64_VARIANT_ORIGINAL);
    buf_printf(&headers,
               "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: %s\r\n",
               key);
    if (origin)
        buf_printf(&headers, "Origin: %s\r\n", origin);
    const struct request q = {.method = "GET", .path = path, .headers = buf_str(&headers)};
    bool is_answered = exchange_begin(&w->x, t, &q);
    while (is_answered && w->x.head.status != 101 && w->x.body.n < REFUSAL_BYTES_MAX &&
           exchange_more(&w->x))
        continue;
    buf_fini(&headers);
    return is_answered && is_upgraded(w, key);
}

bool websocket_send(struct websocket *w, struct str text) {
    struct buf frame = {0};
    ws_frame_add(&frame, WS_TEXT, text);
    bool is_sent = link_send(&w->x.link, buf_str(&frame));
    if (frame.cap)
        sodium_memzero(frame.p, frame.cap); /* may hold the token */
    buf_fini(&frame);
    return is_sent;
}

static void answer_ping(struct websocket *w, struct str payload) {
    struct buf frame = {0};
    ws_frame_add(&frame, WS_PONG, payload);
    link_send(&w->x.link, buf_str(&frame));
    buf_fini(&frame);
}

static enum ws_event take_close(struct websocket *w, struct str payload) {
    buf_clear(&w->message);
    w->code = 1005;
    if (payload.n >= 2)
        w->code = (uint16_t)((uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1]);
    buf_add(&w->message, str_slice(payload, 2, payload.n));
    return WS_EVENT_CLOSED;
}

/* One frame. LATE: go on. */
static enum ws_event take_frame(struct websocket *w, const struct ws_frame *f) {
    if (f->opcode == WS_CLOSE)
        return take_close(w, f->payload);
    if (f->opcode == WS_PING)
        answer_ping(w, f->payload);
    if (f->opcode >= WS_CLOSE)
        return WS_EVENT_LATE;
    if (w->message.n + f->payload.n > MESSAGE_BYTES_MAX)
        return WS_EVENT_BROKEN;
    buf_add(&w->message, f->payload);
    return f->is_last ? WS_EVENT_MESSAGE : WS_EVENT_LATE;
}

enum ws_event websocket_next(struct websocket *w) {
    struct link *l = &w->x.link;
    buf_clear(&w->message);
    for (;;) {
        struct ws_frame f;
        enum answer_state state = ws_frame_read(buf_str(&l->in), MESSAGE_BYTES_MAX, &f);
        if (state == ANSWER_BAD)
            return WS_EVENT_BROKEN;
        if (state == ANSWER_DONE) {
            enum ws_event e = take_frame(w, &f);
            buf_consume(&l->in, f.size_bytes);
            if (e != WS_EVENT_LATE)
                return e;
        } else if (!link_receive(l)) {
            return l->state == LINK_LATE ? WS_EVENT_LATE : WS_EVENT_CUT;
        }
    }
}

void websocket_close(struct websocket *w) {
    struct buf frame = {0};
    if (w->x.link.state == LINK_OPEN && w->x.head.status == 101) {
        ws_frame_add(&frame, WS_CLOSE, STR("\x03\xe8"));
        link_send(&w->x.link, buf_str(&frame));
        buf_fini(&frame);
    }
    exchange_fini(&w->x);
    buf_fini(&w->message);
}
