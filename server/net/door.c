/* See door.h.
 *
 * Thread: its worker.
 */
#include "server/net/door.h"

#include "server/net/http_response.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64, UNACKED_MS = 30000 };

void door_left(struct door_limits *l) {
    uint32_t before = atomic_fetch_sub(&l->open_count, 1);
    assert(before > 0);
}

static bool is_over_rate(struct door *d) {
    const struct config *c = d->sessions->config;
    uint64_t second = d->sessions->now_ms / 1000;
    if (!c->client_connection_rate_limit)
        return false;
    if (second != d->rate_second) {
        d->rate_second = second;
        d->accepted_count = 0;
    }
    /* The limit is the node's; the kernel spreads connections evenly over the workers. */
    return ++d->accepted_count > (c->client_connection_rate_limit + c->workers - 1) / c->workers;
}

/* True when the connection may stay; it is counted then. */
static bool count_in(struct door *d) {
    uint32_t before = atomic_fetch_add(&d->limits->open_count, 1);
    bool is_full = before >= d->limits->max_count;
    if (!is_full && !is_over_rate(d))
        return true;
    door_left(d->limits);
    metrics_add(d->sessions->metrics, METRIC_SOCKETS_REFUSED, 1);
    log_limited(
        &d->log_full, LOG_WARN, "connection refused reason=\"%s\" open=%u connections_max=%u",
        is_full ? "connection limit" : "connection rate limit", before, d->limits->max_count);
    return false;
}

static void turn_away(int fd) {
    const struct handshake_answer a = {.status = 503,
                                       .text = "too many connections, come back later",
                                       .headers = "Retry-After: 5\r\n"};
    struct buf b = {0};
    char junk[4096];
    http_response_refusal(&b, &a, false);
    (void)!send(fd, b.p, b.n, MSG_NOSIGNAL);
    buf_fini(&b);
    shutdown(fd, SHUT_WR);
    /* What came already must be read, or closing resets the connection and destroys the answer. */
    (void)!recv(fd, junk, sizeof(junk), MSG_DONTWAIT);
    close(fd);
}

static void welcome(struct door *d, int fd) {
    const int one = 1, unacked_ms = UNACKED_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    /* A peer that is gone without a word is noticed in half a minute, not in a quarter of an hour.
     */
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
    d->welcome(d->welcome_arg, fd);
}

static void on_connection(uv_poll_t *p, int status, int events) {
    struct door *d = p->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(d->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
                log_limited(&d->log_accept, LOG_WARN, "cannot accept errno=%d", errno);
            return;
        }
        metrics_add(d->sessions->metrics, METRIC_SOCKETS_ACCEPTED, 1);
        if (count_in(d))
            welcome(d, fd);
        else
            turn_away(fd);
    }
}

void door_open(struct door *d, int listen_fd) {
    d->listen_fd = listen_fd;
    d->listener.data = d;
    d->is_open = true;
    uv_poll_init(d->loop, &d->listener, listen_fd);
    uv_poll_start(&d->listener, UV_READABLE, on_connection);
}

void door_close(struct door *d) {
    if (!d->is_open)
        return;
    d->is_open = false;
    uv_poll_stop(&d->listener);
    uv_close((uv_handle_t *)&d->listener, NULL);
    close(d->listen_fd);
}
