/* See link.h: names, TCP, and the bytes of both kinds of connections.
 *
 * Thread: main; names are asked for by one of their own.
 */
#include "server/doctor/link.h"

#include "server/base/clock.h"
#include "server/base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 16384 };

/* --- names ------------------------------------------------------------------------------------ */

static void add_address(struct target *t, const struct addrinfo *a) {
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (t->address_count == ADDRESSES_MAX || a->ai_addrlen > sizeof(struct sockaddr_storage))
        return;
    struct address *to = &t->addresses[t->address_count++];
    memcpy(&to->sockaddr, a->ai_addr, a->ai_addrlen);
    to->bytes = a->ai_addrlen;
    if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        strcpy(host, "?");
    snprintf(to->text, sizeof(to->text), "%.63s", host);
}

/* The resolver may take long: a thread of its own asks it. Who is last frees the question. */
struct question {
    char *host, *port;
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done, is_abandoned;
    int status;
    struct addrinfo *result;
};

static struct question *question_create(const struct target *t) {
    struct question *q = mem_zalloc(sizeof(*q));
    pthread_condattr_t attributes;
    q->host = mem_strndup(t->url.host.p, t->url.host.n);
    q->port = mem_strndup(t->url.port.p, t->url.port.n);
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&q->done, &attributes);
    pthread_condattr_destroy(&attributes);
    return q;
}

static void question_destroy(struct question *q) {
    if (q->result)
        freeaddrinfo(q->result);
    pthread_cond_destroy(&q->done);
    pthread_mutex_destroy(&q->lock);
    mem_free(q->host);
    mem_free(q->port);
    mem_free(q);
}

static void *ask(void *arg) {
    struct question *q = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int status = getaddrinfo(q->host, q->port, &hints, &q->result);
    pthread_mutex_lock(&q->lock);
    q->status = status;
    q->is_done = true;
    bool is_last = q->is_abandoned;
    pthread_cond_signal(&q->done);
    pthread_mutex_unlock(&q->lock);
    if (is_last)
        question_destroy(q);
    return NULL;
}

/* False: it takes too long, and the question is no longer ours. */
static bool await(struct question *q, uint32_t timeout_ms) {
    uint64_t end_ms = clock_now_ms() + timeout_ms;
    const struct timespec end = {.tv_sec = (time_t)(end_ms / 1000),
                                 .tv_nsec = (long)(end_ms % 1000 * 1000000)};
    pthread_mutex_lock(&q->lock);
    while (!q->is_done && pthread_cond_timedwait(&q->done, &q->lock, &end) == 0)
        continue;
    bool is_done = q->is_done;
    q->is_abandoned = !is_done;
    pthread_mutex_unlock(&q->lock);
    return is_done;
}

const char *target_resolve(struct target *t) {
    struct question *q = question_create(t);
    pthread_t thread;
    t->address_count = 0;
    if (pthread_create(&thread, NULL, ask, q) != 0) {
        question_destroy(q);
        return "there is no thread to ask";
    }
    if (!await(q, t->timeout_ms)) {
        pthread_detach(thread);
        return "the name server does not answer";
    }
    pthread_join(thread, NULL);
    int status = q->status;
    for (const struct addrinfo *a = status ? NULL : q->result; a; a = a->ai_next)
        add_address(t, a);
    question_destroy(q);
    return status ? gai_strerror(status) : t->address_count ? NULL : "it has no address";
}

/* --- waiting ---------------------------------------------------------------------------------- */

void link_set_deadline(struct link *l, uint32_t after_ms) {
    l->end_ms = clock_now_ms() + after_ms;
}

/* False when the time is over. */
static bool wait_until(int fd, short events, uint64_t end_ms) {
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        uint64_t now_ms = clock_now_ms();
        if (now_ms >= end_ms)
            return false;
        if (poll(&p, 1, (int)(end_ms - now_ms)) > 0)
            return true;
    }
}

static bool wait_for(struct link *l, short events) {
    if (wait_until(l->fd, events, l->end_ms))
        return true;
    l->state = LINK_LATE;
    return false;
}

