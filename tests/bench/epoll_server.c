/* bench-epoll: the bare reference that Carillon is measured against.
 *
 * One thread, epoll, no library, and as good as it gets for fan-out: one recv() of up to 1 MiB per
 * readable socket and round; all publications of a round joined once per channel; then one send()
 * per subscriber. On the wire it says byte for byte as much as Carillon does for the same commands
 * (`info` of the publisher included), so what is left to compare is the server's own work.
 *
 * It plays fair: TCP_NODELAY like Carillon, every byte is delivered in order, a subscriber that
 * does not read gets a queue of its own and is dropped when that is over QUEUE_MAX_BYTES.
 *
 * Owns: its clients and channels. Thread: one, the main thread; it has nothing else.
 * Does not: check JSON, permissions, UTF-8, Origin or limits, ping, log, unsubscribe, or shut down
 * in order. It understands the load generator of this folder and is no server for anything else.
 */
#include "tests/bench/bytes.h"
#include "tests/bench/ws_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX_BYTES (1 << 20)
#define QUEUE_MAX_BYTES (1 << 20)
#define EVENTS_MAX 1024
#define ACCEPTS_MAX 64
#define CHANNELS_MAX 16

struct channel {
    char name[64];
    struct client **subscribers;
    size_t count, room;
    struct bytes round; /* the frames of this round, one after the other */
};

struct client {
    int fd;
    bool is_open;    /* the upgrade is done */
    bool is_closing; /* freed at the end of the round, not under anybody's feet */
    bool wants_out;  /* waits for EPOLLOUT */
    bool is_dirty;   /* in server.dirty */
    char uuid[37];
    struct bytes in, out;
    struct channel *channels[CHANNELS_MAX]; /* by their number; NULL: not subscribed */
    size_t at[CHANNELS_MAX];                /* where in its subscribers */
};

struct server {
    int epoll, listener;
    uint8_t *buffer;
    struct channel channels[CHANNELS_MAX];
    size_t channel_count;
    struct client **dirty; /* has replies to send, or is closing */
    size_t dirty_count, dirty_room;
};

static void *grow(void *list, size_t count, size_t *room) {
    if (count < *room)
        return list;
    *room = *room ? 2 * *room : 64;
    list = realloc(list, *room * sizeof(void *));
    if (!list)
        abort();
    return list;
}

static void mark_dirty(struct server *s, struct client *c) {
    if (c->is_dirty)
        return;
    c->is_dirty = true;
    s->dirty = grow(s->dirty, s->dirty_count, &s->dirty_room);
    s->dirty[s->dirty_count++] = c;
}

static void client_close(struct server *s, struct client *c) {
    c->is_closing = true;
    mark_dirty(s, c);
}

static void watch(struct server *s, struct client *c, bool wants_out) {
    struct epoll_event e = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &e) < 0)
        abort();
    c->wants_out = wants_out;
}

/* Sends what the kernel takes at once and keeps the rest, behind what is already waiting. */
static void client_write(struct server *s, struct client *c, const uint8_t *p, size_t n) {
    size_t sent = 0;
    if (c->is_closing)
        return;
    if (!c->wants_out) {
        ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL);
        if (r == (ssize_t)n)
            return;
        if (r < 0 && errno != EAGAIN) {
            client_close(s, c);
            return;
        }
        sent = r < 0 ? 0 : (size_t)r;
        watch(s, c, true);
    }
    bytes_add(&c->out, p + sent, n - sent);
    if (c->out.count > QUEUE_MAX_BYTES)
        client_close(s, c);
}

static void client_writable(struct server *s, struct client *c) {
    ssize_t r = send(c->fd, c->out.at, c->out.count, MSG_NOSIGNAL);
    if (r < 0 && errno != EAGAIN)
        client_close(s, c);
    if (r > 0)
        bytes_drop(&c->out, (size_t)r);
    if (c->out.count == 0) {
        bytes_free(&c->out);
        watch(s, c, false);
    }
}

/* Queues a text frame for the end of the round. While EPOLLOUT is awaited, out is already in use.
 */
static void client_reply(struct server *s, struct client *c, const char *text) {
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t n = strlen(text);
    bytes_add(&c->out, header, ws_header_write(header, WS_TEXT, n, NULL));
    bytes_add(&c->out, text, n);
    mark_dirty(s, c);
}

static void client_uuid(struct client *c) {
    uint8_t r[16];
    if (getrandom(r, sizeof(r), 0) != sizeof(r))
        abort();
    r[6] = (r[6] & 0x0f) | 0x40;
    r[8] = (r[8] & 0x3f) | 0x80;
    char *out = c->uuid;
    for (int i = 0; i < 16; i++)
        out += sprintf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", r[i]);
}

