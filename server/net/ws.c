/* See ws.h.
 *
 * Thread: the worker.
 */
#include "server/net/ws.h"

#include "server/base/mem.h"
#include "server/protocol/centrifugo.h"

#include <sys/socket.h>

/* --- transport -------------------------------------------------------------------------------- */

static bool transport_write(void *wsi, const char *bytes, size_t n) {
    /* RAW does not touch the bytes, nor the LWS_PRE bytes before them. */
    return lws_write(wsi, (unsigned char *)(uintptr_t)bytes, n, LWS_WRITE_RAW) >= 0;
}

/* Also when the library has seen a broken frame and closes by itself: nothing may follow its close
 * frame. */
static bool transport_is_blocked(void *wsi) {
    return lws_partial_buffered(wsi) || lws_get_close_length(wsi) > 0;
}

static void transport_pause(void *wsi, bool is_paused) {
    lws_rx_flow_control(wsi, !is_paused);
}

/* Our close frame is out. Whatever the peer still sends, the library must not answer it. */
static void transport_finish(void *wsi) {
    shutdown(lws_get_socket_fd(wsi), SHUT_WR);
    lws_rx_flow_control(wsi, 1);
}

static void transport_kill(void *wsi) {
    /* Else the library waits five more seconds for what it still holds to be read. */
    shutdown(lws_get_socket_fd(wsi), SHUT_RDWR);
    lws_set_timeout(wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
    /* The library looks at its timeouts after input only, and a socket that was reset while reading
     * was paused may be its last. */
    lws_cancel_service(lws_get_context(wsi));
}

static void transport_peer(void *wsi, char *out, size_t cap) {
    lws_get_peer_simple(wsi, out, cap);
}

static const struct transport_ops transport = {
    .write = transport_write,
    .is_blocked = transport_is_blocked,
    .pause = transport_pause,
    .finish = transport_finish,
    .kill = transport_kill,
    .peer = transport_peer,
};

/* --- events ----------------------------------------------------------------------------------- */

void ws_established(struct sessions *s, struct conn *conn, struct lws *wsi) {
    conn->client = client_create(s, &protocol_centrifugo_ws, &transport, wsi);
    if (s->is_draining)
        client_close(conn->client, CLOSE_SHUTDOWN);
}

static void drop_partial(struct conn *conn) {
    if (conn->partial)
        buf_fini(conn->partial);
    mem_free(conn->partial);
    conn->partial = NULL;
    conn->fragment_count = 0;
    conn->utf8 = (struct utf8){0};
}

/* Why the message may not go on. Looks at what is announced, not only at what has come: a frame
 * that declares a terabyte is refused at its header. */
static enum close_reason find_fault(struct conn *conn, struct lws *wsi, struct str piece) {
    const struct config *config = conn->client->sessions->config;
    size_t limit_bytes = config->websocket_message_size_limit_bytes;
    size_t so_far_bytes = (conn->partial ? conn->partial->n : 0) + piece.n;
    size_t to_come_bytes = lws_remaining_packet_payload(wsi);
    if (lws_frame_is_binary(wsi))
        return CLOSE_NOT_TEXT;
    if (to_come_bytes > limit_bytes || so_far_bytes > limit_bytes - to_come_bytes)
        return CLOSE_MESSAGE_TOO_BIG;
    if (to_come_bytes == 0 && ++conn->fragment_count > config->websocket_fragment_limit)
        return CLOSE_TOO_MANY_FRAGMENTS;
    if (!utf8_feed(&conn->utf8, piece) ||
        (lws_is_final_fragment(wsi) && !utf8_is_whole(&conn->utf8)))
        return CLOSE_NOT_UTF8;
    return CLOSE_NONE;
}

void ws_receive(struct conn *conn, struct lws *wsi, struct str piece) {
    struct client *c = conn->client;
    if (!c || c->state >= CLIENT_CLOSING)
        return;
    enum close_reason fault = find_fault(conn, wsi, piece);
    bool is_final = lws_is_final_fragment(wsi);
    if (fault) {
        client_close(c, fault);
    } else if (is_final && !conn->partial) {
        client_receive(c, piece);
    } else {
        if (!conn->partial)
            conn->partial = mem_zalloc(sizeof(*conn->partial));
        buf_add(conn->partial, piece);
        if (!is_final)
            return;
        client_receive(c, buf_str(conn->partial));
    }
    drop_partial(conn);
}

void ws_writable(struct conn *conn) {
    if (conn->client)
        client_writable(conn->client);
}

/* RFC 6455 section 5.5.1: nothing, or a code and a reason in UTF-8. */
static bool is_good_close(struct str payload) {
    return payload.n == 0 || (payload.n >= 2 && str_is_utf8(str_slice(payload, 2, payload.n)));
}

bool ws_peer_closes(struct conn *conn, struct str payload) {
    struct client *c = conn->client;
    bool is_over = false;
    if (!c)
        return true;
    if (!c->has_farewell && !is_good_close(payload))
        client_close(c, CLOSE_BAD_CLOSE_FRAME);
    if (c->has_farewell) {
        client_flush(c);
        is_over = true;
    }
    client_gone(c, CLOSE_PEER);
    conn->client = NULL;
    return !is_over;
}

void ws_closed(struct conn *conn) {
    drop_partial(conn);
    if (conn->client)
        client_gone(conn->client, CLOSE_LOST);
    conn->client = NULL;
}