/* --- TCP -------------------------------------------------------------------------------------- */

static const char *why_not(int error) {
    switch (error) {
    case ECONNREFUSED:
        return "connection refused";
    case ETIMEDOUT:
        return "no answer in time";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "no route to it";
    default:
        return "no connection";
    }
}

const char *target_connect(const struct target *t, uint32_t which, int *fd) {
    const struct address *a = &t->addresses[which];
    int error = 0;
    socklen_t n = sizeof(error);
    *fd = socket(a->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return "no socket";
    if (connect(*fd, (const struct sockaddr *)&a->sockaddr, a->bytes) != 0)
        error = errno;
    if (error == EINPROGRESS) {
        error = ETIMEDOUT;
        if (wait_until(*fd, POLLOUT, clock_now_ms() + t->timeout_ms))
            getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &n);
    }
    if (!error)
        return NULL;
    close(*fd);
    *fd = -1;
    return why_not(error);
}

bool link_open(struct link *l, const struct target *t) {
    *l = (struct link){.fd = -1};
    link_set_deadline(l, t->timeout_ms);
    l->fault = target_connect(t, t->chosen, &l->fd);
    if (!l->fault && (!t->url.is_tls || link_start_tls(l, t)))
        return true;
    l->state = LINK_FAILED;
    return false;
}

void link_close(struct link *l) {
    SSL_free(l->ssl);
    SSL_CTX_free(l->ctx);
    ERR_clear_error();
    if (l->fd >= 0)
        close(l->fd);
    buf_fini(&l->in);
    *l = (struct link){.fd = -1, .state = LINK_FAILED};
}

/* --- bytes ------------------------------------------------------------------------------------ */

static bool end(struct link *l, enum link_state state) {
    l->state = state;
    return false;
}

/* After a call that gave n <= 0: waits for what it needs. */
static bool go_on(struct link *l, ssize_t n, short events) {
    if (!l->ssl) {
        if (n == 0)
            return end(l, LINK_ENDED);
        return errno == EAGAIN || errno == EINTR ? wait_for(l, events) : end(l, LINK_RESET);
    }
    switch (SSL_get_error(l->ssl, (int)n)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(l, POLLIN);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(l, POLLOUT);
    case SSL_ERROR_ZERO_RETURN:
        return end(l, LINK_ENDED);
    default:
        return end(l, LINK_RESET);
    }
}

bool link_send(struct link *l, struct str s) {
    if (l->state == LINK_LATE)
        l->state = LINK_OPEN;
    while (s.n && l->state == LINK_OPEN) {
        ERR_clear_error();
        ssize_t n = l->ssl ? SSL_write(l->ssl, s.p, (int)s.n) : send(l->fd, s.p, s.n, MSG_NOSIGNAL);
        if (n > 0)
            s = str_slice(s, (size_t)n, s.n);
        else if (!go_on(l, n, POLLOUT))
            return false;
    }
    return l->state == LINK_OPEN;
}

bool link_receive(struct link *l) {
    if (l->state == LINK_LATE)
        l->state = LINK_OPEN;
    while (l->state == LINK_OPEN) {
        /* Also who always has bytes ready must end in time. */
        if (clock_now_ms() >= l->end_ms)
            return end(l, LINK_LATE);
        ERR_clear_error();
        char *to = buf_reserve(&l->in, CHUNK_BYTES);
        ssize_t n = l->ssl ? SSL_read(l->ssl, to, CHUNK_BYTES) : recv(l->fd, to, CHUNK_BYTES, 0);
        if (n > 0) {
            l->in.n += (size_t)n;
            return true;
        }
        if (!go_on(l, n, POLLIN))
            return false;
    }
    return false;
}

const char *link_state_text(const struct link *l) {
    switch (l->state) {
    case LINK_OPEN:
        return "open";
    case LINK_LATE:
        return "no answer in time";
    case LINK_ENDED:
        return "the connection was closed";
    case LINK_RESET:
        return "the connection was cut";
    case LINK_FAILED:
        return l->fault ? l->fault : "no connection";
    }
    return "";
}
