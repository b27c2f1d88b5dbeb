/* See http.h and http_conn.h.
 *
 * Thread: its worker.
 */
#include "server/net/http_conn.h"

#include "server/base/mem.h"
#include "server/net/http_response.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_low_water(struct http_conn *c, int bytes) {
    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

void http_conn_set_deadline(struct http_conn *c, uint32_t ms) {
    wheel_set(&c->http->wheel, &c->timer, c->http->sessions->now_ms + ms);
}

/* --- end -------------------------------------------------------------------------------------- */

static void handle_closed(uv_handle_t *handle) {
    struct http_conn *c = handle->data;
    c->http->conn_count--;
    mem_free(c);
}

/* Frees the connection, later; its socket is the caller's. */
static void forget(struct http_conn *c) {
    http_exchange_drop(c);
    if (c->client)
        client_gone(c->client, CLOSE_LOST);
    c->client = NULL;
    list_remove(&c->link);
    wheel_cancel(&c->timer);
    buf_fini(&c->out);
    uv_poll_stop(&c->poll); /* leaves epoll at once, so that the socket can be watched anew */
    uv_close((uv_handle_t *)&c->poll, handle_closed);
}

void http_conn_drop(struct http_conn *c) {
    int fd = c->fd;
    struct http *h = c->http;
    forget(c);
    close(fd);
    door_left(h->limits);
}

/* --- writing ---------------------------------------------------------------------------------- */

void http_conn_linger(struct http_conn *c) {
    c->state = HTTP_LINGERING;
    shutdown(c->fd, SHUT_WR);
    http_conn_set_deadline(c, HTTP_LINGER_MS);
    http_conn_watch(c);
}

static void written(struct http_conn *c) {
    if (c->state == HTTP_STREAMING) {
        http_conn_watch(c);
        client_writable(c->client);
    } else if (c->must_close) {
        http_conn_linger(c);
    } else {
        c->state = HTTP_READING_HEAD;
        c->has_head_begun = false;
        http_conn_set_deadline(c, HTTP_IDLE_MS);
        http_conn_watch(c);
    }
}

/* What the socket takes of it; negative with errno when it is dead. */
static ssize_t send_some(int fd, const char *bytes, size_t n) {
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
}

static void write_more(struct http_conn *c) {
    ssize_t n = send_some(c->fd, c->out.p + c->out_at, c->out.n - c->out_at);
    if (n < 0) {
        http_conn_drop(c);
        return;
    }
    c->out_at += (size_t)n;
    if (c->out_at < c->out.n) {
        http_conn_watch(c);
        return;
    }
    buf_fini(&c->out);
    c->out_at = 0;
    written(c);
}

bool http_conn_send(struct http_conn *c, const char *bytes, size_t n) {
    ssize_t sent = send_some(c->fd, bytes, n);
    if (sent < 0)
        return false;
    if ((size_t)sent < n) {
        buf_add(&c->out, (struct str){bytes + sent, n - (size_t)sent});
        http_conn_watch(c);
    }
    return true;
}

void http_conn_write(struct http_conn *c, struct buf *b) {
    c->out = *b;
    c->out_at = 0;
    *b = (struct buf){0};
    c->state = HTTP_WRITING;
    http_conn_set_deadline(c, HTTP_BODY_MS);
    write_more(c);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void refuse(struct http_conn *c, const struct handshake_answer *a, bool is_head) {
    struct buf b = {0};
    if (!a->status) {
        http_conn_drop(c);
        return;
    }
    metrics_add(c->http->sessions->metrics, METRIC_HANDSHAKES_REFUSED, 1);
    log_limited(&c->http->log_refused, a->status == 403 ? LOG_WARN : LOG_DEBUG,
                "request refused status=%d reason=\"%s\"", a->status, a->text);
    http_response_refusal(&b, a, is_head);
    c->must_close = true;
    http_conn_write(c, &b);
}

static void let_in(struct http_conn *c) {
    struct http *h = c->http;
    int fd = c->fd;
    set_low_water(c, 1);
    forget(c);
    if (!h->upgrade(h->upgrade_arg, fd))
        door_left(h->limits);
}

/* Takes the head off the socket and begins the request. */
static void accept_request(struct http_conn *c, char *bytes, const struct head *head) {
    set_low_water(c, 1);
    if (recv(c->fd, bytes, head->size_bytes, 0) != (ssize_t)head->size_bytes) {
        http_conn_drop(c);
        return;
    }
    http_exchange_begin(c, head);
}

static void wait_for_more(struct http_conn *c, size_t seen_bytes, bool is_half_closed) {
    if (is_half_closed) {
        http_conn_drop(c);
        return;
    }
    set_low_water(c, (int)seen_bytes + 1);
    if (!c->has_head_begun)
        http_conn_set_deadline(c, HTTP_HEAD_MS);
    c->has_head_begun = true;
}

static void read_head(struct http_conn *c, bool is_half_closed) {
    char bytes[HEAD_MAX_BYTES];
    struct head head;
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        http_conn_drop(c);
        return;
    }
    enum head_result result = head_parse((struct str){bytes, (size_t)n}, &head);
    if (result == HEAD_INCOMPLETE) {
        wait_for_more(c, (size_t)n, is_half_closed);
        return;
    }
    struct handshake_answer a = result == HEAD_OK
                                    ? handshake_check(&head, c->http->sessions->config)
                                    : handshake_broken(result);
    if (result != HEAD_OK || a.status)
        refuse(c, &a, result == HEAD_OK && str_equal(head.method, STR("HEAD")));
    else if (a.is_upgrade)
        let_in(c);
    else
        accept_request(c, bytes, &head);
}