static struct channel *channel_find(struct server *s, const char *name, size_t n) {
    for (size_t i = 0; i < s->channel_count; i++)
        if (strlen(s->channels[i].name) == n && memcmp(s->channels[i].name, name, n) == 0)
            return &s->channels[i];
    if (s->channel_count == CHANNELS_MAX || n >= sizeof(s->channels[0].name))
        return NULL;
    struct channel *ch = &s->channels[s->channel_count++];
    memcpy(ch->name, name, n);
    return ch;
}

static void channel_join(struct server *s, struct client *c, struct channel *ch) {
    size_t number = (size_t)(ch - s->channels);
    if (c->channels[number])
        return;
    ch->subscribers = grow(ch->subscribers, ch->count, &ch->room);
    c->channels[number] = ch;
    c->at[number] = ch->count;
    ch->subscribers[ch->count++] = c;
}

static void channel_leave(struct client *c, size_t number) {
    struct channel *ch = c->channels[number];
    struct client *last = ch->subscribers[--ch->count];
    ch->subscribers[c->at[number]] = last;
    last->at[number] = c->at[number];
}

/* Adds the push to what the channel sends at the end of the round. */
static void channel_publish(struct channel *ch, const struct client *from, const char *data,
                            size_t n) {
    char head[128], tail[96];
    uint8_t header[WS_HEADER_MAX_BYTES];
    size_t head_n = (size_t)snprintf(head, sizeof(head),
                                     "{\"push\":{\"channel\":\"%s\",\"pub\":{\"data\":", ch->name);
    size_t tail_n = (size_t)snprintf(tail, sizeof(tail),
                                     ",\"info\":{\"user\":\"\",\"client\":\"%s\"}}}}", from->uuid);
    bytes_add(&ch->round, header, ws_header_write(header, WS_TEXT, head_n + n + tail_n, NULL));
    bytes_add(&ch->round, head, head_n);
    bytes_add(&ch->round, data, n);
    bytes_add(&ch->round, tail, tail_n);
}

/* Where the value after name starts, or NULL. */
static const char *member(const char *text, size_t n, const char *name) {
    const char *p = memmem(text, n, name, strlen(name));
    return p ? p + strlen(name) : NULL;
}

/* One command: {"id":N,"METHOD":{...}}. False: not one that this server knows. */
static bool client_command(struct server *s, struct client *c, const char *text, size_t n) {
    static const char DATA[] = ",\"data\":";
    char reply[160];
    const char *end = text + n;
    const char *id = member(text, n, "{\"id\":");
    const char *method = id ? memchr(id, ',', (size_t)(end - id)) : NULL;
    if (!method || end - method < 12)
        return n == 2 && memcmp(text, "{}", 2) == 0; /* a pong */
    unsigned number = (unsigned)strtoul(id, NULL, 10);
    if (member(method, 11, ",\"connect\":")) {
        snprintf(reply, sizeof(reply),
                 "{\"id\":%u,\"connect\":{\"client\":\"%s\",\"version\":\"bench\"}}", number,
                 c->uuid);
        client_reply(s, c, reply);
        return true;
    }
    const char *name = member(method, (size_t)(end - method), "\"channel\":\"");
    const char *name_end = name ? memchr(name, '"', (size_t)(end - name)) : NULL;
    struct channel *ch = name_end ? channel_find(s, name, (size_t)(name_end - name)) : NULL;
    if (!ch)
        return false;
    const char *data = member(name_end, (size_t)(end - name_end), DATA);
    bool is_publish = memcmp(method, ",\"publish\":", 11) == 0;
    if (is_publish && (!data || end - data < 2))
        return false;
    if (is_publish)
        channel_publish(ch, c, data, (size_t)(end - data) - 2);
    else
        channel_join(s, c, ch);
    snprintf(reply, sizeof(reply), "{\"id\":%u,\"%s\":{}}", number,
             is_publish ? "publish" : "subscribe");
    client_reply(s, c, reply);
    return true;
}

static bool client_text(struct server *s, struct client *c, const char *text, size_t n) {
    while (n > 0) {
        const char *newline = memchr(text, '\n', n);
        size_t line = newline ? (size_t)(newline - text) : n;
        if (line > 0 && !client_command(s, c, text, line))
            return false;
        n -= newline ? line + 1 : line;
        text += newline ? line + 1 : line;
    }
    return true;
}

/* Works on whole frames at p, unmasks them in place; returns how many bytes they were. */
static size_t client_frames(struct server *s, struct client *c, uint8_t *p, size_t n) {
    size_t used = 0;
    struct ws_header h;
    while (!c->is_closing) {
        enum ws_parse r = ws_header_parse(p + used, n - used, &h);
        if (r == WS_PARSE_MORE)
            break;
        bool is_sound = r == WS_PARSE_OK && h.is_masked && h.is_final && h.length < READ_MAX_BYTES;
        if (is_sound && n - used - h.header_bytes < h.length)
            break;
        uint8_t *payload = p + used + h.header_bytes;
        if (is_sound && h.opcode == WS_TEXT) {
            ws_mask(payload, h.length, h.key);
            is_sound = client_text(s, c, (const char *)payload, h.length);
        }
        if (!is_sound || h.opcode == WS_CLOSE)
            client_close(s, c);
        else
            used += h.header_bytes + h.length;
    }
    return used;
}

