/* One WebSocket connection of carillon-bench, as a real client: HTTP upgrade, masked frames, pongs.
 *
 * Reading copies nothing as long as frames arrive whole: they are used where recv() put them. Only
 * the start of a frame that is cut, and the fragments of a message, are kept, in memory of the
 * connection. Frames and messages may be split and joined in any way.
 *
 * Anything a server must not do (a masked frame, a wrong Sec-WebSocket-Accept, a close) ends the
 * program: all that is measured here is measured on connections that stay.
 *
 * Owns: the socket and the three buffers of a conn. Thread: the worker of the conn.
 * Does not: know the Centrifugo protocol beyond its first frame; that is load_line().
 */
#include "tests/bench/carillon_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MESSAGE_MAX_BYTES (16 * 1024 * 1024)

/* The same for all: it guards against caches in between, and there is nothing in between. */
static const char KEY[] = "Y2FyaWxsb24tYmVuY2ghIQ==";

const char *conn_name(const struct worker *w, const struct conn *c) {
    static _Thread_local char name[128];
    snprintf(name, sizeof(name), "%s %u of channel %s",
             c->is_publisher ? "publisher" : "subscriber", c->number, w->flow->channel);
    return name;
}

static const struct sockaddr_in *server_of(const struct worker *w, const struct conn *c) {
    return c->is_publisher ? &w->publish_server : &w->server;
}

static void watch(struct worker *w, struct conn *c, int operation, bool wants_out) {
    struct epoll_event e = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(w->epoll, operation, c->fd, &e) < 0)
        bench_die("epoll_ctl: %s", strerror(errno));
    c->wants_out = wants_out;
}

/* One address has 28,000 source ports; more connections need more addresses of 127.0.0.0/8. */
static void bind_source(struct worker *w, struct conn *c) {
    if (w->source_count < 2)
        return;
    uint32_t address = INADDR_LOOPBACK + 1 + w->opened % w->source_count;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    int on = 1;
    /* The port is then chosen at connect(), which knows that only the pair must be unique. */
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        bench_die("cannot bind to source address %s: %s", inet_ntoa(a.sin_addr), strerror(errno));
}

void conn_open(struct worker *w, struct conn *c) {
    int on = 1;
    c->started_ns = now_ns();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        bench_die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bind_source(w, c);
    const struct sockaddr_in *server = server_of(w, c);
    if (connect(c->fd, (const struct sockaddr *)server, sizeof(*server)) < 0 &&
        errno != EINPROGRESS)
        bench_die("cannot connect %s: %s", conn_name(w, c), strerror(errno));
    watch(w, c, EPOLL_CTL_ADD, true);
}

void conn_flush(struct worker *w, struct conn *c) {
    if (c->out.count == 0)
        return;
    ssize_t r = send(c->fd, c->out.at, c->out.count, MSG_NOSIGNAL);
    if (r < 0 && errno != EAGAIN)
        bench_die("%s: cannot send: %s", conn_name(w, c), strerror(errno));
    if (r > 0)
        bytes_drop(&c->out, (size_t)r);
    if ((c->out.count > 0) != c->wants_out)
        watch(w, c, EPOLL_CTL_MOD, c->out.count > 0);
    if (c->out.count == 0 && !c->is_publisher)
        bytes_free(&c->out); /* a subscriber sends again in 25 s, if ever */
}

static void queue_frame(struct worker *w, struct conn *c, enum ws_opcode opcode,
                        const void *payload, size_t n) {
    uint8_t header[WS_HEADER_MAX_BYTES], key[4];
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    uint32_t bits = (uint32_t)(w->random >> 32);
    memcpy(key, &bits, 4);
    bytes_add(&c->out, header, ws_header_write(header, opcode, n, key));
    bytes_add(&c->out, payload, n);
    ws_mask(c->out.at + c->out.count - n, n, key);
}

void conn_queue(struct worker *w, struct conn *c, const void *text, size_t n) {
    queue_frame(w, c, WS_TEXT, text, n);
}

/* The socket is connected: ask for the upgrade. */
static void send_upgrade(struct worker *w, struct conn *c) {
    int error = 0;
    socklen_t length = sizeof(error);
    char text[512];
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != 0)
        bench_die("cannot connect %s: %s", conn_name(w, c), strerror(error));
    snprintf(text, sizeof(text),
             "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
             w->flow->options->path, w->flow->options->host, ntohs(server_of(w, c)->sin_port), KEY);
    bytes_add_text(&c->out, text);
    c->state = CONN_UPGRADING;
    conn_flush(w, c);
}

/* As the SDKs do: connect and subscribe in one frame, without waiting in between. */
static void send_commands(struct worker *w, struct conn *c) {
    char text[256];
    int n = snprintf(text, sizeof(text), "{\"id\":1,\"connect\":{}}");
    if (!c->is_publisher)
        n += snprintf(text + n, sizeof(text) - (size_t)n,
                      "\n{\"id\":2,\"subscribe\":{\"channel\":\"%s\"}}", w->flow->channel);
    c->state = CONN_CONNECTING;
    conn_queue(w, c, text, (size_t)n);
    conn_flush(w, c);
}