static void read_body(struct http_conn *c) {
    size_t missing = http_exchange_missing(c);
    size_t room = missing < 65536 ? missing : 65536;
    ssize_t n = recv(c->fd, http_exchange_room(c, room), room, 0);
    if (n > 0)
        http_exchange_add(c, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        http_conn_drop(c);
}

static void discard(struct http_conn *c) {
    char junk[16384];
    ssize_t n = recv(c->fd, junk, sizeof(junk), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        http_conn_drop(c);
}

static void on_event(uv_poll_t *p, int status, int events) {
    struct http_conn *c = p->data;
    c->http->note_input(c->http->note_arg);
    if (status < 0) {
        http_conn_drop(c);
        return;
    }
    switch (c->state) {
    case HTTP_READING_HEAD:
        read_head(c, events & UV_DISCONNECT);
        break;
    case HTTP_READING_BODY:
        read_body(c);
        break;
    case HTTP_WRITING:
        write_more(c);
        break;
    case HTTP_LINGERING:
        discard(c);
        break;
    case HTTP_STREAMING:
        if (events & UV_WRITABLE)
            write_more(c);
        else
            discard(c);
        break;
    case HTTP_WAITING:
        break;
    }
}

void http_conn_watch(struct http_conn *c) {
    switch (c->state) {
    case HTTP_READING_HEAD:
        uv_poll_start(&c->poll, UV_READABLE | UV_DISCONNECT, on_event);
        break;
    case HTTP_READING_BODY:
    case HTTP_LINGERING:
        uv_poll_start(&c->poll, UV_READABLE, on_event);
        break;
    case HTTP_WRITING:
        uv_poll_start(&c->poll, UV_WRITABLE, on_event);
        break;
    case HTTP_STREAMING:
        uv_poll_start(&c->poll, c->out.n ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_event);
        break;
    case HTTP_WAITING: /* a peer that half-closes would keep the loop spinning */
        uv_poll_stop(&c->poll);
        break;
    }
}

/* --- all of them ------------------------------------------------------------------------------ */

void http_init(struct http *h) {
    list_init(&h->conns);
    wheel_init(&h->wheel, h->sessions->now_ms);
}

void http_welcome(struct http *h, int fd) {
    struct http_conn *c = mem_zalloc(sizeof(*c));
    c->http = h;
    c->fd = fd;
    c->state = HTTP_READING_HEAD;
    c->has_head_begun = true;
    c->poll.data = c;
    list_append(&h->conns, &c->link);
    h->conn_count++;
    wheel_entry_init(&c->timer);
    http_conn_set_deadline(c, HTTP_HEAD_MS);
    uv_poll_init(h->loop, &c->poll, fd);
    http_conn_watch(c);
    read_head(c, false); /* mostly it is there already */
}

static void fire(struct wheel_entry *e, void *arg) {
    struct http_conn *c = list_entry(e, struct http_conn, timer);
    (void)arg;
    if (c->state != HTTP_WAITING) /* the broker has a deadline of its own */
        http_conn_drop(c);
}

void http_tick(struct http *h, uint64_t now_ms) {
    wheel_turn(&h->wheel, now_ms, fire, h);
}

void http_drain(struct http *h) {
    list_for_each_safe(l, &h->conns) {
        struct http_conn *c = list_entry(l, struct http_conn, link);
        c->must_close = true;
        if (c->state == HTTP_READING_HEAD)
            http_conn_drop(c);
        else if (c->state == HTTP_READING_BODY)
            http_conn_set_deadline(c, HTTP_LINGER_MS);
    }
}

void http_close(struct http *h) {
    list_for_each_safe(l, &h->conns) http_conn_drop(list_entry(l, struct http_conn, link));
}