/* Answers the upgrade once its end is there; returns how many bytes it was. */
static size_t client_upgrade(struct server *s, struct client *c, const char *p, size_t n) {
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end)
        return 0;
    const char *key = member(p, (size_t)(end - p), "\r\nSec-WebSocket-Key: ");
    if (!key || end - key < 24) {
        client_close(s, c);
        return n;
    }
    char accept[WS_ACCEPT_BYTES + 1];
    ws_accept(key, accept);
    bytes_add_text(&c->out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    bytes_add_text(&c->out, accept);
    bytes_add_text(&c->out, "\r\n\r\n");
    mark_dirty(s, c);
    c->is_open = true;
    return (size_t)(end - p) + 4;
}

static void client_readable(struct server *s, struct client *c) {
    ssize_t r = recv(c->fd, s->buffer, READ_MAX_BYTES, 0);
    if (r <= 0) {
        if (r == 0 || errno != EAGAIN)
            client_close(s, c);
        return;
    }
    uint8_t *p = s->buffer;
    size_t n = (size_t)r, used = 0;
    if (c->in.count > 0) { /* the last read ended inside a frame */
        bytes_add(&c->in, p, n);
        p = c->in.at;
        n = c->in.count;
    }
    if (!c->is_open)
        used = client_upgrade(s, c, (const char *)p, n);
    if (c->is_open)
        used += client_frames(s, c, p + used, n - used);
    if (c->in.count == 0)
        bytes_add(&c->in, p + used, n - used);
    else if (used < n)
        bytes_drop(&c->in, used);
    else
        bytes_free(&c->in);
}

static void server_accept(struct server *s) {
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        struct client *c = calloc(1, sizeof(*c));
        if (!c)
            abort();
        c->fd = fd;
        client_uuid(c);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) < 0)
            abort();
    }
}

static void client_free(struct client *c) {
    for (size_t i = 0; i < CHANNELS_MAX; i++)
        if (c->channels[i])
            channel_leave(c, i);
    bytes_free(&c->in);
    bytes_free(&c->out);
    close(c->fd);
    free(c);
}

/* The end of a round: replies, then every channel's frames to every subscriber, then the dead. */
static void server_flush(struct server *s) {
    for (size_t i = 0; i < s->dirty_count; i++) {
        struct client *c = s->dirty[i];
        struct bytes out = c->out;
        if (c->wants_out || out.count == 0)
            continue; /* its replies already stand behind the rest of an earlier send */
        c->out = (struct bytes){0};
        client_write(s, c, out.at, out.count);
        bytes_free(&out);
    }
    for (size_t i = 0; i < s->channel_count; i++) {
        struct channel *ch = &s->channels[i];
        if (ch->round.count == 0)
            continue;
        for (size_t j = 0; j < ch->count; j++)
            client_write(s, ch->subscribers[j], ch->round.at, ch->round.count);
        ch->round.count = 0;
    }
    for (size_t i = 0; i < s->dirty_count; i++) {
        s->dirty[i]->is_dirty = false;
        if (s->dirty[i]->is_closing)
            client_free(s->dirty[i]);
    }
    s->dirty_count = 0;
}

static void server_run(struct server *s) {
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int n = epoll_wait(s->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!c) {
                server_accept(s);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                client_writable(s, c);
            if (!c->is_closing && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                client_readable(s, c);
        }
        server_flush(s);
    }
}

static bool server_listen(struct server *s, uint16_t port) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event e = {.events = EPOLLIN};
    socklen_t length = sizeof(a);
    int on = 1;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s->listener, 1024) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&a, &length) < 0 ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &e) < 0)
        return false;
    fprintf(stderr, "bench-epoll ready port=%u\n", ntohs(a.sin_port));
    return true;
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    if (argc == 3 && strcmp(argv[1], "--port") == 0) {
        port = (uint16_t)strtoul(argv[2], NULL, 10);
    } else if (argc != 1) {
        fprintf(stderr,
                "usage: bench-epoll [--port N]   (loopback only; 0, the default: any free)\n");
        return 2;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct server s = {.buffer = malloc(READ_MAX_BYTES)};
    if (!s.buffer || !server_listen(&s, port)) {
        fprintf(stderr, "bench-epoll: cannot listen on 127.0.0.1:%u: %s\n", port, strerror(errno));
        return 1;
    }
    server_run(&s);
}