/* Whether one of the header lines is "Sec-WebSocket-Accept: " and the right answer. */
static bool is_accepted(const char *head, size_t n) {
    static const char name[] = "\r\nsec-websocket-accept:";
    char accept[WS_ACCEPT_BYTES + 1];
    ws_accept(KEY, accept);
    for (size_t i = 0; i + sizeof(name) - 1 + WS_ACCEPT_BYTES <= n; i++) {
        if (strncasecmp(head + i, name, sizeof(name) - 1) != 0)
            continue;
        i += sizeof(name) - 1;
        while (i < n && head[i] == ' ')
            i++;
        return i + WS_ACCEPT_BYTES <= n && memcmp(head + i, accept, WS_ACCEPT_BYTES) == 0;
    }
    return false;
}

/* Returns how long the answer was; 0: its end is not there yet. */
static size_t read_upgrade(struct worker *w, struct conn *c, const char *p, size_t n) {
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end - p) + 4;
    if (head < 12 || memcmp(p, "HTTP/1.1 101", 12) != 0)
        bench_die("%s was refused: %.*s", conn_name(w, c),
                  (int)((const char *)memchr(p, '\r', head) - p), p);
    if (!is_accepted(p, head))
        bench_die("%s got a wrong Sec-WebSocket-Accept", conn_name(w, c));
    send_commands(w, c);
    return head;
}

/* A text message, whole: JSON objects with newlines between them. */
static void read_message(struct worker *w, struct conn *c, const char *text, size_t n) {
    while (n > 0) {
        const char *newline = memchr(text, '\n', n);
        size_t line = newline ? (size_t)(newline - text) : n;
        if (line > 0)
            load_line(w, c, text, line);
        n -= newline ? line + 1 : line;
        text += newline ? line + 1 : line;
    }
}

static void read_control(struct worker *w, struct conn *c, uint8_t opcode, const uint8_t *p,
                         size_t n) {
    if (opcode == WS_PING) {
        queue_frame(w, c, WS_PONG, p, n);
        conn_flush(w, c);
    } else if (opcode == WS_CLOSE) {
        bench_die("%s was closed by the server: %d %.*s", conn_name(w, c),
                  n >= 2 ? p[0] << 8 | p[1] : 0, n >= 2 ? (int)n - 2 : 0,
                  n >= 2 ? (char *)p + 2 : "");
    } else if (opcode != WS_PONG) {
        bench_die("%s got a frame of unknown kind %d", conn_name(w, c), opcode);
    }
}

static void read_data(struct worker *w, struct conn *c, const struct ws_header *h,
                      const uint8_t *p) {
    bool is_more = h->opcode == WS_CONTINUATION;
    if (is_more != c->is_fragmented)
        bench_die("%s got a fragment out of place", conn_name(w, c));
    if (h->is_final && !is_more) {
        read_message(w, c, (const char *)p, h->length);
        return;
    }
    c->is_fragmented = !h->is_final;
    bytes_add(&c->message, p, h->length);
    if (c->message.count > MESSAGE_MAX_BYTES)
        bench_die("%s got a message without end", conn_name(w, c));
    if (!h->is_final)
        return;
    struct bytes whole = c->message;
    c->message = (struct bytes){0};
    read_message(w, c, (const char *)whole.at, whole.count);
    bytes_free(&whole);
}

/* Handles the whole frames at p; returns how many bytes they were. */
static size_t read_frames(struct worker *w, struct conn *c, const uint8_t *p, size_t n) {
    size_t used = 0;
    struct ws_header h;
    for (;;) {
        enum ws_parse r = ws_header_parse(p + used, n - used, &h);
        if (r == WS_PARSE_MORE)
            return used;
        if (r == WS_PARSE_BAD || h.is_masked || h.length > MESSAGE_MAX_BYTES)
            bench_die("%s got a frame that is not valid", conn_name(w, c));
        if (n - used - h.header_bytes < h.length)
            return used;
        const uint8_t *payload = p + used + h.header_bytes;
        if (h.opcode == WS_TEXT || h.opcode == WS_CONTINUATION)
            read_data(w, c, &h, payload);
        else
            read_control(w, c, h.opcode, payload, h.length);
        used += h.header_bytes + h.length;
    }
}

static void conn_readable(struct worker *w, struct conn *c) {
    ssize_t r = recv(c->fd, w->buffer, WORKER_READ_BYTES, 0);
    if (r < 0 && errno == EAGAIN)
        return;
    if (r <= 0)
        bench_die("%s lost its connection: %s", conn_name(w, c),
                  r ? strerror(errno) : "end of stream");
    w->now_ns = now_ns();
    w->read_count += c->state == CONN_LIVE && !c->is_publisher;
    const uint8_t *p = w->buffer;
    size_t n = (size_t)r, used = 0;
    if (c->in.count > 0) {
        bytes_add(&c->in, p, n);
        p = c->in.at;
        n = c->in.count;
    }
    if (c->state == CONN_UPGRADING)
        used = read_upgrade(w, c, (const char *)p, n);
    if (c->state > CONN_UPGRADING)
        used += read_frames(w, c, p + used, n - used);
    if (c->in.count == 0)
        bytes_add(&c->in, p + used, n - used);
    else if (used < n)
        bytes_drop(&c->in, used);
    else
        bytes_free(&c->in);
}

void conn_event(struct worker *w, struct conn *c, uint32_t events) {
    if (c->state == CONN_OPENING)
        send_upgrade(w, c);
    else if (events & EPOLLOUT)
        conn_flush(w, c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        conn_readable(w, c);
}
